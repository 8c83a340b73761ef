"""The evidence for a group: the likelihood of the covariances that it leaves unchanged, integrated exactly.

Given the group H, the prior of Σ is that of :mod:`equishare.problems.commutant`, of strength ν at a target T. As both
are not known, the evidence is a mean over targets and over ν:

    own        variances as they are, no covariances
    equal      one variance, no covariances
    common     variances as they are, one correlation
    alike      one variance, one covariance

Variances are equal within the orbits of H. ν lies on a grid of powers of two with weights ∝ ν^(−¾) from 1 on: the
relative distance ν^(−½) of Σ from its target has a density ∝ distance^½. Below 1, where variables may be nearly exact
combinations of others, the weights are ∝ ν^¾. The numbers in T are integrated out approximately: each costs
``½ log (1 + information)``, where what the data tell of T is what n ν/(n + ν) samples tell of a covariance that is T
itself. That no covariance differs from zero is a pattern of its own (:mod:`equishare.search.covariance.merges`).

So the answer "no symmetry" is no free covariance: it may be as simple as one that is nearly symmetric. That is what a
symmetry has to beat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from equishare.problems.commutant import Commutant

# The weights of ν are ∝ ν^(−_DECAY) above 1, and ν^_DECAY below.
_DECAY = 0.75
# The least of them is a power of two with this exponent.
_LEAST = -32
# Correlations of targets keep so far from those that are singular.
_INSIDE = 0.95


@dataclass(frozen=True)
class Target:
    """A centre of the prior.

    Attributes:
        matrix: T (p, p).
        counts: for each number in it, how often its information counts in that of one sample.
    """

    matrix: np.ndarray
    counts: np.ndarray


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
    targets: list[Target]
    second: np.ndarray
    count: int

    @property
    def log_evidence(self) -> float:
        """log of the mean likelihood."""
        return float(scipy.special.logsumexp(self.log_weights))

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
    return np.asarray(2.0 ** np.arange(_LEAST, np.ceil(np.log2(4 * size * count)) + 1))


def deviations_of(size: int, count: int, step: int) -> np.ndarray:
    """Every so manyth ν from 1 on, for what deviates by ν^(−½) from something simpler."""
    return np.asarray(2.0 ** np.arange(0, np.ceil(np.log2(4 * size * count)) + 1, step))


def terms_of(commutant: Commutant, second: np.ndarray, count: int) -> Terms:
    """The evidence of one sample for a group.

    Args:
        commutant: of the group.
        second: S (p, p) second moments.
        count: n.
    """
    second = commutant.project(second)
    strengths = strengths_of(len(second), count)
    prior = np.log(prior_of(strengths))
    targets = targets_of(second, np.diag(commutant.orbits))
    found = np.full((len(targets), len(strengths)), -np.inf)
    for i, target in enumerate(targets):
        values = commutant.log_marginals(second, count, target.matrix, strengths)
        price = 0.5 * np.log1p(np.outer(_told(count, strengths), target.counts)).sum(1)
        found[i] = values - price + prior - np.log(len(targets))
    return Terms(found, strengths, targets, second, count)


def targets_of(second: np.ndarray, points: np.ndarray) -> list[Target]:
    """The targets of a group, see above.

    Args:
        second: S (p, p), projected.
        points: (p,) labels of the orbits of variables.
    """
    size = len(second)
    sizes = np.unique(points, return_counts=True)[1]
    variances = np.diag(second)
    found: list[Target] = []
    off = ~np.eye(size, dtype=bool)
    for own, counts in ((variances, sizes / 2), (np.full(size, variances.mean()), np.array([size / 2]))):
        if len(sizes) == 1 and found:
            break  # variances are equal
        found.append(Target(np.diag(own), counts))
        if size > 1:
            scale = np.sqrt(own)
            mean = float((second / np.outer(scale, scale))[off].mean())
            mean = float(np.clip(mean, -_INSIDE / (size - 1), _INSIDE))
            matrix = np.outer(scale, scale) * (mean + (1 - mean) * np.eye(size))
            found.append(Target(matrix, np.append(counts, size * (size - 1) / 2)))
    return found


def prior_of(strengths: np.ndarray) -> np.ndarray:
    """Weights of strengths."""
    weights = np.minimum(strengths, 1 / strengths) ** _DECAY
    return np.asarray(weights / weights.sum())


def _told(count: float, strengths: np.ndarray) -> np.ndarray:
    """Samples of the target that tell as much of it as the data do."""
    return count / (1 + count / strengths)
