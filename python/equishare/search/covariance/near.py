"""Covariances without a symmetry that are near one which a group leaves unchanged.

They are the rivals of the group: a group is told where the samples say that it holds more exactly than what is near
it. A covariance is near Σ, the mean given the group, in one of these ways:

- all numbers deviate, as the prior of strength ν about Σ lets them;
- variables of an orbit have scales of their own, ``D Σ D``, or variances of their own, ``Σ + diag(v)``, or both: the
  deviations are normal, of relative size ν^(−½) each, and integrated by Laplace's method.

ν has the weights of :mod:`equishare.search.covariance.evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.commutant import Commutant, distinct, log_likelihood
from equishare.search.covariance.evidence import Centre, Terms, centre, deviations_of, prior_of
from equishare.search.covariance.gaussian import integrated

# Every so manyth strength of scales and variances is tried.
_STEP = 2
# Where scales or variances move by more, Laplace's method promises too much: the likelihood there is looked at.
_FAR = 0.3
# Of correlations with an eigenvalue below that some variables are combinations of others, and variances of their own
# would end that: only scales are tried, as what samples tell of such variances has no digits left.
_SINGULAR = 1e-7


def near_terms(larger: Terms, near: Commutant, second: np.ndarray) -> Terms:
    """The evidence where all numbers deviate.

    Beside the numbers that the group leaves free, which are integrated out as before, all other numbers deviate from
    zero as the prior of strength ν about the mean given the group lets them.

    Args:
        larger: the evidence of the group.
        near: its commutant.
        second: S (p, p).
    """
    count, target = larger.count, larger.mean()
    strengths = deviations_of(len(second), count, 1)
    free = Commutant(distinct(len(second)))
    values = free.log_marginals(second, count, target, strengths)
    values -= near.log_marginals(larger.second, count, target, strengths)
    values += larger.log_evidence + np.log(prior_of(strengths))
    return Terms(values[None], strengths, [centre(target)], second, count)


def unequal_terms(larger: Terms, second: np.ndarray, unequal: np.ndarray) -> Terms:
    """The evidence where variables of an orbit have scales or variances of their own.

    Args:
        larger: the evidence of the group.
        second: S (p, p).
        unequal: (p,) labels of orbits with two variables or more that do; −1 where they do not.
    """
    count, size = larger.count, len(second)
    within = _within(unequal)
    mean = larger.mean()
    inverse, variances = np.linalg.inv(mean), np.diag(mean)
    excess = inverse @ (second - mean)
    gradient = count * np.concatenate([np.diag(excess), 0.5 * variances * np.diag(excess @ inverse)])
    both = count * np.diag(variances * np.diag(inverse))
    scales = count * (np.eye(size) + inverse * mean)
    information = np.block([[scales, both], [both, 0.5 * count * np.outer(variances, variances) * inverse**2]])
    # Only deviations within orbits are asked for.
    spans = scipy.linalg.block_diag(within, within)
    gradient, information = spans.T @ gradient, spans.T @ information @ spans
    strengths = deviations_of(size, count, _STEP)
    grid = [*zip([np.inf, *strengths], np.append(1.0, prior_of(strengths)), strict=True)]
    weights, targets, every = [], list[Centre](), np.eye(2 * within.shape[1])
    is_singular = np.linalg.eigvalsh(mean / np.sqrt(np.outer(variances, variances)))[0] < _SINGULAR
    for nu, own in grid:
        for other, share in grid[:1] if is_singular else grid:
            deviations = np.repeat([nu, other], within.shape[1]) ** -0.5
            if not deviations.any():
                continue
            value, moved = integrated(gradient, information, (every * deviations)[:, deviations > 0])
            target = _Moved(mean, spans @ moved)
            if np.abs(target.moved).max() > _FAR and not is_singular:
                gain = log_likelihood(target.matrix, second, count) - log_likelihood(mean, second, count)
                value += min(0.0, gain - float(gradient @ moved - 0.5 * moved @ information @ moved))
            weights.append(larger.log_evidence + value + np.log(own * share / 3))
            targets.append(target)
    return Terms(np.array(weights)[:, None], np.array([np.inf]), targets, second, count)


def unequal_orbits(orbits: np.ndarray) -> list[np.ndarray]:
    """Which orbits of variables may be unequal, (p,) labels or −1 each: all that can be, and each alone.

    Args:
        orbits: (p, p) of the group.
    """
    points = np.diag(orbits)
    several = [one for one in np.unique(points).tolist() if (points == one).sum() > 1]
    alone = [np.where(points == one, one, -1) for one in several]
    return [*([np.where(np.isin(points, several), points, -1)] if several else []), *(alone if len(alone) > 1 else [])]


def told_apart(orbits: np.ndarray, unequal: np.ndarray) -> np.ndarray:
    """(p, p) what is left equal of the orbits on pairs, where some variables are unequal."""
    marks = np.where(unequal >= 0, 1 + np.arange(len(unequal)), 0)
    low, high = np.minimum(marks[:, None], marks), np.maximum(marks[:, None], marks)
    return Partition((orbits * (len(marks) + 1) + low) * (len(marks) + 1) + high).labels


def _within(points: np.ndarray) -> np.ndarray:
    """(p, r) orthonormal deviations of variables from the means of their orbits; of −1, none."""
    columns = []
    for one in np.unique(points[points >= 0]):
        own = np.flatnonzero(points == one)
        basis = np.zeros((len(points), len(own) - 1))
        basis[own] = scipy.linalg.helmert(len(own)).T
        columns.append(basis)
    return np.concatenate(columns, axis=1)


@dataclass(frozen=True)
class _Moved:
    """The covariance of other scales and variances; without the variances, where they leave it no inverse.

    Of the many there are few are ever asked for: it is computed where it is.

    Attributes:
        mean: Σ (p, p).
        moved: (2 p,) logarithms of scales, and changes of variances in units of them.
    """

    mean: np.ndarray
    moved: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        size = len(self.mean)
        scale, change = np.exp(np.clip(self.moved[:size], -5, 5)), np.diag(self.mean) * self.moved[size:]
        found = self.mean * np.outer(scale, scale)
        changed = found + np.diag(change)
        values = np.linalg.eigvalsh(changed)
        return changed if values[0] > 1e-3 * np.linalg.eigvalsh(found)[0] else found
