"""Values of the fused operations against their plain twins, on every instruction set."""

import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from sharing_cases import labels, leaves, tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equishare import _native, ops, reference
from equishare.ops import soft as soft_module

DTYPES = (torch.float32, torch.float64)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
SOFT = {
    "soft_gather": lambda o, z, v, x: o.soft_gather(z, v),
    "soft_scatter": lambda o, z, v, x: o.soft_scatter(z, x),
    "soft_project": lambda o, z, v, x: o.soft_project(z, x),
    "assignment_penalties": lambda o, z, v, x: o.assignment_penalties(z),
    "soft_gather_penalties": lambda o, z, v, x: o.soft_gather_penalties(z, v),
}
soft = pytest.mark.parametrize("name", SOFT)


@pytest.fixture(autouse=True)
def kernels_at_all_sizes(monkeypatch):
    """Small single problems take the plain composition, and would leave the kernels untested."""
    monkeypatch.setattr(soft_module, "_PLAIN", 0)


def assert_near(ours, theirs, scale=1.0):
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        bound = scale * (2e-5 if a.dtype == torch.float32 else 1e-13)
        torch.testing.assert_close(a, b, rtol=bound, atol=bound, equal_nan=True)


def value_and_gradient(function, *inputs):
    inputs = tuple(x.detach().clone().requires_grad_() for x in inputs)
    result = leaves(function(*inputs))
    weights = [tensor(70 + i, *y.shape, dtype=y.dtype) for i, y in enumerate(result)]
    scalar = sum((y * w).sum() for y, w in zip(result, weights, strict=True))
    return (*result, *torch.autograd.grad(scalar, inputs, materialize_grads=True))


def assert_agree(function, *inputs, scale=1.0):
    """``function(implementation, *inputs)`` and its gradients agree, fused and plain; returns the fused."""
    ours, theirs = (value_and_gradient(partial(function, o), *inputs) for o in (ops, reference))
    assert_near(ours, theirs, scale)
    return ours


# Around the width of a vector, both sides of the size where a second thread starts, several problems.
SHAPES = [((), 1, 1), ((), 1, 5), ((), 5, 1), ((3,), 7, 4), ((2, 3), 5, 17), ((), 33, 16)]
SHAPES += [((1,), 600, 40), ((3,), 90, 90)]
WITH_COLUMNS = [(n, c) for n in SOFT for c in (None, 1, 3) if c is None or n in ("soft_gather", "soft_scatter")]


@dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "columns"), WITH_COLUMNS)
def test_soft_values_and_gradients(name, columns, shape, dtype):
    batch, rows, groups = shape
    last = () if columns is None else (columns,)
    assert_agree(
        SOFT[name],
        tensor(0, *batch, rows, groups, dtype=dtype, scale=3),
        tensor(1, *batch, groups, *last, dtype=dtype),
        tensor(2, *batch, rows, *last, dtype=dtype),
        scale=3,
    )


LABELS = [(torch.uint8, torch.float32), (torch.int16, torch.float64)]
LABELS += [(torch.int32, torch.float64), (torch.int64, torch.float32)]
label_dtypes = pytest.mark.parametrize(("label_dtype", "dtype"), LABELS, ids=str)


@label_dtypes
@pytest.mark.parametrize("columns", [None, 3])
@pytest.mark.parametrize(("batch", "rows", "groups"), [((), 1, 1), ((3,), 7, 4), ((2, 3), 5, 6), ((), 20_000, 9)])
def test_hard_values_and_gradients(batch, rows, groups, columns, label_dtype, dtype):
    index = labels(3, *batch, rows, groups=groups, dtype=label_dtype)
    last = () if columns is None else (columns,)
    scale = 1 + rows**0.5 / 5
    values, x = tensor(1, *batch, groups, *last, dtype=dtype), tensor(2, *batch, rows, *last, dtype=dtype)
    assert_agree(lambda o, v: o.hard_gather(index, v), values, scale=scale)
    assert_agree(lambda o, x: o.hard_scatter(index, x, groups), x, scale=scale)


