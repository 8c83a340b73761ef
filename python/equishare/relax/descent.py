"""Steps on assignment logits: the fused kernels where they apply, autograd elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from equishare import ops
from equishare.relax.assignment import SOFTMAX, Assignment, Softmax
from equishare.relax.objective import Batch, Penalties, Value, gradient_by_autograd


class FusedGradient:
    """The gradient for the ``normalised`` lower level with entropy and column norm: one kernel forward, one backward.

    Buffers are reused from step to step. Logits (N, R, K, G) are contiguous float32.
    """

    def __init__(self, logits: torch.Tensor, batch: Batch) -> None:
        self.shape = logits.shape
        self.batch = batch
        self.logits = logits.flatten(0, 1)
        self.x = batch.x.expand(logits.shape[:-1]).flatten(0, 1).contiguous()
        self.weights = self.x.new_empty((2, len(self.x)))
        self.relaxation: ops.Relaxation | None = None
        self.moments: torch.Tensor | None = None

    def _forward(self, penalties: Penalties) -> tuple[ops.Relaxation, torch.Tensor, Value]:
        r = self.relaxation = ops.relax_forward(self.logits, self.x, self.relaxation)
        loss, u = self.batch.upper_loss(r.theta.view(self.shape[:-1]))
        self.weights[0], self.weights[1] = penalties.entropy, penalties.column_norm
        value = Value(loss, r.entropy.reshape(loss.shape).clone(), r.column_norm.reshape(loss.shape).clone())
        return r, u.flatten(0, 1).contiguous(), value

    def gradient(self, penalties: Penalties) -> tuple[torch.Tensor, Value]:
        """Gradient of the objective in the logits, and its terms."""
        r, u, value = self._forward(penalties)
        return ops.relax_backward(self.logits, self.x, r, u, *self.weights).view(self.shape), value

    def adam_step(self, penalties: Penalties, step: int, lr: float) -> Value:
        """Make step ``step`` = 1, 2, … of Adam without storing the gradient; the terms of the objective before it."""
        r, u, value = self._forward(penalties)
        if self.moments is None:
            self.moments = ops.relax_moments(self.logits)
        entropy, column_norm = self.weights
        ops.relax_adam_step(self.logits, self.x, r, u, entropy, column_norm, self.moments, step=step, rate=lr)
        return value


@dataclass(frozen=True)
class Rule:
    """How the logits descend.

    Attributes:
        lower: lower level, see :func:`equishare.relax.objective.lower_level`.
        optimizer: ``adam`` or ``rmsprop``.
        lr: learning rate of the optimiser.
        weight_decay: of the optimiser.
        nuclear: whether the objective will have a nuclear norm.
        assignment: what the logits mean.
    """

    lower: str
    optimizer: str
    lr: float
    weight_decay: float
    nuclear: bool
    assignment: Assignment = SOFTMAX

    @property
    def is_fused(self) -> bool:
        """Whether the fused kernels can take the steps."""
        return self.lower == "normalised" and not self.nuclear and isinstance(self.assignment, Softmax)


class Descent:
    """Gradient descent of the relaxed objective on ``logits`` (N, R, K, G), in place.

    Args:
        logits: starting point.
        batch: statistics of the problems.
        rule: how steps are taken.
    """

    def __init__(self, logits: torch.Tensor, batch: Batch, rule: Rule) -> None:
        self.logits, self.batch, self.rule, self.steps = logits, batch, rule, 0
        self.fused = FusedGradient(logits, batch) if rule.is_fused else None
        self.optimizer: torch.optim.Optimizer | None = None
        if rule.optimizer == "rmsprop":
            self.optimizer = torch.optim.RMSprop([logits], rule.lr, weight_decay=rule.weight_decay)
        elif rule.weight_decay or self.fused is None:
            self.optimizer = torch.optim.Adam([logits], rule.lr, weight_decay=rule.weight_decay, fused=True)

    def step(self, penalties: Penalties) -> Value:
        """One step; the terms of the objective before it."""
        self.steps += 1
        if self.fused is None:
            self.logits.grad, value = gradient_by_autograd(
                self.logits, self.batch, self.rule.lower, penalties, self.rule.assignment
            )
        elif self.optimizer is None:
            return self.fused.adam_step(penalties, self.steps, self.rule.lr)
        else:
            self.logits.grad, value = self.fused.gradient(penalties)
        assert self.optimizer is not None
        self.optimizer.step()
        return value
