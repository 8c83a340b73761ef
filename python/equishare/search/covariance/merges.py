"""Patterns of a covariance that are no orbits of a group: which of them explain the samples, and how well.

The likelihood of a pattern with G values is integrated as that of a group, but by Laplace's method. With the prior of
strength ν at T, the variances of the pattern without covariances, the posterior is highest at the Σ̂ whose likelihood
for second moments (n S + ν T)/(n + ν) is greatest, and

    log p(X) = log p(X | Σ̂) − ½ ν (tr T Σ̂⁻¹ − p − log det T Σ̂⁻¹) − ½ G log(1 + n/ν) − what T costs,

averaged over ν. Of independent variables, some of whose variances may be equal, there is no ν: Σ is T.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.commutant import Commutant, distinct, log_likelihood
from equishare.problems.tied_covariance import fit_tied
from equishare.search.covariance.evidence import Terms, centre, cost_of_variances, deviations_of, prior_of
from equishare.search.covariance.order import seriated
from equishare.search.price import Structure, log_prior
from equishare.search.segmentation import prior_width, probable_segmentations
from equishare.symmetry.permutations import inverse

# Entries of so small a covariance are compared one by one.
_FEW_ENTRIES = 300
# Every so manyth strength of the grid is tried.
_STEP = 2
# Covariances that look like none are as often weak as zero: near independence all ν on the grid have one weight.
_WEAK = 0.0
# Name of patterns without covariances.
_INDEPENDENT = "independent"


def patterns_of(moments: Sequence[tuple[np.ndarray, int]]) -> dict[str, np.ndarray]:
    """Patterns (p, p) by name: simple ones, and of few variables those whose values are told apart."""
    size = len(moments[0][0])
    if size < 2:
        return {}
    places = np.arange(size)
    own = np.eye(size, dtype=bool)
    found = {
        "covariances": np.where(own, places, size),
    }
    # Which covary as the variables of a line do, does not depend on the order in which they come.
    along = inverse(seriated(np.sum([second * count for second, count in moments], axis=0)))
    found["line"] = np.abs(along[:, None] - along)
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
    for number, points in enumerate(variance_classes(moments)):
        found[f"{_INDEPENDENT} {number}"] = np.where(own, points, size)
    named: dict[str, np.ndarray] = {}
    for name, labels in found.items():
        labels = Partition(labels).labels
        if not any(np.array_equal(labels, one) for one in named.values()):
            named[name] = labels
    return named


def variance_classes(moments: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
    """Which variables may have one variance, (p,) labels: none, all, and what the samples suggest."""
    size = len(moments[0][0])
    found = [np.arange(size), np.zeros(size, np.int64)]
    for second, count in moments:
        found += _segments(np.log(np.diag(second)), np.full(size, 2 / count))
    return list({Partition(one).labels.tobytes(): Partition(one).labels for one in found}.values())


def _segments(values: np.ndarray, variances: np.ndarray) -> list[np.ndarray]:
    if len(values) < 2:
        return []
    width = prior_width(values, float(np.sqrt(np.median(variances))))
    return list(probable_segmentations(values, 1 / variances, width))


def terms_of_pattern(name: str, labels: np.ndarray, second: np.ndarray, count: int) -> Terms | None:
    """The evidence of one sample for a pattern, see above; None where no covariance has it.

    Args:
        labels: (p, p) symmetric, 0 … G − 1.
        second: S (p, p).
        count: n.
    """
    own, size = np.diag(labels), len(second)
    points, sizes = np.unique(own, return_inverse=True, return_counts=True)[1:]
    own_variances = np.bincount(points, np.diag(second)) / sizes
    target = np.diag(own_variances[points])
    if name.startswith(_INDEPENDENT):
        value = log_likelihood(target, second, count) - float(cost_of_variances(own_variances, count * sizes / 2))
        return Terms(np.array([[value]]), np.array([np.inf]), [centre(target)], second, count)
    strengths = deviations_of(size, count, _STEP)
    found = _laplace(name, labels, second, count, target, strengths)
    if found is None:
        return None
    weights, fits = found
    told = count / (1 + count / strengths)
    weights += np.log(prior_of(strengths)) - cost_of_variances(own_variances, np.outer(told, sizes / 2))
    share = np.exp(weights - scipy.special.logsumexp(weights))
    mean = np.tensordot(share, np.stack(fits), 1)
    return Terms(weights[:, None], np.array([np.inf]), [centre(mean)] * len(weights), second, count)


def near_pattern(name: str, labels: np.ndarray, terms: Terms, second: np.ndarray) -> Terms | None:
    """The evidence of a covariance that is near one of a pattern: as :func:`near_terms` for a group; None as above."""
    count, target = terms.count, terms.mean()
    strengths = deviations_of(len(second), count, _STEP)
    found = _laplace(name, labels, second, count, target, strengths)
    if found is None:
        return None
    # The numbers of the pattern deviate from the target in both, so the one is no likelihood at the target itself.
    values = Commutant(distinct(len(second))).log_marginals(second, count, target, strengths) - found[0]
    prior = prior_of(strengths, _WEAK) if name.startswith(_INDEPENDENT) else prior_of(strengths)
    values += terms.log_evidence + np.log(prior)
    return Terms(values[None], strengths, [centre(target)], second, count)


def _laplace(
    name: str, labels: np.ndarray, second: np.ndarray, count: int, target: np.ndarray, strengths: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """log p(X) of a pattern for each strength, but for what the target costs, and Σ̂; None where no covariance has it.

    Args:
        name: of the pattern.
        labels: (p, p) of it.
        second: S (p, p).
        count: n.
        target: T (p, p), which has the pattern.
        strengths: (ν,).
    """
    values, logs, fits = None, [], []
    independent = name.startswith(_INDEPENDENT)
    numbers = int(labels.max()) + 1 - independent
    for nu in strengths.tolist():
        mixed = (count * second + nu * target) / (count + nu)
        if independent:
            own = np.diag(labels)
            fitted = np.diag((np.bincount(own, np.diag(mixed)) / np.maximum(np.bincount(own), 1))[own])
        else:
            values = fit_tied(labels, mixed, values)
            if values is None:
                return None
            fitted = values[labels]
        distance = log_likelihood(target, target, nu) - log_likelihood(fitted, target, nu)
        logs.append(log_likelihood(fitted, second, count) - distance - 0.5 * numbers * np.log1p(count / nu))
        fits.append(fitted)
    return np.array(logs), fits


def log_price(name: str, labels: np.ndarray) -> float:
    """log of the share of the prior that a pattern has.

    An eighth for the simple ones; an eighth for independent variables, half of it for unequal variances; an eighth for
    all others. Variables have p!/2 places on a line, each as probable.
    """
    if name.startswith(_INDEPENDENT):
        points = np.diag(labels)
        unequal = len(np.unique(points)) == len(points)
        return float(np.log(1 / 16) + (0.0 if unequal else _log_prior(points)))
    if not name.startswith("segments"):
        orders = scipy.special.gammaln(len(labels) + 1) - np.log(2) if name == "line" else 0.0
        return float(np.log(1 / 8 / 3) - orders)
    return float(np.log(1 / 8) + _log_prior(labels[np.triu_indices(len(labels))]))


def _log_prior(labels: np.ndarray) -> float:
    # The prior of labels counts groups in the order of their values.
    one = Partition(labels)
    return float(log_prior(one.labels, Structure(), False)[0] + scipy.special.gammaln(one.num_groups + 1))