def test_sums_of_many_entries_keep_their_digits():
    x = torch.full((3_000_000,), 0.1)
    assert ops.hard_scatter(torch.zeros(len(x), dtype=torch.uint8), x, 1).item() == pytest.approx(3e5, rel=1e-6)


@label_dtypes
@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3), (50,), (0,)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_shared_linear(batch, bias, label_dtype, dtype):
    index = labels(0, 21, 70, groups=5, dtype=label_dtype)
    inputs = [tensor(1, *batch, 70, dtype=dtype), tensor(2, 5, dtype=dtype)]
    inputs += [tensor(3, 21, dtype=dtype)] if bias else []
    assert_agree(lambda o, x, v, *b: o.shared_linear(x, index, v, *b), *inputs, scale=10)


def test_shared_linear_on_several_threads():
    index = labels(0, 300, 400, groups=9)
    assert_agree(lambda o, x, v: o.shared_linear(x, index, v), tensor(1, 2, 400), tensor(2, 9), scale=100)


BROADCAST = {
    "one set of logits, a batch of values": ("soft_gather", (1, 4, 3), (5, 3)),
    "a batch of logits, one vector": ("soft_gather", (5, 4, 3), (3,)),
    "both, with columns": ("soft_gather", (2, 1, 4, 3), (1, 5, 3, 2)),
    "scatter, one set of logits": ("soft_scatter", (1, 4, 3), (5, 4)),
    "scatter, one vector": ("soft_scatter", (5, 4, 3), (4,)),
    "project": ("soft_project", (2, 1, 4, 3), (5, 4)),
}


@pytest.mark.parametrize("case", BROADCAST)
def test_broadcast_leading_dimensions(case):
    name, *shapes = BROADCAST[case]
    assert_agree(lambda o, *a: getattr(o, name)(*a), *(tensor(i, *shape) for i, shape in enumerate(shapes)))


HARD_BROADCAST = {
    "one vector for a matrix of labels": ((2, 4), (3,)),
    "one vector of labels for a batch": ((4,), (1, 3, 2)),
    "both": ((5, 1, 4), (1, 2, 3)),
    "both with columns": ((5, 1, 4), (1, 2, 3, 2)),
}


@pytest.mark.parametrize("case", HARD_BROADCAST)
def test_hard_gather_broadcasts(case):
    label_shape, shape = HARD_BROADCAST[case]
    index = labels(0, *label_shape, groups=3)
    assert_agree(lambda o, v: o.hard_gather(index, v), tensor(1, *shape))


@soft
def test_inputs_need_not_be_contiguous(name):
    z, v, x = tensor(0, 3, 4, 2).permute(2, 1, 0), tensor(1, 3, 2).T, tensor(2, 4, 2).T
    assert not (z.is_contiguous() or v.is_contiguous() or x.is_contiguous())
    # value_and_gradient clones, and so keeps the strides.
    assert_agree(SOFT[name], z, v, x)


def test_labels_need_not_be_contiguous():
    index = labels(0, 7, 5, groups=3).T
    assert_agree(lambda o, v: o.hard_gather(index, v), tensor(1, 5, 3))
    assert_agree(lambda o, x: o.hard_scatter(index, x, 3), tensor(1, 7, 5).T)
    assert_agree(lambda o, x, v: o.shared_linear(x, index, v), tensor(1, 7), tensor(2, 3))


@pytest.mark.parametrize(("batch", "rows"), [((), 0), ((0,), 4), ((2, 0), 0)], ids=str)
def test_empty_inputs(batch, rows):
    z, v, x = tensor(0, *batch, rows, 3), tensor(1, *batch, 3), tensor(2, *batch, rows)
    index = labels(0, *batch, rows, groups=3)
    for function in SOFT.values():
        assert_agree(function, z, v, x)
    assert_agree(lambda o, v: o.hard_gather(index, v), v)
    assert_agree(lambda o, x: o.hard_scatter(index, x, 3), x)


