"""Doubly stochastic sharing: the paper's method with blocks of the assignment normalised by Sinkhorn's iteration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from equishare.checks import count, option
from equishare.methods import bilevel
from equishare.problems.base import Proposal, Session

# An empty column of exponentials is scaled by no more than its inverse.
_LEAST = 1e-30


@dataclass(frozen=True)
class Options(bilevel.Options):
    """``bilevel`` with doubly stochastic blocks of A in place of softmax rows.

    G consecutive entries, such as a row of a linear map with G inputs, form a block A (G, G) whose rows and columns sum
    to one: a soft permutation of the G values. So one value cannot serve a whole row, and a hardened pattern has few
    ties inside a row; ``refine`` finds those. The other options are those of ``bilevel``. The default of ``num_groups``
    is the number of inputs of a matrix.

    Attributes:
        iterations: normalisations of rows and of columns.

    Source: van der Linden et al. 2024, Learning symmetries via weight-sharing with doubly stochastic tensors.
    """

    iterations: int = option(10, count)


@dataclass(frozen=True)
class Sinkhorn:
    """Rows of A sum to one and, in blocks of G consecutive entries, columns too; an :class:`Assignment`.

    Attributes:
        iterations: normalisations of rows and of columns.
    """

    iterations: int

    def matrix(self, logits: Tensor) -> Tensor:
        """A (…, K, G); in a last block of m < G entries the columns sum to m / G."""
        *_, entries, groups = logits.shape
        whole = logits[..., : entries // groups * groups, :].unflatten(-2, (-1, groups))
        parts = [self._normalised(whole).flatten(-3, -2)]
        if entries % groups:
            parts.append(self._normalised(logits[..., entries // groups * groups :, :]))
        return torch.cat(parts, dim=-2)

    def _normalised(self, block: Tensor) -> Tensor:
        """``diag(u) K diag(v)``, K = exp(block), rows and columns scaled to their sums (Sinkhorn 1964)."""
        rows, columns = block.shape[-2:]
        kernel = (block - block.detach().amax(-1, keepdim=True)).exp()
        v = torch.ones_like(kernel[..., :1, :]).mT
        for _ in range(self.iterations):
            u = 1 / (kernel @ v)
            v = rows / columns / (kernel.mT @ u).clamp_min(_LEAST)
        return kernel * v.mT / (kernel @ v)

    def penalties(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Mean row entropy and column norm of A."""
        matrix = self.matrix(logits)
        entropy = torch.special.entr(matrix.clamp_min(torch.finfo(matrix.dtype).tiny)).sum(-1).mean(-1)
        return entropy, matrix.square().sum(-2).clamp_min(torch.finfo(matrix.dtype).tiny).sqrt().sum(-1)

    def harden(self, logits: Tensor) -> Tensor:
        """The largest entry of each row."""
        return self.matrix(logits).argmax(-1)


def propose(session: Session, options: Options) -> list[Proposal]:
    """Candidates for each problem."""
    shape = session.problems[0].slots[0].shapes[0]
    if not session.is_trained and options.num_groups is None and len(shape) > 1:
        options = replace(options, num_groups=shape[-1])
    return bilevel.propose(session, options, Sinkhorn(options.iterations))
