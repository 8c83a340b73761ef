"""Variances of the unshared estimates, where the noise level is not given and need not be the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from equishare.problems.estimates import BlockEstimate
from equishare.problems.moments import Moments, Rows, chunks, folded

# A variance estimate below this part of the usual one is a rounding artefact (a dead pixel, say).
_LEAST_RELATIVE_VARIANCE = 1e-5
# Residuals below this part of the spread of y are rounding errors, not noise.
_LEAST_RELATIVE_NOISE = 1e-8
# Entries keep one noise level unless the data reject that at this significance.
_POOLING_SIGNIFICANCE = 0.01
# An output of more noise counts as if it had less: equations of too different sizes cannot be solved together.
_LEAST_WEIGHT = 1e-12
# Of so many outputs at most the correlation of the noise with that of every output is formed.
_COMPARED = 64


@dataclass(frozen=True, eq=False)
class Unshared:
    """The unshared fit of y (n, O) on x (n, I): what a pass over the samples needs to sum up their residuals.

    Attributes:
        weight: (O, I) of least squares.
        inverse: (I, I) of the scatter of the inputs.
        x_mean, y_mean, x_low, y_low: as of the moments.
        count: n.
        centred: whether they are.
        spread: of y, in the units of whose root residuals are: fourth powers of the data may overflow.
    """

    weight: np.ndarray
    inverse: np.ndarray
    x_mean: np.ndarray
    y_mean: np.ndarray
    x_low: np.ndarray | float
    y_low: np.ndarray | float
    count: int
    centred: bool
    spread: float

    @classmethod
    def of(cls, moments: Moments, centred: bool) -> Unshared:
        """The fit that has these moments, of full rank and of more samples than parameters."""
        spread = float(moments.syy.mean() / moments.count)
        weight, inverse = moments.least_squares(), moments.inverse()
        means = moments.x_mean, moments.y_mean, moments.x_low, moments.y_low
        return cls(weight, inverse, *means, moments.count, centred, spread)

    def sums(self, x: np.ndarray, y: np.ndarray) -> Residuals:
        """Sums over some of the samples, in float64."""
        xc, residual = x - self.x_mean, y - self.y_mean
        if self.centred:
            xc -= self.x_low
            residual -= self.y_low
        residual -= xc @ self.weight.T
        column = np.sqrt(np.diag(self.inverse))
        p = xc @ (self.inverse / column)
        xc *= p
        leverage = xc @ column + (1 / self.count if self.centred else 0.0)
        residual /= np.sqrt(self.spread)
        # Means have as many outputs as entries, and no shared inputs.
        crossed = residual.T @ residual[:, _compared(self.weight)] if self.weight.shape[1] > 1 else None
        squared, p2 = np.square(residual, out=residual), np.square(p, out=p)
        less = 1 / np.maximum(1 - leverage, 1 / self.count)[:, None]
        is_wide = p2.shape[1] > squared.shape[1]
        sandwich = (squared * less).T @ p2 if is_wide else squared.T @ (p2 * less)
        total = squared.sum(0)
        squares = np.square(squared, out=squared).T @ np.square(p2, out=p2)
        return Residuals(total, sandwich, squares, len(x), crossed)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Sums over samples, e the residuals in units of the spread of y, P = X S⁻¹ in units of its columns.

    Attributes:
        squared: (O,) ``Σ e²``.
        sandwich: (O, I) ``Σ P² e² / (1 − h)``.
        squares: (O, I) ``Σ P⁴ e⁴``.
        count: the number of samples.
        crossed: (O, m) ``Σ e_o e_p`` with m outputs p in equal steps; None for means.
    """

    squared: np.ndarray
    sandwich: np.ndarray
    squares: np.ndarray
    count: int
    crossed: np.ndarray | None

    def joined_with(self, other: Residuals) -> Residuals:
        """Sums over both."""
        return Residuals(
            self.squared + other.squared,
            self.sandwich + other.sandwich,
            self.squares + other.squares,
            self.count + other.count,
            None if self.crossed is None or other.crossed is None else self.crossed + other.crossed,
        )