@dtypes
@soft
def test_huge_logits_and_excluded_groups(name, dtype):
    inf = float("inf")
    logits = torch.tensor(
        [[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4], [-inf, 0, 1], [-inf, -inf, 5], [9999.5, 1e4, 1e4]],
        dtype=dtype,
    )
    v, x = tensor(1, 3, dtype=dtype), tensor(2, 6, dtype=dtype)
    ours = assert_agree(SOFT[name], logits, v, x)
    assert all(y.isfinite().all() for y in ours)
    gradient = ours[-3]
    assert torch.equal(gradient[3:5][logits[3:5] == -inf], torch.zeros(3, dtype=dtype))
    double = torch.autograd.functional.hvp(
        lambda z: sum((y * y).sum() for y in leaves(SOFT[name](ops, z, v, x))), logits, torch.ones_like(logits)
    )[1]
    assert double.isfinite().all()


@dtypes
@soft
def test_a_group_that_no_row_uses(name, dtype):
    logits = tensor(0, 4, 3, dtype=dtype)
    logits[:, 1] = -float("inf")
    v, x = tensor(1, 3, dtype=dtype), tensor(2, 4, dtype=dtype)
    ours = assert_agree(SOFT[name], logits, v, x)
    assert all(y.isfinite().all() for y in ours)


@dtypes
@pytest.mark.parametrize("bad", ["nan", "all excluded", "infinite"])
def test_a_bad_row_spoils_that_row_only(bad, dtype):
    logits, values = tensor(0, 6, 20, dtype=dtype), tensor(1, 20, dtype=dtype)
    if bad == "nan":
        logits[2, 3] = float("nan")
    elif bad == "infinite":
        logits[2, 3] = float("inf")
    else:
        logits[2] = -float("inf")
    spoilt = torch.arange(6) == 2
    theta, grad_logits, _ = value_and_gradient(ops.soft_gather, logits, values)
    assert torch.equal(theta.isnan(), spoilt)
    assert torch.equal(grad_logits.isnan(), spoilt[:, None].expand(6, 20))
    _, _, grad_x = value_and_gradient(ops.soft_scatter, logits, tensor(2, 6, dtype=dtype))
    assert torch.equal(grad_x.isnan(), spoilt)


