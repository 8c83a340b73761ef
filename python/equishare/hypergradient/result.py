"""What a hypergradient call returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hypergradient:
    """A hypergradient ``∂U/∂Λ − (∂²L/∂Λ∂ψ) x`` with x ≈ H⁻¹ ∂U/∂ψ, and diagnostics that tell how far to trust it.

    Every tensor is detached. Diagnostics have shape () without replicas and (R,) with them. H is the curvature
    that was asked for, Hessian or Gauss–Newton, damping included; v = ∂U/∂ψ.

    Attributes:
        gradients: dU/dΛ, in the structure of upper_params.
        direct: the term ∂U/∂Λ alone, in the same structure.
        upper_loss: U.
        lower_loss: L.
        lower_gradient_norm: ‖∂L/∂ψ‖. The formula holds where it is 0; elsewhere the lower level is not solved.
        residual: ‖Hx − v‖ / ‖v‖, computed anew at the end; 0 for v = 0. Of ``unrolled``: ‖dU/dψ_0‖ / ‖v‖, the part of
            v that still depends on where the steps started; the same number where L is quadratic.
        iterations: CG steps, terms of the series or unrolled steps that were used; 0 for the other methods.
        negative_curvature: whether a direction p with pᵀHp < 0, beyond rounding, was seen. One also follows where the
            terms of ``neumann`` grew with alpha=None.
        lowest_curvature: the least pᵀHp / pᵀp of the directions seen; ``exact`` sees all eigenvectors. inf where none
            was seen. Damping above minus this value removes the negative curvature that was seen.
        indirect_ratio: ‖gradients − direct‖ / ‖direct‖; 0 where there is no indirect term, inf where there is no direct
            one.
        exact_error: ‖gradients − exact‖ / ‖exact‖ with the undamped Hessian, at the same ψ; None unless asked for.
    """

    gradients: Any
    direct: Any
    upper_loss: Tensor
    lower_loss: Tensor
    lower_gradient_norm: Tensor
    residual: Tensor
    iterations: Tensor
    negative_curvature: Tensor
    lowest_curvature: Tensor
    indirect_ratio: Tensor
    exact_error: Tensor | None
