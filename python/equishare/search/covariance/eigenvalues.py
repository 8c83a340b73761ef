"""A covariance with the eigenvectors of the samples and eigenvalues that other samples tell.

The eigenvalues of second moments S are spread too widely. Along the i-th eigenvector of S of all folds but one, the
samples of that fold have the mean square that belongs in the place of the i-th eigenvalue (Abadir, Distaso, Žikeš 2014;
Lam 2016). Their means over the folds are made ascending by isotonic regression, as are the eigenvalues.
"""

from __future__ import annotations

import numpy as np
import scipy

# Folds: each sample one, up to so many.
_FOLDS = 30


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
