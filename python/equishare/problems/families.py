"""Distributions of an outcome: gaussian with the identity, binomial with the logit, Poisson with the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from equishare.arrays import real_array, to_numpy

#: What ``family`` may be.
FAMILIES = ("gaussian", "binomial", "poisson")
#: Standard deviation of the weak prior of a GLM, of an effect or of a weight times the spread of its input: separated
#: classes have finite effects.
WIDE = 5.0
# Linear predictors beyond it are no probabilities and no counts that a computer tells apart from 0, 1 or infinity.
_MOST = 30.0
# Beyond it, exp(η) is no number.
_MOST_EXPONENT = 700.0
# Larger means of counts cannot be drawn from.
_MOST_DRAWN = 1e15
# Counts or rates of another mean are given another unit.
_PLAIN = (1e-3, 1e6)
_LEAST_WEIGHT = 1e-10


@dataclass(frozen=True)
class Family:
    """The distribution of an outcome y whose mean is ``g⁻¹(η)``, and whose log likelihood is concave in η.

    Attributes:
        name: ``gaussian``, ``binomial`` (logit) or ``poisson`` (log).
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {self.name!r}")

    @property
    def is_gaussian(self) -> bool:
        """Whether the mean is η itself, and the variance a parameter."""
        return self.name == "gaussian"

    @property
    def loss(self) -> str:
        """Name of the loss that predictions are judged by."""
        return {
            "gaussian": "mean squared error",
            "binomial": "mean log loss",
            "poisson": "mean deviance",
        }[self.name]

    @property
    def scale(self) -> str:
        """What effects add up on, g of the mean of y, in words."""
        return {
            "gaussian": "the mean of the outcome",
            "binomial": "the log odds",
            "poisson": "the log of the expected count",
        }[self.name]

    def expected(self, eta: np.ndarray) -> np.ndarray:
        """``g⁻¹(η)``, for predictions."""
        if self.name != "poisson":
            return self.mean(eta)
        return np.asarray(np.exp(np.clip(eta, -_MOST_EXPONENT, _MOST_EXPONENT)))

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """``g⁻¹(η)``, with η no larger than fits need."""
        if self.is_gaussian:
            return eta
        eta = np.clip(eta, -_MOST, _MOST)
        return np.asarray(scipy.special.expit(eta) if self.name == "binomial" else np.exp(eta))

    def curvature(self, eta: np.ndarray) -> np.ndarray:
        """Fisher information of η: the variance of y, 1 for a gaussian."""
        if self.is_gaussian:
            return np.ones_like(eta)
        mean = self.mean(eta)
        return np.maximum(mean * (1 - mean) if self.name == "binomial" else mean, _LEAST_WEIGHT)

    def losses(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """Loss of each sample: the square, −log p of a class, the deviance of a count."""
        if self.is_gaussian:
            return np.asarray((y - eta) ** 2)
        eta = np.clip(eta, -_MOST, _MOST)
        if self.name == "binomial":
            return np.asarray(np.logaddexp(0, eta) - y * eta)
        return np.asarray(2 * (scipy.special.xlogy(y, y) - y * eta - y + np.exp(eta)))

    def log_likelihoods(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """log p(y | η) of each sample up to a constant; of a gaussian of variance 1."""
        return -self.losses(y, eta) * (1.0 if self.name == "binomial" else 0.5)

    def start(self, mean: float) -> float:
        """η of a mean."""
        if self.is_gaussian:
            return mean
        return float(scipy.special.logit(mean) if self.name == "binomial" else np.log(mean))

    def drawn(self, eta: np.ndarray, weights: np.ndarray, rng: np.random.Generator, noise: float = 1.0) -> np.ndarray:
        """Outcomes drawn anew: with weights w a gaussian has the variance noise/w, and counts are rates of exposures w.

        Where a weight is zero, outcomes tell nothing, and are as expected.
        """
        weights, mean = np.broadcast_to(weights, eta.shape), self.mean(eta)
        if self.name == "binomial":
            return (rng.random(eta.shape) < mean).astype(float)
        divisor = np.where(weights > 0, weights, 1.0)
        if self.is_gaussian:
            return np.asarray(
                eta + np.sqrt(np.where(weights > 0, noise, 0.0) / divisor) * rng.standard_normal(eta.shape)
            )
        return np.where(weights > 0, rng.poisson(np.minimum(mean * divisor, _MOST_DRAWN)) / divisor, mean)

    def unit(self, y: np.ndarray, weights: np.ndarray) -> float:
        """A power of two near the mean of counts or rates; 1 where that is neither small nor large, or y is another.

        Rates y of exposures w are rates y/u of exposures w u, with log u less in η: the likelihood is the same.
        """
        mean = float(np.average(y, weights=weights))
        if self.name != "poisson" or _PLAIN[0] <= mean <= _PLAIN[1]:
            return 1.0
        return float(2.0 ** np.round(np.log2(mean)))

    def checked(self, y: Any, name: str = "y", rates: bool = False) -> np.ndarray:
        """Outcomes (n, O) in float64 that the family can have.

        Args:
            y: the outcomes.
            name: of the argument.
            rates: whether fractions may stand for counts, as where weights are exposures.

        Raises:
            TypeError: no numbers.
            ValueError: another shape, not finite, not 0 or 1, or no counts.
        """
        given = to_numpy(y.to_list() if hasattr(y, "to_list") else y, name)
        entries = given.ravel().tolist() if given.ndim and given.dtype.kind in "OUST" else []
        if any(isinstance(one, (str, bytes)) for one in entries):
            kinds, classes = ({own(one) for one in entries} for own in (lambda one: type(one).__name__, repr))
            code = ""
            if len(classes) == 2 or self.name == "binomial":
                code = f": of two classes, y == {max(classes)} with family='binomial' tells how probable it is"
            raise TypeError(f"{name} must hold numbers, got {', '.join(sorted(kinds))}{code}")
        found = real_array(given, name).astype(float)
        found = found[:, None] if found.ndim == 1 else found
        if found.ndim != 2 or 0 in found.shape:
            raise ValueError(f"{name} must have one number a sample, shape (n,), got shape {np.shape(y)}")
        if not np.isfinite(found).all():
            row = int(np.argwhere(~np.isfinite(found))[0, 0])
            raise ValueError(f"{name} must be finite, got {found[row].tolist()} in row {row}: leave such rows out")
        if self.name == "binomial" and not np.isin(found, (0, 1)).all():
            odd = found[~np.isin(found, (0, 1))][0]
            raise ValueError(f"{name} must be 0 or 1 (or False, True) for family 'binomial', got {odd:g}")
        if self.name == "poisson" and (found < 0).any():
            raise ValueError(
                f"{name} must hold counts, none negative, for family 'poisson', got {found[found < 0][0]:g}"
            )
        if self.name == "poisson" and not rates and (found % 1).any():
            raise ValueError(
                f"{name} must hold counts 0, 1, 2, … for family 'poisson', got {found[found % 1 > 0][0]:g}: of rates "
                "give the counts, and offset=np.log(exposure)"
            )
        return found

    def check_varies(self, y: np.ndarray, offset: np.ndarray, bias: bool = True) -> None:
        """ValueError where nothing can be told from outcomes (n, O) beside an offset of their shape, and a bias."""
        # Equal counts tell much where exposures differ or no bias is their mean; one class does not, nor do zeros.
        left = y - offset if self.is_gaussian else y
        alike = (left == left[0]).all(0)
        if self.name == "poisson":
            alike &= (y == 0).all(0) | ((offset == offset[0]).all(0) & bias)
        if alike.any():
            value = y[0, int(alike.argmax())]
            what = {"gaussian": "the same number", "binomial": "one class"}.get(self.name, "the same count")
            what = "zero" if self.name == "poisson" and value == 0 else what
            less = " less offset" if self.is_gaussian and offset.any() else ""
            raise ValueError(f"y{less} must vary, got {what} in all {len(y)} rows: nothing can be told from it")
