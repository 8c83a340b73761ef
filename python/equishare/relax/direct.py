"""The direct gradient of the upper loss in the assignment logits, in one fused pass where a kernel serves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from equishare import ops
from equishare.ops._rule import has_kernel
from equishare.problems.base import Slot
from equishare.problems.network.replicas import State
from equishare.relax.assignment import Assignment, Softmax


class DirectGradient:
    """∂U/∂Λ for replicas, penalties included, without the response of the other parameters.

    For single entries under a softmax θ is a leaf of autograd. One kernel gives θ and the penalties, another takes
    u = ∂U/∂θ on to the logits, both in memory that is kept from call to call. Other slots go through autograd.

    Args:
        slots: of the model.
        assignment: what the logits mean.
    """

    def __init__(self, slots: tuple[Slot, ...], assignment: Assignment) -> None:
        self.singles = {slot.key for slot in slots if len(slot.names) == 1 and not slot.is_sliced}
        self.assignment = assignment
        self._steps: dict[str, ops.SoftStep] = {}
        self._out: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(
        self,
        upper_loss: Callable[[State, State], Tensor],
        lower: State,
        upper: State,
        penalties: tuple[float, float],
    ) -> State:
        """The gradient in the logits ``upper`` (R, K, G).

        Args:
            upper_loss: (R,), of the parameters and the logits, with the penalties of these. A slot without logits has
                its entries θ among the parameters.
            lower: other parameters, with the values ψ.
            upper: the logits.
            penalties: weights of the mean row entropy and of the column norm over K.
        """
        lower = {name: t.detach() for name, t in lower.items()}
        leaves = {name: t.detach().requires_grad_() for name, t in upper.items() if not self._is_fused(name, t)}
        soft = dict(leaves)
        values = {name: lower[name] for name in upper if name not in leaves}
        for name, psi in values.items():
            self._steps[name] = step = ops.soft_step_forward(upper[name], psi, self._steps.get(name))
            lower[name] = leaves[name] = step.theta.detach().requires_grad_()
        # The output may not depend on a shared parameter at all.
        loss = upper_loss(lower, soft).sum()
        slopes = torch.autograd.grad(loss + 0 * sum(t.sum() for t in leaves.values()), list(leaves.values()))
        gradients = dict(zip(leaves, slopes, strict=True))
        for name, psi in values.items():
            u = gradients[name].contiguous()
            entropy, norm = (u.new_full((len(u),), weight) for weight in (penalties[0], penalties[1] / u.shape[-1]))
            step, out = self._steps[name], self._out.get(name)
            self._out[name] = ops.soft_step_backward(upper[name], psi, step, u, entropy, norm, out=out)
            gradients[name] = self._out[name][0]
        return {name: gradients[name] for name in upper}

    def _is_fused(self, name: str, logits: Tensor) -> bool:
        return name in self.singles and isinstance(self.assignment, Softmax) and has_kernel(logits)
