"""Alternating minimisation of a partition: labels for the values, values for the labels."""

from __future__ import annotations

import numpy as np

from equishare.partition import Partition
from equishare.problems.estimates import BlockEstimate, fit_estimate
from equishare.search.decode import decode

_MAX_ROUNDS = 20


def misfit(estimate: BlockEstimate, labels: np.ndarray, values: np.ndarray) -> float:
    """``(ŵ − ψ[labels])ᵀ Ω (ŵ − ψ[labels])``."""
    difference = values[labels] - estimate.values
    return float((difference * estimate.apply(difference)).sum())


def polish(estimate: BlockEstimate, labels: np.ndarray) -> np.ndarray:
    """Improve labels and values in turn until the misfit falls no more.

    With correlated inputs the estimate of a single entry is far less precise than its estimate given the rest of its
    row. A path of merges uses the former; this decides about whole rows at once. Groups may vanish.
    """
    labels = Partition(labels).labels
    values, _ = fit_estimate(estimate, labels, int(labels.max()) + 1)
    least = misfit(estimate, labels, values)
    for _ in range(_MAX_ROUNDS):
        moved = Partition(decode(estimate, values)).labels
        if (moved == labels).all():
            break
        values, _ = fit_estimate(estimate, moved, int(moved.max()) + 1)
        cost = misfit(estimate, moved, values)
        if not cost < least:
            break
        labels, least = moved, cost
    return labels
