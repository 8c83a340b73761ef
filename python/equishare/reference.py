"""Plain PyTorch twins of the fused operations: the oracle of tests and the baseline of benchmarks.

They also stand in for the kernels on devices and dtypes that have none. Shapes and the rule that tells
values with columns from values without are those of :mod:`equishare.ops`; input is assumed valid.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "assignment_penalties",
    "hard_gather",
    "hard_scatter",
    "shared_linear",
    "soft_gather",
    "soft_gather_penalties",
    "soft_project",
    "soft_scatter",
]

# log A where A has underflowed: finite, so that A log A is 0 and not 0 * inf.
_LEAST_LOG = -1000.0


def soft_gather(logits: Tensor, values: Tensor) -> Tensor:
    """θ = A ψ with A = softmax(logits, -1); see :func:`equishare.ops.soft_gather`."""
    a = torch.softmax(logits, -1)
    if values.dim() < logits.dim():
        return (a @ values.unsqueeze(-1)).squeeze(-1)
    return a @ values


def soft_scatter(logits: Tensor, x: Tensor) -> Tensor:
    """p = Aᵀ x with A = softmax(logits, -1); see :func:`equishare.ops.soft_scatter`."""
    a = torch.softmax(logits, -1)
    if x.dim() < logits.dim():
        return (a.mT @ x.unsqueeze(-1)).squeeze(-1)
    return a.mT @ x


def soft_project(logits: Tensor, x: Tensor) -> Tensor:
    """θ = A diag(1 / colsum A) Aᵀ x; see :func:`equishare.ops.soft_project`."""
    a = torch.softmax(logits, -1)
    colsum = a.sum(-2)
    unused = colsum == 0
    total = (a.mT @ x.unsqueeze(-1)).squeeze(-1)
    values = torch.where(unused, 0.0, total / torch.where(unused, 1.0, colsum))
    return (a @ values.unsqueeze(-1)).squeeze(-1)


def assignment_penalties(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Row entropy and column norm; see :func:`equishare.ops.assignment_penalties`."""
    log_a = torch.log_softmax(logits, -1)
    a = log_a.exp()
    entropy = -(a * log_a.clamp_min(_LEAST_LOG)).sum(-1).mean(-1)
    return entropy, torch.linalg.vector_norm(a, dim=-2).sum(-1)


def soft_gather_penalties(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """θ, row entropy and column norm; see :func:`equishare.ops.soft_gather_penalties`."""
    batch = torch.broadcast_shapes(logits.shape[:-2], values.shape[:-1])
    return soft_gather(logits, values), *assignment_penalties(logits.expand(*batch, -1, -1))


def hard_gather(labels: Tensor, values: Tensor) -> Tensor:
    """θ[k] = ψ[label[k]]; see :func:`equishare.ops.hard_gather`."""
    labels = labels.long()
    if values.dim() > labels.dim():
        batch = torch.broadcast_shapes(labels.shape[:-1], values.shape[:-2])
        index = labels.expand(*batch, -1).unsqueeze(-1).expand(*batch, -1, values.shape[-1])
        return values.expand(*batch, -1, -1).gather(-2, index)
    batch = torch.broadcast_shapes(labels.shape[:-1], values.shape[:-1])
    return values.expand(*batch, -1).gather(-1, labels.expand(*batch, -1))


def hard_scatter(labels: Tensor, x: Tensor, num_groups: int) -> Tensor:
    """p[g] = Σ_{k: label[k] = g} x[k]; see :func:`equishare.ops.hard_scatter`."""
    labels = labels.long()
    if x.dim() > labels.dim():
        batch = torch.broadcast_shapes(labels.shape[:-1], x.shape[:-2])
        x = x.expand(*batch, -1, -1)
        index = labels.expand(*batch, -1).unsqueeze(-1).expand_as(x)
        return x.new_zeros(*batch, num_groups, x.shape[-1]).scatter_add(-2, index, x)
    batch = torch.broadcast_shapes(labels.shape[:-1], x.shape[:-1])
    x = x.expand(*batch, -1)
    return x.new_zeros(*batch, num_groups).scatter_add(-1, labels.expand_as(x), x)


def shared_linear(x: Tensor, labels: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b with W[o,i] = ψ[label[o,i]]; see :func:`equishare.ops.shared_linear`."""
    return torch.nn.functional.linear(x, values[labels.long()], bias)
