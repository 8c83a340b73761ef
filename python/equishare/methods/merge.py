"""Merging: a path of partitions from the training samples, the cut selected on validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from equishare.search.path import MAX_GREEDY_GROUPS, merge_path
from equishare.methods.proposal import Progress, Proposal
from equishare.methods.select import validation_loss
from equishare.problems.linear import Problem

# Number of groups the path is cut at first; doubled while the best cut lies in its upper half.
_FIRST_CAP = 64


def caps(problem: Problem) -> Iterator[int]:
    """Numbers of groups to go up to: 64, 128, … up to what the path can offer."""
    most = problem.num_entries
    if problem.num_inputs > 1:
        most = min(most, MAX_GREEDY_GROUPS)
    cap = _FIRST_CAP
    while cap < most:
        yield cap
        cap *= 2
    yield most


def merge(problems: Sequence[Problem], seed: int, progress: Progress) -> list[Proposal]:
    """Partitions along the path of merges of the training estimates; the cut with the least validation loss.

    For means the path holds the exact best partition into g groups for every g; for linear maps it is greedy in
    the metric of XᵀX. Time per number of groups O(K log K) for means, memory O(K²) for linear maps.
    """
    proposals = []
    for done, problem in enumerate(problems):
        estimate = problem.train_estimate()
        for cap in caps(problem):
            path = merge_path(estimate, cap)
            losses = np.array([validation_loss(problem, labels) for labels in path])
            if losses.argmin() < cap / 2:
                break
        proposals.append(Proposal(path, losses=losses))
        progress(done + 1, len(problems))
    return proposals
