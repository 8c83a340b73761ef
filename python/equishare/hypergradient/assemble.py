"""From checked arguments to the result: evaluate both levels, solve, and add the direct and the indirect term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from equishare.hypergradient import solvers
from equishare.hypergradient.curvature import GaussNewton, Losses, LowerLevel, Operator, checked_loss, tracked
from equishare.hypergradient.result import Hypergradient
from equishare.hypergradient.settings import Settings
from equishare.hypergradient.trees import Tree, norm, ratio
from equishare.hypergradient.unrolled import descend, sweep_back


@dataclass(frozen=True)
class _Indirect:
    # (∂²L/∂Λ∂ψ) x as rows (R, m), and the diagnostics of x.
    term: Tensor
    residual: Tensor
    iterations: Tensor
    seen: solvers.CurvatureSeen


def solve(losses: Losses, lower: Tree, upper: Tree, settings: Settings) -> Hypergradient:
    """The hypergradient; see :func:`equishare.hypergradient`."""
    unrolled, leaves = None, lower.leaves
    if settings.method == "unrolled":
        alpha, seen = _step_size(losses, lower, upper, settings)
        path = descend(losses.lower, lower, upper, alpha, settings.iterations)
        unrolled, leaves = (path, alpha, seen), lower.unpack(path[-1])
    level = LowerLevel(losses.lower, lower, upper, leaves)
    upper_loss, v, direct = _upper_gradients(losses, lower, upper, leaves)
    size = norm(v)
    unit = v / torch.where(size > 0, size, 1)[:, None]
    exact = None
    if settings.compare_exact:
        undamped = Operator("Hessian", level.hessian, 0.0, lower)
        exact = direct - size[:, None] * level.mixed(solvers.exact(undamped, unit).x)
    if unrolled is not None:
        path, alpha, seen = unrolled
        term, rest = sweep_back(losses.lower, lower, upper, alpha, path, unit, seen)
        steps = torch.full_like(size, settings.iterations, dtype=torch.int64)
        indirect = _Indirect(term, norm(rest), steps, seen)
    else:
        indirect = _implicit(losses, lower, upper, settings, level, unit)
    term = size[:, None] * indirect.term
    gradients = direct - term
    upper.check_finite(gradients, "the hypergradient")

    def shaped(rows: Tensor) -> Tensor:
        return rows if lower.batched else rows[0]

    def structured(rows: Tensor) -> Any:
        # Copies: a view of the rows would keep, and save to disk, all of them.
        return upper.build([part.clone(memory_format=torch.contiguous_format) for part in upper.unpack(rows)])

    return Hypergradient(
        gradients=structured(gradients),
        direct=structured(direct),
        upper_loss=upper_loss,
        lower_loss=level.loss,
        lower_gradient_norm=shaped(norm(level.gradient)),
        residual=shaped(indirect.residual),
        iterations=shaped(indirect.iterations),
        negative_curvature=shaped(indirect.seen.negative),
        lowest_curvature=shaped(indirect.seen.lowest),
        indirect_ratio=shaped(ratio(norm(term), norm(direct))),
        exact_error=None if exact is None else shaped(ratio(norm(gradients - exact), norm(exact))),
    )


def _upper_gradients(
    losses: Losses, lower: Tree, upper: Tree, leaves: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    # U, ∂U/∂ψ (R, n) and ∂U/∂Λ (R, m).
    psi, lam = tracked(leaves), tracked(upper.leaves)
    value = checked_loss("upper_loss", losses.upper(lower.build(psi), upper.build(lam)), lower)
    given = [*psi, *lam]
    ones = torch.ones_like(value)
    pulled = torch.autograd.grad(value, given, ones, allow_unused=True) if value.requires_grad else ()
    if all(one is None for one in pulled):
        raise ValueError(
            "upper_loss must depend on lower_params or upper_params, got a loss of neither: evaluate the model on what "
            "the loss is given, by torch.func.functional_call"
        )
    found = [torch.zeros_like(x) if one is None else one for x, one in zip(given, pulled, strict=True)]
    v, direct = lower.pack(found[: len(psi)]), upper.pack(found[len(psi) :])
    lower.check_finite(v, "the gradient of upper_loss")
    upper.check_finite(direct, "the gradient of upper_loss")
    return value.detach(), v, direct


def _step_size(losses: Losses, lower: Tree, upper: Tree, settings: Settings) -> tuple[Tensor, solvers.CurvatureSeen]:
    # α (R,) of the unrolled steps, and the curvatures seen while it was chosen.
    like = lower.pack(lower.leaves)
    seen = solvers.CurvatureSeen(like)
    if settings.alpha is not None:
        return torch.full_like(like[:, 0], settings.alpha), seen
    level = LowerLevel(losses.lower, lower, upper, lower.leaves)
    return solvers.safe_alpha(Operator("Hessian", level.hessian, 0.0, lower), like, seen), seen


def _implicit(
    losses: Losses, lower: Tree, upper: Tree, settings: Settings, level: LowerLevel, unit: Tensor
) -> _Indirect:
    # For v of norm one, or zero.
    gauss_newton = settings.curvature == "gauss_newton"
    if gauss_newton:
        product = GaussNewton(losses, lower, upper, lower.leaves).product
        operator = Operator("Gauss-Newton matrix", product, settings.damping, lower)
    else:
        operator = Operator("Hessian", level.hessian, settings.damping, lower)
    solution = _solution(operator, unit, settings)
    x = solution.x
    if settings.method == "direct":
        term, bent = upper.pack([torch.zeros_like(leaf) for leaf in upper.leaves]), torch.zeros_like(x)
    elif gauss_newton:
        term, bent = level.mixed(x), operator(x, "the solution")
    else:
        bent, term = level.finish(x)
        bent = bent + settings.damping * x
        solution.seen.add(x, bent)
    return _Indirect(term, norm(bent - unit), solution.iterations, solution.seen)


def _solution(operator: Operator, unit: Tensor, settings: Settings) -> solvers.Solution:
    if settings.method == "cg":
        return solvers.cg(operator, unit, settings.iterations, settings.tolerance)
    if settings.method == "neumann":
        return solvers.neumann(operator, unit, settings.iterations, settings.tolerance, settings.alpha)
    if settings.method == "exact":
        return solvers.exact(operator, unit)
    factor = 0.0 if settings.method == "direct" else 1.0 if settings.alpha is None else settings.alpha
    none = torch.zeros_like(unit[:, 0], dtype=torch.int64)
    return solvers.Solution(factor * unit, none, solvers.CurvatureSeen(unit))
