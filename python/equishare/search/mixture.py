"""Draws of the number of values of a factor, the values and their frequencies, given all other factors.

The labels of the levels are summed out: given values ψ and frequencies s the density of conditional estimates is
``Π_l Σ_k s_k N(e_l; ψ_k, σ²/n_l)``. Proposals lie about the best segmentations of the estimates into 1, 2, … groups,
found by dynamic programming. Of them and the state of a chain one is taken with probability ∝ target / proposal, which
leaves the target as it is (iterated sampling importance resampling; Andrieu, Lee and Vihola 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from equishare.clustering import segmentation_path

# Proposals a chain.
_PROPOSALS = 4
# Values are proposed by Student's t of so many degrees of freedom, so many standard errors wide.
_FREEDOM, _SPREAD = 4.0, 1.3
_LOG_T = math.lgamma((_FREEDOM + 1) / 2) - math.lgamma(_FREEDOM / 2) - math.log(math.sqrt(_FREEDOM * math.pi) * _SPREAD)
# Of the size of a segment so much counts in the frequencies that are proposed.
_SIZES = 0.6
# Numbers of values are proposed by this power of their evidence, and each by this part at least.
_POWER, _LEAST = 0.6, 0.02


@dataclass(frozen=True, eq=False)
class Values:
    """Values (…, M) ascending, the active first, and the log of their frequencies, −∞ of others."""

    values: np.ndarray
    log_share: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """(…, M) which are there."""
        return np.isfinite(self.log_share)


@dataclass(frozen=True, eq=False)
class Segments:
    """Segmentations of estimates into 1, …, M groups; (C, M, M) each, the groups of a number in a row.

    Attributes:
        centre: means of the groups, shrunk.
        precision: of the means.
        size: (M, M) numbers of levels.
        log_p: (C, M) with which the numbers are proposed.
    """

    centre: np.ndarray
    precision: np.ndarray
    size: np.ndarray
    log_p: np.ndarray


def segments(pull: np.ndarray, weight: np.ndarray, width2: np.ndarray, log_number: np.ndarray) -> Segments:
    """The best segmentations of the mean over chains, with the values of each chain.

    Args:
        pull: (C, L) gradient of the log likelihood in the effects at 0.
        weight: (C, L) their precision.
        width2: (C,) variance of the values.
        log_number: (M,) log of the prior of the number of values.
    """
    most, levels = len(log_number), pull.shape[1]
    labels, _ = segmentation_path(pull.sum(0) / weight.sum(0), weight.sum(0), most)
    numbers = np.arange(most)
    one_hot = (labels[..., None] == numbers).astype(float).transpose(1, 0, 2).reshape(levels, -1)
    size = one_hot.sum(0).reshape(most, most)
    pulls, weights = (part @ one_hot for part in (pull, weight))
    precision = (weights + 1 / width2[:, None]).reshape(-1, most, most)
    pulls = pulls.reshape(precision.shape)
    own = 0.5 * pulls**2 / precision - 0.5 * np.log(precision * width2[:, None, None])
    log_gamma = scipy.special.gammaln
    score = (own * (size > 0)).sum(2) + log_gamma(size + 1).sum(1) + log_number
    score += log_gamma(numbers + 2) + log_gamma(numbers + 1) - log_gamma(levels + numbers + 1)
    p = np.exp(_POWER * (score - score.max(1, keepdims=True)))
    p = p / p.sum(1, keepdims=True) + _LEAST
    return Segments(pulls / precision, precision, size, np.log(p / p.sum(1, keepdims=True)))


def proposed(found: Segments, rng: np.random.Generator) -> Values:
    """(C, P, M) proposals; values that are not ascending are none."""
    chains, most = found.log_p.shape
    p = np.exp(found.log_p).cumsum(1)
    number = (p[:, None] < rng.random((chains, _PROPOSALS, 1)) * p[:, -1:, None]).sum(2)
    rows = np.arange(chains)[:, None]
    active = np.arange(most) <= number[..., None]
    values = found.centre[rows, number]
    values = values + _SPREAD * rng.standard_t(_FREEDOM, values.shape) / np.sqrt(found.precision[rows, number])
    drawn = rng.standard_gamma(1 + _SIZES * found.size[number]) * active
    with np.errstate(divide="ignore"):
        return Values(np.where(active, values, 0.0), np.log(drawn / drawn.sum(2, keepdims=True)))


def log_proposal(found: Segments, at: Values) -> np.ndarray:
    """(C, P) log density of the proposals at (C, P, M) values."""
    active = at.active
    number = active.sum(2) - 1
    rows = np.arange(len(found.log_p))[:, None]
    centre, precision, size = found.centre[rows, number], found.precision[rows, number], found.size[number]
    scaled = (at.values - centre) ** 2 * precision / _SPREAD**2
    values = 0.5 * np.log(precision) - 0.5 * (_FREEDOM + 1) * np.log1p(scaled / _FREEDOM) + _LOG_T
    alpha = 1 + _SIZES * size
    share = (alpha - 1) * np.where(active, at.log_share, 0.0) - scipy.special.gammaln(alpha)
    total = np.where(active, alpha, 0.0).sum(2)
    return np.asarray(
        found.log_p[rows, number] + np.where(active, values + share, 0.0).sum(2) + scipy.special.gammaln(total)
    )


def log_likelihood(at: Values, pull: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(C, P) log likelihood of (C, P, M) values with the labels of all levels summed out, up to a constant."""
    values = at.values[:, :, None, :]
    fit = (pull[:, None, :, None] - 0.5 * weight[:, None, :, None] * values) * values + at.log_share[:, :, None, :]
    top = fit.max(3, keepdims=True)
    return np.asarray((np.log(np.exp(fit - top).sum(3)) + top[..., 0]).sum(2))


def resampled(
    state: Values,
    pull: np.ndarray,
    weight: np.ndarray,
    width2: np.ndarray,
    log_number: np.ndarray,
    log_prior: Callable[[Values], np.ndarray],
    rng: np.random.Generator,
) -> Values:
    """(C, M) the state, or a proposal.

    Args:
        state: (C, M) of each chain.
        pull, weight, width2, log_number: see :func:`segments`.
        log_prior: (C, P) log density of (C, P, M) values, which are ascending.
        rng: of the draws.
    """
    found = segments(pull, weight, width2, log_number)
    new = proposed(found, rng)
    every = Values(
        np.concatenate([state.values[:, None], new.values], 1),
        np.concatenate([state.log_share[:, None], new.log_share], 1),
    )
    number = every.active.sum(2)
    target = log_number[number - 1] + log_prior(every) + scipy.special.gammaln(number)
    log_weight = target + log_likelihood(every, pull, weight) - log_proposal(found, every)
    ascends = (np.diff(every.values, axis=2) >= 0) | ~every.active[..., 1:]
    log_weight = np.where(ascends.all(2), log_weight, -np.inf)
    p = np.exp(log_weight - log_weight.max(1, keepdims=True)).cumsum(1)
    chosen = (p < rng.random((len(p), 1)) * p[:, -1:]).sum(1)
    rows = np.arange(len(p))
    return Values(every.values[rows, chosen], every.log_share[rows, chosen])
