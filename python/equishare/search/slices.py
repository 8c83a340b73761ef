"""The evidence that slices are equal, from estimates of their values."""

from __future__ import annotations

import numpy as np
import scipy

from equishare.linalg import log_det
from equishare.problems.estimates import BlockEstimate
from equishare.search.price import Structure, log_prior

# Spreads of the values at a place, from a quarter of a standard error to that of all.
_SPREADS = 12


def log_odds_of_slices(estimate: BlockEstimate, labels: np.ndarray) -> float:
    """Log odds of equal slices, whose values scatter about one value at each place, against all slices scattering so.

    With Σ the covariance of the estimates of all values, and T = diag(τ²) for the spread τ at each place, the estimates
    are normal about any value of each place, with covariance ``Σ + S ⊗ T``. S is 1 for two slices of one group, else 0;
    against it stands the identity. Each density is summed over the same spreads. The odds include the prior of the
    partition.

    Args:
        estimate: (K, C) values of C places, dense.
        labels: (K,) numbered 0 … G − 1 without holes.
    """
    values, errors = estimate.values, np.median(np.sqrt(estimate.variance), axis=0)
    spreads = np.geomspace(errors / 4, np.maximum(values.std(0), errors), _SPREADS)
    covariance = np.linalg.inv(estimate.curvature)
    places = np.tile(np.eye(values.shape[1]), (len(values), 1))

    def log_density(alike: np.ndarray) -> float:
        every = (covariance + np.kron(alike, np.diag(own**2)) for own in spreads)
        return float(scipy.special.logsumexp([_log_density(values.ravel(), one, places) for one in every]))

    equal, free = log_density(labels[:, None] == labels), log_density(np.eye(len(values)))
    return equal - free + _log_price(labels) - _log_price(np.zeros_like(labels))


def _log_density(values: np.ndarray, covariance: np.ndarray, design: np.ndarray) -> float:
    """log density of normal values about ``design`` times any coefficients, up to a constant."""
    factor = np.linalg.cholesky(covariance)
    white, design = (scipy.linalg.solve_triangular(factor, one, lower=True) for one in (values, design))
    gram = design.T @ design
    rest = white - design @ np.linalg.solve(gram, design.T @ white)
    return float(-np.log(np.diag(factor)).sum() - 0.5 * (log_det(gram) + rest @ rest))


def _log_price(labels: np.ndarray) -> float:
    """log prior of a partition, whose groups have no order."""
    named, _, _ = log_prior(labels, Structure(), is_matrix=False)
    return named + float(scipy.special.gammaln(labels.max() + 2))
