"""Numbers at the ends of their range through the soft operations, beside the plain composition in float64."""

import sys

import torch
from sharing_cases import leaves, tensor

from equishare import ops, reference
from equishare.ops import soft as soft_module

LEAST, MOST = object(), object()  # of the dtype
HEIGHTS = [-1e10, 1e10, -1e4, LEAST, MOST, 0.0]
SHAPES = {"rows": (100, 70), "long rows": (5, 1500), "tiles": (40, 9, 3), "one group": (90, 1)}


def _filled(dtype, shape, value):
    ends = {LEAST: torch.finfo(dtype).min, MOST: torch.finfo(dtype).max}
    value = ends.get(value, value)
    return torch.full(shape, max(min(value, ends[MOST]), ends[LEAST]), dtype=dtype)


def _value_and_gradient(function, inputs, weight):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    results = leaves(function(*inputs))
    scalar = sum((y * weight).sum() for y in results)
    return *results, *torch.autograd.grad(scalar, inputs, materialize_grads=True)


def _assert_near(ours, exact, dtype, floor=0.0):
    bound = {torch.float32: 2e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]
    for a, b in zip((x.detach() for x in ours), (x.detach() for x in exact), strict=True):
        assert a.isfinite().all()
        assert float((a.double() - b).abs().max()) <= bound * float(b.abs().max()) + floor


def _agree(name, *inputs, weight=1.0):
    run = lambda o: lambda *x: getattr(o, name)(*x)  # noqa: E731
    ours = _value_and_gradient(run(ops), inputs, weight)
    exact = _value_and_gradient(run(reference), [x.double() for x in inputs], weight)
    # A slope that cancels is off by the rounding of what cancels.
    dtype = inputs[0].dtype
    sizes = [float(x.double().abs().max()) for x in inputs[1:]]
    floor = torch.finfo(dtype).eps * 100 * max([1.0, *sizes]) * (weight if len(inputs) > 1 else 1.0)
    _assert_near(ours, exact, dtype, floor if max(sizes, default=1.0) >= 1e-3 else 0.0)
    return ours


def _rows_of_any_height(dtype):
    for shape in SHAPES.values():
        *batch, rows, groups = shape
        values, x = tensor(1, *batch, groups, dtype=dtype), tensor(2, *batch, rows, dtype=dtype)
        for height in HEIGHTS:
            for masked in (False, True):
                logits = _filled(dtype, shape, height)
                if masked:  # all but some, and all of some rows
                    logits = torch.where(tensor(3, *shape) > 0, logits, _filled(dtype, shape, LEAST))
                    logits[..., :2, :] = _filled(dtype, (2, groups), LEAST)
                _agree("soft_gather", logits, values)
                _agree("soft_scatter", logits, x)
                _agree("soft_gather", logits, values.unsqueeze(-1).repeat_interleave(3, -1).contiguous())
                if dtype in (torch.float32, torch.float64):
                    _agree("assignment_penalties", logits)
                    _agree("soft_gather_penalties", logits, values)
                    _agree("soft_project", logits, x)


def _entropy_of_decided_rows(dtype):
    for shape in SHAPES.values():
        *_, rows, groups = shape
        for height in (0.0, 333.33, -1e4, 1e10):
            logits = torch.full(shape, height - 1e5, dtype=dtype)
            logits[..., torch.arange(rows), torch.arange(rows) % groups] = height
            for entropy in (ops.assignment_penalties(logits)[0], _relaxed(logits).entropy):
                assert torch.equal(entropy, torch.zeros_like(entropy))
    for spread in (1.0, 30.0, 90.0):
        entropy, _ = ops.assignment_penalties(spread * tensor(5, 2000, 3, 7, dtype=dtype))
        assert (entropy >= 0).all()


def _relaxed(logits):
    logits = logits.reshape(-1, *logits.shape[-2:])
    return ops.relax_forward(logits, torch.ones_like(logits[..., 0]))


def _tiny_and_huge_numbers(dtype):
    numbers = (1e-30, 1e-38, 1e38) if dtype != torch.float16 else (1e-4, 6e4)
    for first in (-36.0, 0.0, 36.0, -200.0, 200.0):
        for shape in SHAPES.values():
            logits = torch.zeros(shape, dtype=dtype)
            logits[..., 0] = first
            *batch, rows, groups = shape
            for number in numbers:
                full = _full(dtype, number)
                _assert_means(ops.soft_gather(logits, full((*batch, groups))), number, dtype, groups)
                _assert_means(ops.soft_gather(logits, full((*batch, groups, 2))), number, dtype, groups)
                if dtype in (torch.float32, torch.float64):
                    _assert_means(ops.soft_gather_penalties(logits, full((*batch, groups)))[0], number, dtype, groups)
                small = number if number < 1 else number / rows / 2
                exact = torch.softmax(logits.double(), -1).sum(-2) * small
                _assert_near(
                    [ops.soft_scatter(logits, full((*batch, rows), small))], [exact], dtype, _lost(dtype, rows)
                )
                if number < 1 and dtype != torch.float16:
                    u, values = full((*batch, rows)), tensor(1, *batch, groups, dtype=dtype)
                    inputs = [logits.clone().requires_grad_(), values.requires_grad_()]
                    ours = torch.autograd.grad(ops.soft_gather(*inputs), inputs, u)
                    wide = [x.detach().double().requires_grad_() for x in inputs]
                    exact = torch.autograd.grad(reference.soft_gather(*wide), wide, u.double())
                    # Cancellation, and digits below the smallest normal number.
                    floor = (100 * torch.finfo(dtype).eps + 1e-7 * (dtype == torch.float32)) * number
                    _assert_near(ours, exact, dtype, floor * rows * groups)


def _full(dtype, number):
    return lambda shape, value=number: torch.full(shape, value, dtype=dtype)


def _assert_means(theta, number, dtype, groups):
    _assert_near([theta], [torch.full(theta.shape, number, dtype=torch.float64)], dtype, _lost(dtype, groups))


def _lost(dtype, count):
    # By rounding below the smallest normal number: of each product in the arithmetic, and of the result.
    return count * 2.0**-149 + torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps


def check(dtypes=(torch.float32, torch.float64, torch.bfloat16, torch.float16)):
    """Raise AssertionError where an operation is wrong at the ends of the range."""
    before, soft_module._PLAIN = soft_module._PLAIN, 0
    try:
        for dtype in dtypes:
            _rows_of_any_height(dtype)
            _tiny_and_huge_numbers(dtype)
            if dtype in (torch.float32, torch.float64):
                _entropy_of_decided_rows(dtype)
    finally:
        soft_module._PLAIN = before


if __name__ == "__main__":
    torch.set_num_threads(1)
    check()
    sys.exit(0)