def residuals(x: Rows, y: Rows, fit: Unshared) -> Residuals:
    """The sums over all rows."""
    ranges = chunks(fit.count, x.width + y.width, least=x.width)
    return folded((fit.sums(x.between(*own), y.between(*own)) for own in ranges), Residuals.joined_with)


def estimate(fit: Unshared, found: Residuals, sxx: np.ndarray, shape: tuple[int, ...]) -> BlockEstimate:
    """Least squares of y (n, O) on x (n, I) with heteroscedasticity-consistent variances.

    The variance of each weight is the sandwich ``Σ_n P[n, i]² e[n, o]² / (1 − h_n)``, P = X S⁻¹ (MacKinnon
    and White 1985, HC2). It is right also where the noise depends on x or differs between outputs. The variance of a
    single weight is itself uncertain, so all of them are shrunk to a common level, by as much as the data allow
    (Smyth 2004). Where noise is correlated between outputs, the estimate states by how much that multiplies the
    variance of a misfit, which counts each of them.

    The estimates get ``shape``, the shape of the shared parameter. ``sxx`` is the scatter of the inputs.
    """
    count, weight = fit.count, fit.weight
    freedom = count - len(sxx) - int(fit.centred)
    noise = max(found.squared.mean() / freedom, _LEAST_RELATIVE_NOISE**2)
    sandwich = np.maximum(found.sandwich, _LEAST_RELATIVE_NOISE**2)
    # Of a map the usual variance is that of its own output: others may have other units.
    usual = np.median(sandwich, axis=None if sandwich.shape[1] == 1 else 1, keepdims=True)
    floored = np.maximum(sandwich, _LEAST_RELATIVE_VARIANCE * usual)
    ratio = _shrunk(floored / noise, np.broadcast_to(_own_freedom(found, freedom), weight.shape))
    variance = noise * ratio * fit.spread
    return BlockEstimate(
        weight.reshape(shape),
        (variance * np.diag(fit.inverse)).reshape(shape),
        float(freedom * weight.shape[0]),
        sxx,
        np.sqrt(1 / variance).reshape(shape),
        inflation=_inflation(found, freedom),
    )


def output_weights(found: Residuals, freedom: int) -> np.ndarray:
    """(O,) inverse noise variance of each output, as a part of the greatest; all 1 where no difference is told."""
    noise = np.maximum(found.squared / freedom, _LEAST_RELATIVE_NOISE**2)[:, None]
    shrunk = _shrunk(noise, np.full(noise.shape, np.median(_own_freedom(found, freedom))))[:, 0]
    return np.maximum(shrunk.min() / shrunk, _LEAST_WEIGHT)


def _own_freedom(found: Residuals, freedom: int) -> np.ndarray:
    """(I,) degrees of freedom of the variance of a weight: twice its square over its own sampling variance.

    Heavy tails and leverage lower them. The median over outputs is less noisy.
    """
    sandwich = np.maximum(found.sandwich, _LEAST_RELATIVE_NOISE**2)
    own = np.median(2 / np.maximum(found.squares / sandwich**2 - 1 / found.count, 1 / found.count), axis=0)
    return np.asarray(np.minimum(own, found.count) * (freedom / found.count))


def _compared(weight: np.ndarray) -> slice:
    return slice(None, None, -(-len(weight) // _COMPARED))


def _inflation(found: Residuals, freedom: int) -> float:
    """``Σ r_op² / O`` with the correlations r of the noise of O outputs, without what chance adds; at least 1.

    A misfit is a sum over outputs of quadratic forms. Two of them have the covariance r² times the variance of one.
    """
    if found.crossed is None:
        return 1.0
    scale = np.sqrt(np.maximum(found.squared, _LEAST_RELATIVE_NOISE**2))
    correlation = found.crossed / np.outer(scale, scale[_compared(found.squared)])
    others = (correlation**2).sum(0) - 1 - (len(scale) - 1) / freedom
    return max(1.0, 1.0 + float(others.mean()))


def _shrunk(variance: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Posterior means of variances under a scaled inverse chi-squared prior fitted to them (Smyth 2004, limma)."""
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
