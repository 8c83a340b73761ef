"""Positive semidefinite systems whose rows may have very different units: solved in units of the diagonal."""

from __future__ import annotations

import numpy as np
import scipy

# Of larger systems the condition number is estimated from the factors of the solution; exactly it takes twice its time.
_ESTIMATED = 128
_MOST_CONDITION = 1e12


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve ``M x = r`` for M (n, n) and r (n,) or (n, m).

    Where M is singular, the solution of least norm in units of the diagonal among the best ones.
    """
    scale = unit_scale(matrix)
    unit = matrix / np.outer(scale, scale)
    divisor = scale.reshape(-1, *[1] * (right.ndim - 1))
    try:
        solution, condition = _solved(unit, right / divisor)
        if np.isfinite(solution).all() and condition < _MOST_CONDITION:
            return solution / divisor
    except np.linalg.LinAlgError:
        pass
    return np.linalg.lstsq(unit, right / divisor, rcond=None)[0] / divisor


def _solved(matrix: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """The solution, and the condition number in the 1-norm."""
    if len(matrix) <= _ESTIMATED:
        return np.linalg.solve(matrix, right), float(np.linalg.cond(matrix, 1))
    if not np.isfinite(matrix).all():
        return right, np.inf
    factors, pivots, failed = scipy.linalg.lapack.dgetrf(matrix)
    if failed:
        raise np.linalg.LinAlgError
    inverse_condition, _ = scipy.linalg.lapack.dgecon(factors, np.abs(matrix).sum(0).max())
    solution, _ = scipy.linalg.lapack.dgetrs(factors, pivots, right)
    return solution, 1 / max(inverse_condition, np.finfo(float).tiny)


def pseudo_inverse(matrix: np.ndarray) -> np.ndarray:
    """``M⁻¹``, or the pseudo-inverse in units of the diagonal."""
    scale = unit_scale(matrix)
    outer = np.outer(scale, scale)
    return np.linalg.pinv(matrix / outer, hermitian=True) / outer


def unit_scale(matrix: np.ndarray) -> np.ndarray:
    """Square roots of the diagonal, one where it is zero, or rounding made less of it."""
    spread = np.sqrt(np.maximum(np.diag(matrix), 0))
    return np.where(spread > 0, spread, 1.0)
