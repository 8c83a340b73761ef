"""The relaxed upper level: validation loss and penalties as a function of assignment logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from equishare import ops
from equishare.problems.least_squares import LeastSquares
from equishare.relax.assignment import Assignment, as_softmax_logits

LOWER_LEVELS = ("normalised", "least_squares", "exact")
UNITS = ("nats", "mse")
# Times their largest entry, added to the diagonal of normal equations: nearly equal soft groups make these singular.
_RIDGE = 1e-6


@dataclass(frozen=True)
class Batch:
    """Sufficient statistics of N same-shaped problems as float32 tensors with a restart axis.

    The upper loss of weights W (N, R, O, I) is ``½ Σ_o ω_o (w_oᵀ S_v w_o − 2 c_oᵀ w_o)`` plus a constant.
    Weights are differences from their mean, ``centre``, in units of their spread; curvatures are in units of their own
    size. So float32 holds them whatever the units of the data, and keeps small differences of weights.
    """

    x: torch.Tensor  # (N, 1, K) training estimates from centre
    curvature: torch.Tensor  # (N, 1, I, I) S_v
    target: torch.Tensor  # (N, 1, O, I) c, from centre
    weight: torch.Tensor  # (N, 1, O, 1) ω
    constant: torch.Tensor  # (N, 1)
    loss_scale: torch.Tensor  # (N,) float64; times the upper loss it is the mean squared error
    train_curvature: torch.Tensor  # (N, I, I) of the training samples, for the exact lower level
    train_target: torch.Tensor  # (N, O, I)

    def upper_loss(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Upper loss (N, R) and its gradient (N, R, K) at θ (N, R, K)."""
        w = theta.unflatten(-1, self.target.shape[-2:])
        product = w * self.curvature if w.shape[-1] == 1 else w @ self.curvature
        gradient = (product - self.target) * self.weight
        loss = 0.5 * ((gradient - self.target * self.weight) * w).sum((-1, -2)) + self.constant
        return loss, gradient.flatten(-2)


def make_batch(problems: Sequence[LeastSquares], unit: str, needs_estimates: bool) -> Batch:
    """Statistics of the problems; ``unit`` fixes ω: 1/σ̂² of each output (nats), or 2/(n_v O) (mse)."""
    columns: list[list[np.ndarray]] = [[] for _ in range(8)]
    for problem in problems:
        train, val = problem.train, problem.val
        x = problem.train_estimate(determined=needs_estimates).values.reshape(problem.weight_shape)
        centre = float(np.mean(x))
        # The bias is fitted on the training samples, so the validation samples are centred on the training means.
        dx, dy = val.x_mean - train.x_mean, val.y_mean - train.y_mean
        curvature = val.sxx + val.count * np.outer(dx, dx)
        target = val.sxy + val.count * np.outer(dy, dx)
        square = val.syy + val.count * dy**2
        ones = np.full_like(x, centre)
        shifted = target - ones @ curvature
        square = square - ((target + shifted) * ones).sum(1)
        to_mse = 2 / (val.count * len(x))
        weight = (
            np.full(len(x), to_mse)
            if unit == "mse"
            else (problem.estimate().scale.reshape(problem.weight_shape) ** 2).mean(1)
        )
        unit_weight = float(np.std(x)) or 1.0
        unit_curvature = float(np.diag(curvature).mean()) or 1.0
        unit_target = unit_curvature * unit_weight
        columns[0].append((x - centre).reshape(1, -1) / unit_weight)
        columns[1].append(curvature[None] / unit_curvature)
        columns[2].append(shifted[None] / unit_target)
        columns[3].append(weight[None, :, None] * unit_target * unit_weight)
        columns[4].append(np.array([0.5 * (weight * square).sum()]))
        columns[5].append(np.array(to_mse / weight.mean()))
        columns[6].append(train.sxx / unit_curvature)
        columns[7].append((train.sxy - centre * train.sxx.sum(0)) / unit_target)
    tensors = [torch.from_numpy(np.stack(c)) for c in columns]
    return Batch(*(t if i == 5 else t.float() for i, t in enumerate(tensors)))


@dataclass(frozen=True)
class Penalties:
    """Weights of the penalties at one step, in units of the upper loss."""

    entropy: float
    column_norm: float
    nuclear_norm: float


@dataclass(frozen=True)
class Value:
    """The relaxed objective at one step, each (N, R)."""

    upper_loss: torch.Tensor
    entropy: torch.Tensor
    column_norm: torch.Tensor


def lower_level(logits: torch.Tensor, batch: Batch, lower: str) -> torch.Tensor:
    """θ (N, R, K) = A ψ*(A) for A = softmax(logits), logits (N, R, K, G); differentiable.

    normalised     ψ = (A / colsum A)ᵀ x
    least_squares  ψ = A⁺ x
    exact          (Σ_o A_oᵀ S A_o) ψ = Σ_o A_oᵀ c_o, linear maps
    """
    if lower == "normalised":
        return ops.soft_project(logits, batch.x.expand(logits.shape[:-1]))
    if lower == "least_squares":
        a = torch.softmax(logits, -1)
        normal = a.mT @ a
        right = a.mT @ batch.x.expand(logits.shape[:-1]).unsqueeze(-1)
    else:
        outputs, inputs = batch.target.shape[-2:]
        a = torch.softmax(logits, -1)
        blocks = a.unflatten(-2, (outputs, inputs))
        weighted = (batch.train_curvature[:, None, None] @ blocks).flatten(-3, -2)
        normal = a.mT @ weighted
        right = a.mT @ batch.train_target.flatten(-2)[:, None, :, None]
    largest = normal.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None]
    eye = torch.eye(normal.shape[-1], dtype=normal.dtype)
    psi = torch.linalg.solve(normal + _RIDGE * largest * eye, right)
    return (a @ psi).squeeze(-1)


def gradient_by_autograd(
    logits: torch.Tensor, batch: Batch, lower: str, penalties: Penalties, assignment: Assignment
) -> tuple[torch.Tensor, Value]:
    """Gradient of the relaxed objective in the logits, for any assignment, lower level and penalty."""
    logits = logits.detach().requires_grad_()
    theta = lower_level(as_softmax_logits(assignment, logits), batch, lower)
    with torch.no_grad():
        loss, u = batch.upper_loss(theta)
    entropy, column_norm = assignment.penalties(logits)
    penalty = penalties.entropy * entropy + penalties.column_norm * column_norm
    if penalties.nuclear_norm:
        nuclear = torch.linalg.svdvals(assignment.matrix(logits)).sum(-1)
        penalty = penalty + penalties.nuclear_norm * nuclear
    (gradient,) = torch.autograd.grad((theta * u).sum() + penalty.sum(), logits)
    return gradient, Value(loss, entropy.detach(), column_norm.detach())
