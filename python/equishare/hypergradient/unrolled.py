"""Differentiation through the last steps of the lower level's own descent.

``ψ_t = ψ_{t−1} − α ∂L/∂ψ(ψ_{t−1}, Λ)`` from the given ψ_0, which counts as independent of Λ. On the way forward only
the ψ_t are stored; on the way back the graph of each step is built again and freed. So memory is that of T copies of ψ
and of one graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from equishare.hypergradient.curvature import Loss, LowerLevel, checked_loss, pull, tracked
from equishare.hypergradient.solvers import CurvatureSeen
from equishare.hypergradient.trees import Tree


def descend(loss: Loss, lower: Tree, upper: Tree, alpha: Tensor, steps: int) -> list[Tensor]:
    """ψ_0 … ψ_T as rows (R, n); alpha (R,)."""
    path = [lower.pack(lower.leaves)]
    lam = upper.build(upper.leaves)
    for t in range(steps):
        psi = tracked(lower.unpack(path[-1]))
        where = f" at unrolled step {t + 1}"
        value = checked_loss("lower_loss", loss(lower.build(psi), lam), lower, where)
        slope = lower.pack(pull([value], psi, [torch.ones_like(value)]))
        lower.check_finite(slope, "the gradient of lower_loss" + where)
        path.append(path[-1] - alpha[:, None] * slope)
    return path


def sweep_back(
    loss: Loss, lower: Tree, upper: Tree, alpha: Tensor, path: Sequence[Tensor], v: Tensor, seen: CurvatureSeen
) -> tuple[Tensor, Tensor]:
    """The indirect term ``Σ_t α (∂²L/∂Λ∂ψ) a_t`` (R, m), and ``dU/dψ_0 = a_0`` (R, n), from v = ∂U/∂ψ_T (R, n).

    ``a_{t−1} = a_t − α H_{t−1} a_t`` with a_T = v; the second derivatives of step t are taken at ψ_{t−1}.
    """
    indirect = upper.pack([torch.zeros_like(x) for x in upper.leaves])
    for t in range(len(path) - 1, 0, -1):
        level = LowerLevel(loss, lower, upper, lower.unpack(path[t - 1]), f" at unrolled step {t}, on the way back")
        weighted = alpha[:, None] * v
        product, mixed = level.finish(weighted)
        seen.add(weighted, product)
        indirect = indirect + mixed
        v = v - product
    return indirect, v
