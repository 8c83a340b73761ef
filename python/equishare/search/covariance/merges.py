"""Patterns of a covariance that are no orbits of a group: which of them explain the samples, and how well.

The likelihood of a pattern with G values is integrated as that of a group, but by Laplace's method. With the prior of
strength ν at T, the variances of the pattern without covariances, the posterior is highest at the Σ̂ whose likelihood
for second moments (n S + ν T)/(n + ν) is greatest, and

    log p(X) = log p(X | Σ̂) − ½ ν (tr T Σ̂⁻¹ − p − log det T Σ̂⁻¹) − ½ G log(1 + n/ν) − what T costs,

averaged over ν.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.commutant import Commutant, distinct, log_likelihood
from equishare.problems.tied_covariance import fit_tied
from equishare.search.covariance.evidence import Target, Terms, prior_of, strengths_of
from equishare.search.price import Structure, log_prior
from equishare.search.segmentation import prior_width, probable_segmentations

# Entries of so small a covariance are compared one by one.
_FEW_ENTRIES = 300
# Every so manyth strength of the grid is tried.
_STEP = 2


def patterns_of(moments: Sequence[tuple[np.ndarray, int]]) -> dict[str, np.ndarray]:
    """Patterns (p, p) by name: simple ones, and of few variables those whose values are told apart."""
    size = len(moments[0][0])
    if size < 2:
        return {}
    places = np.arange(size)
    own = np.eye(size, dtype=bool)
    found = {
        "covariances": np.where(own, places, size),
        "line": np.abs(places[:, None] - places),
    }
    if all(count > size for _, count in moments):  # else the likelihood has no maximum
        found["variances"] = np.where(own, 0, 1 + distinct(size))
    if size * (size + 1) // 2 <= _FEW_ENTRIES and len(moments) == 1:
        (second, count), rows = moments[0], np.triu_indices(size, 1)
        variances = np.diag(second)
        errors = (variances[rows[0]] * variances[rows[1]] + second[rows] ** 2) / count
        for number, labels in enumerate(_segments(second[rows], errors)):
            off = np.zeros((size, size), np.int64)
            off[rows] = labels
            pattern = off + off.T + size
            pattern[own] = places
            found[f"segments {number}"] = pattern
            alike = _segments(variances, 2 * variances**2 / count)
            if alike:
                pattern = pattern.copy()
                pattern[own] = alike[0]
                found[f"segments {number} of both"] = pattern
    return {name: Partition(labels).labels for name, labels in found.items()}


def _segments(values: np.ndarray, variances: np.ndarray) -> list[np.ndarray]:
    if len(values) < 2:
        return []
    width = prior_width(values, float(np.sqrt(np.median(variances))))
    return probable_segmentations(values, 1 / variances, width)


def terms_of_pattern(labels: np.ndarray, second: np.ndarray, count: int) -> Terms | None:
    """The evidence of one sample for a pattern, see above; None where no covariance has it.

    Args:
        labels: (p, p) symmetric, 0 … G − 1.
        second: S (p, p).
        count: n.
    """
    own, size = np.diag(labels), len(second)
    points, sizes = np.unique(own, return_inverse=True, return_counts=True)[1:]
    target = np.diag((np.bincount(points, np.diag(second)) / sizes)[points])
    strengths = strengths_of(size, count)[:-1][::_STEP]
    weights, fits = np.full(len(strengths), -np.inf), []
    num_groups = int(labels.max()) + 1
    for i, nu in enumerate(strengths.tolist()):
        values = fit_tied(labels, (count * second + nu * target) / (count + nu))
        if values is None:
            return None
        fitted = values[labels]
        fits.append(fitted)
        told = count / (1 + count / nu)
        price = 0.5 * num_groups * np.log1p(count / nu) + 0.5 * np.log1p(told * sizes / 2).sum()
        distance = log_likelihood(target, target, nu) - log_likelihood(fitted, target, nu)
        weights[i] = log_likelihood(fitted, second, count) - distance - price
    weights += np.log(prior_of(strengths))
    share = np.exp(weights - scipy.special.logsumexp(weights))
    mean = np.tensordot(share, np.stack(fits), 1)
    return Terms(weights[:, None], np.array([np.inf]), [Target(mean, sizes, False)] * len(weights), second, count)


def near_pattern(labels: np.ndarray, terms: Terms, second: np.ndarray) -> Terms:
    """The evidence of a covariance that is near one of a pattern: as :func:`near_terms` for a group."""
    count, target = terms.count, terms.mean()
    strengths = strengths_of(len(second), count)[:-1]
    values = Commutant(distinct(len(second))).log_marginals(second, count, target, strengths)
    values -= log_likelihood(target, second, count) - 0.5 * (labels.max() + 1) * np.log1p(count / strengths)
    values += terms.log_evidence + np.log(prior_of(strengths))
    return Terms(values[None], strengths, [Target(target, np.empty(0), False)], second, count)


def log_price(name: str, labels: np.ndarray) -> float:
    """log of the share of the prior that a pattern has: an eighth for the simple ones, an eighth for all others."""
    if not name.startswith("segments"):
        return float(np.log(1 / 8 / 3))
    half = Partition(labels[np.triu_indices(len(labels))])
    # The prior of labels counts groups in the order of their values.
    own = log_prior(half.labels, Structure(), False)[0] + scipy.special.gammaln(half.num_groups + 1)
    return float(np.log(1 / 8) + own)
