"""Symmetries that a noisy weight does not contradict: the orbits of their permutations, and merges of these orbits.

Comparing entries one by one cannot tell values that lie less than a few standard errors apart. A symmetry ties whole
orbits of entries at once, and an orbit's mean has a far smaller error than an entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from equishare.linalg import pseudo_inverse
from equishare.problems.estimates import MOST_GROUPS, BlockEstimate, fit_estimate
from equishare.search.alignment import Alignment, Permutations, background
from equishare.search.large_alignment import LargeAlignment
from equishare.search.path import MAX_GREEDY_GROUPS, Path, greedy_merges, segmentations, thinned
from equishare.search.price import is_tabled, may_have_symmetry
from equishare.search.segmentation import prior_width, probable_segmentations

# Inputs whose images are searched, one after another, while that joins orbits.
_MAX_SEARCHES = 6
# After so many maps in a row that do not fit, the rest of a search is left out.
_PATIENCE = 12
# Rounds of searches. Each round searches the weight averaged over the maps of the round before that have at least this
# part of the best score. The variance of an average counts at most so many cells as independent.
_ROUNDS = 3
_AVERAGED = 0.8
_MOST_AVERAGED = 8
# Orbits are not joined where the differences of their means have less than this probability.
_REJECTION = 1e-6


@dataclass(frozen=True)
class Symmetry:
    """Orbits of a group on the cells of a weight, and the partitions that merge them.

    Attributes:
        orbits: (O, I) orbit of each cell.
        maps: pairs of permutations that were found, best first; some of them may not keep the orbits.
        merges: partitions into unions of orbits, each (O, I).
    """

    orbits: np.ndarray
    maps: list[Permutations]
    merges: Path


def find_symmetries(estimate: BlockEstimate, notes: list[str] | None = None) -> list[Symmetry]:
    """Symmetries that the estimates do not contradict, with the merges of their orbits.

    A symmetry is a pair of permutations, of outputs and of inputs. The maps that :class:`Alignment` finds, of large
    weights :class:`equishare.search.large_alignment.LargeAlignment`, are joined to a group, best first, as long as the
    means of the orbits they join agree. As orbits grow their means get sharper, so a map that seemed right for single
    entries is turned down later.

    Args:
        estimate: unshared estimates (O, I) and their uncertainty.
        notes: to which a sentence is added where maps were found whose orbits are too many to be judged.

    Returns:
        A symmetry for each round of the search; none for a parameter that may have none
        (:func:`equishare.search.price.may_have_symmetry`).
    """
    found: list[Symmetry] = []
    if not may_have_symmetry(estimate.values.shape):
        return found
    weight, variance = estimate.values, estimate.variance
    align = Alignment if is_tabled(weight.shape) else LargeAlignment
    for _ in range(_ROUNDS):
        orbits, maps = _search(estimate, align(weight, variance))
        labels = orbits.labels
        num_orbits = int(labels.max()) + 1
        if num_orbits == labels.size or any((labels == one.orbits).all() for one in found):
            break
        if num_orbits <= MOST_GROUPS:
            best_first = [one for _, one in sorted(maps, key=lambda pair: -pair[0])]
            found.append(Symmetry(labels, best_first, merges_of(estimate, labels)))
        elif notes is not None:
            notes.append(
                f"Some permutations of rows and columns agree with the data, but were not judged: they leave "
                f"{num_orbits:,} different weights, and up to {MOST_GROUPS:,} are."
            )
        weight, variance = _averaged(estimate, maps)
    return found


def _search(
    estimate: BlockEstimate, alignment: Alignment | LargeAlignment
) -> tuple[_Orbits, list[tuple[float, Permutations]]]:
    """The orbits of the maps that agree with the estimates, and all maps found with their scores."""
    orbits = _Orbits(estimate)
    every: list[tuple[float, Permutations]] = []
    searched: list[int] = []
    while len(searched) < _MAX_SEARCHES:
        # One input of an orbit is enough: the images of the others follow.
        fresh = np.flatnonzero(~np.isin(orbits.inputs, orbits.inputs[searched]))
        if not fresh.size:
            break
        searched.append(int(fresh[0]))
        maps = alignment.search(searched[-1])
        every += maps
        if not _join_all(orbits, [one for _, one in maps]):
            break
    return orbits, every


def _join_all(orbits: _Orbits, maps: list[Permutations]) -> bool:
    """Join the maps that agree with the estimates; whether any orbits were joined."""
    failed, any_joined = 0, False
    for one in maps:
        joined = orbits.join(one)
        any_joined |= joined is True
        failed = failed + 1 if joined is False else 0
        if failed == _PATIENCE:
            break
    return any_joined


def merges_of(estimate: BlockEstimate, orbits: np.ndarray) -> Path:
    """Partitions into unions of orbits: greedy merges, and segmentations of the values of the orbits.

    Greedy merges start from the orbits, or where these are more than 512 from the best segmentation of their values.
    """
    values, precision = fit_estimate(estimate, orbits, int(orbits.max()) + 1)
    variance = np.maximum(np.diag(pseudo_inverse(precision)), np.finfo(float).tiny)
    width = prior_width(values, float(np.median(np.sqrt(variance))))
    segments = probable_segmentations(values, 1 / variance, width)
    start = np.arange(len(values))
    if len(start) > MAX_GREEDY_GROUPS:
        start = segmentations(values, 1 / variance, MAX_GREEDY_GROUPS)[-1]
    path = thinned(greedy_merges(estimate, start[orbits]))
    return Path(orbits, [*(names[start] for names in path.names), *segments])


def _averaged(estimate: BlockEstimate, maps: list[tuple[float, Permutations]]) -> tuple[np.ndarray, np.ndarray]:
    """Each cell's mean over its images under the best maps, and its variance."""
    weight, variance = estimate.values, estimate.variance
    best = max(score for score, _ in maps)
    total, count = weight.copy(), 1
    for score, (outputs, inputs) in maps:
        if score > _AVERAGED * best:
            total += weight[outputs[:, None], inputs]
            count += 1
    return total / count, variance / min(count, _MOST_AVERAGED)


