"""Alternating minimisation of a partition: labels for the values, values for the labels."""

from __future__ import annotations

import numpy as np

from equishare.search.decode import decode
from equishare.problems.lower import fit_estimate
from equishare.problems.noise import Estimate
from equishare.partition import Partition

_MAX_ROUNDS = 20


def misfit(estimate: Estimate, labels: np.ndarray, values: np.ndarray) -> float:
    """``(ŵ − ψ[labels])ᵀ Ω (ŵ − ψ[labels])``."""
    difference = values[labels] - estimate.weight
    return float((difference * estimate.apply_precision(difference)).sum())


def polish(estimate: Estimate, labels: np.ndarray) -> np.ndarray:
    """Lower the misfit of ``labels`` (O, I) until neither labels nor values can be improved given the other.

    For correlated inputs an entry's own estimate is far less certain than its estimate given the rest of its
    row; a path of merges decides by the former, this by whole rows. Groups may vanish.
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
