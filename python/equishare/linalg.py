"""Positive semidefinite systems whose rows may have very different units: solved in units of the diagonal."""

from __future__ import annotations

import numpy as np
import scipy

# Larger systems are solved by Cholesky's factors, from which the condition number is estimated: eigenvalues, or the
# exact condition number, take many times as long.
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
    lower, condition = _cholesky(matrix)
    if lower is None:
        return right, np.inf
    return scipy.linalg.lapack.dpotrs(lower, right, lower=1)[0], condition


def _cholesky(matrix: np.ndarray) -> tuple[np.ndarray | None, float]:
    """The lower factor, and an estimate of the condition number in the 1-norm; None for a matrix that has none."""
    if not np.isfinite(matrix).all():
        return None, np.inf
    lower, failed = scipy.linalg.lapack.dpotrf(matrix, lower=1)
    if failed:
        return None, np.inf
    inverse_condition, _ = scipy.linalg.lapack.dpocon(lower, np.abs(matrix).sum(0).max(), uplo="L")
    return lower, 1 / max(inverse_condition, np.finfo(float).tiny)


def log_det(matrix: np.ndarray) -> float:
    """``log det M``; −∞ for a singular one."""
    if len(matrix) > _ESTIMATED:
        scale = unit_scale(matrix)
        lower, _ = _cholesky(matrix / np.outer(scale, scale))
        if lower is not None:
            return float(2 * (np.log(np.diag(lower)).sum() + np.log(scale).sum()))
    return float(np.linalg.slogdet(matrix)[1])


def pseudo_inverse(matrix: np.ndarray) -> np.ndarray:
    """``M⁻¹``, or the pseudo-inverse in units of the diagonal."""
    scale = unit_scale(matrix)
    outer = np.outer(scale, scale)
    unit = matrix / outer
    if len(matrix) > _ESTIMATED:
        lower, condition = _cholesky(unit)
        if lower is not None and condition < _MOST_CONDITION:
            below = np.tril(scipy.linalg.lapack.dpotri(lower, lower=1)[0])
            return np.asarray((below + np.tril(below, -1).T) / outer)
    return np.linalg.pinv(unit, hermitian=True) / outer


def unit_scale(matrix: np.ndarray) -> np.ndarray:
    """Square roots of the diagonal, one where it is zero, or rounding made less of it."""
    spread = np.sqrt(np.maximum(np.diag(matrix), 0))
    return np.where(spread > 0, spread, 1.0)