class _Orbits:
    """Orbits of the maps joined so far, on cells and on inputs."""

    def __init__(self, estimate: BlockEstimate) -> None:
        size = estimate.values.size
        self.labels = np.arange(size).reshape(estimate.values.shape)
        self.inputs = np.arange(estimate.values.shape[1])
        self._weight = estimate.values.ravel()
        self._precision = 1 / estimate.variance.ravel()
        self._inflation = estimate.inflation
        self._background = background(estimate.values, estimate.variance)

    def join(self, maps: Permutations) -> bool | None:
        """Join orbits that a map takes to each other. False: their means do not agree; None: there are none to join."""
        outputs, inputs = maps
        image = self.labels[outputs[:, None], inputs]
        joined = _components(self.labels.ravel(), image.ravel())[self.labels]
        if joined.max() == self.labels.max():
            return None
        if not self._agree(joined):
            return False
        self.labels = joined
        self.inputs = _components(self.inputs, self.inputs[inputs])[self.inputs]
        return True

    def _agree(self, joined: np.ndarray) -> bool:
        """Whether the means of the orbits agree with one value for each joined orbit.

        Two conditions. First, a chi-squared test must not reject that the means are equal. Second, one value must be
        more probable than any values: for w orbits with means m and precisions p that are joined to one,
        log ∫ Π N(m | μ, 1/p) dμ is compared with Σ log f(m) over w − 1 of them, f the :func:`background`.
        """
        old = self.labels.ravel()
        precision = np.bincount(old, self._precision)
        mean = np.bincount(old, self._precision * self._weight) / precision
        to = np.zeros(len(mean), np.int64)
        to[old] = joined.ravel()
        total = np.bincount(to, precision)
        centre = np.bincount(to, precision * mean) / total
        count = np.bincount(to)
        misfit = float((precision * (mean - centre[to]) ** 2).sum())
        removed = len(mean) - len(total)
        if scipy.special.chdtrc(removed / self._inflation, misfit / self._inflation) < _REJECTION:
            return False
        log_density = -0.5 * misfit - 0.5 * removed * np.log(2 * np.pi)
        log_density += 0.5 * (np.log(precision).sum() - np.log(total).sum())
        share = ((count - 1) / count)[to]
        return bool(log_density > (share * self._background(mean)).sum())


def _components(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Label of each node of the graph with edges a – b, numbered from zero."""
    size = int(max(a.max(), b.max())) + 1
    graph = scipy.sparse.coo_array((np.ones(len(a), bool), (a, b)), shape=(size, size))
    return scipy.sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)
