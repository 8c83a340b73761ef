"""What torch.jit.trace, torch.export and the ONNX exporters record of models and operations computes the same.

The plain composition is recorded, so that the program runs where equishare is not installed.
"""

import contextlib
import io
import warnings

import pytest
import torch
from sharing_cases import leaves, tensor
from torch import nn

import equishare as es
from equishare import ops

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    # Shapes are checked once, as the trace is taken.
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.*legacy TorchScript-based ONNX:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]

LABELS = torch.arange(90 * 90).remainder(7).to(torch.uint8)
OPERATIONS = {
    "soft_gather": lambda z, v, x: ops.soft_gather(z, v),
    "soft_gather columns": lambda z, v, x: ops.soft_gather(z, v[:, None] * v[:2]),
    "soft_gather batch": lambda z, v, x: ops.soft_gather(z.expand(2, -1, -1), v.expand(2, -1)),
    "soft_scatter": lambda z, v, x: ops.soft_scatter(z, x),
    "soft_project": lambda z, v, x: ops.soft_project(z, x),
    "assignment_penalties": lambda z, v, x: ops.assignment_penalties(z),
    "soft_gather_penalties": lambda z, v, x: ops.soft_gather_penalties(z, v),
    "hard_gather": lambda z, v, x: ops.hard_gather(LABELS, v),
    "hard_scatter": lambda z, v, x: ops.hard_scatter(LABELS[:90].long(), x, 7),
    "shared_linear": lambda z, v, x: ops.shared_linear(x.expand(3, -1), LABELS.view(90, 90), v),
}
MODES = {"recording": contextlib.nullcontext, "no_grad": torch.no_grad, "inference_mode": torch.inference_mode}


def arguments(seed):
    return tensor(seed, 90, 70), tensor(seed + 1, 70), tensor(seed + 2, 90)


def same(ours, theirs):
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        torch.testing.assert_close(torch.as_tensor(a), b.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_trace_of_an_operation(name, mode):
    # Above 4,096 entries, where kernels serve; memory that a trace kept would not follow other inputs.
    with MODES[mode]():
        traced = torch.jit.trace(OPERATIONS[name], arguments(0), check_trace=False)
        for seed in (0, 10):
            same(traced(*arguments(seed)), OPERATIONS[name](*arguments(seed)))


def test_a_trace_has_derivatives():
    traced = torch.jit.trace(ops.soft_gather, arguments(0)[:2])
    gradients = []
    for f in (traced, ops.soft_gather):
        inputs = [x.requires_grad_() for x in arguments(5)[:2]]
        gradients.append(torch.autograd.grad(f(*inputs).square().sum(), inputs))
    same(*gradients)


def test_what_writes_into_buffers_is_not_traced():
    with pytest.raises(RuntimeError, match=r"cannot record an operation that writes into buffers: trace .*penalties"):
        torch.jit.trace(lambda z, v: ops.soft_step_forward(z, v).theta, arguments(0)[:2])


def shared(form, frozen):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(80, 90), nn.Tanh(), nn.Linear(90, 5)).eval()
    es.share(model, "0.weight", num_groups=6)
    es.share(model, "2.weight", num_groups=3, dim=0)
    if form in ("hard", "compact"):
        es.harden(model)
    if form == "compact":
        model = es.compact(model)
    if frozen:
        model.requires_grad_(False)
    return model


FORMS = pytest.mark.parametrize("form", ["soft", "hard", "compact"])


@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
@FORMS
def test_a_trace_of_a_model(form, frozen):
    model = shared(form, frozen)
    x, other = torch.randn(4, 80), torch.randn(4, 80)
    with torch.no_grad():
        traced = torch.jit.trace(model, x)
        same(traced(other), model(other))
        stream = io.BytesIO()
        torch.jit.save(traced, stream)
        stream.seek(0)
        same(torch.jit.load(stream)(other), model(other))


@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
@FORMS
def test_an_exported_model(form, strict):
    model = shared(form, frozen=False)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(model, (torch.randn(4, 80),), dynamic_shapes=({0: batch},), strict=strict)
    assert "equishare" not in str(program.graph)
    stream = io.BytesIO()
    torch.export.save(program, stream)
    stream.seek(0)
    loaded, x = torch.export.load(stream).module(), torch.randn(9, 80)
    same(loaded(x), model(x))


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "older"])
@FORMS
def test_onnx(form, dynamo, tmp_path):
    pytest.importorskip("onnxscript" if dynamo else "onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, file = shared(form, frozen=False), str(tmp_path / "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters' own
        torch.onnx.export(model, (torch.randn(4, 80),), file, dynamo=dynamo, verbose=False)
    session, x = runtime.InferenceSession(file), torch.randn(4, 80)
    same(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], model(x))
