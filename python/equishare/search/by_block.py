"""The search where ties are allowed within blocks of entries only: block after block, given all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equishare.linalg import pseudo_inverse
from equishare.problems.base import Problem, Proposal
from equishare.problems.estimates import BlockEstimate, as_blocks, fit_estimate
from equishare.search.by_evidence import candidates
from equishare.search.evidence import Evidence

_MAX_ROUNDS = 6


def propose_by_block(problem: Problem, within: np.ndarray) -> Proposal:
    """The pattern of the best evidence of each block, given the values of all others.

    Args:
        problem: with an estimate of one parameter.
        within: block of each entry.
    """
    found = problem.estimate()
    assert found is not None
    estimate = as_blocks(found)
    blocks = [np.flatnonzero(within.ravel() == block) for block in range(int(within.max()) + 1)]
    labels = np.arange(within.size)
    for _ in range(_MAX_ROUNDS):
        before = labels.copy()
        for own in blocks:
            conditional = _conditional(estimate, labels, own)
            best = candidates(Evidence(conditional), polished=True).ranked()[0].labels
            labels[own] = labels.max() + 1 + best
            labels = np.unique(labels, return_inverse=True)[1]
        if (np.unique(before, return_inverse=True)[1] == labels).all():
            break
    return Proposal([labels.reshape(within.shape)])


def _conditional(estimate: BlockEstimate, labels: np.ndarray, own: np.ndarray) -> BlockEstimate:
    """Estimates of a block of entries, with all others integrated out that follow their labels."""
    if estimate.is_diagonal:  # others tell nothing of it
        values, variance = (one.ravel()[own] for one in (estimate.values, estimate.variance))
        return replace(BlockEstimate.diagonal(values, variance, estimate.freedom), origin=estimate.origin)
    size = estimate.values.size
    others = np.setdiff1d(np.arange(size), own)
    # The entries of the block are groups of their own, the others those of their labels.
    joined = np.empty(size, np.int64)
    joined[own] = np.arange(len(own))
    joined[others] = len(own) + np.unique(labels[others], return_inverse=True)[1]
    count = int(joined.max()) + 1
    values, precision = fit_estimate(estimate, joined.reshape(estimate.values.shape), count)
    covariance = pseudo_inverse(precision)[: len(own), : len(own)]
    return BlockEstimate(
        values[: len(own)],
        np.diag(covariance).copy(),
        estimate.freedom,
        pseudo_inverse(covariance),
        np.ones(len(own)),
        estimate.origin,
    )
