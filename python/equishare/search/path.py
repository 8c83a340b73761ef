"""Paths of merges from no sharing to full sharing, in the metric of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from equishare.linalg import pseudo_inverse
from equishare.problems.estimates import BlockEstimate, fit_estimate
from equishare.search.segmentation import probable_segmentations, segmentation_path

# A greedy path from G groups costs O(G³) time and O(G²) memory. Larger problems start from the best segmentation of the
# single estimates into so many groups.
MAX_GREEDY_GROUPS = 512
# At first a path goes up to so many groups; twice as many while its best cut lies in its upper half.
_FIRST_CAP = 64
# A merge joins groups that lie at most so many places apart in the order of values.
_NEIGHBOURS = 3


def merge_path(estimate: BlockEstimate, max_groups: int) -> list[np.ndarray]:
    """Partitions into at most 1, …, ``max_groups`` groups, in the shape of the estimates, each fitting them well.

    Where the estimates do not covary, the g-th partition is the best of all into g groups, found by dynamic
    programming. Otherwise groups are merged greedily; the price of a merge is the exact increase of
    the quadratic loss after all values are refitted, ``(ψ_a − ψ_b)² / var(ψ_a − ψ_b)``.
    """
    shape = estimate.values.shape
    weight, precision = estimate.values.ravel(), 1 / estimate.variance.ravel()
    if estimate.is_diagonal:
        path, _ = segmentation_path(weight, precision, max_groups)
        return [labels.reshape(shape) for labels in path]
    start = min(weight.size, MAX_GREEDY_GROUPS)
    path, _ = segmentation_path(weight, precision, start)
    merged = greedy_merges(estimate, path[-1].reshape(shape))[:max_groups]
    if max_groups >= start < weight.size:
        merged.append(np.arange(weight.size).reshape(shape))
    return merged


def shortest_path(
    estimate: BlockEstimate,
    path_to: Callable[[int], list[np.ndarray]],
    score: Callable[[list[np.ndarray]], Any],
    leads: Callable[[Any], bool] = lambda scores: True,
) -> tuple[list[np.ndarray], Any]:
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
        if min(range(len(path)), key=scores.__getitem__) < cap / 2 or cap == most:
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
    entries = conditional.ravel(), estimate.precision.ravel()
    path, _ = segmentation_path(*entries, min(2 * num_groups + 6, labels.size))
    return [one.reshape(labels.shape) for one in [*path, *probable_segmentations(*entries, width)]]


def greedy_merges(estimate: BlockEstimate, labels: np.ndarray, frequencies: bool = False) -> list[np.ndarray]:
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
    path = [labels]
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
        labels = renamed[labels]
        num_groups = last
        path.append(labels)
    return path[::-1]


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
