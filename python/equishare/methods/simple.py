"""Methods that propose one partition: no sharing, a known partition, and the plain rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equishare.methods.proposal import Progress, Proposal
from equishare.partition import Partition
from equishare.problems.linear import Problem


def no_sharing(problems: Sequence[Problem], seed: int, progress: Progress) -> list[Proposal]:
    """Every entry its own group."""
    return [Proposal([np.arange(p.num_entries).reshape(p.weight_shape)]) for p in problems]


def oracle(problems: Sequence[Problem], seed: int, progress: Progress, *, partition: Any) -> list[Proposal]:
    """A partition that is known: only the values are estimated.

    Args:
        partition: a Partition or labels of the problem's shape; for a list of problems also a list of Partitions
            or arrays.
    """
    several = isinstance(partition, list | tuple) and len(partition) > 0 and not np.isscalar(partition[0])
    several = several and (len(problems) > 1 or isinstance(partition[0], Partition))
    given = partition if several else [partition] * len(problems)
    if len(given) != len(problems):
        raise ValueError(
            f"partition must hold one partition for each of the {len(problems)} problems, got {len(given)}"
        )
    proposals = []
    for problem, one in zip(problems, given, strict=True):
        known = one if isinstance(one, Partition) else Partition(one)
        if known.labels.shape != problem.shape:
            raise ValueError(f"partition must have the problem's shape {problem.shape}, got {known.labels.shape}")
        proposals.append(Proposal([known.labels.reshape(problem.weight_shape)]))
    return proposals


def gap(problems: Sequence[Problem], seed: int, progress: Progress, *, cut: float = 4.0) -> list[Proposal]:
    """The plain rule: sort the least-squares estimates, start a new group where neighbours differ by much.

    Args:
        cut: how many standard errors (root mean square of the two neighbours') make a gap.
    """
    if not isinstance(cut, int | float) or not cut > 0:
        raise ValueError(f"cut must be a positive number of standard errors, got {cut}")
    proposals = []
    for problem in problems:
        estimate = problem.estimate()
        order = np.argsort(estimate.weight, axis=None, kind="stable")
        weight, variance = estimate.weight.ravel()[order], estimate.variance.ravel()[order]
        starts = np.diff(weight) > cut * np.sqrt((variance[1:] + variance[:-1]) / 2)
        labels = np.empty(problem.num_entries, np.int64)
        labels[order] = np.concatenate([[0], np.cumsum(starts)])
        proposals.append(Proposal([labels.reshape(problem.weight_shape)]))
    return proposals
