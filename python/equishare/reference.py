"""Plain PyTorch twins of the fused operations: the oracle of tests and the baseline of benchmarks.

They also stand in for the kernels on devices and dtypes that have none, and everywhere if none are built. Shapes and
the rule that tells values with columns from values without are those of :mod:`equishare.ops`; input is assumed valid.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "assignment_penalties",
    "hard_gather",
    "hard_scatter",
    "shared_linear",
    "soft_gather",
    "soft_gather_penalties",
    "soft_project",
    "soft_scatter",
]

# log A where A has underflowed: finite, so that A log A is 0 and not 0 * inf.
_LEAST_LOG = -1000.0
_HALVES = (torch.bfloat16, torch.float16)


def _widened(argument: Any) -> Any:
    return argument.float() if isinstance(argument, Tensor) and argument.is_floating_point() else argument


def _in_float32(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    # Halves are stored, and computed with in float32.
    @functools.wraps(function)
    def wide(*arguments: Any, **named: Any) -> Tensor:
        halves = [a.dtype for a in (*arguments, *named.values()) if isinstance(a, Tensor) and a.dtype in _HALVES]
        if not halves:
            return function(*arguments, **named)
        return function(*map(_widened, arguments), **{k: _widened(a) for k, a in named.items()}).to(halves[0])

    return wide


@_in_float32
def soft_gather(logits: Tensor, values: Tensor) -> Tensor:
    """θ = A ψ with A = softmax(logits, -1); see :func:`equishare.ops.soft_gather`."""
    a = torch.softmax(logits, -1)
    if values.dim() < logits.dim():
        return (a @ values.unsqueeze(-1)).squeeze(-1)
    return a @ values


@_in_float32
def soft_scatter(logits: Tensor, x: Tensor) -> Tensor:
    """p = Aᵀ x with A = softmax(logits, -1); see :func:`equishare.ops.soft_scatter`."""
    a = torch.softmax(logits, -1)
    if x.dim() < logits.dim():
        return (a.mT @ x.unsqueeze(-1)).squeeze(-1)
    return a.mT @ x


def soft_project(logits: Tensor, x: Tensor) -> Tensor:
    """θ = A diag(1 / colsum A) Aᵀ x; see :func:`equishare.ops.soft_project`."""
    return _project(logits, x)[0]


def _project(logits: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a = torch.softmax(logits, -1)
    colsum = a.sum(-2)
    unused = colsum == 0
    total = (a.mT @ x.unsqueeze(-1)).squeeze(-1)
    values = torch.where(unused, 0.0, total / torch.where(unused, 1.0, colsum))
    return (a @ values.unsqueeze(-1)).squeeze(-1), values, colsum


def relax(logits: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    """θ, ψ, colsum A, row entropy and column norm; see :func:`equishare.ops.relax_forward`."""
    return *_project(logits, x), *assignment_penalties(logits)


def pullback(
    function: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...], cotangents: tuple[Tensor | None, ...]
) -> tuple[Tensor, ...]:
    """Gradients in the inputs of the sum of results times cotangents; None is a cotangent of zero."""
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in inputs]
        kept = [(r, c) for r, c in zip(function(*leaves), cotangents, strict=True) if c is not None]
    return torch.autograd.grad([r for r, _ in kept], leaves, [c for _, c in kept])


def assignment_penalties(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Row entropy and column norm; see :func:`equishare.ops.assignment_penalties`."""
    log_a = torch.log_softmax(logits, -1)
    a = log_a.exp()
    entropy = -(a * log_a.clamp_min(_LEAST_LOG)).sum(-1).mean(-1)
    return entropy, torch.linalg.vector_norm(a, dim=-2).sum(-1)


