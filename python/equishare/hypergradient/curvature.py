"""The lower level at one point: its gradient, kept with its graph, and products with its curvature.

The graph of ∂L/∂ψ is built once. A product with the Hessian or with the mixed derivative is one backward pass
through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from equishare.hypergradient.trees import Tree

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Losses:
    """The losses of both levels; where ``outputs`` and ``output_loss`` are given, they compose to the lower loss."""

    lower: Loss
    upper: Loss
    outputs: Callable[[Any, Any], Any] | None
    output_loss: Callable[[Any], Tensor] | None


def checked_loss(name: str, value: Any, tree: Tree, where: str = "") -> Tensor:
    """The value of a loss, checked: of the right type and shape, and finite; an error names the loss."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a torch.Tensor, got {type(value).__name__}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} must return a floating dtype, got {value.dtype}")
    if tree.batched and value.shape != (tree.rows,):
        raise ValueError(
            f"{name} must return one value per replica, shape ({tree.rows},), with batch_dims=1, "
            f"got shape {tuple(value.shape)}"
        )
    if not tree.batched and value.dim() != 0:
        raise ValueError(f"{name} must return a scalar, shape (), with batch_dims=0, got shape {tuple(value.shape)}")
    bad = ~torch.isfinite(value.detach())
    if bad.any():
        replica = f", replica {int(bad.nonzero()[0])}" if tree.batched else ""
        raise FloatingPointError(f"{name} is {value.detach()[bad][0].item()}{where}{replica}")
    return value


def pull(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> list[Tensor]:
    """``Σ_i weights[i]ᵀ ∂outputs[i]/∂inputs``; zeros where there is no dependence."""
    kept = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    if not kept or not inputs:
        return [torch.zeros_like(x) for x in inputs]
    found = torch.autograd.grad(
        [o for o, _ in kept],
        inputs,
        [w for _, w in kept],
        create_graph=create_graph,
        retain_graph=retain_graph or create_graph,
        allow_unused=True,
    )
    return [torch.zeros_like(x) if d is None else d for x, d in zip(inputs, found, strict=True)]


def tracked(leaves: Sequence[Tensor]) -> list[Tensor]:
    """Leaves of a new graph, which share memory with the given ones."""
    return [x.detach().requires_grad_() for x in leaves]


class LowerLevel:
    """∂L/∂ψ at one point, and products with ∂²L/∂ψ² and ∂²L/∂Λ∂ψ until :meth:`finish`."""

    def __init__(self, loss: Loss, lower: Tree, upper: Tree, leaves: Sequence[Tensor], where: str = "") -> None:
        self._lower, self._upper, self._where = lower, upper, where
        self._psi, self._lam = tracked(leaves), tracked(upper.leaves)
        value = checked_loss("lower_loss", loss(lower.build(self._psi), upper.build(self._lam)), lower, where)
        self._parts = pull([value], self._psi, [torch.ones_like(value)], create_graph=True)
        self.loss = value.detach()
        self.gradient = lower.pack(self._parts)
        lower.check_finite(self.gradient, "the gradient of lower_loss" + where)

    def hessian(self, matrix: Tensor) -> Tensor:
        """``H p`` for each row, (R, n) -> (R, n)."""
        return self._lower.pack(pull(self._parts, self._psi, self._lower.unpack(matrix), retain_graph=True))

    def mixed(self, matrix: Tensor) -> Tensor:
        """``(∂²L/∂Λ∂ψ) p`` for each row, (R, n) -> (R, m)."""
        found = self._upper.pack(pull(self._parts, self._lam, self._lower.unpack(matrix), retain_graph=True))
        self._check_mixed(found)
        return found

    def finish(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Products with the Hessian and with the mixed derivative in one backward pass, which frees the graph."""
        found = pull(self._parts, [*self._psi, *self._lam], self._lower.unpack(matrix))
        self._parts = []
        product, mixed = self._lower.pack(found[: len(self._psi)]), self._upper.pack(found[len(self._psi) :])
        self._lower.check_finite(product, "the product of the Hessian with the solution" + self._where)
        self._check_mixed(mixed)
        return product, mixed

    def _check_mixed(self, found: Tensor) -> None:
        self._upper.check_finite(found, "the mixed derivative of lower_loss times the solution" + self._where)


class GaussNewton:
    """``G p = Jᵀ (∂²output_loss) J p`` with J = ∂outputs/∂ψ.

    u ↦ Jᵀu is linear, and a backward pass; J p is the derivative of that, a backward pass through it. So no operation
    needs a forward-mode derivative.
    """

    def __init__(self, losses: Losses, lower: Tree, upper: Tree, leaves: Sequence[Tensor]) -> None:
        assert losses.outputs is not None and losses.output_loss is not None
        self._lower, self._psi = lower, tracked(leaves)
        found, spec = tree_flatten(losses.outputs(lower.build(self._psi), upper.build(upper.leaves)))
        # An output that does not depend on ψ, targets for example, is a constant of the output loss.
        places = [i for i, o in enumerate(found) if isinstance(o, Tensor) and o.requires_grad]
        self._outputs = [found[i] for i in places]
        self._free = tracked(self._outputs)
        for i, o in zip(places, self._free, strict=True):
            found[i] = o
        value = checked_loss("output_loss", losses.output_loss(tree_unflatten(found, spec)), lower)
        self._slopes = pull([value], self._free, [torch.ones_like(value)], create_graph=True)
        self._cotangents = [torch.zeros_like(o).requires_grad_() for o in self._free]
        self._pulled = pull(self._outputs, self._psi, self._cotangents, create_graph=True)

    def product(self, matrix: Tensor) -> Tensor:
        """``G p`` for each row, (R, n) -> (R, n)."""
        along = pull(self._pulled, self._cotangents, self._lower.unpack(matrix), retain_graph=True)
        bent = pull(self._slopes, self._free, along, retain_graph=True)
        return self._lower.pack(pull(self._outputs, self._psi, bent, retain_graph=True))


@dataclass(frozen=True)
class Operator:
    """``p ↦ H p + damping p`` on rows, with an error where a product is not finite."""

    name: str
    product: Callable[[Tensor], Tensor]
    damping: float
    lower: Tree

    def __call__(self, p: Tensor, where: str) -> Tensor:
        """The product; ``where`` says in an error which one it was."""
        found = self.product(p)
        if self.damping:
            found = found + self.damping * p
        self.lower.check_finite(found, f"the product of the {self.name} with a direction in {where}")
        return found
