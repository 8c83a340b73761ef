"""The fused operations beside their plain twins: values and gradients, and how near they must be."""

from functools import partial

import pytest
import torch
from sharing_cases import leaves, tensor

from equishare import ops, reference
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
