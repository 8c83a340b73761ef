"""Fitted patterns, which of them is preferred, and how many groups to try."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equishare.problems.network.fit import Fit
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.replicas import Stack

#: A coarser pattern is preferred unless it is worse by so many standard errors of the paired difference (it is compared
#: with the best of many), …
STANDARD_ERRORS = 3.0
# … and by this part of the best loss, which optimisation alone can be off by.
_SLACK = 0.01
# Numbers of groups that are tried on a path: so many from the fewest on, then a geometric series.
_DENSE_LEVELS = 8
_LEVELS = 14
# Numbers of groups around the best that are tried, as parts of it, and at most.
_NEAR = 0.3
_NEAR_LEVELS = 10


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


def as_good(coarse: Candidate, least: Candidate, standard_errors: float = STANDARD_ERRORS) -> bool:
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


def levels(stack: Stack) -> list[int]:
    """Numbers of groups, of all assignments together, to try on a path, from the most to one for each assignment."""
    least, most = _range(stack)
    dense = list(range(least, min(most, least + _DENSE_LEVELS - 1) + 1))
    wide = np.geomspace(dense[-1], most, _LEVELS - len(dense) + 1).round().astype(int)
    return sorted({*dense, *wide.tolist()})


def near(total: int, stack: Stack) -> list[int]:
    """Numbers of groups around one."""
    least, most = _range(stack)
    reach = max(2, round(_NEAR * total))
    spread = np.linspace(total - reach, total + reach, min(_NEAR_LEVELS, 2 * reach) + 1).round().astype(int)
    return sorted({int(t) for t in spread if least <= t <= most})


def _range(stack: Stack) -> tuple[int, int]:
    return len(stack.sites), sum(site.max_groups for site in stack.sites)
