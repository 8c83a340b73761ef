"""The evidence for a group: the likelihood of the covariances that it leaves unchanged, integrated exactly.

Given the group H, the prior of Σ is that of :mod:`equishare.problems.commutant`, of strength ν at a target T. As both
are not known, the evidence is a mean over targets and over ν:

    own        variances as they are, no covariances
    equal      one variance, no covariances
    common     variances as they are, one correlation
    alike      one variance, one covariance
    smooth     one variance, covariances that fall off along a graph; only where H takes any variable to any other

Variances are equal within the orbits of H. ν lies on a grid of powers of two with weights ∝ ν^(−¾) from 1 on: the
relative distance ν^(−½) of Σ from its target has a density ∝ distance^½. Below 1, where variables may be nearly exact
combinations of others, the weights are ∝ ν^¾. The numbers in T are integrated out approximately, where what the data
tell of T is what n ν/(n + ν) samples tell of a covariance that is T itself. One correlation, or one covariance, costs
``½ log (1 + information)``; logarithms of variances are normal about a common mean, as near to each other as the data
say (:func:`cost_of_variances`). Half of the prior is that of smooth targets, where there are any
(:func:`smooth_targets`). That no covariance differs from zero is a
pattern of its own (:mod:`equishare.search.covariance.merges`).

So the answer "no symmetry" is no free covariance: it may be as simple as one that is nearly symmetric. That is what a
symmetry has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from equishare.problems.commutant import Commutant

#: Second moments S (p, p) about a known mean, and the number n of samples.
Moments = tuple[np.ndarray, int]

# The weights of ν are ∝ ν^(−_DECAY) above 1, and ν^_DECAY below.
_DECAY = 0.75
# Of those below 1 only powers of two with these exponents are tried.
_SMALL = (-32, 0, 4)
# Logarithms of variances scatter by ν^(−½) with ν from 2 to the first to 2 to the second of these, excluded.
_SPREADS = (-6, 16)
# Correlations of targets keep so far from those that are singular.
_INSIDE = 0.95
# How far smooth correlations reach, and their shares of a variance; the rest is white noise.
_REACHES, _SMOOTH = (1.0, 8.0, 64.0), (0.4, 0.8)


class Centre(Protocol):
    """A covariance (p, p) that the mean of Σ is drawn to."""

    @property
    def matrix(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class Target:
    """A centre of the prior.

    Attributes:
        matrix: T (p, p).
        variances: those that may differ, (G,).
        sizes: of how many variables each of them is, (G,).
        covariances: of how many covariances the one number is that they have; 0 where there are none.
        share: of the prior.
    """

    matrix: np.ndarray
    variances: np.ndarray
    sizes: np.ndarray
    covariances: float
    share: float


def centre(matrix: np.ndarray) -> Target:
    """A centre whose numbers have been paid for."""
    return Target(matrix, np.empty(0), np.empty(0), 0.0, 1.0)


@dataclass(frozen=True)
class Terms:
    """Weights and means of the covariance of one sample, given a group.

    Attributes:
        log_weights: (T, ν) log of prior times integrated likelihood; −∞ where there is none.
        strengths: (ν,).
        targets: (T,).
        second: projected second moments.
        count: of samples.
    """

    log_weights: np.ndarray
    strengths: np.ndarray
    targets: Sequence[Centre]
    second: np.ndarray
    count: int

    @property
    def log_evidence(self) -> float:
        """log of the mean likelihood."""
        return float(np.logaddexp.reduce(self.log_weights, axis=None))

    def mean(self) -> np.ndarray:
        """The mean of Σ given the data and the group."""
        weights = np.exp(self.log_weights - self.log_evidence)
        share = 1 / (1 + self.count / self.strengths)
        total = (weights * (1 - share)).sum() * self.second
        for target, own in zip(self.targets, weights @ share, strict=True):
            total = total + own * target.matrix
        return np.asarray(total)


def strengths_of(size: int, count: int) -> np.ndarray:
    """The grid of ν: from nearly nothing to where the data cannot tell it from infinity."""
    return np.append(2.0 ** np.arange(*_SMALL), deviations_of(size, count, 1))


def deviations_of(size: int, count: int, step: int) -> np.ndarray:
    """Every so manyth ν from 1 on, for what deviates by ν^(−½) from something simpler."""
    return np.asarray(2.0 ** np.arange(0, np.ceil(np.log2(4 * size * count)) + 1, step))


def terms_of(commutant: Commutant, second: np.ndarray, count: int, differ: bool = False) -> Terms:
    """The evidence of one sample for a group.

    Args:
        commutant: of the group.
        second: S (p, p) second moments.
        count: n.
        differ: whether targets with one variance are left out, where orbits may have variances of their own.
    """
    second = commutant.project(second)
    strengths = strengths_of(len(second), count)
    prior = np.log(prior_of(strengths))
    targets = flat_targets(second, np.diag(commutant.orbits), differ)
    if smooth := smooth_targets(second, commutant):
        targets = [replace(one, share=one.share / 2) for one in (*targets, *smooth)]
    found = commutant.log_marginals(second, count, np.stack([one.matrix for one in targets]), strengths)
    found += prior
    told = count / (1 + count / strengths)
    for target, values in zip(targets, found, strict=True):
        values += np.log(target.share)
        values -= cost_of_variances(target.variances, np.outer(told, target.sizes / 2))
        values -= 0.5 * np.log1p(told * target.covariances)
    return Terms(found, strengths, targets, second, count)


def flat_targets(second: np.ndarray, points: np.ndarray, differ: bool = False) -> list[Target]:
    """The targets of a group with no covariances or one, see above.

    Args:
        second: S (p, p), projected.
        points: (p,) labels of the orbits of variables.
        differ: whether targets with one variance are left out, where there may be several.
    """
    size = len(second)
    sizes = np.unique(points, return_counts=True)[1]
    variances = np.diag(second)
    found: list[Target] = []
    off = ~np.eye(size, dtype=bool)
    own = np.bincount(np.unique(points, return_inverse=True)[1], variances) / sizes
    whole = (variances, own, sizes), (np.full(size, variances.mean()), variances.mean()[None], np.array([size]))
    for full, differing, counts in whole[:1] if differ else whole[len(sizes) == 1 :]:
        found.append(Target(np.diag(full), differing, counts, 0.0, 1.0))
        if size > 1:
            scale = np.sqrt(full)
            mean = float((second / np.outer(scale, scale))[off].mean())
            mean = float(np.clip(mean, -_INSIDE / (size - 1), _INSIDE))
            matrix = np.outer(scale, scale) * (mean + (1 - mean) * np.eye(size))
            found.append(Target(matrix, differing, counts, size * (size - 1) / 2, 1.0))
    return [replace(one, share=1 / len(found)) for one in found]


def smooth_targets(second: np.ndarray, commutant: Commutant) -> list[Target]:
    """Targets of a group on a graph: variables that covary most are neighbours, and covariances fall off from there.

        T ∝ s K + (1 − s) I,    K ∝ (I + t L)⁻¹ of diagonal one

    L is the normalised Laplacian of the graph whose edges are the orbit on pairs of the greatest covariance. There are
    none unless the group takes any variable to any other, has several orbits on pairs, and the graph joins all
    variables: on a ring it does, in blocks of interchangeable variables it does not. Which of the orbits that could
    join all is that of the neighbours is not known, and each is as probable; the evidence at the others is left out.

    Args:
        second: S (p, p), projected.
        commutant: of the group.
    """
    orbits = commutant.orbits
    if orbits[np.diag_indices(len(orbits))].any() or len(commutant.sizes) < 3:
        return []
    values = np.bincount(orbits.ravel(), second.ravel()) / commutant.sizes
    nearest = 1 + int(np.argmax(values[1:]))
    if not commutant.joins(nearest):
        return []
    size = len(second)
    edges = orbits == nearest
    kernels = smooth_kernels(edges / edges[0].sum())
    share = 1 / (len(kernels) * commutant.num_joining)
    return [Target(own * values[0], values[:1], np.array([size]), 0.0, share) for own in kernels]


def smooth_kernels(steps: np.ndarray) -> list[np.ndarray]:
    """The correlations of smooth targets, see above.

    Args:
        steps: (p, p) of a random walk on the graph, symmetric.
    """
    every, found = np.eye(len(steps)), []
    for reach in _REACHES:
        kernel = np.linalg.inv(every + reach * (every - steps))
        found += [share * kernel / kernel[0, 0] + (1 - share) * every for share in _SMOOTH]
    return found


def cost_of_variances(variances: np.ndarray, information: np.ndarray) -> np.ndarray:
    """What G variances cost that the data tell: −log of the mean over their prior of the likelihood over its maximum.

    Their logarithms are ``N(μ, t²)``. t² has the weights of ν^(−1) as above, μ a prior of the width of one unit.

    Args:
        variances: (G,).
        information: (…, G) on the logarithm of each.
    """
    values = np.log(variances)
    spreads = 1 / 2.0 ** np.arange(*_SPREADS)
    widened = 1 + information * spreads.reshape(-1, *[1] * information.ndim)
    precision = information / widened
    total = precision.sum(-1)
    deviations = values - ((precision * values).sum(-1) / total)[..., None]
    inside = (np.log(widened) + precision * deviations**2).sum(-1) + np.log1p(total)
    log_prior = np.log(prior_of(1 / spreads)).reshape(-1, *[1] * (information.ndim - 1))
    return -np.asarray(np.logaddexp.reduce(log_prior - 0.5 * inside, axis=0))


def prior_of(strengths: np.ndarray, decay: float = _DECAY) -> np.ndarray:
    """Weights of strengths."""
    weights = np.minimum(strengths, 1 / strengths) ** decay
    return np.asarray(weights / weights.sum())
