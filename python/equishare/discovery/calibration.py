"""From how often a tie is found on resamples to how probable it is: logistic curves, fitted on simulated problems."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

#: Offset and slope of the log odds of a tie in :func:`log_odds`, for pairs that the partition ties and for pairs that
#: it takes apart, as fitted on the simulated means of ``equishare reproduce calibration``.
TIED = (-0.0967, 0.949)
APART = (-1.22, 1.49)


def log_odds(counts: np.ndarray, num_resamples: int) -> np.ndarray:
    """``log (n + ½)/(B − n + ½)`` for pairs that n of B resamples tie; finite also where all or none do."""
    return np.asarray(np.log((counts + 0.5) / (num_resamples - counts + 0.5)))


def probability(counts: np.ndarray, num_resamples: int, tied: bool) -> np.ndarray:
    """Probability that pairs of entries truly hold one value, rising with how often they are tied.

    Args:
        counts: how many resamples tie the pair.
        num_resamples: B.
        tied: whether the partition found ties the pair.
    """
    offset, slope = TIED if tied else APART
    return np.asarray(expit(offset + slope * log_odds(counts, num_resamples)))


def fitted(x: np.ndarray, holds: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Offset and slope of the logistic curve of greatest likelihood.

    Args:
        x: (n,) :func:`log_odds`.
        holds: (n,) whether the pair truly is tied.
        weight: (n,) of each pair.
    """
    signs = np.where(holds, 1.0, -1.0)
    design = np.stack([np.ones_like(x), x], axis=1)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = signs * (design @ beta)
        slope = -weight * signs * expit(-margin)
        return float((weight * np.logaddexp(0, -margin)).sum()), slope @ design

    offset, slope = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return float(offset), float(slope)
