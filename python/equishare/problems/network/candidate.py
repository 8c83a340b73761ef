"""Fitted patterns, and which of them the validation samples cannot tell from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equishare.problems.network.fit import Fit, mean_and_error, tolerance
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.refit import Trained


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
    """

    pattern: Pattern
    fit: Fit
    losses: np.ndarray
    sizes: np.ndarray
    settled: bool
    plain_loss: float = 0.0
    train_loss: float = 0.0
    trained: Trained | None = None

    @property
    def num_groups(self) -> int:
        """Groups of all assignments."""
        return sum(self.pattern.num_groups)

    @cached_property
    def loss(self) -> float:
        """Mean loss on the validation samples, infinite where the fit has diverged."""
        mean = float(mean_and_error(self.losses, self.sizes)[0])
        return mean if math.isfinite(mean) else math.inf


def as_good(
    candidates: Sequence[Candidate],
    least: Candidate,
    standard_errors: float,
    rounding: float,
    gains: np.ndarray | None = None,
) -> np.ndarray:
    """Whether the validation samples cannot tell candidates (C,) from one of them, that of the least loss.

    With few samples even a bad candidate lies within its standard errors. So it may never cost more than a small part
    of the least loss, or ``rounding``: a pattern is to predict, and only then to be coarse. ``gains`` (C,): see
    :func:`gains_of`.
    """
    with np.errstate(invalid="ignore"):  # infinite losses
        worse, error = mean_and_error(np.stack([one.losses for one in candidates]) - least.losses, least.sizes)
    if gains is not None:
        worse += gains[next(i for i, one in enumerate(candidates) if one is least)] - gains
    most = tolerance(np.array(least.loss), error, standard_errors, rounding)
    return np.array([math.isfinite(one.loss) for one in candidates]) & (worse <= most)


def gains_of(candidates: Sequence[Candidate], num_train: int, num_val: int) -> np.ndarray:
    """By how much the losses (C,) will be lower, about, once training and validation samples are fitted together.

    A fit of p parameters to n samples is worse than the best by about c p / n on new samples, and better by as much on
    its own (c: noise). So half of the difference of the two losses is what more samples lessen, in the ratio of their
    numbers. A network remembers more of its own samples than this law says. So the gain is at most what lies between
    its loss and the least that can be: for the latter the mean of both losses of the best candidate is taken.
    """
    best = min(candidates, key=lambda c: c.loss)
    floor = (best.plain_loss + best.train_loss) / 2

    def gain(one: Candidate) -> float:
        if not math.isfinite(one.loss + one.train_loss):
            return 0.0
        most = max(0.0, one.plain_loss - floor)
        return min((one.plain_loss - one.train_loss) / 2, most) * num_val / (num_train + num_val)

    return np.array([gain(one) for one in candidates])
