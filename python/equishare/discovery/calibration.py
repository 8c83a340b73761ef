"""From how often a tie is found on resamples to how probable it is: logistic curves, fitted on simulated problems."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

#: Coefficients of :func:`features` for pairs that the partition ties, and for pairs that it takes apart. Printed by
#: ``equishare reproduce calibration``, fitted there on simulated means.
TIED = np.array([-0.9, 0.97, 0.0, 0.3])
APART = np.array([-2.0, 0.5, 0.0, 0.0])


def probability(counts: np.ndarray, num_resamples: int, sizes: np.ndarray, num_entries: int) -> np.ndarray:
    """Probability that pairs of entries truly hold one value, rising with how often they are tied.

    Args:
        counts: how many resamples tie the pair.
        num_resamples: B.
        sizes: size of the group that holds both in the partition found, 0 where they are in two.
        num_entries: K.
    """
    x = features(counts, num_resamples, np.maximum(sizes, 1), num_entries)
    return np.asarray(expit(np.where(sizes > 0, x @ TIED, x @ APART)))


def features(counts: np.ndarray, num_resamples: int, sizes: np.ndarray, num_entries: int) -> np.ndarray:
    """What the log odds of a tie are linear in, (..., 4): 1, log (n + ½)/(B − n + ½), log m and log K.

    The larger the parameter and the group, the more the doubled noise of the resamples is noticed, and the more often
    ties that hold are missed.
    """
    odds = np.log((counts + 0.5) / (num_resamples - counts + 0.5))
    return np.stack(np.broadcast_arrays(1.0, odds, np.log(sizes), np.log(num_entries)), axis=-1)


def fitted(x: np.ndarray, holds: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Coefficients (4,) of the logistic curve of greatest likelihood.

    Args:
        x: (n, 4) :func:`features`.
        holds: (n,) whether the pair truly is tied.
        weight: (n,) of each pair.
    """
    signs = np.where(holds, 1.0, -1.0)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = signs * (x @ beta)
        slope = -weight * signs * expit(-margin)
        return float((weight * np.logaddexp(0, -margin)).sum()), slope @ x

    return np.asarray(minimize(loss, np.zeros(x.shape[1]), jac=True, method="BFGS").x)
