"""A covariance of which nothing is tied: with the eigenvectors of the samples, and eigenvalues that other samples tell.

The eigenvalues of second moments S are spread too widely. There are three ways to mend that, and which is best depends
on how far they lie apart:

- all are shrunk alike, which is what the evidence does;
- *rotated*: along the i-th eigenvector of S of all folds but one, the samples of that fold have the mean square that
  belongs in the place of the i-th eigenvalue (Abadir, Distaso, Žikeš 2014; Lam 2016). Their means over the folds are
  made ascending by isotonic regression, as are the eigenvalues;
- *ridged*: the precision is drawn to a multiple of the identity (van Wieringen and Peeters 2016).

They are averaged with the weights that samples left out find likely.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import scipy

from equishare.problems.commutant import log_likelihood

# Folds: each sample one, up to so many; and of the average.
_FOLDS, _AVERAGE_FOLDS = 30, 10
# The shares of three estimates in their average are tenths.
_SHARES = np.array([one for one in itertools.product(range(11), repeat=3) if sum(one) == 10]) / 10
# Penalties of a ridge, for covariances in units of their mean variance.
_PENALTIES = 10.0 ** np.linspace(-2, 4, 25)


def rotated(samples: np.ndarray) -> np.ndarray:
    """The covariance (p, p) of samples (n, p) of mean zero, see above; n is 2 at least."""
    count, size = samples.shape
    total = np.zeros(size)
    for fold in np.array_split(np.arange(count), min(count, _FOLDS)):
        others = np.delete(samples, fold, axis=0)
        vectors = np.linalg.eigh(others.T @ others / len(others))[1]
        total += ((samples[fold] @ vectors) ** 2).sum(0)
    means = total / count
    # Vectors of no variance are arbitrary among themselves.
    null = max(size - count + 1, 0)
    means[:null] = means[:null].mean() if null else means[:null]
    values = scipy.optimize.isotonic_regression(means).x
    vectors = np.linalg.eigh(samples.T @ samples / count)[1]
    return np.asarray((vectors * values) @ vectors.T)


def ridged(second: np.ndarray, penalties: np.ndarray) -> list[np.ndarray]:
    """``Σ = (λ I + ¼ (S − λ I/m)²)^½ + ½ (S − λ I/m)`` for each penalty λ, m the mean variance.

    Args:
        second: S (p, p).
        penalties: λ, in units of m².
    """
    values, vectors = np.linalg.eigh(second)
    unit = values.mean()
    halves = (values / unit - penalties[:, None]) / 2
    return [
        np.asarray((vectors * own) @ vectors.T) for own in unit * (np.sqrt(penalties[:, None] + halves**2) + halves)
    ]


def likeliest_penalty(samples: np.ndarray, folds: int) -> int:
    """Which of the penalties is best for samples left out of the ridge."""
    logs = np.zeros(len(_PENALTIES))
    for others, left in _folds(samples, folds):
        second, own = left.T @ left / len(left), ridged(others.T @ others / len(others), _PENALTIES)
        logs += [log_likelihood(one, second, len(left)) for one in own]
    return int(np.argmax(logs))


def ridge(samples: np.ndarray, folds: int = 5) -> np.ndarray:
    """The ridge of samples (n, p) of mean zero, its penalty by cross-validation."""
    return ridged(samples.T @ samples / len(samples), _PENALTIES[[likeliest_penalty(samples, folds)]])[0]


def averaged_with(alike: np.ndarray, shrunk: Callable[[np.ndarray], np.ndarray], samples: np.ndarray) -> np.ndarray:
    """The average of an estimate that shrinks all eigenvalues alike, the rotated one and the ridge.

    Each set of shares is as probable as samples left out are, given the average with it of the estimates from others.

    Args:
        alike: the first estimate (p, p).
        shrunk: such an estimate, of other samples.
        samples: (n, p) of mean zero.
    """
    if len(samples) < 3:
        return alike
    logs, penalty = np.zeros(len(_SHARES)), _PENALTIES[[likeliest_penalty(samples, _AVERAGE_FOLDS)]]
    for others, left in _folds(samples, _AVERAGE_FOLDS):
        every = np.stack([shrunk(others), rotated(others), *ridged(others.T @ others / len(others), penalty)])
        second = left.T @ left / len(left)
        logs += [log_likelihood(np.tensordot(own, every, 1), second, len(left)) for own in _SHARES]
    shares = scipy.special.softmax(logs) @ _SHARES
    every = np.stack([alike, rotated(samples), *ridged(samples.T @ samples / len(samples), penalty)])
    return np.asarray(np.tensordot(shares, every, 1))


def _folds(samples: np.ndarray, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = np.array_split(np.arange(len(samples)), min(len(samples), folds))
    return [(np.delete(samples, fold, axis=0), samples[fold]) for fold in parts]
