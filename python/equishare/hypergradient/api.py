"""The public function and the checks of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from equishare.hypergradient.assemble import solve
from equishare.hypergradient.curvature import Loss, Losses
from equishare.hypergradient.purity import kept_buffers, replayed
from equishare.hypergradient.result import Hypergradient
from equishare.hypergradient.settings import Settings
from equishare.hypergradient.trees import make_tree
from equishare.modes import twice_differentiable


def hypergradient(
    lower_loss: Loss | None,
    upper_loss: Loss,
    lower_params: Any,
    upper_params: Any,
    method: str = "cg",
    *,
    iterations: int = 100,
    tolerance: float = 1e-8,
    alpha: float | None = None,
    damping: float = 0.0,
    curvature: str = "hessian",
    lower_outputs: Callable[[Any, Any], Any] | None = None,
    output_loss: Callable[[Any], Tensor] | None = None,
    batch_dims: int = 0,
    compare_exact: bool = False,
) -> Hypergradient:
    """Derivative of the upper loss in the upper parameters, through the solution of the lower level.

    ``dU/dΛ = ∂U/∂Λ − (∂²L/∂Λ∂ψ) x``,   ``x ≈ H⁻¹ ∂U/∂ψ``,   ``H = ∂²L/∂ψ² + damping I``

    at the given ψ, which should minimise L(·, Λ). The methods differ in x:

    - ``cg``: conjugate gradients (Pedregosa 2016). They stop at the first direction p with pᵀHp ≤ 0, and x is the
      iterate so far. If that is the very first direction, x = 0 and the direct term is all there is.
    - ``neumann``: ``x = α Σ_{j<iterations} (I − αH)^j v`` (Lorraine, Vicol, Duvenaud 2020). The series ends
      where its terms begin to grow, which happens for α > 2 / λ_max and for indefinite H. At least one term is kept.
    - ``exact``: dense H, at most 2048 entries of lower_params; least norm where H is singular.
    - ``identity``: ``x = α v``.
    - ``unrolled``: the derivative of U(ψ_T, Λ), where ψ_T comes from T = ``iterations`` steps
      ``ψ ← ψ − α ∂L/∂ψ`` from the given ψ, which counts as independent of Λ (Shaban et al. 2019). Both losses and all
      diagnostics are evaluated at ψ_T.
      From a minimum of a quadratic L it equals T terms of ``neumann``.
    - ``direct``: x = 0.

    Args:
        lower_loss: L, a function of (lower_params, upper_params); the data, a minibatch say, are part of it. May be
            None where lower_outputs and output_loss are given. Random numbers, of dropout say, are the same in all of
            its evaluations, and buffers of modules, of BatchNorm say, are afterwards as they were.
        upper_loss: U, likewise.
        lower_params: ψ, a floating tensor, or a dict, list or tuple of them, nested at will. Neither the tensors nor
            their ``.grad`` are changed.
        upper_params: Λ, likewise.
        method: see above.
        iterations: most CG steps, terms of the series, or unrolled steps.
        tolerance: ``cg`` and ``neumann`` end at a residual ‖Hx − v‖ / ‖v‖ of at most this, or the machine precision.
        alpha: of ``neumann``, ``unrolled`` (None: 1 / ‖H‖ by 20 power iterations at the given ψ) and ``identity``
            (None: 1).
        damping: added to the diagonal of H; for ``cg``, ``neumann`` and ``exact``.
        curvature: ``hessian``, or ``gauss_newton`` for ``Jᵀ (∂²output_loss) J + damping I`` with J = ∂outputs/∂ψ, which
            has no negative curvature where output_loss is convex (Martens 2010). The mixed derivative is that of L.
        lower_outputs: ``L = output_loss(lower_outputs(lower_params, upper_params))``. Outputs may be any tree of
            tensors; ψ itself may be among them, for a penalty on it. Where lower_loss is given as well, lower_outputs
            and output_loss serve for the curvature alone; damping may stand for what they leave out.
        output_loss: of the outputs.
        batch_dims: 1: every tensor of both trees has a leading axis of R replicas, and losses return (R,), one value a
            replica that depends on this replica alone. All R systems are solved at once, each with its own diagnostics.
        compare_exact: also compute ``exact`` with the undamped Hessian, and the relative difference from it; for at
            most 2048 entries.

    Returns:
        The gradients and the diagnostics.

    Raises:
        TypeError: a leaf is not a floating tensor, or a loss does not return one.
        ValueError: an option is not accepted, a tree is empty, a leading axis does not fit, a loss has the wrong
            shape, or a dense matrix would be too large.
        FloatingPointError: a loss, a gradient or a product is NaN or inf; says which, in which parameter and
            iteration.

    A product with H is one backward pass through the graph of ∂L/∂ψ, which is built once and freed at the end.
    """
    settings = Settings(method, iterations, tolerance, alpha, damping, curvature, batch_dims, compare_exact)
    losses = _losses(lower_loss, upper_loss, lower_outputs, output_loss, curvature)
    lower = make_tree("lower_params", lower_params, batch_dims == 1)
    upper = make_tree("upper_params", upper_params, batch_dims == 1)
    if lower.leaves[0].device != upper.leaves[0].device:
        raise ValueError(
            f"upper_params must be on the device of lower_params, {lower.leaves[0].device}, "
            f"got {upper.leaves[0].device}"
        )
    if lower.rows != upper.rows:
        raise ValueError(
            f"upper_params must have as many replicas as lower_params with batch_dims=1, {lower.rows}, got {upper.rows}"
        )
    settings.check_size(lower.size)
    device = lower.leaves[0].device
    pure = Losses(**{name: one and replayed(one, device) for name, one in vars(losses).items()})
    with torch.enable_grad(), twice_differentiable(), kept_buffers():
        return solve(pure, lower, upper, settings)


def _losses(
    lower: Loss | None,
    upper: Loss,
    outputs: Callable[[Any, Any], Any] | None,
    output_loss: Callable[[Any], Tensor] | None,
    curvature: str,
) -> Losses:
    accepted = {"lower_loss": lower, "upper_loss": upper, "lower_outputs": outputs, "output_loss": output_loss}
    for name, function in accepted.items():
        if not callable(function) and (function is not None or name == "upper_loss"):
            raise TypeError(f"{name} must be a function, got {type(function).__name__}")
    if outputs is None or output_loss is None:
        if outputs is not output_loss:
            raise ValueError("lower_outputs and output_loss go together, got one of them")
        if curvature == "gauss_newton":
            raise ValueError("curvature 'gauss_newton' needs lower_outputs and output_loss, got neither")
        if lower is None:
            raise ValueError("lower_loss must be a function, or lower_outputs and output_loss be given, got None")
        return Losses(lower, upper, None, None)

    def composed(psi: Any, lam: Any) -> Tensor:
        return output_loss(outputs(psi, lam))

    return Losses(composed if lower is None else lower, upper, outputs, output_loss)
