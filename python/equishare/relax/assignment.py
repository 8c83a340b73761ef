"""Soft assignments: from assignment logits to a matrix A (K, G), and from there to hard groups."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from equishare import ops


class Assignment(Protocol):
    """A way to relax a partition: how assignment logits Λ (…, K, G) become a matrix A.

    A[k, g] says how much entry k belongs to group g. The rows of A sum to one.
    """

    def matrix(self, logits: Tensor) -> Tensor:
        """A (…, K, G), differentiable."""

    def penalties(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Mean row entropy and column norm ``Σ_g ‖A[:, g]‖₂``, each (…), differentiable."""

    def harden(self, logits: Tensor) -> Tensor:
        """The group (…, K) of each entry."""


class Softmax:
    """A = softmax(Λ): each row by itself. The fused operations read its logits directly."""

    def matrix(self, logits: Tensor) -> Tensor:
        """A (…, K, G)."""
        return torch.softmax(logits, -1)

    def penalties(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Mean row entropy and column norm."""
        return ops.assignment_penalties(logits)

    def harden(self, logits: Tensor) -> Tensor:
        """The largest logit of each row."""
        return logits.argmax(-1)


SOFTMAX = Softmax()


def as_softmax_logits(assignment: Assignment, logits: Tensor) -> Tensor:
    """Logits whose softmax is the matrix A of an assignment: Λ itself for a softmax, else log A.

    So the fused operations, which take softmax logits, serve every assignment.
    """
    if isinstance(assignment, Softmax):
        return logits
    matrix = assignment.matrix(logits)
    return matrix.clamp_min(torch.finfo(matrix.dtype).tiny).log()
