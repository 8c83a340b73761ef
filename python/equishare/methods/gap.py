"""The plain rule: a new group wherever two neighbouring estimates differ by several standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equishare.checks import option
from equishare.problems.base import Proposal, Session
from equishare.problems.estimates import BlockEstimate, blocks_of

NEEDS_ESTIMATE = True


def _standard_errors(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of standard errors, got {value!r}")


@dataclass(frozen=True)
class Options:
    """Sort the unshared estimates, and start a new group where two neighbours differ by much.

    Attributes:
        cut: how far two neighbours must differ, in standard errors (the root mean square of their two).
    """

    cut: float = option(4.0, _standard_errors)


def propose(session: Session, options: Options) -> list[Proposal]:
    """One partition for each problem."""
    return session.each(lambda problem: Proposal([_groups(blocks_of(problem), options.cut)]))


def _groups(estimate: BlockEstimate, cut: float) -> np.ndarray:
    order = np.argsort(estimate.values, axis=None, kind="stable")
    values, variance = estimate.values.ravel()[order], estimate.variance.ravel()[order]
    starts = np.diff(values) > cut * np.sqrt((variance[1:] + variance[:-1]) / 2)
    labels = np.empty(values.size, np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(starts)])
    return labels.reshape(estimate.values.shape)
