"""Merging: a path of partitions from the training samples, the cut selected on the validation samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equishare.problems.base import Problem, Proposal, Session
from equishare.problems.estimates import blocks_of
from equishare.search.path import merge_path, shortest_path

NEEDS_ESTIMATE = True


@dataclass(frozen=True)
class Options:
    """Partitions along the path of merges of the training estimates; the cut has the least validation loss.

    For means the path holds the exact best partition into g groups for every g; for linear maps it is greedy in
    the metric of XᵀX. For means each number of groups takes time O(K log K); for linear maps memory is O(K²).
    """


def propose(session: Session, options: Options) -> list[Proposal]:
    """One path for each problem."""
    return session.each(_propose)


def _propose(problem: Problem) -> Proposal:
    blocks = blocks_of(problem, on="train")

    def losses(path: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(problem.evaluate([(labels,) for labels in path]))

    return Proposal(*shortest_path(blocks, lambda cap: merge_path(blocks, cap), losses))
