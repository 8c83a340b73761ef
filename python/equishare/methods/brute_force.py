"""All partitions, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from equishare.methods.proposal import Progress, Proposal
from equishare.methods.select import validation_loss
from equishare.problems.linear import MeanProblem, Problem

MAX_ENTRIES = 10


@lru_cache(maxsize=2)
def all_partitions(num_entries: int) -> np.ndarray:
    """Every partition of K entries once, as restricted growth strings (Bell(K), K)."""
    strings = np.zeros((1, 1), np.int8)
    for _ in range(1, num_entries):
        choices = strings.max(1) + 2
        strings = np.repeat(strings, choices, axis=0)
        last = np.arange(len(strings)) - np.repeat(np.cumsum(choices) - choices, choices)
        strings = np.concatenate([strings, last[:, None].astype(np.int8)], axis=1)
    return strings


def tied_means(labels: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Fit many partitions to many means at once: a group's value is the mean of its entries.

    Args:
        labels: (P, K) one partition a row, names in 0 … K − 1.
        means: (K, n) one set of means a column.

    Returns:
        (P, K, n) fitted means.
    """
    one_hot = (labels[:, :, None] == np.arange(labels.shape[1])).astype(np.float64)
    sizes = np.maximum(one_hot.sum(1), 1)
    return one_hot @ (one_hot.transpose(0, 2, 1) @ means / sizes[:, :, None])


def brute_force(problems: Sequence[Problem], seed: int, progress: Progress) -> list[Proposal]:
    """The partition with the least validation loss among all Bell(K).

    Raises:
        ValueError: more than 10 entries (115,975 partitions).
    """
    num_entries = problems[0].num_entries
    if num_entries > MAX_ENTRIES:
        raise ValueError(f"method 'brute_force' takes at most {MAX_ENTRIES} entries, got {num_entries}")
    strings = all_partitions(num_entries)
    proposals = []
    for done, problem in enumerate(problems):
        losses = _losses(problem, strings)
        best = int(losses.argmin())
        proposals.append(
            Proposal(
                [strings[best].astype(np.int64).reshape(problem.weight_shape)],
                losses=losses[[best]],
            )
        )
        progress(done + 1, len(problems))
    return proposals


def _losses(problem: Problem, strings: np.ndarray) -> np.ndarray:
    if not isinstance(problem, MeanProblem):
        labels = strings.astype(np.int64).reshape(-1, *problem.weight_shape)
        return np.array([validation_loss(problem, one) for one in labels])
    train, val = (m.sxy[:, 0] / m.count for m in (problem.train, problem.val))
    theta = tied_means(strings, train[:, None])[:, :, 0]
    return ((theta - val) ** 2).mean(1) + (problem.val.syy / problem.val.count - val**2).mean()
