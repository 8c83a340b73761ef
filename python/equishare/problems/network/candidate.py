"""Fitted patterns, and which of them the validation samples cannot tell from the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equishare.problems.network.fit import Fit
from equishare.problems.network.patterns import Pattern

# A coarser pattern may be worse by this part of the best loss: training alone makes losses differ by as much.
_SLACK = 0.01


@dataclass(frozen=True)
class Candidate:
    """A fitted pattern.

    Attributes:
        pattern: the partitions.
        fit: one replica, fitted on the training samples.
        losses: (B,) on blocks of the validation samples.
        sizes: (B,) samples of each block.
        settled: whether more steps would gain little.
    """

    pattern: Pattern
    fit: Fit
    losses: np.ndarray
    sizes: np.ndarray
    settled: bool

    @property
    def loss(self) -> float:
        """Mean loss on the validation samples, infinite where the fit has diverged."""
        mean = float(np.average(self.losses, weights=self.sizes))
        return mean if math.isfinite(mean) else math.inf


def as_good(coarse: Candidate, least: Candidate, standard_errors: float) -> bool:
    """Whether the validation samples cannot tell a candidate from the one of least loss.

    With few samples even a bad candidate lies within its standard errors. So more than twice the least loss is always
    too much.
    """
    if not math.isfinite(coarse.loss):
        return False
    difference = coarse.losses - least.losses
    mean = float(np.average(difference, weights=coarse.sizes))
    spread = math.sqrt(float(np.average((difference - mean) ** 2, weights=coarse.sizes)))
    error = spread / math.sqrt(max(1, len(difference) - 1))
    return mean <= max(min(standard_errors * error, abs(least.loss)), _SLACK * abs(least.loss))
