"""Rows of assignment_penalties: both penalties with gradients, against the release's formula and the lean one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from equishare import ops, reference
from equishare.lab.bench.case import Call, Case, Contenders, Requirement, Sizes, Work, times_faster
from equishare.lab.bench.compiling import compiled

Penalties = Callable[[Tensor], tuple[Tensor, Tensor]]
_INSIDE_LOG = 1e-20


def penalty_cases() -> list[Case]:
    """All rows of assignment_penalties."""

    def case(size: int, against: str, make: Callable[..., Contenders], *required: Requirement) -> Case:
        sizes = {"rows": size, "groups": size}
        name = f"penalties step {size}x{size}, {against}"
        return Case(name, f"penalties step, {against}", sizes, make, _work, against, required)

    return [
        case(2048, "release", _make_release, *times_faster(100.0, 100.0)),
        case(256, "lean", _make_lean),
        case(2048, "lean", _make_lean, *times_faster(8.0, 12.0)),
    ]


def release_penalties(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy, and the column norm as the trace of the elementwise square root of AᵀA, at O(K G²)."""
    a = torch.softmax(logits, -1)
    entropy = -(a * torch.log(a + _INSIDE_LOG)).sum(-1).mean()
    return entropy, torch.trace(torch.sqrt(a.T @ a))


def _step(penalties: Penalties, logits: Tensor, weights: tuple[float, float]) -> Call:
    def call() -> tuple[Tensor, ...]:
        logits.grad = None
        entropy, column_norm = penalties(logits)
        (weights[0] * entropy + weights[1] * column_norm).backward()
        assert logits.grad is not None
        return entropy, column_norm, logits.grad

    return call


def _make(eager: Penalties, generator: torch.Generator, sizes: Sizes, dtype: torch.dtype, compile: bool) -> Contenders:
    logits = torch.randn(sizes["rows"], sizes["groups"], generator=generator).to(dtype).requires_grad_()
    weights = (1.0, 1.0 / sizes["rows"])
    return Contenders(
        _step(ops.assignment_penalties, logits, weights),
        _step(eager, logits, weights),
        (lambda: _step(compiled(eager), logits, weights)) if compile else None,
    )


def _make_release(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    return _make(release_penalties, generator, sizes, dtype, compile=False)


def _make_lean(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    return _make(reference.assignment_penalties, generator, sizes, dtype, compile=True)


def _work(sizes: Sizes, itemsize: int) -> Work:
    logits = sizes["rows"] * sizes["groups"]
    return Work(2 * itemsize * logits, itemsize * logits, flops=14 * logits, exps=2 * logits)
