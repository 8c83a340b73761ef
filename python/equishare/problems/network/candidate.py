"""Fitted patterns, and which of them are not told from the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equishare.problems.network.fit import Fit
from equishare.problems.network.patterns import Pattern

# A coarser pattern may be worse by this part of the best loss, which optimisation alone can be off by.
_SLACK = 0.01


@dataclass(frozen=True)
class Candidate:
    """A fitted pattern.

    Attributes:
        pattern: the partitions.
        fit: one replica, fitted on the training samples.
        losses: (B,) on blocks of the validation samples.
        sizes: (B,) samples of each block.
        settled: whether more steps would not do much.
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
    """Whether the validation samples do not tell a candidate from the one of least loss.

    Few samples make the standard error of a bad candidate as large as its excess; twice the least loss is too much
    whatever they say.
    """
    if not math.isfinite(coarse.loss):
        return False
    difference = coarse.losses - least.losses
    mean = float(np.average(difference, weights=coarse.sizes))
    spread = math.sqrt(float(np.average((difference - mean) ** 2, weights=coarse.sizes)))
    error = spread / math.sqrt(max(1, len(difference) - 1))
    return mean <= max(min(standard_errors * error, abs(least.loss)), _SLACK * abs(least.loss))
