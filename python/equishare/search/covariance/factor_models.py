"""Covariances of a few common factors with loads of their own: the simplest that look nearly symmetric and are not.

    Σ = Λ Λᵀ + diag(ψ),    Λ (p, k)

Loads of the first factor are ``N(m, s²)``, of the others ``N(0, s²)``, and ``log ψ ~ N(μ, t²)``, so that loads and
variances of their own may be as near to each other as the data say. s and t are averaged over, with t near 0 (one ψ
for all) in half of the cases; m and μ are normal with the deviation of a typical variable. The likelihood is taken as
normal (:mod:`equishare.search.covariance.gaussian`) about the most probable Λ and ψ. These are found by Newton's
steps, with the likeliest s and t in each, from Lawley and Maxwell's iteration, slightly drawn to independent variables.
"""

from __future__ import annotations

import numpy as np
import scipy

from equishare.problems.commutant import Commutant, distinct, log_likelihood
from equishare.search.covariance.evidence import Terms, centre, deviations_of, prior_of, terms_of
from equishare.search.covariance.gaussian import integrated
from equishare.symmetry.permutations import groups_of

#: Numbers of factors that are tried.
FACTORS = (1, 2)
# Steps of the first fit, and the relative change of ψ at which it ends.
_STEPS, _ENOUGH = 300, 1e-6
# It adds so many samples of independent variables, and ψ is that share of a variance at least.
_DRAWN, _LEAST = 1.0, 0.02
# Newton's steps, halvings of a step, and the log probability that a step must gain for another one to follow.
_NEWTON, _HALVINGS, _GAIN = 12, 6, 0.05
# Every so manyth strength of the grid is tried, of many variables fewer; a strength that stands for infinity.
_STEP, _COARSE, _MANY, _SAME = 2, 4, 100, 2.0**24


def factors_of_sets(second: np.ndarray, count: int, sets: np.ndarray, number: int) -> Terms | None:
    """The evidence of one sample whose sets of variables are independent, each with common factors of its own.

    A set that is too small for them has free covariances; None where all are. So has one of three among others, as any
    covariance of three variables is one of a factor.

    Args:
        second: S (p, p).
        count: n.
        sets: (p,) labels of the sets.
        number: k.
    """
    mean, value, any_factors = np.zeros_like(second), 0.0, False
    for own in groups_of(sets):
        at = np.ix_(own, own)
        terms = terms_of_factors(second[at], count, number) if len(own) != 3 or len(sets) == 3 else None
        any_factors |= terms is not None
        terms = terms_of(Commutant(distinct(len(own))), second[at], count) if terms is None else terms
        mean[at], value = terms.mean(), value + terms.log_evidence
    return Terms(np.array([[value]]), np.array([np.inf]), [centre(mean)], second, count) if any_factors else None


def terms_of_factors(second: np.ndarray, count: int, number: int) -> Terms | None:
    """The evidence of one sample for a number of common factors; None where variables or samples are too few for them.

    Args:
        second: S (p, p).
        count: n.
        number: k.
    """
    size = len(second)
    if size < 2 * number + 1 or count < number * size:
        return None
    unit = float(np.diag(second).mean())
    second = second / unit
    loads, own = _fitted((count * second + _DRAWN * np.diag(np.diag(second))) / (count + _DRAWN), number)
    point = np.concatenate([loads.T.ravel(), np.log(own)])
    grid = _Grid(size, count, number)
    for _ in range(_NEWTON):
        values, means = grid.integrated(point, *_derivatives(point, second, count))
        place = int(np.argmax(values))
        before = _log_likelihood(point, second, count) + grid.log_prior(point, place)
        for halving in range(_HALVINGS):
            trial = point + means[place] / 2**halving
            gained = _log_likelihood(trial, second, count) + grid.log_prior(trial, place) - before
            if gained > 0:
                break
        if not gained > 0:
            break
        point = trial
        if gained < _GAIN:
            break
    values, means = grid.integrated(point, *_derivatives(point, second, count))
    start = _log_likelihood(point, second, count) - 0.5 * count * size * np.log(unit)
    targets = [centre(unit * _matrix(point + moved, size)) for moved in means]
    return Terms((start + values)[:, None], np.array([np.inf]), targets, unit * second, count)


