"""Fitted patterns, and which of them the validation samples cannot tell from the best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from equishare.problems.network.fit import Fit, mean_and_error
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.refit import Trained

# A coarser pattern may be worse by this part of the best loss: training alone makes losses differ by as much.
_SLACK = 0.01
# However uncertain the difference is, it may be worse by no more than this part.
_MOST_COST = 0.05


@dataclass(frozen=True)
class Candidate:
    """A fitted pattern.

    Attributes:
        pattern: the partitions.
        fit: one replica, fitted on the training samples.
        losses: (B,) on blocks of the validation samples, with caution (:meth:`Replicas.held_losses`).
        sizes: (B,) samples of each block.
        settled: whether more steps would gain little.
        plain_loss, train_loss: mean losses on the validation and training samples, without caution.
        trained: the pattern fitted as well as final fits are; None: not yet.
        gain: by how much the loss will be lower, about, once training and validation samples are fitted together; see
            :func:`with_gains`.
    """

    pattern: Pattern
    fit: Fit
    losses: np.ndarray
    sizes: np.ndarray
    settled: bool
    plain_loss: float = 0.0
    train_loss: float = 0.0
    trained: Trained | None = None
    gain: float = 0.0

    @property
    def num_groups(self) -> int:
        """Groups of all assignments."""
        return sum(self.pattern.num_groups)

    @property
    def loss(self) -> float:
        """Mean loss on the validation samples, infinite where the fit has diverged."""
        mean = float(mean_and_error(self.losses, self.sizes)[0])
        return mean if math.isfinite(mean) else math.inf

    @property
    def expected(self) -> float:
        """The loss that is expected of the refit on training and validation samples together."""
        return self.loss - self.gain


def as_good(coarse: Candidate, least: Candidate, standard_errors: float) -> bool:
    """Whether the validation samples cannot tell a candidate from the one of least loss.

    With few samples even a bad candidate lies within its standard errors. So it may never cost more than a small part
    of the least loss: a pattern is to predict, and only then to be coarse.
    """
    if not math.isfinite(coarse.loss):
        return False
    mean, error = _worse(coarse, least)
    slack = _SLACK if standard_errors else 0.0
    return mean <= max(min(standard_errors * error, _MOST_COST * abs(least.loss)), slack * abs(least.loss))


def _worse(one: Candidate, other: Candidate) -> tuple[float, float]:
    """By how much the expected loss of a candidate is above that of another, and the standard error of this."""
    mean, error = mean_and_error(one.losses - other.losses, one.sizes)
    return float(mean) - one.gain + other.gain, float(error)


def with_gains(candidates: Iterable[Candidate], num_train: int, num_val: int) -> list[Candidate]:
    """The candidates of one problem, with what each gains by a refit on training and validation samples together.

    A fit of p parameters to n samples is worse than the best by about c p / n on new samples, and better by as much on
    its own (c: noise). So half of the difference of the two losses is what more samples lessen, in the ratio of their
    numbers. A network remembers more of its own samples than this law says. So the gain is at most what lies between
    its loss and the least that can be: for the latter the mean of both losses of the best candidate is taken.
    """
    found = list(candidates)
    best = min(found, key=lambda c: c.loss)
    floor = (best.plain_loss + best.train_loss) / 2

    def gain(one: Candidate) -> float:
        most = max(0.0, one.plain_loss - floor)
        return min((one.plain_loss - one.train_loss) / 2, most) * num_val / (num_train + num_val)

    return [replace(one, gain=gain(one) if math.isfinite(one.loss + one.train_loss) else 0.0) for one in found]
