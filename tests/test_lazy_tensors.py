"""Tensors whose memory is not what they read as: views with the negative bit, and zeros without memory."""

import pytest
import torch
from sharing_cases import leaves, tensor

from equishare import ops, reference

LABELS = torch.arange(9000).remainder(50)
MATRIX = LABELS[:8100].view(90, 90)
OPERATIONS = {
    "soft_gather": lambda o, z, v, x: o.soft_gather(z, v),
    "soft_gather columns": lambda o, z, v, x: o.soft_gather(z, v[:, None] * v[:2]),
    "soft_scatter": lambda o, z, v, x: o.soft_scatter(z, x),
    "soft_project": lambda o, z, v, x: o.soft_project(z, x),
    "assignment_penalties": lambda o, z, v, x: o.assignment_penalties(z),
    "soft_gather_penalties": lambda o, z, v, x: o.soft_gather_penalties(z, v),
    "hard_gather": lambda o, z, v, x: o.hard_gather(LABELS, v),
    "hard_scatter": lambda o, z, v, x: o.hard_scatter(LABELS[:90], x, 50),
    "shared_linear": lambda o, z, v, x: o.shared_linear(x, MATRIX, v),
}
LAZY = {"negative": torch._neg_view, "zero": lambda x: torch._efficientzerotensor(x.shape, dtype=x.dtype)}


@pytest.mark.parametrize("which", range(3), ids=["logits", "values", "x"])
@pytest.mark.parametrize("kind", LAZY)
@pytest.mark.parametrize("name", OPERATIONS)
def test_are_read_as_what_they_are(name, kind, which):
    inputs = [tensor(0, 90, 50), tensor(1, 50), tensor(2, 90)]
    inputs[which] = LAZY[kind](inputs[which])
    plain = [x.clone() if i != which else 0 * tensor(i, *x.shape) + x for i, x in enumerate(inputs)]
    assert not any(x.is_neg() or x._is_zerotensor() for x in plain)
    ours, theirs = leaves(OPERATIONS[name](ops, *inputs)), leaves(OPERATIONS[name](reference, *plain))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", OPERATIONS)
def test_derivatives_take_negative_views(name):
    inputs = [tensor(i, *shape) for i, shape in enumerate(((90, 50), (50,), (90,)))]

    def gradients(sign):
        given = [sign(x).requires_grad_() for x in inputs]
        results = leaves(OPERATIONS[name](ops, *given))
        weights = [sign(tensor(5 + i, *y.shape)) for i, y in enumerate(results)]
        return torch.autograd.grad(results, given, weights, materialize_grads=True)

    plain, negative = gradients(torch.clone), gradients(lambda x: torch._neg_view(-x))
    for a, b in zip(plain, negative, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_of_the_imaginary_part_of_a_conjugate():
    logits = torch.complex(tensor(0, 90, 50), tensor(1, 90, 50)).conj().imag
    assert logits.is_neg()
    theta = torch.softmax(-tensor(1, 90, 50), -1) @ tensor(2, 50)
    torch.testing.assert_close(ops.soft_gather(logits, tensor(2, 50)), theta)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_labels(dtype):
    negative = torch._neg_view(-LABELS.to(dtype))
    assert negative.is_neg()
    assert torch.equal(ops.hard_gather(negative, tensor(1, 50)), tensor(1, 50)[LABELS])
    zeros = torch._efficientzerotensor((9000,), dtype=dtype)
    assert torch.equal(ops.hard_gather(zeros, tensor(1, 50)), tensor(1, 50)[:1].expand(9000))
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.9 for 10 group\(s\), got labels from 0 to 49"):
        ops.hard_gather(negative, tensor(1, 10))


@pytest.mark.parametrize("kind", LAZY)
def test_buffers_are_refused(kind):
    logits, values = tensor(0, 2, 4, 3), tensor(1, 2, 3)
    with pytest.raises(ValueError, match=r"values must hold its own numbers.*give values \+ 0"):
        ops.soft_step_forward(logits, LAZY[kind](values))
    with pytest.raises(ValueError, match=r"logits must hold its own numbers"):
        ops.relax_forward(LAZY[kind](logits), tensor(1, 2, 4))
