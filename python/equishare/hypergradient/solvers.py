"""Solvers of ``H x = v`` from products with H, for all replicas at once: rows (R, n), one system a row.

Rows of v have norm one, or zero where there is nothing to solve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equishare.hypergradient.curvature import Operator
from equishare.hypergradient.trees import dot, norm

# Steps of the power iteration that gives the default alpha. It finds less than half of ‖H‖, with which the series would
# diverge, only where the start has a share below 2⁻²⁰ of the top eigenvector.
POWER_STEPS = 20
# A curvature counts as zero below this multiple of the machine precision times the largest one seen.
_ROUNDING = 32


class CurvatureSeen:
    """The curvatures ``pᵀHp / pᵀp`` of all directions p that a solver multiplied by H so far, one set a replica.

    Attributes:
        lowest: (R,) the least curvature; inf where no direction was seen.
        largest: (R,) the greatest ``‖Hp‖ / ‖p‖``.
        implied: (R,) whether a negative curvature follows from something else than a direction, such as a series
            whose terms grow.
    """

    def __init__(self, like: Tensor) -> None:
        self.lowest = torch.full_like(like[:, 0], torch.inf)
        self.largest = torch.zeros_like(like[:, 0])
        self.implied = torch.zeros_like(like[:, 0], dtype=torch.bool)

    def add(self, p: Tensor, hp: Tensor) -> Tensor:
        """Record the product ``hp = H p`` with a direction p; returns the curvature (R,), inf where p is zero."""
        length = norm(p)
        unit = p / torch.where(length > 0, length, 1)[:, None]
        bent = hp / torch.where(length > 0, length, 1)[:, None]
        curvature = torch.where(length > 0, dot(unit, bent), torch.inf)
        self.lowest = torch.minimum(self.lowest, curvature)
        self.largest = torch.maximum(self.largest, norm(bent))
        return curvature

    @property
    def rounding(self) -> Tensor:
        """Curvatures of at most this size cannot be told from zero."""
        return _ROUNDING * torch.finfo(self.largest.dtype).eps * self.largest

    @property
    def negative(self) -> Tensor:
        """Whether a negative curvature was seen, or follows from what was seen."""
        return self.implied | (self.lowest < -self.rounding)


@dataclass(frozen=True)
class Solution:
    """x (R, n), the iterations it took (R,), and the curvatures seen."""

    x: Tensor
    iterations: Tensor
    seen: CurvatureSeen


def cg(operator: Operator, v: Tensor, iterations: int, tolerance: float) -> Solution:
    """Conjugate gradients from zero, stopped at the first direction with ``pᵀHp ≤ 0`` up to rounding.

    It returns the iterate at that point, as a truncated Newton method does. If the first direction already has
    ``pᵀHp ≤ 0``, x = 0.
    """
    seen = CurvatureSeen(v)
    tolerance = _attainable(tolerance, v)
    x, r, p = torch.zeros_like(v), v, v
    rr = dot(r, r)
    active = rr > 0
    used = torch.zeros_like(rr, dtype=torch.int64)
    for k in range(iterations):
        if not active.any():
            break
        hp = operator(p, f"cg iteration {k + 1}")
        active = active & (seen.add(p, hp) > seen.rounding)
        step = torch.where(active, rr / torch.where(active, dot(p, hp), 1), 0)[:, None]
        x = x + step * p
        r = r - step * hp
        used += active
        before, rr = rr, dot(r, r)
        active = active & (rr > tolerance**2)
        turn = torch.where(active, rr / torch.where(active, before, 1), 0)[:, None]
        p = torch.where(active[:, None], r + turn * p, 0)
    return Solution(x, used, seen)


def neumann(operator: Operator, v: Tensor, iterations: int, tolerance: float, alpha: float | None) -> Solution:
    """``x = α Σ_j (I − αH)^j v``, cut where a term is larger than the one before it.

    The term after the last one taken is the residual v − Hx. For a symmetric matrix M, log ‖M^j v‖ is convex in j: once
    the terms grow, they never shrink again. With α = 1 / ‖H‖ they can grow only where H has a negative eigenvalue.
    """
    seen = CurvatureSeen(v)
    tolerance = _attainable(tolerance, v)
    factor = (safe_alpha(operator, v, seen) if alpha is None else torch.full_like(v[:, 0], alpha))[:, None]
    slack = 1 + _ROUNDING * torch.finfo(v.dtype).eps
    x, term, size = factor * v, v, norm(v)
    active = size > 0
    used = active.long()
    for j in range(1, iterations):
        if not active.any():
            break
        product = operator(term, f"term {j + 1} of the neumann series")
        seen.add(term, product)
        term = term - factor * product
        before, size = size, norm(term)
        grew = active & (size > slack * before)
        if alpha is None:
            seen.implied |= grew
        active = active & ~grew & (size > tolerance)
        term = torch.where(active[:, None], term, 0)
        x = x + factor * term
        used += active
    return Solution(x, used, seen)


def _attainable(tolerance: float, like: Tensor) -> float:
    # Below the machine precision x no longer changes, and squares of so small a residual underflow in the end.
    return max(tolerance, torch.finfo(like.dtype).eps)


def safe_alpha(operator: Operator, like: Tensor, seen: CurvatureSeen) -> Tensor:
    """One over the norm of H, by power iteration from a fixed start: (R,), 1 where H = 0."""
    start = torch.randn(like.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = (start / start.norm()).to(like).expand(like.shape)
    for k in range(POWER_STEPS):
        product = operator(p, f"power iteration {k + 1}")
        seen.add(p, product)
        size = norm(product)
        p = product / torch.where(size > 0, size, 1)[:, None]
    return 1 / torch.where(seen.largest > 0, seen.largest, 1)


def dense(operator: Operator, like: Tensor) -> Tensor:
    """H as matrices (R, n, n), column by column."""
    columns = []
    for i in range(like.shape[1]):
        basis = torch.zeros_like(like)
        basis[:, i] = 1
        columns.append(operator(basis, f"column {i + 1} of the dense matrix"))
    found = torch.stack(columns, 2)
    return (found + found.mT) / 2


def exact(operator: Operator, v: Tensor) -> Solution:
    """From all eigenvalues of the dense H; where some are zero, the solution of least norm."""
    values, vectors = torch.linalg.eigh(dense(operator, v))
    seen = CurvatureSeen(v)
    seen.lowest, seen.largest = values[:, 0], values.abs().amax(1)
    kept = values.abs() > torch.maximum(seen.rounding, v.shape[1] * torch.finfo(v.dtype).eps * seen.largest)[:, None]
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1), 0)
    x = (vectors * inverse[:, None, :]) @ (vectors.mT @ v[:, :, None])
    return Solution(x[:, :, 0], torch.zeros_like(seen.lowest, dtype=torch.int64), seen)
