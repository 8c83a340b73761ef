"""The prior of the values of a factor's groups: drawn one by one, or spread evenly.

With probability one half the values are independent, ψ ~ N(0, w²). With the other half their gaps are log-normal: many
effects are steps of about one size, and then those of other factors often are too. So all factors whose values are
spread evenly have one mean and one variance of the log gaps, both unknown and integrated out.
"""

from __future__ import annotations

import numpy as np
import scipy

# Prior of log gaps: mean N(log(4 standard errors), v / .05), v from an inverse gamma distribution of shape 1 and rate
# .02.
_STRENGTH, _SHAPE, _RATE = 0.05, 1.0, 0.02


def gap_sums(values: np.ndarray, active: np.ndarray) -> np.ndarray:
    """(3, …) number, sum and sum of squares of the log gaps between ascending values, the active ones first."""
    told = np.broadcast_to(active, values.shape)[..., 1:]
    gap = np.subtract(values[..., 1:], values[..., :-1], out=np.ones(told.shape), where=told)
    log_gap = np.log(np.maximum(gap, 1e-300))
    return np.stack([told.sum(-1), log_gap.sum(-1), (log_gap**2).sum(-1)])


def log_alone(values: np.ndarray, active: np.ndarray, width2: np.ndarray) -> np.ndarray:
    """(…) log density of independent values up to a shift of all of them, in any order."""
    number = active.sum(-1)
    own = np.where(active, values, 0.0)
    squares = (own**2).sum(-1) - own.sum(-1) ** 2 / number
    return np.asarray(-0.5 * ((number - 1) * np.log(2 * np.pi * width2) + np.log(number) + squares / width2))


def width_sums(values: np.ndarray, active: np.ndarray, is_even: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(…) each: of how many numbers w² is the variance, and the sum of their squares.

    Of values that are spread evenly it is that of their mean alone, ``N(0, w²/K)``.
    """
    number, own = active.sum(-1), np.where(active, values, 0.0)
    squares = np.where(is_even, own.sum(-1) ** 2 / number, (own**2).sum(-1))
    return np.where(is_even, 1, number), squares


def log_even(gaps: np.ndarray, others: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """(…) log density of evenly spread values up to a shift, in any order, given the gaps of other factors.

    Args:
        gaps: (3, …) of :func:`gap_sums`.
        others: the same of all other factors whose values are spread evenly.
        unit: log of the standard error of a level.
    """
    density = _log_normal(gaps + others, unit) - _log_normal(others, unit)
    return np.asarray(density - gaps[1] - scipy.special.gammaln(gaps[0] + 2))


def _log_normal(gaps: np.ndarray, unit: np.ndarray) -> np.ndarray:
    count, total, squares = gaps
    strength, shape = _STRENGTH + count, _SHAPE + count / 2
    mean = total / np.maximum(count, 1)
    scatter = np.maximum(squares - count * mean**2, 0)
    rate = _RATE + 0.5 * (scatter + _STRENGTH * count / strength * (mean - np.log(4) - unit) ** 2)
    return np.asarray(
        scipy.special.gammaln(shape) - shape * np.log(rate) - 0.5 * np.log(strength) - count / 2 * np.log(2 * np.pi)
    )