def soft_gather_penalties(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """θ, row entropy and column norm; see :func:`equishare.ops.soft_gather_penalties`."""
    batch = torch.broadcast_shapes(logits.shape[:-2], values.shape[:-1])
    return soft_gather(logits, values), *assignment_penalties(logits.expand(*batch, -1, -1))


@_in_float32
def hard_gather(labels: Tensor, values: Tensor) -> Tensor:
    """θ[k] = ψ[label[k]]; see :func:`equishare.ops.hard_gather`."""
    labels = labels.long()
    if values.dim() > labels.dim():
        batch = torch.broadcast_shapes(labels.shape[:-1], values.shape[:-2])
        index = labels.expand(*batch, -1).unsqueeze(-1).expand(*batch, -1, values.shape[-1])
        return values.expand(*batch, -1, -1).gather(-2, index)
    batch = torch.broadcast_shapes(labels.shape[:-1], values.shape[:-1])
    return values.expand(*batch, -1).gather(-1, labels.expand(*batch, -1))


@_in_float32
def hard_scatter(labels: Tensor, x: Tensor, num_groups: int) -> Tensor:
    """p[g] = Σ_{k: label[k] = g} x[k]; see :func:`equishare.ops.hard_scatter`."""
    labels = labels.long()
    sums = x.double() if x.is_cpu else x  # other devices may have no float64
    if x.dim() > labels.dim():
        batch = torch.broadcast_shapes(labels.shape[:-1], x.shape[:-2])
        sums = sums.expand(*batch, -1, -1)
        index = labels.expand(*batch, -1).unsqueeze(-1).expand_as(sums)
        return sums.new_zeros(*batch, num_groups, x.shape[-1]).scatter_add(-2, index, sums).to(x.dtype)
    batch = torch.broadcast_shapes(labels.shape[:-1], x.shape[:-1])
    sums = sums.expand(*batch, -1)
    return sums.new_zeros(*batch, num_groups).scatter_add(-1, labels.expand_as(sums), sums).to(x.dtype)


@_in_float32
def shared_linear(
    x: Tensor, labels: Tensor, values: Tensor, bias: Tensor | None = None, *, block: int | None = None
) -> Tensor:
    """y = x Wᵀ + b with W[o,i] = ψ[label[o,i]]; see :func:`equishare.ops.shared_linear`."""
    if block is None:
        return torch.nn.functional.linear(x, values[labels.long()], bias)
    codebook = torch.arange(len(labels), device=labels.device)[:, None] // block
    return torch.nn.functional.linear(x, values[codebook, labels.long()], bias)


def segmentation_path(value: np.ndarray, weight: np.ndarray, max_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the segments of the best segmentations of sorted values begin, (G, G), and their costs, (G,).

    See :func:`equishare.clustering.segmentation_path`. Each layer of the dynamic programme is divided and
    conquered, all parts of one depth at a time.
    """
    w, wx, wxx = (np.append(0.0, np.cumsum(part)) for part in (weight, weight * value, weight * value * value))

    def cost(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        total = wx[end] - wx[begin]
        with np.errstate(divide="ignore", invalid="ignore"):  # weights may be lost beside others
            spread = wxx[end] - wxx[begin] - total * total / (w[end] - w[begin])
            return np.where(spread > 0, spread, 0.0)

    count = len(value)
    least = np.append(0.0, cost(np.zeros(count, np.int64), np.arange(1, count + 1)))
    best = np.zeros((max_groups, count + 1), np.int32)
    costs = [least[count]]
    for g in range(1, max_groups):
        before, least = least, np.zeros(count + 1)
        low, high, first, last = (np.array([bound]) for bound in (g + 1, count, g, count - 1))
        while len(low):
            middle = (low + high) // 2
            length = np.minimum(last, middle - 1) - first + 1
            start = np.cumsum(length) - length
            cut = np.arange(length.sum()) + np.repeat(first - start, length)
            candidate = before[cut] + cost(cut, np.repeat(middle, length))
            least[middle] = np.minimum.reduceat(candidate, start)
            where = np.flatnonzero(candidate == np.repeat(least[middle], length))
            best[g, middle] = chosen = cut[where[np.searchsorted(where, start)]]
            parts = np.array([[low, middle + 1], [middle - 1, high], [first, chosen], [chosen, last]]).reshape(4, -1)
            low, high, first, last = parts[:, parts[0] <= parts[1]]
        costs.append(least[count])
    starts, end = np.zeros((max_groups, max_groups), np.int32), np.full(max_groups, count)
    for g in reversed(range(1, max_groups)):
        starts[g:, g] = end[g:] = best[g, end[g:]]
    return starts, np.array(costs)


def ward_heights(value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Price (K − 1,) of the merge that removes each boundary between sorted values; see csrc/cpu/ward.cpp."""
    heights = np.empty(max(0, len(value) - 1))
    # Mean, weight and last entry of each group: those up to a walker, and those beyond it, the nearest last.
    beyond = [*zip(value.tolist(), weight.tolist(), range(len(value)), strict=True)][::-1]
    passed = [beyond.pop()]

    def price(a: tuple[float, float, int], b: tuple[float, float, int]) -> float:
        return a[1] * b[1] / (a[1] + b[1]) * (b[0] - a[0]) ** 2

    while len(passed) > 1 or beyond:
        before = price(passed[-2], passed[-1]) if len(passed) > 1 else np.inf
        after = price(passed[-1], beyond[-1]) if beyond else np.inf
        if len(passed) == 1 or (beyond and after < before):
            passed.append(beyond.pop())
            continue
        b, a = passed.pop(), passed.pop()
        heights[a[2]] = before
        total = a[1] + b[1]
        beyond.append((a[0] + b[1] / total * (b[0] - a[0]), total, b[2]))
        if not passed:
            passed.append(beyond.pop())
    return heights


def gather_curvature(labels: np.ndarray, num_groups: int, curvature: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """AᵀHA; see :func:`equishare.problems.estimates.gather_curvature`, all arguments of full shape."""
    total = np.zeros((num_groups, num_groups))
    blocks = np.broadcast_to(curvature, (len(labels), *curvature.shape[-2:]))
    for label, block, d in zip(labels, blocks, scale, strict=True):
        np.add.at(total, (label[:, None], label), d[:, None] * block * d)
    return (total + total.T) / 2
