"""From how often a tie is found on resamples to how probable it is: logistic curves, fitted on simulated problems."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


class Curves(NamedTuple):
    """Offset and slope of the log odds that a tie is true, as functions of the log odds that it is found.

    Attributes:
        tied: for pairs that the partition ties.
        apart: for pairs that it takes apart.
        over_chance: whether the log odds that any two entries are tied are subtracted.
    """

    tied: tuple[float, float]
    apart: tuple[float, float]
    over_chance: bool


#: Of means and linear maps, as fitted on the simulated means of ``equishare reproduce calibration``.
LINEAR = Curves(tied=(-0.0967, 0.949), apart=(-1.22, 1.49), over_chance=False)
#: Of models, as fitted on the simulated networks of ``equishare reproduce model-calibration``. Where the data tell
#: little, networks predict best with few groups, true or not, and the resamples agree on that: what counts is how much
#: more often a tie is found than any other.
MODELS = Curves(tied=(-0.0534, 0.953), apart=(-0.985, 1.54), over_chance=True)


def log_odds(counts: np.ndarray, num_resamples: int) -> np.ndarray:
    """``log (n + ½)/(B − n + ½)`` for pairs that n of B resamples tie; finite also where all or none do."""
    return np.asarray(np.log((counts + 0.5) / (num_resamples - counts + 0.5)))


def probability(x: np.ndarray, curve: tuple[float, float]) -> np.ndarray:
    """Probability that pairs of entries truly hold one value, from the log odds that they are found tied."""
    offset, slope = curve
    return np.asarray(expit(offset + slope * x))


def fitted(x: np.ndarray, holds: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Offset and slope of the logistic curve of greatest likelihood.

    Args:
        x: (n,) log odds that the pair is found tied.
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
