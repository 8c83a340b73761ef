"""The lower level for a hard partition: the shared values that fit the data best."""

from __future__ import annotations

import numpy as np

from equishare.linalg import solve
from equishare.problems.moments import Moments
from equishare.problems.noise import Estimate

# Pairs of entries handled at a time when normal equations are gathered.
_PAIRS = 1 << 22


def gather_curvature(labels: np.ndarray, num_groups: int, curvature: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """``Aᵀ H A`` (G, G) for the block-diagonal H with blocks ``diag(scale[o]) curvature diag(scale[o])``.

    Args:
        labels: (O, I) group of each weight.
        num_groups: G.
        curvature: (I, I).
        scale: (O, I), or anything that broadcasts to it.
    """
    outputs, inputs = labels.shape
    if inputs == 1:
        weights = (np.broadcast_to(scale, labels.shape) ** 2 * curvature).ravel()
        return np.diag(np.bincount(labels.ravel(), weights, num_groups))
    total = np.zeros(num_groups * num_groups)
    rows = max(1, _PAIRS // (inputs * inputs))
    scale = np.broadcast_to(scale, labels.shape)
    for start in range(0, outputs, rows):
        part, d = labels[start : start + rows], scale[start : start + rows]
        cells = part[:, :, None] * num_groups + part[:, None, :]
        pairs = curvature * d[:, :, None] * d[:, None, :]
        total += np.bincount(cells.ravel(), pairs.ravel(), total.size)
    return total.reshape(num_groups, num_groups)


def fit_values(moments: Moments, labels: np.ndarray, num_groups: int) -> np.ndarray:
    """Least-squares values ψ (G,) of y = W x + b with W[o, i] = ψ[labels[o, i]].

    Solves ``(Σ_o A_oᵀ S A_o) ψ = Σ_o A_oᵀ c_o``; where the samples leave a direction of ψ open, the
    solution of least norm in units of the inputs' spread.
    """
    if num_groups == labels.size:
        values = np.empty(num_groups)
        values[labels.ravel()] = moments.least_squares().ravel()
        return values
    right = np.bincount(labels.ravel(), moments.sxy.ravel(), num_groups)
    if labels.shape[1] == 1:
        return right / np.bincount(labels.ravel(), minlength=num_groups) / moments.sxx[0, 0]
    normal = gather_curvature(labels, num_groups, moments.sxx, np.ones(1))
    return solve(normal, right)


def fit_estimate(estimate: Estimate, labels: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Generalised least-squares values ψ (G,) of unshared estimates, and their precision AᵀΩA (G, G)."""
    precision = gather_curvature(labels, num_groups, estimate.curvature, estimate.scale)
    weighted = estimate.apply_precision(estimate.weight)
    right = np.bincount(labels.ravel(), weighted.ravel(), num_groups)
    if labels.shape[1] == 1:
        return right / np.diag(precision), precision
    return solve(precision, right), precision
