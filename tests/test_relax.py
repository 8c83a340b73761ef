"""The fused step of the relaxed upper level against autograd of the plain composition."""

import pytest
import torch
from sharing_cases import tensor

from equishare import ops, reference

# Problems side by side in the lanes of a vector, a full and a part of one; and one after another.
SHAPES = [(1, 1, 1), (16, 4, 3), (37, 5, 5), (600, 5, 5), (9, 30, 7), (3, 90, 90), (2, 300, 64), (0, 4, 3)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def problem(shape, dtype):
    batch, rows, groups = shape
    sizes = ((batch, rows, groups), (batch, rows), (batch, rows), (batch,), (batch,))
    return tuple(tensor(i, *size, dtype=dtype) for i, size in enumerate(sizes))


def plain_gradient(logits, x, u, entropy_weight, column_norm_weight):
    logits = logits.detach().requires_grad_()
    theta = reference.soft_project(logits, x)
    entropy, column_norm = reference.assignment_penalties(logits)
    objective = (theta * u).sum() + (entropy_weight * entropy + column_norm_weight * column_norm).sum()
    return theta, entropy, column_norm, *torch.autograd.grad(objective, logits)


def assert_near(a, b, scale=1.0):
    bound = scale * (1e-5 if a.dtype == torch.float32 else 1e-13)
    torch.testing.assert_close(a, b, rtol=bound, atol=bound)


@shapes
@dtypes
def test_relax_values_and_gradient(shape, dtype):
    logits, x, *cotangents = problem(shape, dtype)
    relaxed = ops.relax_forward(logits, x)
    gradient = ops.relax_backward(logits, x, relaxed, *cotangents)
    theta, entropy, column_norm, expected = plain_gradient(logits, x, *cotangents)
    for ours, theirs in (
        (relaxed.theta, theta),
        (relaxed.entropy, entropy),
        (relaxed.column_norm, column_norm),
        (relaxed.colsum, torch.softmax(logits, -1).sum(-2)),
        (gradient, expected),
    ):
        assert_near(ours, theirs.detach(), scale=1 + shape[1] / 30)
    assert_near(torch.einsum("bkg,bg->bk", torch.softmax(logits, -1), relaxed.psi), theta.detach(), scale=2)


@shapes
@dtypes
def test_relax_adam_step_follows_torch(shape, dtype):
    logits, x, *cotangents = problem(shape, dtype)
    parameter = torch.nn.Parameter(logits.clone())
    optimizer = torch.optim.Adam([parameter], lr=0.05, betas=(0.8, 0.95), eps=1e-3)
    moments = ops.relax_moments(logits)
    relaxed = None
    for step in range(1, 5):
        relaxed = ops.relax_forward(logits, x, relaxed)
        ops.relax_adam_step(
            logits, x, relaxed, *cotangents, moments, step=step, rate=0.05, betas=(0.8, 0.95), epsilon=1e-3
        )
        parameter.grad = plain_gradient(parameter, x, *cotangents)[-1]
        optimizer.step()
    assert_near(logits, parameter.detach(), scale=20)


@dtypes
@pytest.mark.parametrize("batch", [1, 40], ids=["rows", "tiles"])
def test_relax_of_decided_rows_and_unused_groups(batch, dtype):
    logits = torch.tensor([[1e4, -1e4, -1e4], [0.0, 1e4, -1e4], [1e4, 0.0, -1e4]], dtype=dtype).repeat(batch, 1, 1)
    x, u = tensor(0, batch, 3, dtype=dtype), tensor(1, batch, 3, dtype=dtype)
    one = torch.ones(batch, dtype=dtype)
    relaxed = ops.relax_forward(logits, x)
    mean = (x[:, 0] + x[:, 2]) / 2
    assert_near(relaxed.theta, torch.stack((mean, x[:, 1], mean), 1))
    assert torch.equal(relaxed.psi[:, 2], torch.zeros(batch, dtype=dtype))
    assert torch.equal(relaxed.entropy, torch.zeros(batch, dtype=dtype))
    gradient = ops.relax_backward(logits, x, relaxed, u, one, one)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_relax_results_do_not_depend_on_threads_or_company():
    logits, x, *cotangents = problem((40, 30, 20), torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            relaxed = ops.relax_forward(logits, x)
            results.append((relaxed.theta, ops.relax_backward(logits, x, relaxed, *cotangents)))
    finally:
        torch.set_num_threads(before)
    for theta, gradient in results[1:]:
        assert torch.equal(theta, results[0][0])
        assert torch.equal(gradient, results[0][1])


def relaxation(batch=2, rows=4, groups=3):
    logits, x, *cotangents = problem((batch, rows, groups), torch.float64)
    return logits, x, ops.relax_forward(logits, x), *cotangents


ERRORS = {
    "two dimensions": (lambda: ops.relax_forward(torch.zeros(4, 3), torch.zeros(4)), "logits must be"),
    "half": (lambda: ops.relax_forward(torch.zeros(1, 4, 3).half(), torch.zeros(1, 4).half()), "logits must be"),
    "x": (lambda: ops.relax_forward(torch.zeros(2, 4, 3), torch.zeros(2, 3)), "x must be"),
    "strides": (lambda: ops.relax_forward(torch.zeros(2, 3, 4).mT, torch.zeros(2, 4)), "logits must be a contiguous"),
    "u": (
        lambda: (lambda z, x, r, u, e, n: ops.relax_backward(z, x, r, u[:, :2], e, n))(*relaxation()),
        "u must be",
    ),
    "weight": (
        lambda: (lambda z, x, r, u, e, n: ops.relax_backward(z, x, r, u, e[:1], n))(*relaxation()),
        "entropy_weight must be",
    ),
    "workspace": (
        lambda: (lambda z, x, r, *w: ops.relax_backward(z, x, relaxation(3)[2], *w))(*relaxation()),
        "theta must be",
    ),
    "moments": (
        lambda: ops.relax_adam_step(*relaxation(), torch.zeros(1), step=1, rate=0.1),
        "moments must be",
    ),
    "step": (
        lambda: ops.relax_adam_step(*relaxation(), torch.zeros(1), step=0, rate=0.1),
        "step must be a positive integer",
    ),
    "out": (
        lambda: (lambda z, x, *others: ops.relax_backward(z, x, *others, out=z))(*relaxation()),
        "out is overwritten and must not share memory with logits",
    ),
    "results": (
        lambda: (lambda z, x, r, *w: ops.relax_forward(z, r.theta, out=r))(*relaxation()),
        "theta is overwritten and must not share memory with x",
    ),
}
STEPS = {
    "rate": ({"rate": float("nan")}, "rate must be a finite number of at least 0, got nan"),
    "infinite rate": ({"rate": float("inf")}, "rate must be a finite number"),
    "falling rate": ({"rate": -0.1}, "rate must be a finite number of at least 0, got -0.1"),
    "beta": ({"rate": 0.1, "betas": (0.9, 1.0)}, r"betas\[1\] must be a number from 0 to below 1, got 1.0"),
    "epsilon": ({"rate": 0.1, "epsilon": float("nan")}, "epsilon must be a finite number of at least 0, got nan"),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_step_that_is_no_number_leaves_the_logits(case):
    options, message = STEPS[case]
    logits, *others = relaxation()
    before = logits.clone()
    with pytest.raises(ValueError, match=message):
        ops.relax_adam_step(logits, *others, ops.relax_moments(logits), step=1, **options)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("case", ERRORS)
def test_relax_errors_name_the_argument(case):
    call, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        call()
