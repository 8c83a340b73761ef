"""Variances of the unshared estimates, where the noise level is not given and need not be the same everywhere."""

from __future__ import annotations

import numpy as np
import scipy

from equishare.problems.estimates import BlockEstimate
from equishare.problems.moments import Moments, Rows, chunks

# A variance estimate below this part of the usual one is a rounding artefact (a dead pixel, say).
_LEAST_RELATIVE_VARIANCE = 1e-5
# Residuals below this part of the spread of y are rounding errors, not noise.
_LEAST_RELATIVE_NOISE = 1e-8
# Entries keep one noise level unless the data reject that at this significance.
_POOLING_SIGNIFICANCE = 0.01


def estimate(x: Rows, y: Rows, moments: Moments, centred: bool, shape: tuple[int, ...]) -> BlockEstimate:
    """Least squares of y (n, O) on x (n, I) with heteroscedasticity-consistent variances.

    The variance of each weight is the sandwich ``Σ_n P[n, i]² e[n, o]² / (1 − h_n)``, P = X S⁻¹ (MacKinnon
    and White 1985, HC2). It is right also where the noise depends on x or differs between outputs. The variance of a
    single weight is itself uncertain, so all of them are shrunk to a common level, by as much as the data allow
    (Smyth 2004).

    The caller has checked that the moments have full rank and come from more samples than parameters. The estimates get
    ``shape``, the shape of the shared parameter.
    """
    weight = moments.least_squares()
    inverse = moments.inverse()
    count, parameters = moments.count, moments.sxx.shape[0] + int(centred)
    # Fourth powers of the data may overflow: residuals are in units of the spread of y, P in units of its columns.
    spread = moments.syy.mean() / count
    column = np.sqrt(np.diag(inverse))
    sandwich = np.zeros_like(weight)
    squares = np.zeros_like(weight)
    squared_residual = np.zeros(weight.shape[0])
    for start, stop in chunks(count, x.width + y.width, least=x.width):
        xc = x.between(start, stop) - moments.x_mean
        residual = y.between(start, stop) - moments.y_mean - xc @ weight.T
        p = xc @ inverse
        leverage = (p * xc).sum(1) + (1 / count if centred else 0.0)
        squared = (residual / np.sqrt(spread)) ** 2
        squared_residual += squared.sum(0)
        p2 = (p / column) ** 2
        sandwich += (squared / np.maximum(1 - leverage, 1 / count)[:, None]).T @ p2
        squares += (squared**2).T @ p2**2
    freedom = count - parameters
    noise = max(squared_residual.mean() / freedom, _LEAST_RELATIVE_NOISE**2)
    sandwich = np.maximum(sandwich, _LEAST_RELATIVE_NOISE**2)
    # Degrees of freedom of each variance: twice its square over its own sampling variance. Heavy tails and leverage
    # lower them. The median over outputs is less noisy.
    own_freedom = np.median(2 / np.maximum(squares / sandwich**2 - 1 / count, 1 / count), axis=0)
    own_freedom = np.broadcast_to(np.minimum(own_freedom, count) * (freedom / count), weight.shape)
    ratio = _shrunk(sandwich / noise, own_freedom)
    variance = noise * ratio * spread
    return BlockEstimate(
        weight.reshape(shape),
        (variance * np.diag(inverse)).reshape(shape),
        float(freedom * weight.shape[0]),
        moments.sxx,
        np.sqrt(1 / variance).reshape(shape),
    )


def _shrunk(variance: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Posterior means of variances under a scaled inverse chi-squared prior fitted to them (Smyth 2004, limma)."""
    variance = np.maximum(variance, _LEAST_RELATIVE_VARIANCE * np.median(variance))
    pooled = np.average(variance, weights=freedom)
    if variance.size == 1:
        return variance
    log_excess = np.log(variance) - scipy.special.digamma(freedom / 2) + np.log(freedom / 2)
    expected = scipy.special.polygamma(1, freedom / 2).mean()
    observed = log_excess.var(ddof=1)
    statistic = observed / expected * (variance.size - 1)
    if observed <= expected or scipy.special.chdtrc(variance.size - 1, statistic) > _POOLING_SIGNIFICANCE:
        return np.full_like(variance, pooled)
    prior_freedom = 2 * _inverse_trigamma(observed - expected)
    prior = np.exp(log_excess.mean() + scipy.special.digamma(prior_freedom / 2) - np.log(prior_freedom / 2))
    return (prior_freedom * prior + freedom * variance) / (prior_freedom + freedom)


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value by Newton's method on 1/trigamma, which is convex and nearly linear."""
    if value > 1e7:
        return 1 / np.sqrt(value)
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(scipy.special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(scipy.special.polygamma(2, x))
        x += step
        if -step < 1e-10 * x:
            break
    return x
