"""Paths of merges from no sharing to full sharing, in the metric of the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
import scipy

from equishare.clustering import segmentation_path
from equishare.linalg import pseudo_inverse
from equishare.problems.estimates import MOST_GROUPS, BlockEstimate, fit_estimate
from equishare.search.evidence import LARGE
from equishare.search.segmentation import bin_ends, probable_segmentations

# A greedy path from G groups costs O(G³) time and O(G²) memory. Larger problems start from the best segmentation of the
# single estimates into so many groups.
MAX_GREEDY_GROUPS = 512
# Where more groups may be better, segmentations into so many are tried too.
_FINER = (768, 1024, 1536, 2048, 3072, MOST_GROUPS)
# Segmentations of a large parameter cut between so many bins at most, of nearly equal values.
_MOST_BINS = 4096
# Of a path of merges of a large parameter so many partitions are scored.
_OF_PATH = 24
# At first a path goes up to so many groups; twice as many while its best cut lies in its upper half.
_FIRST_CAP = 64
# A merge joins groups that lie at most so many places apart in the order of values.
_NEIGHBOURS = 3


class Path(Sequence[np.ndarray]):
    """Partitions, each made when it is asked for: all of a large parameter at once take much memory.

    Attributes:
        labels: of a partition that all are unions of.
        names: of each partition the label of each group of that.
    """

    def __init__(self, labels: np.ndarray, names: Sequence[np.ndarray]) -> None:
        self.labels, self.names = labels, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, i: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, i: slice) -> Path: ...
    def __getitem__(self, i: int | slice) -> np.ndarray | Path:
        if isinstance(i, slice):
            return Path(self.labels, self.names[i])
        return self.names[i][self.labels]


def merge_path(estimate: BlockEstimate, max_groups: int) -> Sequence[np.ndarray]:
    """Partitions into at most 1, …, ``max_groups`` groups, in the shape of the estimates, each fitting them well.

    Where the estimates do not covary, the g-th partition is the best of all into g groups, found by dynamic
    programming. Otherwise groups are merged greedily; the price of a merge is the exact increase of
    the quadratic loss after all values are refitted, ``(ψ_a − ψ_b)² / var(ψ_a − ψ_b)``. These merges start from at most
    512 groups. Where ``max_groups`` is that, segmentations into more groups follow, up to 4096, and no sharing. Of a
    large parameter paths of more than 64 partitions are thinned out (:func:`thinned`).
    """
    values, precision = estimate.values, 1 / estimate.variance
    if estimate.is_diagonal:
        path, _ = segmentation_path(values.ravel(), precision.ravel(), max_groups)
        return Path(_free(values), list(path))
    start = min(values.size, MAX_GREEDY_GROUPS)
    merged = greedy_merges(estimate, segmentations(values, precision, start)[-1])[:max_groups]
    merged = merged if max_groups <= _FIRST_CAP else thinned(merged)
    if max_groups < start or start == values.size:
        return merged
    finer = [count for count in _FINER if count < values.size]
    every = segmentations(values, precision, finer[-1]) if finer else []
    return [*merged, *(every[count - 1] for count in finer if count <= len(every)), _free(values)]


def thinned(path: Path) -> Path:
    """Of a large parameter, whose partitions take long to score, 24 of a path, denser where groups are few."""
    if path.labels.size < LARGE or len(path) <= _OF_PATH:
        return path
    some = np.unique(np.geomspace(1, len(path), _OF_PATH).astype(int) - 1)
    return Path(path.labels, [path.names[i] for i in some])


def segmentations(values: np.ndarray, precision: np.ndarray, max_groups: int) -> Path:
    """The best partitions of independent values of any shape into 1, …, ``max_groups`` groups.

    Of 16,384 values and more, cuts lie between bins of nearly equal ones; there are at most 4096, and so many groups.
    """
    x, w = values.ravel(), precision.ravel()
    if len(x) < LARGE:
        return Path(_free(values), list(segmentation_path(x, w, max_groups)[0]))
    order = np.argsort(x, kind="stable")
    ends = bin_ends(x[order], float(np.ptp(x)) / _MOST_BINS**2 or 1.0, _MOST_BINS)
    starts = np.concatenate([[0], ends[:-1]])
    weight = np.add.reduceat(w[order], starts)
    centre = np.add.reduceat((w * x)[order], starts) / weight
    of_bin = np.empty(len(x), np.int64)
    of_bin[order] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    names, _ = segmentation_path(centre, weight, min(max_groups, len(ends)))
    return Path(of_bin.reshape(values.shape), list(names))


def _free(values: np.ndarray) -> np.ndarray:
    return np.arange(values.size).reshape(values.shape)


def shortest_path(
    estimate: BlockEstimate,
    path_to: Callable[[int], Sequence[np.ndarray]],
    score: Callable[[Sequence[np.ndarray]], Any],
    leads: Callable[[Any], bool] = lambda scores: True,
) -> tuple[Sequence[np.ndarray], Any]:
    """As much of a path as it takes for its best partition to lie in the lower half, and the scores.

    Args:
        estimate: that the path is made from.
        path_to: the path up to so many groups, fewest first; it is asked for 64, 128, … up to what there can be.
        score: of the partitions of a path, lower is better.
        leads: whether a path of these scores is worth going on beyond 512 groups.
    """
    most = estimate.values.size if estimate.is_diagonal else min(estimate.values.size, MAX_GREEDY_GROUPS)
    cap = min(_FIRST_CAP, most)
    while True:
        path = path_to(cap)
        scores = score(path)
        best = path[min(range(len(path)), key=scores.__getitem__)]
        if int(best.max()) < cap / 2 or cap == most:
            return path, scores
        if cap >= MAX_GREEDY_GROUPS and not leads(scores):
            return path, scores
        cap = min(2 * cap, most)


def conditional_path(estimate: BlockEstimate, labels: np.ndarray, width: float) -> list[np.ndarray]:
    """Segmentations of the estimates of single entries given that all others follow ``labels``.

    Given the others, entry k has the estimate ``θ_k − (Ω(θ − ŵ))_k / Ω_kk`` with precision Ω_kk. Once most labels are
    right, this is as precise as the data allow; the plain estimates of covarying entries are less precise. ``width`` is
    that of :func:`probable_segmentations`.
    """
    num_groups = int(labels.max()) + 1
    values, _ = fit_estimate(estimate, labels, num_groups)
    theta = values[labels]
    conditional = theta - estimate.apply(theta - estimate.values) / estimate.precision
    path = segmentations(conditional, estimate.precision, min(2 * num_groups + 6, labels.size, MOST_GROUPS))
    likely = probable_segmentations(conditional.ravel(), estimate.precision.ravel(), width)
    return [*thinned(path), *(one.reshape(labels.shape) for one in likely)]


def greedy_merges(estimate: BlockEstimate, labels: np.ndarray, frequencies: bool = False) -> Path:
    """Merge the groups of ``labels`` pair by pair; all partitions on the way, fewest groups first.

    Args:
        estimate: of the entries.
        labels: the partition to start from.
        frequencies: whether the price of a merge counts what it saves in labels, ``log (m_a + m_b)! / m_a! m_b!``. A
            large group that was split is then put together before two small groups are.
    """
    num_groups = int(labels.max()) + 1
    # Of groups without members the price is that of the fit alone.
    sizes = np.bincount(labels.ravel()) * float(frequencies)
    values, precision = fit_estimate(estimate, labels, num_groups)
    covariance = pseudo_inverse(precision)
    names = np.arange(num_groups)
    path = [names]
    while num_groups > 1:
        a, b, gap, variance = _cheapest_merge(values, covariance, sizes)
        direction = covariance[:, a] - covariance[:, b]
        values -= direction * (gap / variance)
        sizes[[a, b]] = sizes[a] + sizes[b]
        covariance -= np.outer(direction / variance, direction)
        last = num_groups - 1
        # Group b joins a; the last group takes the place of b so that the arrays stay contiguous.
        renamed = np.arange(num_groups)
        renamed[b], renamed[last] = a, (b if last != b else a)
        if a == last:
            renamed[b] = renamed[last] = b
        else:
            values[b], sizes[b] = values[last], sizes[last]
            covariance[b] = covariance[last]
            covariance[:, b] = covariance[:, last]
        values, covariance, sizes = values[:last], covariance[:last, :last], sizes[:last]
        names = renamed[names]
        num_groups = last
        path.append(names)
    return Path(labels, path[::-1])


def greedy_splits(estimate: BlockEstimate, labels: np.ndarray, max_groups: int) -> list[np.ndarray]:
    """Split groups of ``labels`` in two, one a step, up to ``max_groups``; all partitions on the way.

    Each step takes the group and the cut that lower the misfit of the single estimates most.
    """
    weight, precision = estimate.values.ravel(), 1 / estimate.variance.ravel()
    labels = labels.copy()
    flat = labels.reshape(-1)
    path = [labels.copy()]

    def best_cut(group: int) -> tuple[float, np.ndarray]:
        members = np.flatnonzero(flat == group)
        if len(members) < 2:
            return 0.0, members[:0]
        parts, cost = segmentation_path(weight[members], precision[members], 2)
        return float(cost[0] - cost[1]), members[parts[1] == 1]

    cuts = [best_cut(group) for group in range(int(labels.max()) + 1)]
    while len(cuts) < max_groups:
        group = max(range(len(cuts)), key=lambda g: cuts[g][0])
        gain, leaving = cuts[group]
        if not gain > 0:
            break
        flat[leaving] = len(cuts)
        cuts.append(best_cut(len(cuts)))
        cuts[group] = best_cut(group)
        path.append(labels.copy())
    return path


def _cheapest_merge(values: np.ndarray, covariance: np.ndarray, sizes: np.ndarray) -> tuple[int, int, float, float]:
    order = np.argsort(values)
    variance = np.diag(covariance)
    best: tuple[float, int, int, float, float] | None = None
    for distance in range(1, min(_NEIGHBOURS, len(values) - 1) + 1):
        a, b = order[:-distance], order[distance:]
        gap = values[a] - values[b]
        spread = np.maximum(variance[a] + variance[b] - 2 * covariance[a, b], np.finfo(float).tiny)
        saved = (
            scipy.special.gammaln(sizes[a] + sizes[b] + 1)
            - scipy.special.gammaln(sizes[a] + 1)
            - scipy.special.gammaln(sizes[b] + 1)
        )
        price = gap**2 / spread - 2 * saved
        i = int(price.argmin())
        if best is None or price[i] < best[0]:
            best = float(price[i]), int(a[i]), int(b[i]), float(gap[i]), float(spread[i])
    assert best is not None
    return best[1:]