class _Grid:
    """The priors: every pair of s and t."""

    def __init__(self, size: int, count: int, number: int) -> None:
        strengths = deviations_of(size, count, _STEP if size < _MANY else _COARSE)
        prior = prior_of(strengths)
        pairs = [
            (nu, other, share * weight)
            for nu, share in zip(strengths, prior, strict=True)
            for other, weight in zip([_SAME, *strengths], [0.5, *(prior / 2)], strict=True)
        ]
        self.size, self.number = size, number
        self.deviations = np.array([[nu, other] for nu, other, _ in pairs]) ** -0.5
        self.log_weights = np.log([weight for _, _, weight in pairs])
        common = np.hstack([np.ones((size, 1)), np.eye(size)])
        self.spans = scipy.linalg.block_diag(common, *[np.eye(size)] * (number - 1), common)

    def integrated(
        self, point: np.ndarray, gradient: np.ndarray, information: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """log of weight times likelihood, less that at the point, and the mean of what it moves, for each pair."""
        # δ = −θ + U D z for z ~ N(0, I), with U the same for all pairs.
        centred = gradient + information @ point
        start = -gradient @ point - 0.5 * point @ information @ point
        right, inner = self.spans.T @ centred, self.spans.T @ information @ self.spans
        values, means = [], []
        for s, t in self.deviations.tolist():
            scale = self._scale(s, t)
            value, z = integrated(scale * right, scale[:, None] * inner * scale, np.eye(len(scale)))
            values.append(start + value)
            means.append(self.spans @ (scale * z) - point)
        return self.log_weights + values, means

    def log_prior(self, point: np.ndarray, place: int) -> float:
        """log density of Λ and log ψ, but for a constant."""
        s, t = self.deviations[place].tolist()
        first, *others, last = np.split(point, self.number + 1)
        total = -0.5 * sum(float(one @ one) for one in others) / s**2
        for one, deviation in ((first, s), (last, t)):
            total -= 0.5 * (one @ one - one.sum() ** 2 / (deviation**2 + self.size)) / deviation**2
        return float(total)

    def _scale(self, s: float, t: float) -> np.ndarray:
        loads, own = np.full(self.size, s), np.full(self.size, t)
        return np.concatenate([[1.0], loads, *[loads] * (self.number - 1), [1.0], own])


def _log_likelihood(point: np.ndarray, second: np.ndarray, count: int) -> float:
    return log_likelihood(_matrix(point, len(second)), second, count)


def _parts(point: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Λ and ψ."""
    return point[:-size].reshape(-1, size).T, np.exp(np.clip(point[-size:], -20, 20))


def _matrix(point: np.ndarray, size: int) -> np.ndarray:
    loads, own = _parts(point, size)
    return np.asarray(loads @ loads.T + np.diag(own))


def _fitted(second: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Λ (p, k) and ψ (p,) of greatest likelihood; the sum of the loads is that of the first factor."""
    size, variances = len(second), np.diag(second)
    own = np.maximum(0.5 / np.diag(np.linalg.inv(second)), _LEAST * variances)
    top = (size - number, size - 1)
    for _ in range(_STEPS):
        scale = np.sqrt(own)
        values, vectors = scipy.linalg.eigh(second / np.outer(scale, scale), subset_by_index=top)
        loads = scale[:, None] * vectors * np.sqrt(np.maximum(values - 1, 0))
        before, own = own, np.maximum(variances - (loads**2).sum(1), _LEAST * variances)
        if np.abs(own - before).max() < _ENOUGH * variances.max():
            break
    if number > 1:
        sums = loads.sum(0)
        axes = np.linalg.qr(np.column_stack([sums, np.eye(number)[:, : number - 1] + 1e-3]))[0]
        loads = loads @ axes
    return loads * np.where(loads.sum(0) < 0, -1.0, 1.0), own


def _derivatives(point: np.ndarray, second: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Fisher information of the log likelihood in the loads, factor by factor, and in log ψ."""
    loads, own = _parts(point, len(second))
    size, number = loads.shape
    inverse = np.linalg.inv(loads @ loads.T + np.diag(own))
    excess = inverse @ second @ inverse - inverse
    gradient = np.concatenate([(count * excess @ loads).T.ravel(), 0.5 * count * own * np.diag(excess)])
    images = inverse @ loads
    inner = loads.T @ images
    length = size * number
    information = np.empty((length + size, length + size))
    for f in range(number):
        rows = slice(f * size, (f + 1) * size)
        for h in range(number):
            columns = slice(h * size, (h + 1) * size)
            information[rows, columns] = count * (np.outer(images[:, h], images[:, f]) + inner[f, h] * inverse)
        cross = count * inverse * images[:, f] * own
        information[rows, length:], information[length:, rows] = cross, cross.T
    information[length:, length:] = 0.5 * count * inverse**2 * np.outer(own, own)
    return gradient, information
