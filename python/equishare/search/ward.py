"""A path of merges of estimated entries, the cheapest first, over all assignments of a model at once."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from equishare import reference
from equishare._native import core
from equishare.problems.estimates import Weighted
from equishare.search.neighbours import merged_neighbours

# Numbers held while the distances of slices are formed.
_AT_A_TIME = 1 << 24
# The prices of all pairs of so many slices are held, 128 MiB. More of them are first merged with their neighbours.
_MOST_PAIRED = 4096
# Until so many groups are left.
MOST_GROUPS = 2048


def ward_path(
    estimates: Sequence[Weighted], totals: Sequence[int], limits: Sequence[int], at_a_time: int = _AT_A_TIME
) -> dict[int, tuple[np.ndarray, ...]]:
    """Partitions on the way from no sharing to one group for each assignment.

    Each merge is the one that raises the weighted sum of squares least,

        Σ_c w_a w_b / (w_a + w_b) (μ_a − μ_b)²,   w, μ: weight and weighted mean of a group in coordinate c,

    The weights w are the precision of the estimates. They stand for the curvature of the loss, so the sum estimates how
    much a merge raises the loss.

    Single entries (C = 1) are sorted, and only neighbours are merged: that is exact, and takes time O(K log K) and
    memory O(K). Up to 4096 slices (C > 1) are compared in pairs. More of them are merged with near ones, until 2048
    groups are left (:func:`equishare.search.neighbours.merged_neighbours`).

    Args:
        estimates: of each assignment, (K, C).
        totals: numbers of groups to return, groups of all assignments counted together.
        limits: the most groups of each assignment.
        at_a_time: numbers held while the distances of slices are formed.

    Returns:
        Labels (K,) of each assignment, by total number of groups.

    Source: Ward 1963.
    """
    wanted = set(totals)
    if not wanted:
        return {}
    # Of a path no more is needed than up to the most groups that are wanted.
    slots = [_groups(one, min(limit, max(wanted)), at_a_time) for one, limit in zip(estimates, limits, strict=True)]
    heap = [(slot.price, i) for i, slot in enumerate(slots)]
    heapq.heapify(heap)
    total = sum(slot.num_groups for slot in slots)
    found = {total: tuple(slot.labels() for slot in slots)} if total in wanted else {}
    while total > max(len(slots), min(wanted)):
        price, i = heapq.heappop(heap)
        if not np.isfinite(price):
            break
        slots[i].merge()
        heapq.heappush(heap, (slots[i].price, i))
        total -= 1
        if total in wanted:
            found[total] = tuple(slot.labels() for slot in slots)
    return found


class _Groups(Protocol):
    """The groups of one assignment on a path of merges."""

    num_groups: int

    @property
    def price(self) -> float:
        """Of the cheapest merge; infinite for a single group."""

    def merge(self) -> None:
        """Make the cheapest merge."""

    def labels(self) -> np.ndarray:
        """Group (K,) of each entry."""


def _groups(estimate: Weighted, most: int, at_a_time: int) -> _Groups:
    """The groups of one assignment, at most so many."""
    if estimate.values.shape[1] == 1:
        order = np.argsort(estimate.values[:, 0], kind="stable")
        order = order.astype(np.int32) if len(order) < 1 << 31 else order
        return _Sorted(order, _overwriting(*(column[order, 0].astype(float) for column in estimate)), most)
    values, weights, start = estimate.values.astype(float), estimate.precision.astype(float), None
    if len(values) > _MOST_PAIRED:
        start = merged_neighbours(values, weights, MOST_GROUPS)
        total = _sums(start, weights)
        values, weights = _sums(start, weights * values) / total, total
    pairs = _Pairs(values, weights, start, at_a_time)
    while pairs.num_groups > most:
        pairs.merge()
    return pairs


def _sums(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    order = np.argsort(labels, kind="stable")
    return np.add.reduceat(rows[order], np.flatnonzero(np.diff(labels[order], prepend=-1)))


class _Sorted:
    """Groups of sorted numbers: a merge removes the boundary between two of them.

    Args:
        order: (K,) that sorts the numbers.
        heights: (K − 1,) see :func:`ward_heights`.
        most: groups to begin with.
    """

    def __init__(self, order: np.ndarray, heights: np.ndarray, most: int) -> None:
        self.order = order
        most = min(most, len(order))
        if most < len(order):
            # Boundaries of the dearest merges are the last to go.
            self.boundaries = np.argpartition(heights, len(heights) - most)[len(heights) - most + 1 :]
        else:
            self.boundaries = np.arange(len(heights))
        own = heights[self.boundaries]
        cheapest_first = np.argsort(own, kind="stable")
        self.boundaries, self.heights = self.boundaries[cheapest_first], own[cheapest_first]
        self.merged, self.num_groups = 0, most

    @property
    def price(self) -> float:
        return float(self.heights[self.merged]) if self.num_groups > 1 else np.inf

    def merge(self) -> None:
        self.merged += 1
        self.num_groups -= 1

    def labels(self) -> np.ndarray:
        opens = np.zeros(len(self.order), np.min_scalar_type(self.num_groups))
        opens[self.boundaries[self.merged :] + 1] = 1
        labels = np.empty_like(opens)
        labels[self.order] = np.cumsum(opens, dtype=opens.dtype)
        return labels


def ward_heights(value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The path of merges of sorted values: what merge removes each boundary between two of them, by its price.

    The cheapest merge of all is one of neighbours, and prices grow along the path. So the partition into g groups keeps
    the g − 1 boundaries of the highest prices.

    Args:
        value: (K,) ascending.
        weight: (K,) positive.

    Returns:
        (K − 1,) prices.

    Source: Murtagh 1983 (nearest-neighbour chains).
    """
    return _overwriting(np.array(value, float), np.array(weight, float))


