"""Every operation against its plain twin in float64: any shape, layout in memory, batch and dtype."""

from contextlib import ExitStack
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equishare import ops, reference
from equishare.ops import hard as hard_module
from equishare.ops import soft as soft_module

SINGLE = (torch.float32, torch.float64)
ALL = (*SINGLE, torch.bfloat16, torch.float16)
LABELS = (torch.uint8, torch.int16, torch.int32, torch.int64)
NEAR = {torch.float32: 3e-5, torch.float64: 1e-12, torch.bfloat16: 2**-7, torch.float16: 2**-9}
SIZES = st.one_of(st.integers(0, 4), st.integers(5, 40))
LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "transposed": lambda x: x.mT.contiguous().mT if x.dim() > 1 else x,
    "first axis last": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
    "expanded": lambda x: x[:1].expand_as(x) if len(x) else x,
    "every second": lambda x: torch.stack((x, x), -1)[..., 0],
    "reversed": lambda x: x.flip(0),
    "not aligned": lambda x: torch.cat((x.new_zeros(1), x.flatten()))[1:].view(x.shape),
}


@st.composite
def problems(draw, dtypes=ALL, columns=True):
    """A function that makes tensors from the sizes B (leading ones), K, G and C, if there are columns."""
    size = {"K": draw(SIZES), "G": max(1, draw(SIZES)), "C": draw(SIZES)}
    batch = draw(st.lists(st.integers(0, 3), max_size=2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    dtype = draw(st.sampled_from(dtypes))
    tail = draw(st.sampled_from(("", "C"))) if columns else ""

    def make(letters, labels=None):
        # Leading dimensions of 1 broadcast; not those of halves, whose gradients torch would sum as halves.
        leading = [draw(st.sampled_from((n, 1 if dtype in SINGLE else n))) for n in batch] if letters[0] == "B" else []
        shape = (*leading, *(size[letter] for letter in letters.removeprefix("B").replace("+", tail)))
        if labels is None:
            x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        else:
            x = torch.randint(labels, shape, generator=generator).to(draw(st.sampled_from(LABELS)))
        return LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](x)

    make.size, make.dtype, make.batched = size, dtype, bool(batch)
    make.few = draw(st.booleans())
    return make


def with_gradients(function, inputs):
    inputs = [x.detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
    results = function(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    leaves = [x for x in inputs if x.requires_grad]
    weights = [torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape).bfloat16() for y in results]
    total = sum((y * w.to(y.dtype)).sum() for y, w in zip(results, weights, strict=True))
    return [*results, *torch.autograd.grad(total, leaves, materialize_grads=True)]


def agree(make, name, *inputs, **more):
    """Values and gradients, with the compositions for few entries or with the kernels."""
    with ExitStack() as stack:
        if not make.few:
            stack.enter_context(mock.patch.object(soft_module, "_PLAIN", 0))
            stack.enter_context(mock.patch.object(hard_module, "_FEW_ENTRIES", -1))
        ours = with_gradients(lambda *x: getattr(ops, name)(*x, **more), inputs)
    exact = [x.double() if x.is_floating_point() else x for x in inputs]
    plain = with_gradients(lambda *x: getattr(reference, name)(*x, **more), exact)
    for a, b in zip(ours, plain, strict=True):
        assert a.shape == b.shape and a.dtype == make.dtype
        scale = NEAR[make.dtype] * (1 + b.detach().nan_to_num().abs().amax().item() if b.numel() else 1)
        torch.testing.assert_close(a.double(), b, rtol=NEAR[make.dtype], atol=scale, equal_nan=True)


def examples(count):
    return settings(max_examples=count, deadline=None)


@pytest.mark.parametrize(("name", "other"), [("soft_gather", "BG+"), ("soft_scatter", "BK+")])
@given(data=st.data())
@examples(80)
def test_soft_sharing(name, other, data):
    make = data.draw(problems())
    agree(make, name, make("BKG"), make(other))


@pytest.mark.parametrize(
    ("name", "others"),
    [("soft_project", ["BK"]), ("assignment_penalties", []), ("soft_gather_penalties", ["BG"])],
)
@given(data=st.data())
@examples(50)
def test_penalties_and_projection(name, others, data):
    make = data.draw(problems(SINGLE, columns=False))
    agree(make, name, make("BKG"), *(make(letters) for letters in others))


@given(data=st.data())
@examples(80)
def test_hard_gather(data):
    make = data.draw(problems())
    agree(make, "hard_gather", make("BK", labels=make.size["G"]), make("BG+"))


@given(data=st.data())
@examples(80)
def test_hard_scatter(data):
    make = data.draw(problems())
    labels = make("BK", labels=make.size["G"])
    agree(make, "hard_scatter", labels, make("BK+"), num_groups=make.size["G"])


@given(data=st.data())
@examples(80)
def test_shared_linear(data):
    make = data.draw(problems(columns=False))
    bias = (make("K"),) if data.draw(st.booleans()) else ()
    agree(make, "shared_linear", make("BC"), make("KC", labels=make.size["G"]), make("G"), *bias)


@pytest.mark.parametrize("operation", ["step", "relax"])
@given(data=st.data())
@examples(50)
def test_steps_on_buffers(operation, data):
    make = data.draw(problems(SINGLE, columns=False))
    logits, values, x, u = (make(letters).contiguous() for letters in ("KG", "G", "K", "K"))
    logits, values, x, u = (t.expand(3, *t.shape).contiguous() for t in (logits, values, x, u))
    weights = torch.tensor([[0.5, 1, 2], [1, -1, 0]], dtype=make.dtype)
    if operation == "step":
        plain, other = reference.soft_gather_penalties, values
        step = ops.soft_step_forward(logits, values)
        gradient = ops.soft_step_backward(logits, values, step, u, *weights)[0]
    else:
        plain, other = lambda z, x: (reference.soft_project(z, x), *reference.assignment_penalties(z)), x
        step = ops.relax_forward(logits, x)
        gradient = ops.relax_backward(logits, x, step, u, *weights)
    exact = logits.double().requires_grad_()
    expected = plain(exact, other.double())
    pull = zip(expected, (u, *weights), strict=True)
    expected += torch.autograd.grad(sum((y * w.double()).sum() for y, w in pull), exact)
    bound = {"rtol": 10 * NEAR[make.dtype], "atol": 10 * NEAR[make.dtype], "equal_nan": True}
    for a, b in zip((step.theta, step.entropy, step.column_norm, gradient), expected, strict=True):
        torch.testing.assert_close(a.double(), b, **bound)
