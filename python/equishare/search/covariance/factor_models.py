"""Covariances of a few common factors with loads of their own: the simplest that look nearly symmetric and are not.

    Σ = Λ Λᵀ + diag(ψ),    Λ (p, k)

Loads of the first factor are ``N(m, s²)``, of the others ``N(0, s²)``, and ``log ψ ~ N(μ, t²)``, so that loads and
variances of their own may be as near to each other as the data say. s and t are averaged over, with t = 0 (one ψ for
all) in half of the cases; m and μ are normal with the deviation of a typical variable. At the likeliest Λ and ψ the
likelihood is taken as normal (:mod:`equishare.search.covariance.gaussian`). Λ and ψ are fitted by Lawley and Maxwell's
iteration, slightly drawn to independent variables, so that ψ stays positive.
"""

from __future__ import annotations

import numpy as np
import scipy

from equishare.problems.commutant import log_likelihood
from equishare.search.covariance.evidence import Target, Terms, deviations_of, prior_of
from equishare.search.covariance.gaussian import integrated

#: Numbers of factors that are tried.
FACTORS = (1, 2)
# Steps of the fit, and the relative change of ψ at which it ends.
_STEPS, _ENOUGH = 300, 1e-6
# The fit adds so many samples of independent variables, and ψ is that share of a variance at least.
_DRAWN, _LEAST = 1.0, 0.02
# Every so manyth strength of the grid is tried, of many variables fewer.
_STEP, _COARSE, _MANY = 2, 4, 100


def terms_of_factors(second: np.ndarray, count: int, number: int) -> Terms | None:
    """The evidence of one sample for a number of common factors; None where so many cannot be told apart.

    Args:
        second: S (p, p).
        count: n.
        number: k.
    """
    size = len(second)
    if size < 2 * number + 1:
        return None
    unit = float(np.diag(second).mean())
    second = second / unit
    loads, own = _fitted((count * second + _DRAWN * np.diag(np.diag(second))) / (count + _DRAWN), number)
    gradient, information = _derivatives(loads, own, second, count)
    start = log_likelihood(loads @ loads.T + np.diag(own), second, count) - 0.5 * count * size * np.log(unit)
    mean = -np.concatenate([loads.T.ravel(), np.log(own)])
    strengths = deviations_of(size, count, _STEP if size < _MANY else _COARSE)
    prior = prior_of(strengths)
    ones, weights, targets = np.ones((size, 1)), [], []
    for nu, share in zip(strengths, prior, strict=True):
        for other, weight in zip([np.inf, *strengths], [0.5, *(prior / 2)], strict=True):
            same = np.eye(size) / np.sqrt(nu)
            alike = [np.hstack([ones, same]), *[same] * (number - 1)]
            unlike = np.hstack([ones, np.eye(size) / np.sqrt(other)]) if np.isfinite(other) else ones
            value, moved = integrated(gradient, information, scipy.linalg.block_diag(*alike, unlike), mean)
            matrix = _matrix(loads, own, moved)
            weights.append(start + value + np.log(share * weight))
            targets.append(Target(unit * matrix, np.empty(0)))
    return Terms(np.array(weights)[:, None], np.array([np.inf]), targets, unit * second, count)


def _matrix(loads: np.ndarray, own: np.ndarray, moved: np.ndarray) -> np.ndarray:
    size, number = loads.shape
    drawn = loads + moved[: size * number].reshape(number, size).T
    return np.asarray(drawn @ drawn.T + np.diag(own * np.exp(np.clip(moved[size * number :], -5, 5))))


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


def _derivatives(
    loads: np.ndarray, own: np.ndarray, second: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Fisher information of the log likelihood in the loads, factor by factor, and in log ψ."""
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