class Allocations(TorchDispatchMode):
    """Largest number of bytes held at once by tensors created while it is on."""

    def __init__(self):
        super().__init__()
        self.live, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, torch.Tensor):
                storage = made.untyped_storage()
                self.live[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self.live = {k: v for k, v in self.live.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return result


def test_softmax_is_never_stored():
    logits, values = tensor(0, 300, 200).requires_grad_(), tensor(1, 200).requires_grad_()
    gradient_alone = logits.nbytes

    def peak(function):
        with Allocations() as memory:
            torch.autograd.grad(function(logits, values).sum(), (logits, values))
        return memory.peak

    assert peak(reference.soft_gather) > 1.9 * gradient_alone  # or the measure measures nothing
    small = 20 * 8 * (300 + 200)
    assert gradient_alone <= peak(ops.soft_gather) <= gradient_alone + small


def test_softmax_is_never_stored_in_eager_mode():
    # The mode above makes operations take the dispatcher; the profiler sees the eager path.
    logits, values = tensor(0, 300, 200).requires_grad_(), tensor(1, 200).requires_grad_()
    with torch.profiler.profile(profile_memory=True) as profile:
        result = torch.autograd.grad(ops.soft_gather(logits, values).sum(), (logits, values))
    sizes = [e.self_cpu_memory_usage for e in profile.events() if e.self_cpu_memory_usage >= logits.nbytes // 4]
    assert sizes == [logits.nbytes]
    assert result[0].shape == logits.shape


@pytest.mark.parametrize("threads", [1, 2, 3])
@soft
def test_equal_bits_for_equal_thread_counts(name, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        z, v, x = tensor(0, 1000, 50, dtype=torch.float32), tensor(1, 50).float(), tensor(2, 1000).float()
        first = value_and_gradient(partial(SOFT[name], ops), z, v, x)
        for _ in range(5):
            again = value_and_gradient(partial(SOFT[name], ops), z, v, x)
            assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    finally:
        torch.set_num_threads(before)


HALF_SHAPES = [((), 5, 3), ((), 40, 70), ((20,), 6, 5), ((2,), 33, 200)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", HALF_SHAPES, ids=str)
@pytest.mark.parametrize("columns", [None, 3, 70])
@pytest.mark.parametrize("name", ["soft_gather", "soft_scatter"])
def test_halves_are_stored_and_computed_with_in_float32(name, columns, shape, dtype):
    batch, rows, groups = shape
    last = () if columns is None else (columns,)
    inputs = [
        tensor(0, *batch, rows, groups, dtype=dtype),
        tensor(1, *batch, groups, *last, dtype=dtype),
        tensor(2, *batch, rows, *last, dtype=dtype),
    ]
    ours = value_and_gradient(partial(SOFT[name], ops), *inputs)
    # The weights of the cotangents must be those that the halves hold.
    doubled = [x.double().requires_grad_() for x in inputs]
    result = leaves(SOFT[name](reference, *doubled))
    scalar = sum((y * tensor(70 + i, *y.shape, dtype=dtype).double()).sum() for i, y in enumerate(result))
    theirs = (*result, *torch.autograd.grad(scalar, doubled, materialize_grads=True))
    rounding = torch.finfo(dtype).eps
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(
            a.double(), b.detach(), rtol=2 * rounding, atol=rounding * float(b.detach().abs().max()) / 4 + 1e-6
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_other_soft_operations_on_halves_take_the_plain_composition(dtype):
    z, v, x = tensor(0, 5, 3, dtype=dtype), tensor(1, 3, dtype=dtype), tensor(2, 5, dtype=dtype)
    for name in ("soft_project", "assignment_penalties", "soft_gather_penalties"):
        ours, theirs = (leaves(SOFT[name](o, z, v, x)) for o in (ops, reference))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("first", [-1e30, -200.0, -50.0, 50.0, 3e4])
def test_a_row_whose_first_logit_is_far_from_the_rest(first, dtype):
    # The first logit is the pivot of its row unless the sums would lose their range by it.
    logits = tensor(0, 70, 90, dtype=dtype)
    logits[::3, 0] = first
    logits[1::7, 0] = -float("inf")
    values = tensor(1, 90, dtype=dtype)
    assert_agree(lambda o, z, v: o.soft_gather(z, v), logits, values, scale=3)
    assert_agree(lambda o, z, v: o.soft_gather(z, 1e30 * v) / 1e30, logits, values, scale=3)


# Around the tiles and blocks of the products: few and many columns, cut by rows and by columns.
COLUMN_SHAPES = [((), 10, 10, 2500), ((), 130, 64, 100), ((3,), 9, 5, 17), ((), 300, 70, 33), ((2,), 50, 3, 400)]


@dtypes
@pytest.mark.parametrize("shape", COLUMN_SHAPES, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_many_columns(shape, dtype, threads):
    batch, rows, groups, columns = shape
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        logits = tensor(0, *batch, rows, groups, dtype=dtype)
        values, x = tensor(1, *batch, groups, columns, dtype=dtype), tensor(2, *batch, rows, columns, dtype=dtype)
        assert_agree(lambda o, z, v: o.soft_gather(z, v), logits, values, scale=20)
        assert_agree(lambda o, z, x: o.soft_scatter(z, x), logits, x, scale=20)
    finally:
        torch.set_num_threads(before)


@dtypes
@pytest.mark.parametrize("batch", [8, 15, 16, 17, 50])
def test_tiles_of_small_problems(batch, dtype):
    logits, values = tensor(0, batch, 9, 5, dtype=dtype), tensor(1, batch, 5, dtype=dtype)
    logits[3, 2, 1] = -float("inf")
    assert_agree(lambda o, z, v: o.soft_gather(z, v), logits, values, scale=3)


@dtypes
@pytest.mark.parametrize("shape", [((), 7, 1500), ((), 70, 64), ((2,), 5, 700)], ids=str)
def test_long_rows_and_blocks_of_rows(shape, dtype):
    batch, rows, groups = shape
    z, v = tensor(0, *batch, rows, groups, dtype=dtype), tensor(1, *batch, groups, dtype=dtype)
    for name in ("soft_gather", "assignment_penalties", "soft_gather_penalties"):
        assert_agree(SOFT[name], z, v, tensor(2, *batch, rows, dtype=dtype), scale=10)


@dtypes
def test_a_step_on_reused_buffers(dtype):
    z, v, u = tensor(0, 3, 40, 20, dtype=dtype), tensor(1, 3, 20, dtype=dtype), tensor(2, 3, 40, dtype=dtype)
    weights = tensor(3, 3, dtype=dtype), tensor(4, 3, dtype=dtype)
    step = ops.soft_step_forward(z * 0, v)
    gradients = ops.soft_step_backward(z, v, step, u, *weights)
    assert ops.soft_step_forward(z, v, out=step) is step
    assert ops.soft_step_backward(z, v, step, u, *weights, out=gradients) is gradients
    logits, values = z.clone().requires_grad_(), v.clone().requires_grad_()
    theirs = reference.soft_gather_penalties(logits, values)
    assert_near((step.theta, step.entropy, step.column_norm), theirs)
    assert_near(gradients, torch.autograd.grad(theirs, (logits, values), (u, *weights)))


def test_a_step_names_what_does_not_fit():
    z, v = tensor(0, 4, 3), tensor(1, 3)
    step, one = ops.soft_step_forward(z, v), torch.ones((), dtype=z.dtype)
    with pytest.raises(ValueError, match=r"values must be a contiguous .* shape \(3,\)"):
        ops.soft_step_forward(z, v[:2])
    with pytest.raises(ValueError, match="theta must be a contiguous"):
        ops.soft_step_forward(tensor(0, 5, 3), v, out=step)
    with pytest.raises(ValueError, match="u must be a contiguous"):
        ops.soft_step_backward(z, v, step, v, one, one)
    with pytest.raises(ValueError, match="logits must be a float32 or float64"):
        ops.soft_step_forward(z.half(), v.half())


def test_tensors_without_data():
    z, v = torch.empty(2, 5, 3, device="meta"), torch.empty(2, 3, device="meta")
    assert ops.soft_gather(z, v).shape == (2, 5)
    assert ops.assignment_penalties(z)[0].shape == (2,)
    assert ops.hard_gather(torch.zeros(7, dtype=torch.int32, device="meta"), v[0]).shape == (7,)


_Z, _V, _X, _I = torch.zeros(4, 3), torch.zeros(3), torch.zeros(4), torch.tensor([0, 1, 2, 1])
ERRORS = {
    "gather, groups": (
        lambda: ops.soft_gather(_Z, torch.zeros(4)),
        ValueError,
        r"values must have shape .*G = 3.*\(4,\)",
    ),
    "gather, batch read as columns": (
        lambda: ops.soft_gather(_Z, torch.zeros(9, 3)),
        ValueError,
        "columns exactly when",
    ),
    "gather, leading": (
        lambda: ops.soft_gather(torch.zeros(2, 4, 3), torch.zeros(5, 3, 1)),
        ValueError,
        "leading dimensions of logits",
    ),
    "gather, no groups": (lambda: ops.soft_gather(torch.zeros(4, 0), torch.zeros(0)), ValueError, "G at least 1"),
    "gather, one dimension": (lambda: ops.soft_gather(_V, _V), ValueError, "logits must have shape"),
    "gather, dtypes": (lambda: ops.soft_gather(_Z, _V.double()), TypeError, "values must have the dtype of logits"),
    "gather, integers": (lambda: ops.soft_gather(_Z.long(), _V.long()), TypeError, "logits must have a floating dtype"),
    "gather, no tensor": (lambda: ops.soft_gather([[0.0]], _V), TypeError, "logits must be a torch.Tensor, got list"),
    "gather, devices": (
        lambda: ops.soft_gather(_Z, _V.to("meta")),
        ValueError,
        "values must be on the device of logits",
    ),
    "scatter, rows": (lambda: ops.soft_scatter(_Z, _V), ValueError, r"x must have shape \(\.\.\., K\) with K = 4"),
    "project, columns": (lambda: ops.soft_project(_Z, torch.zeros(4, 2)), ValueError, "x must have fewer dimensions"),
    "penalties": (lambda: ops.assignment_penalties(_V), ValueError, r"logits must have shape .* got \(3,\)"),
    "label too large": (lambda: ops.hard_gather(_I + 1, _V), ValueError, "labels must lie in 0..2 .* from 1 to 3"),
    "label negative": (lambda: ops.hard_scatter(_I - 1, _X, 3), ValueError, "labels must lie in 0..2 .* from -1 to 1"),
    "label, half": (lambda: ops.hard_gather(_I + 1, _V.half()), ValueError, "labels must lie in 0..2"),
    "label, linear": (
        lambda: ops.shared_linear(_X, _I.int().expand(2, 4) + 1, _V),
        ValueError,
        "labels must lie in 0..2",
    ),
    "label dtype": (lambda: ops.hard_gather(_I.to(torch.int8), _V), TypeError, "labels must be uint8, int16, int32 or"),
    "labels no tensor": (lambda: ops.hard_gather([0], _V), TypeError, "labels must be a torch.Tensor"),
    "labels scalar": (lambda: ops.hard_gather(_I[0], _V), ValueError, "labels must have at least 1 dimension"),
    "labels device": (lambda: ops.hard_gather(_I.to("meta"), _V), ValueError, "labels must be on cpu, got meta"),
    "num_groups": (lambda: ops.hard_scatter(_I, _X, -1), ValueError, "num_groups must not be negative, got -1"),
    "scatter length": (lambda: ops.hard_scatter(_I, _V, 3), ValueError, "x must have shape .* K = 4"),
    "linear, x": (lambda: ops.shared_linear(_V, _I.expand(2, 4), _V), ValueError, r"labels must have shape \(O, I\)"),
    "linear, values": (
        lambda: ops.shared_linear(_X, _I.expand(2, 4), _Z),
        ValueError,
        r"values must have shape \(G,\)",
    ),
    "linear, bias": (
        lambda: ops.shared_linear(_X, _I.expand(2, 4), _V, _V),
        ValueError,
        r"bias must have shape \(2,\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(case):
    call, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        call()


def test_the_forced_or_else_the_best_instruction_set_is_used():
    assert _native.instruction_sets()[0] == "baseline"
    assert _native.instruction_set() == (os.environ.get("EQUISHARE_ISA") or _native.instruction_sets()[-1])


@pytest.mark.parametrize("name", _native.instruction_sets())
def test_every_instruction_set(name):
    if name == _native.instruction_set():
        pytest.skip("the rest of this file runs on it")
    chosen = "soft_values or halves or first_logit or many_columns or tiles or long_rows or step or "
    chosen += "shared_linear or excluded or bad_row or equal_bits or relax or forced or test_hard"
    here = os.path.dirname(__file__)
    files = [os.path.join(here, file) for file in ("test_ops.py", "test_hard.py", "test_relax.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", chosen, *files],
        env={**os.environ, "EQUISHARE_ISA": name},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
