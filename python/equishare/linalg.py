"""Positive semidefinite systems whose rows may have very different units: solved in units of the diagonal."""

from __future__ import annotations

import numpy as np


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve ``M x = r`` for M (n, n) and r (n,) or (n, m).

    Where M is singular, the solution of least norm in units of the diagonal among the best ones.
    """
    scale = unit_scale(matrix)
    unit = matrix / np.outer(scale, scale)
    divisor = scale.reshape(-1, *[1] * (right.ndim - 1))
    try:
        solution = np.linalg.solve(unit, right / divisor)
        if np.isfinite(solution).all() and np.linalg.cond(unit, 1) < 1e12:
            return solution / divisor
    except np.linalg.LinAlgError:
        pass
    return np.linalg.lstsq(unit, right / divisor, rcond=None)[0] / divisor


def pseudo_inverse(matrix: np.ndarray) -> np.ndarray:
    """``M⁻¹``, or the pseudo-inverse in units of the diagonal."""
    scale = unit_scale(matrix)
    outer = np.outer(scale, scale)
    return np.linalg.pinv(matrix / outer, hermitian=True) / outer


def unit_scale(matrix: np.ndarray) -> np.ndarray:
    """Square roots of the diagonal, one where it is zero."""
    spread = np.sqrt(np.diag(matrix))
    return np.where(spread > 0, spread, 1.0)
