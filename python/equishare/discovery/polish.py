"""Coordinate descent on a partition: every entry joins the group that fits it best."""

from __future__ import annotations

import numpy as np

from equishare.lower import fit_estimate
from equishare.noise import Estimate
from equishare.partition import Partition

_MAX_SWEEPS = 20


def polish(estimate: Estimate, labels: np.ndarray) -> np.ndarray:
    """Lower the misfit (ŵ − Aψ)ᵀ Ω (ŵ − Aψ) of ``labels`` (O, I), entry by entry given all others.

    For correlated inputs an entry's own estimate is far less certain than its estimate given the rest of its
    row; a path of merges decides by the former, this by the latter. Rows do not interact. Groups may vanish.
    """
    labels = Partition(labels).labels
    rows = np.arange(len(labels))
    diagonal = estimate.scale**2 * np.diag(estimate.curvature)
    for _ in range(_MAX_SWEEPS):
        moved = labels.copy()
        values, _ = fit_estimate(estimate, moved, int(moved.max()) + 1)
        gradient = estimate.apply_precision(values[moved] - estimate.weight)
        for i in range(moved.shape[1]):
            move = values - values[moved[:, i], None]
            increase = move * (2 * gradient[:, i, None] + move * diagonal[:, i, None])
            chosen = increase.argmin(1)
            step = move[rows, chosen]
            moved[:, i] = chosen
            gradient += (step * estimate.scale[:, i])[:, None] * estimate.curvature[i] * estimate.scale
        moved = Partition(moved).labels
        if (moved == labels).all():
            break
        labels = moved
    return labels
