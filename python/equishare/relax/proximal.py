"""Penalties whose proximal map ties numbers exactly, and paths of penalised least-squares fits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from equishare.problems.least_squares import LeastSquares

# A fit is done when no entry moves by more than this part of the spread of all of them, or after so many steps.
_TOLERANCE = 1e-5
_MOST_ITERATIONS = 300


class Penalty(Protocol):
    """A penalty on K numbers with an exact proximal map."""

    def prox(self, values: np.ndarray, strength: float) -> np.ndarray:
        """``argmin over w of ½ ‖w − values‖² + strength · penalty(w)`` (K,); tied numbers are equal bit by bit."""

    def strongest(self, gradient: np.ndarray) -> float:
        """The least strength at which the coarsest point stays a minimum, given the gradient (K,) of the loss there."""

    def coarsest(self, values: np.ndarray) -> np.ndarray:
        """What the penalty ties most: the point (K,) that the strongest penalty leads to, near some values."""


class PairwiseDifferences:
    """``1/(K − 1) Σ_{i<j} |w_i − w_j|``: pulls all numbers together.

    In sorted order the penalty is linear, with slope ``(2 i − K − 1)/(K − 1)`` in the i-th number. So its proximal map
    subtracts the slopes and restores the order, which is an isotonic regression.

    Source: Shakerinava et al. 2024, Weight-sharing regularization.
    """

    def prox(self, values: np.ndarray, strength: float) -> np.ndarray:
        """See :class:`Penalty`."""
        order = np.argsort(values, kind="stable")
        slopes = np.linspace(-1, 1, len(values)) if len(values) > 1 else np.zeros(1)
        tied = np.empty_like(values)
        tied[order] = _isotonic(values[order] - strength * slopes)
        return tied

    def strongest(self, gradient: np.ndarray) -> float:
        """See :class:`Penalty`; the s entries of the largest gradients leave first."""
        count = len(gradient)
        if count == 1:
            return 0.0
        s = np.arange(1, count)
        pull = np.cumsum(np.sort(gradient - gradient.mean())[::-1])[:-1]
        return float(np.max(pull * (count - 1) / (s * (count - s))))

    def coarsest(self, values: np.ndarray) -> np.ndarray:
        """All equal."""
        return np.full_like(values, values.mean())


class SortedL1:
    """``Σ_i λ_i |w|_(i)`` with ``λ_i = Φ⁻¹(1 − i q / 2K)``: pulls numbers to zero, and ties those of equal size.

    Args:
        q: the smaller, the more alike the λ_i, and the fewer the ties.

    Source: Bogdan et al. 2015, SLOPE.
    """

    def __init__(self, q: float) -> None:
        self.q = q

    def _weights(self, count: int) -> np.ndarray:
        from scipy.special import ndtri

        return np.asarray(ndtri(1 - np.arange(1, count + 1) * self.q / (2 * count)))

    def prox(self, values: np.ndarray, strength: float) -> np.ndarray:
        """See :class:`Penalty`."""
        order = np.argsort(-np.abs(values), kind="stable")
        sizes = np.empty_like(values)
        falling = np.abs(values)[order] - strength * self._weights(len(values))
        sizes[order] = np.maximum(-_isotonic(-falling), 0.0)
        return np.sign(values) * sizes

    def strongest(self, gradient: np.ndarray) -> float:
        """See :class:`Penalty`."""
        largest = np.cumsum(np.sort(np.abs(gradient))[::-1])
        return float(np.max(largest / np.cumsum(self._weights(len(gradient)))))

    def coarsest(self, values: np.ndarray) -> np.ndarray:
        """All zero."""
        return np.zeros_like(values)


def _isotonic(values: np.ndarray) -> np.ndarray:
    """The nearest rising numbers, by pooling neighbours that are out of order."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(values).x)


def strengths_of(strongest: float, count: int, smallest: float) -> np.ndarray:
    """So many strengths, evenly spaced on a logarithmic scale, from the strongest down to ``smallest`` of it."""
    return strongest * np.geomspace(1.0, smallest, count)


def penalised_path(problem: LeastSquares, penalty: Penalty, count: int, smallest: float) -> list[np.ndarray]:
    """Weights (O, I) that minimise the mean squared error on the training samples plus the penalty, strongest first.

    By accelerated proximal gradient steps with restarts (Beck and Teboulle 2009; O'Donoghue and Candès 2015), each
    strength from the fit of the one before.

    Args:
        problem: gives the loss.
        penalty: with its proximal map.
        count: strengths, from the least that ties all entries.
        smallest: the last of them, as a part of the first.
    """
    moments = problem.train
    curvature, linear = moments.sxx / moments.count, moments.sxy / moments.count
    step = 1 / max(float(np.linalg.eigvalsh(curvature)[-1]), np.finfo(float).tiny)

    def gradient(weight: np.ndarray) -> np.ndarray:
        return weight @ curvature - linear

    free = moments.least_squares()
    # The best point among the coarsest: one number, by which all entries of `ones` are multiplied.
    ones = penalty.coarsest(np.ones(free.size)).reshape(free.shape)
    square = float(np.sum((ones @ curvature) * ones))
    weight = ones * (float(np.sum(ones * linear)) / square if square > 0 else 0.0)
    strongest = penalty.strongest(-gradient(weight).ravel())
    spread = float(np.ptp(free)) or 1.0
    found = [weight]
    for strength in strengths_of(strongest, count, smallest)[1:]:
        prox = partial(penalty.prox, strength=float(strength * step))
        weight = _minimum(weight, gradient, prox, step, _TOLERANCE * spread)
        found.append(weight)
    return found


def _minimum(
    weight: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    prox: Callable[[np.ndarray], np.ndarray],
    step: float,
    tolerance: float,
) -> np.ndarray:
    ahead, momentum = weight, 1.0
    for _ in range(_MOST_ITERATIONS):
        new = prox((ahead - step * gradient(ahead)).ravel()).reshape(weight.shape)
        if np.abs(new - ahead).max() <= tolerance:
            return new
        if np.sum((ahead - new) * (new - weight)) > 0:  # the momentum points uphill
            ahead, momentum = weight, 1.0
            new = prox((ahead - step * gradient(ahead)).ravel()).reshape(weight.shape)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead, weight, momentum = new + (momentum - 1) / following * (new - weight), new, following
    return weight
