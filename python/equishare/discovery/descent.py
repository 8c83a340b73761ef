"""Steps on assignment logits: the fused kernels where they apply, autograd elsewhere."""

from __future__ import annotations

import torch

from equishare._native import core
from equishare.discovery.relaxation import Batch, Penalties, Value, gradient_by_autograd

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class FusedRelaxation:
    """The ``normalised`` lower level with entropy and column norm in one pass forward and one backward.

    Owns every buffer, so a step allocates nothing. Logits (N, R, K, G) are contiguous float32.
    """

    def __init__(self, logits: torch.Tensor, batch: Batch) -> None:
        n, r, k, g = logits.shape
        self.logits, self.batch = logits, batch
        self.x = batch.x.expand(n, r, k).contiguous()
        self.sizes = (n * r, k, g)
        self.theta, self.psi, self.colsum = (logits.new_empty(n, r, m) for m in (k, g, g))
        self.entropy, self.column_norm = logits.new_empty(n, r), logits.new_empty(n, r)
        self.entropy_weight, self.column_norm_weight = logits.new_empty(n, r), logits.new_empty(n, r)
        self.workspace = logits.new_empty(core.f32.relax_workspace(*self.sizes))

    def forward(self) -> tuple[torch.Tensor, Value]:
        """dU/dθ and the terms of the objective at the present logits."""
        out = (self.theta, self.psi, self.colsum, self.entropy, self.column_norm, self.workspace)
        core.f32.relax_forward(*self._where(), self.x.data_ptr(), *(t.data_ptr() for t in out))
        loss, u = self.batch.upper_loss(self.theta)
        return u.contiguous(), Value(loss, self.entropy.clone(), self.column_norm.clone())

    def gradient(self, u: torch.Tensor, penalties: Penalties, out: torch.Tensor) -> None:
        """Write the gradient of the objective in the logits to ``out``."""
        core.f32.relax_backward(*self._where(), *self._cotangents(u, penalties), out.data_ptr())

    def adam_step(self, u: torch.Tensor, penalties: Penalties, moments: torch.Tensor, lr: float, step: int) -> None:
        """Spend the gradient on step ``step`` = 1, 2, … of Adam without storing it (Kingma and Ba 2015)."""
        corrections = tuple(1 - beta**step for beta in _BETAS)
        core.f32.relax_adam_step(
            *self._where(), *self._cotangents(u, penalties), moments.data_ptr(), lr, *_BETAS, _EPSILON, *corrections
        )

    def _where(self) -> tuple[int, ...]:
        return (*self.sizes, torch.get_num_threads(), self.logits.data_ptr())

    def _cotangents(self, u: torch.Tensor, penalties: Penalties) -> tuple[int, ...]:
        self.entropy_weight.fill_(penalties.entropy)
        self.column_norm_weight.fill_(penalties.column_norm)
        given = (self.x, u, self.entropy_weight, self.column_norm_weight, self.workspace)
        return tuple(t.data_ptr() for t in given)


class Descent:
    """Gradient descent of the relaxed objective on ``logits``, in place.

    Args:
        logits: (N, R, K, G).
        batch: statistics of the problems.
        lower: lower level, see :func:`equishare.discovery.relaxation.lower_level`.
        optimizer: ``adam`` or ``rmsprop``.
        lr, weight_decay: of the optimiser.
        nuclear: whether a nuclear norm will be asked for.
    """

    def __init__(
        self,
        logits: torch.Tensor,
        batch: Batch,
        lower: str,
        optimizer: str,
        lr: float,
        weight_decay: float,
        nuclear: bool,
    ) -> None:
        self.logits, self.batch, self.lower, self.lr, self.steps = logits, batch, lower, lr, 0
        self.fused = FusedRelaxation(logits, batch) if lower == "normalised" and not nuclear else None
        self.moments: torch.Tensor | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        if self.fused and optimizer == "adam" and not weight_decay:
            self.moments = logits.new_zeros(core.f32.relax_moments(*self.fused.sizes))
            return
        logits.grad = torch.empty_like(logits)
        if optimizer == "adam":
            self.optimizer = torch.optim.Adam([logits], lr, _BETAS, _EPSILON, weight_decay, fused=True)
        else:
            self.optimizer = torch.optim.RMSprop([logits], lr, weight_decay=weight_decay)

    def step(self, penalties: Penalties) -> Value:
        """One step; the terms of the objective before it."""
        self.steps += 1
        if self.fused:
            u, value = self.fused.forward()
            if self.moments is not None:
                self.fused.adam_step(u, penalties, self.moments, self.lr, self.steps)
                return value
            assert self.logits.grad is not None
            self.fused.gradient(u, penalties, self.logits.grad)
        else:
            self.logits.grad, value = gradient_by_autograd(self.logits, self.batch, self.lower, penalties)
        assert self.optimizer is not None
        self.optimizer.step()
        return value
