"""From how often a tie is found on resamples to how probable it is: logistic curves, fitted on simulated problems."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


class Curves(NamedTuple):
    """Log odds that a tie is true: offset, and slopes in what speaks for the tie.

    Attributes:
        tied: for pairs that the partition ties.
        apart: for pairs that it takes apart, in the :func:`log_odds` that they are found tied.
        num_resamples: that they were fitted with; all of more of them prove no more.
        over_chance: whether the log odds that any two entries are tied are subtracted, and that alone speaks for a tie;
            else :func:`evidence` does.
    """

    tied: tuple[float, ...]
    apart: tuple[float, float]
    num_resamples: int
    over_chance: bool


#: Of means and linear maps, as fitted on the simulated means of ``equishare reproduce calibration``.
CLOSED_FORM = Curves((-1.043, 0.973, -1.739, 0.517, 0.542), (-1.139, 1.603), num_resamples=20, over_chance=False)
#: Of models, as fitted on the simulated networks of ``equishare reproduce model-calibration``. Where the data tell
#: little, networks predict best with few groups, true or not, and the resamples agree on that: what counts is how much
#: more often a tie is found than any other.
TRAINED = Curves((-0.0534, 0.953), (-0.985, 1.54), num_resamples=10, over_chance=True)
# How far apart values were at most, in standard errors, where CLOSED_FORM was fitted.
_MOST_GAP = 100.0


def log_odds(counts: np.ndarray, num_resamples: int) -> np.ndarray:
    """``log (n + ½)/(B − n + ½)`` for pairs that n of B resamples tie; finite also where all or none do."""
    return np.asarray(np.log((counts + 0.5) / (num_resamples - counts + 0.5)))


def evidence(
    x: np.ndarray,
    x_group: np.ndarray,
    sizes: np.ndarray,
    num_entries: int,
    num_groups: int,
    gaps: np.ndarray,
) -> np.ndarray:
    """What speaks for a tie of the partition, one row a pair.

        min(x, x_group),    log (m G / K),    log G,    log (1 + min(gap, 100))

    A tie is no surer than the group it is in. A group larger than the others is more often two groups with nearly one
    value; where values lie far apart, it is seldom that two nearly coincide; and a single group tells nothing of that.

    Args:
        x: :func:`log_odds` that the pair is found tied.
        x_group: those of the mean number over all pairs of the group.
        sizes: entries of the group, m.
        num_entries: K.
        num_groups: G.
        gaps: from the value of the group to the nearest other, in standard errors of an entry; 0 where there is none.
    """
    relative = np.log(sizes * num_groups / num_entries)
    far = np.log1p(np.minimum(gaps, _MOST_GAP))
    return np.stack(np.broadcast_arrays(np.minimum(x, x_group), relative, np.log(num_groups), far), axis=-1)


def probability(features: np.ndarray, curve: tuple[float, ...]) -> np.ndarray:
    """Probability that pairs of entries truly hold one value: 1 / (1 + exp(−offset − features · slopes))."""
    offset, *slopes = curve
    return np.asarray(expit(offset + features @ np.array(slopes)))


def fitted(features: np.ndarray, holds: np.ndarray, weight: np.ndarray) -> tuple[float, ...]:
    """Offset and slopes of the logistic curve of greatest likelihood.

    Args:
        features: (n, d) of each pair.
        holds: (n,) whether the pair truly is tied.
        weight: (n,) of each pair.
    """
    signs = np.where(holds, 1.0, -1.0)
    design = np.column_stack([np.ones(len(features)), features])

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = signs * (design @ beta)
        slope = -weight * signs * expit(-margin)
        return float((weight * np.logaddexp(0, -margin)).sum()), slope @ design

    return tuple(minimize(loss, np.zeros(design.shape[1]), jac=True, method="BFGS").x.tolist())