def _overwriting(value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The same; the arguments are scratch memory."""
    if core is None:
        return reference.ward_heights(value, weight)
    last, heights = np.empty(len(value), np.int32), np.empty(len(value) - 1)
    core.ward_heights(len(value), *(array.ctypes.data for array in (value, weight, last, heights)))
    return heights


class _Pairs:
    """Groups of slices, and for each the cheapest merge with a group of a greater number.

    Args:
        values: weighted means (n, C).
        weights: (n, C).
        start: (K,) which of these each slice belongs to; None: n slices.
        at_a_time: numbers held while the prices are formed.
    """

    def __init__(self, values: np.ndarray, weights: np.ndarray, start: np.ndarray | None, at_a_time: int) -> None:
        self.at_a_time, self.start = at_a_time, start
        self.mean = values.copy()
        self.weight = weights.copy()
        count = self.num_groups = len(values)
        self.parent = np.arange(count)
        self.alive = np.ones(count, bool)
        self.prices = np.full((count, count), np.inf)
        for a in range(count):
            self.prices[a, a + 1 :] = self._prices(a, slice(a + 1, count))
        self.partner = self.prices.argmin(1)
        self.least = self.prices[np.arange(count), self.partner]

    def _prices(self, a: int, others: slice | np.ndarray) -> np.ndarray:
        w, mean = self.weight[others], self.mean[others]
        out = np.empty(len(w))
        step = max(1, self.at_a_time // max(1, w.shape[1]))
        for i in range(0, len(w), step):
            part = slice(i, i + step)
            harmonic = w[part] * self.weight[a] / (w[part] + self.weight[a])
            out[part] = (harmonic * (mean[part] - self.mean[a]) ** 2).sum(1)
        return out

    @property
    def price(self) -> float:
        return float(self.least.min())

    def merge(self) -> None:
        a = int(self.least.argmin())
        b = int(self.partner[a])
        total = self.weight[a] + self.weight[b]
        self.mean[a] = (self.weight[a] * self.mean[a] + self.weight[b] * self.mean[b]) / total
        self.weight[a] = total
        self.alive[b] = False
        self.parent[b] = a
        self.num_groups -= 1
        self.prices[b, :] = self.prices[:, b] = np.inf
        self.least[b] = np.inf
        others = np.flatnonzero(self.alive)
        others = others[others != a]
        prices = np.full(len(self.mean), np.inf)
        prices[others] = self._prices(a, others)
        self.prices[a, a + 1 :] = prices[a + 1 :]
        self.prices[:a, a] = prices[:a]
        # Groups whose partner has changed look for a new one; the others only compare with the new price.
        stale = self.alive & np.isin(self.partner, (a, b))
        stale[a] = True
        for row in np.flatnonzero(stale):
            self.partner[row] = self.prices[row].argmin()
            self.least[row] = self.prices[row, self.partner[row]]
        closer = (prices < self.least) & (np.arange(len(prices)) < a)
        self.partner[closer], self.least[closer] = a, prices[closer]

    def labels(self) -> np.ndarray:
        root = roots(self.parent)
        return root if self.start is None else root[self.start]


def roots(parent: np.ndarray) -> np.ndarray:
    """The root of each node of a forest."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent.copy()
        parent = above
