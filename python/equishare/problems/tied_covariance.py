"""The covariance of greatest likelihood whose entries are tied by any symmetric pattern."""

from __future__ import annotations

import numpy as np

from equishare.problems.commutant import log_likelihood

# Steps of Fisher scoring, halvings of a step, and products of the information with a vector in each.
_STEPS, _HALVINGS, _PRODUCTS = 50, 30, 60
# Products of numbers in the standard errors of all groups.
_MOST_WORK = 1 << 31
# The likelihood of a sample that a step must gain, for another one to follow.
_ENOUGH = 1e-9


def fit_tied(labels: np.ndarray, second: np.ndarray, near: np.ndarray | None = None) -> np.ndarray | None:
    """Values ψ (G,) that maximise ``−log det Σ − tr Σ⁻¹ S`` for ``Σ = ψ[labels]``.

    Fisher scoring; the information ``½ tr(Σ⁻¹ A_g Σ⁻¹ A_h)`` is only multiplied with vectors, by conjugate gradients.
    Of orbits of a group the means of S are the maximum, which is where it starts.

    Args:
        labels: (p, p) symmetric, 0 … G − 1.
        second: S (p, p).
        near: (G,) values to start from, which have a positive definite covariance.

    Returns:
        The values; None where no positive definite covariance was found from which to start.
    """
    sizes = np.bincount(labels.ravel())
    count = len(sizes)

    def gathered(matrix: np.ndarray) -> np.ndarray:
        return np.bincount(labels.ravel(), matrix.ravel(), count)

    values = _start(labels, gathered(second) / sizes) if near is None else near
    if values is None:
        return None
    best = log_likelihood(values[labels], second, 1)
    for _ in range(_STEPS):
        inverse = np.linalg.inv(values[labels])
        gradient = gathered(inverse @ (second - values[labels]) @ inverse)

        def product(v: np.ndarray, inverse: np.ndarray = inverse) -> np.ndarray:
            return gathered(inverse @ v[labels] @ inverse)

        step, moved = _conjugate_gradients(product, gradient), False
        for halving in range(_HALVINGS):
            trial = values + step / 2**halving
            own = log_likelihood(trial[labels], second, 1)
            if own > best:
                moved, gained = own > best + _ENOUGH, own
                values, best = trial, gained
                break
        if not moved:
            break
    return values


def _start(labels: np.ndarray, means: np.ndarray) -> np.ndarray | None:
    """Positive definite values near the means: covariances are made smaller where they must be."""
    off = ~np.eye(len(labels), dtype=bool)
    shrinks = np.setdiff1d(labels[off], np.diag(labels))
    for share in (1.0, 0.9, 0.7, 0.4, 0.1, 0.0):
        values = means.copy()
        values[shrinks] *= share
        if np.isfinite(log_likelihood(values[labels], np.eye(len(labels)), 1)):
            return values
    return None


def _conjugate_gradients(product: object, right: np.ndarray) -> np.ndarray:
    solution, residual = np.zeros_like(right), right.copy()
    direction, square = residual.copy(), float(residual @ residual)
    first = square
    for _ in range(min(_PRODUCTS, 2 * len(right))):
        if square <= 1e-16 * first:
            break
        image = product(direction)  # type: ignore[operator]
        length = square / float(direction @ image)
        solution += length * direction
        residual -= length * image
        square, before = float(residual @ residual), square
        direction = residual + square / before * direction
    return solution


def mean_errors(labels: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    """Standard errors (G,) of the mean over each group of the entries of second moments.

    ``√(2/n tr (A Σ A Σ))/m`` with A the 0/1 matrix of the group and m its number of ones. Of many groups that takes
    long; then entries count as independent.

    Args:
        labels: (p, p) symmetric, 0 … G − 1.
        covariance: Σ (p, p).
        count: n.
    """
    sizes = np.bincount(labels.ravel())
    variances = np.diag(covariance)
    if len(sizes) * labels.size * len(labels) > _MOST_WORK:
        # An entry and its mirror image are one.
        own = (np.outer(variances, variances) + covariance**2) / count * (2 - np.eye(len(labels)))
        return np.sqrt(np.bincount(labels.ravel(), own.ravel())) / sizes
    products = [((labels == group) @ covariance) for group in range(len(sizes))]
    return np.sqrt([2 / count * max(float((one * one.T).sum()), 0.0) for one in products]) / sizes
