"""What a hypergradient call returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hypergradient:
    """A hypergradient ``∂U/∂Λ − (∂²L/∂Λ∂ψ) x``, x ≈ H⁻¹ ∂U/∂ψ, and what tells whether to trust it.

    Every tensor is detached. Diagnostics have shape () without replicas and (R,) with them. H is the curvature
    that was asked for, Hessian or Gauss–Newton, damping included; v = ∂U/∂ψ.

    Attributes:
        gradients: dU/dΛ, in the structure of upper_params.
        direct: the term ∂U/∂Λ alone, in the same structure.
        upper_loss: U.
        lower_loss: L.
        lower_gradient_norm: ‖∂L/∂ψ‖. The formula holds where it is 0: anything else is an unsolved lower level.
        residual: ‖Hx − v‖ / ‖v‖, computed afresh at the end; 0 for v = 0. Of ``unrolled``: ‖dU/dψ_0‖ / ‖v‖, what
            of v the steps have not passed on, which is the same number where L is quadratic.
        iterations: CG steps, terms of the series or unrolled steps that were used; 0 for the other methods.
        negative_curvature: whether a direction p with pᵀHp < 0, beyond rounding, was met, or the terms of ``neumann``
            with its own alpha grew, which implies one.
        lowest_curvature: the least pᵀHp / pᵀp of the directions met, ``exact`` meets them all; inf where none was met.
            Damping above minus this value removes the negative curvature that was seen.
        indirect_ratio: ‖gradients − direct‖ / ‖direct‖; 0 where there is no indirect term, inf where it is alone.
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
