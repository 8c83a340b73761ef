"""A path of merges of estimated entries, the cheapest first, over all assignments of a model at once."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from equishare.problems.estimates import BlockEstimate

# Numbers held while the distances of slices are formed.
_AT_A_TIME = 1 << 24
# The costs of all pairs of entries are held: 2 GiB at 16,384 entries.
_MOST_ENTRIES = 16_384


def ward_path(
    estimates: Sequence[BlockEstimate], totals: Sequence[int], limits: Sequence[int], at_a_time: int = _AT_A_TIME
) -> dict[int, tuple[np.ndarray, ...]]:
    """Partitions on the way from no sharing to one group for each assignment.

    Each merge is the one that raises the weighted sum of squares least,

        Σ_c w_a w_b / (w_a + w_b) (μ_a − μ_b)²,   w, μ: weight and weighted mean of a group in coordinate c,

    The weights w are the precision of the estimates. They stand for the curvature of the loss, so the sum estimates how
    much a merge raises the loss.

    Args:
        estimates: of each assignment, (K, C).
        totals: numbers of groups to return, groups of all assignments counted together.
        limits: the most groups of each assignment.
        at_a_time: numbers held while the distances of slices are formed.

    Returns:
        Labels (K,) of each assignment, by total number of groups.

    Source: Ward 1963.
    """
    slots = [_Groups(one, at_a_time) for one in estimates]
    for slot, limit in zip(slots, limits, strict=True):
        while slot.num_groups > limit:
            slot.merge()
    heap = [(slot.cheapest()[0], i) for i, slot in enumerate(slots)]
    heapq.heapify(heap)
    total = sum(slot.num_groups for slot in slots)
    wanted = set(totals)
    found = {total: tuple(slot.labels() for slot in slots)} if total in wanted else {}
    while total > max(len(slots), min(wanted, default=total)):
        cost, i = heapq.heappop(heap)
        if not np.isfinite(cost):
            break
        slots[i].merge()
        heapq.heappush(heap, (slots[i].cheapest()[0], i))
        total -= 1
        if total in wanted:
            found[total] = tuple(slot.labels() for slot in slots)
    return found


def check_entries(name: str, num_entries: int) -> None:
    """ValueError where an assignment has more entries than can be compared in pairs."""
    if num_entries > _MOST_ENTRIES:
        raise ValueError(
            f"{name!r} has {num_entries} entries; the search compares them in pairs and takes at most {_MOST_ENTRIES}: "
            f"share slices of it (dim=), or use method 'bilevel' with refine=False"
        )


class _Groups:
    """Groups of one assignment, and for each the cheapest merge with a group of a greater number."""

    def __init__(self, estimate: BlockEstimate, at_a_time: int) -> None:
        self.at_a_time = at_a_time
        entries = self.mean = estimate.values.copy()
        self.weight = estimate.precision.copy()
        self.parent = np.arange(len(entries))
        self.alive = np.ones(len(entries), bool)
        self.num_groups = len(entries)
        count = len(entries)
        self.cost = np.full((count, count), np.inf)
        for a in range(count):
            self.cost[a, a + 1 :] = self._costs(a, slice(a + 1, count))
        self.partner = self.cost.argmin(1)
        self.least = self.cost[np.arange(count), self.partner]

    def _costs(self, a: int, others: slice | np.ndarray) -> np.ndarray:
        w, mean = self.weight[others], self.mean[others]
        out = np.empty(len(w))
        step = max(1, self.at_a_time // max(1, w.shape[1]))
        for i in range(0, len(w), step):
            part = slice(i, i + step)
            harmonic = w[part] * self.weight[a] / (w[part] + self.weight[a])
            out[part] = (harmonic * (mean[part] - self.mean[a]) ** 2).sum(1)
        return out

    def cheapest(self) -> tuple[float, int]:
        """Cost of the cheapest merge, and its first group."""
        a = int(self.least.argmin())
        return float(self.least[a]), a

    def merge(self) -> None:
        """Make the cheapest merge."""
        _, a = self.cheapest()
        b = int(self.partner[a])
        total = self.weight[a] + self.weight[b]
        self.mean[a] = (self.weight[a] * self.mean[a] + self.weight[b] * self.mean[b]) / total
        self.weight[a] = total
        self.alive[b] = False
        self.parent[b] = a
        self.num_groups -= 1
        self.cost[b, :] = self.cost[:, b] = np.inf
        self.least[b] = np.inf
        others = np.flatnonzero(self.alive)
        others = others[others != a]
        costs = np.full(len(self.mean), np.inf)
        costs[others] = self._costs(a, others)
        self.cost[a, a + 1 :] = costs[a + 1 :]
        self.cost[:a, a] = costs[:a]
        # Groups whose partner has changed look for a new one; the others only compare with the new cost.
        stale = self.alive & np.isin(self.partner, (a, b))
        stale[a] = True
        for row in np.flatnonzero(stale):
            self.partner[row] = self.cost[row].argmin()
            self.least[row] = self.cost[row, self.partner[row]]
        closer = (costs < self.least) & (np.arange(len(costs)) < a)
        self.partner[closer], self.least[closer] = a, costs[closer]

    def labels(self) -> np.ndarray:
        """Group of each entry."""
        root = self.parent.copy()
        while True:
            above = root[root]
            if np.array_equal(above, root):
                return root
            root = above
