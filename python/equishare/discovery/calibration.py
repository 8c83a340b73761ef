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
        over_chance: whether the log odds that any two entries are tied are subtracted, and that alone speaks for a tie;
            else :func:`evidence` does.
    """

    tied: tuple[float, ...]
    apart: tuple[float, float]
    over_chance: bool


#: Of means and linear maps, as fitted on the simulated means of ``equishare reproduce calibration``; the offset of ties
#: is lower by 0.25, so that ties reported at 95 % hold as often where groups are hard to tell apart.
LINEAR = Curves(tied=(-1.011, 0.977, -1.488, 0.921), apart=(-1.369, 1.552), over_chance=False)
#: Of models, as fitted on the simulated networks of ``equishare reproduce model-calibration``. Where the data tell
#: little, networks predict best with few groups, true or not, and the resamples agree on that: what counts is how much
#: more often a tie is found than any other.
MODELS = Curves(tied=(-0.0534, 0.953), apart=(-0.985, 1.54), over_chance=True)
# The log odds of all of the 20 resamples that the curves were fitted with: more of them prove no more.
_MOST_ODDS = float(np.log(20.5 / 0.5))


def log_odds(counts: np.ndarray, num_resamples: int) -> np.ndarray:
    """``log (n + ½)/(B − n + ½)`` for pairs that n of B resamples tie; finite also where all or none do."""
    return np.asarray(np.log((counts + 0.5) / (num_resamples - counts + 0.5)))


def evidence(
    counts: np.ndarray,
    mean_counts: np.ndarray,
    num_resamples: int,
    sizes: np.ndarray,
    num_entries: int,
    num_groups: int,
) -> np.ndarray:
    """What speaks for a tie of the partition, one row a pair.

        min(x, x_group, log 41),    log (m G / K),    log G

    x are :func:`log_odds`: a tie is no surer than the group it is in, and no surer than 20 of 20 resamples make it. A
    group larger than the others is more often two groups with nearly one value, and a single group tells nothing of how
    far values lie apart.

    Args:
        counts: how many resamples tie the pair, n.
        mean_counts: the same, averaged over all pairs of the group.
        num_resamples: B.
        sizes: entries of the group, m.
        num_entries: K.
        num_groups: G.
    """
    x = np.minimum(log_odds(np.minimum(counts, mean_counts), num_resamples), _MOST_ODDS)
    relative = np.log(sizes * num_groups / num_entries)
    return np.stack(np.broadcast_arrays(x, relative, np.log(num_groups)), axis=-1)


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
