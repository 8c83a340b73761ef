"""How probable a tie is, from how often resamples find it: logistic curves, fitted on simulated problems."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy


class Curves(NamedTuple):
    """Two logistic curves that turn the frequency of a tie into the log odds that the tie is true.

    Frequencies are those among resamples, or among draws of the pattern given the data.

    Each curve is an offset followed by slopes, one for each of its arguments.

    Attributes:
        tied: curve for pairs that the partition ties.
        apart: curve for pairs that it takes apart; its argument is the :func:`log_odds` that resamples tie them.
        num_resamples: number of resamples that the curves were fitted with. A tie that more resamples all find is taken
            for no surer than one that all of so many find.
        over_chance: what the curve for ties has as arguments. False: those of :func:`evidence`. True: a single one, the
            :func:`log_odds` of the pair, less those of the mean frequency of all pairs. This is also subtracted from
            the argument of ``apart``.
        of_draws: whether frequencies are those of draws; then the curve for ties has the :func:`log_odds` of the pair
            and the distance :func:`far` to another group.
    """

    tied: tuple[float, ...]
    apart: tuple[float, float]
    num_resamples: int
    over_chance: bool
    of_draws: bool = False


#: Of means and linear maps, as fitted on the simulated means of ``equishare reproduce calibration``.
CLOSED_FORM = Curves((-1.06, 1.0, -1.85, 0.774, 0.253), (-1.43, 1.55), num_resamples=20, over_chance=False)
#: Of networks, as fitted on the simulated networks of ``equishare reproduce model-calibration``. Where the data tell
#: little, a network predicts best with few groups, true or not, and the resamples agree on that. So what counts is how
#: much more often than others a tie is found.
TRAINED = Curves((-0.0534, 0.953), (-0.985, 1.54), num_resamples=10, over_chance=True)
#: Of levels of factors, as fitted on the simulated tables of ``equishare reproduce level-calibration``. Draws of the
#: model of :mod:`equishare.search.averaging` tie too often: it takes few values to be likelier than they are.
DRAWN = Curves((-1.39, 0.669, 0.168), (-1.4, 0.739), num_resamples=160, over_chance=False, of_draws=True)
# How far apart values were at most, in standard errors, where CLOSED_FORM was fitted.
_MOST_GAP = 100.0


def log_odds(counts: np.ndarray, num_resamples: int) -> np.ndarray:
    """``log (n + ½)/(B − n + ½)`` for pairs that n of B resamples tie; finite also for n = 0 and n = B."""
    return np.asarray(np.log((counts + 0.5) / (num_resamples - counts + 0.5)))


def evidence(
    x: np.ndarray,
    x_group: np.ndarray,
    sizes: np.ndarray,
    num_entries: int,
    num_groups: int,
    gaps: np.ndarray,
) -> np.ndarray:
    """The arguments of the curve for ties of the partition, one row a pair.

        min(x, x_group),    log (m G / K),    log G,    log (1 + min(gap, 100))

    A tie is no surer than its group. Two groups whose values nearly coincide are often found as one, larger than the
    others. That is seldom where values lie far apart. A partition with a single group does not show how far apart
    values lie.

    Args:
        x: :func:`log_odds` of the pair.
        x_group: :func:`log_odds` of the mean count over all pairs of the group.
        sizes: number of entries of the group, m.
        num_entries: K.
        num_groups: G.
        gaps: distance from the value of the group to the nearest other value, in standard errors of an entry; 0 where
            there is no other.
    """
    relative = np.log(sizes * num_groups / num_entries)
    return np.stack(np.broadcast_arrays(np.minimum(x, x_group), relative, np.log(num_groups), far(gaps)), axis=-1)


def far(gaps: np.ndarray) -> np.ndarray:
    """``log (1 + min(gap, 100))``."""
    return np.asarray(np.log1p(np.minimum(gaps, _MOST_GAP)))


def probability(features: np.ndarray, curve: tuple[float, ...]) -> np.ndarray:
    """Probability that pairs of entries truly hold one value: 1 / (1 + exp(−offset − features · slopes))."""
    offset, *slopes = curve
    return np.asarray(scipy.special.expit(offset + features @ np.array(slopes)))


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
        slope = -weight * signs * scipy.special.expit(-margin)
        return float((weight * np.logaddexp(0, -margin)).sum()), slope @ design

    return tuple(scipy.optimize.minimize(loss, np.zeros(design.shape[1]), jac=True, method="BFGS").x.tolist())
