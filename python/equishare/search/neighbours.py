"""Many slices are merged to fewer groups without comparing all pairs: a slice is merged with one near it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

# Each group is compared with so many others, the nearest along so many principal axes.
_NEAREST = 12
_AXES = 8
# Slices that the axes are found from.
_SAMPLED = 4096
# Numbers held while prices are formed.
_AT_A_TIME = 1 << 22


def merged_neighbours(values: np.ndarray, weights: np.ndarray, most: int) -> np.ndarray:
    """Labels of at most ``most`` groups of slices, merged as on the path of Ward's method.

    Equal slices are merged first. Then each group knows its nearest others, and pairs of which each is the other's
    cheapest partner are merged, all at once, until half of the groups are left; then the nearest are looked up again.
    In the end the dearest merges are taken back. Only pairs that are near are seen, so this is not quite the path of
    all pairs. Time and memory are O(K log K · C) for K slices of C numbers.

    Args:
        values: (K, C).
        weights: (K, C), positive.
        most: groups that may be left.

    Returns:
        (K,) labels 0 … G − 1.

    Source: Ward 1963; reciprocal nearest neighbours after Murtagh 1983.
    """
    labels = _equal_rows(values)
    groups = _Forest.of(labels, values, weights)
    while len(groups.node) > most:
        least = max(most // 2, len(groups.node) // 2)
        before = len(groups.node)
        edges = groups.near()
        prices = groups.prices(edges)
        while len(groups.node) > least and len(edges):
            edges, prices = groups.merge(edges, prices)
        assert len(groups.node) < before
    return groups.cut(most)[labels]


def _equal_rows(values: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(values + 0.0)  # −0 is 0
    names = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    return np.unique(names, return_inverse=True)[1].reshape(-1)


@dataclass
class _Forest:
    """Groups that are left, and the merges that have made them.

    Attributes:
        mean, weight: (n, C) of the groups that are left.
        node: (n,) which node of the forest each is.
        parent: of each node; its own where it is left.
        height: price of the merge that took a node to its parent, or the highest before it, whichever is more.
        turn: in which turn that was.
        top: (n,) highest price within each group that is left.
    """

    mean: np.ndarray
    weight: np.ndarray
    node: np.ndarray
    parent: np.ndarray
    height: np.ndarray
    turn: np.ndarray
    top: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, values: np.ndarray, weights: np.ndarray) -> _Forest:
        count = int(labels.max()) + 1
        first = np.empty(count, np.int64)
        first[labels[::-1]] = np.arange(len(labels))[::-1]
        weight = np.zeros((count, values.shape[1]))
        np.add.at(weight, labels, weights)
        nodes = np.arange(count)
        none, turn = np.full(count, np.inf), np.zeros(count, np.int64)
        return cls(values[first].astype(float), weight, nodes, nodes.copy(), none, turn, np.zeros(count))

    def near(self) -> np.ndarray:
        """Pairs (E, 2) of groups, each with the nearest along the principal axes of the weighted means."""
        scaled = self.mean * np.sqrt(self.weight.mean(0))
        if scaled.shape[1] > _AXES:
            scaled = scaled @ _principal_axes(scaled)
        count = min(_NEAREST + 1, len(scaled))
        # Without balance: many of the numbers may be equal.
        tree = scipy.spatial.cKDTree(scaled, balanced_tree=False, compact_nodes=False)
        other = tree.query(scaled, count)[1]
        return self._distinct(np.column_stack([np.repeat(np.arange(len(scaled)), count), other.ravel()]))[0]

    def _distinct(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each pair once, the lower number first, none with itself; and where each stood."""
        low, high = edges.min(1), edges.max(1)
        at = np.flatnonzero(low < high)
        found = np.unique(low[at] * len(self.node) + high[at], return_index=True)[1]
        at = at[found]
        return np.column_stack([low[at], high[at]]), at

    def prices(self, edges: np.ndarray) -> np.ndarray:
        """Of the merges of these pairs."""
        out = np.empty(len(edges))
        step = max(1, _AT_A_TIME // self.mean.shape[1])
        for i in range(0, len(edges), step):
            a, b = edges[i : i + step].T
            harmonic = self.weight[a] * self.weight[b] / (self.weight[a] + self.weight[b])
            out[i : i + step] = (harmonic * (self.mean[a] - self.mean[b]) ** 2).sum(1)
        return out

    def merge(self, edges: np.ndarray, prices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Merge the pairs of which each is the other's cheapest partner; the pairs that are left, and their prices."""
        dearest_first = np.argsort(prices, kind="stable")[::-1]
        cheapest = np.full(len(self.node), -1)
        # The last of several assignments holds, so both ends of a pair are assigned together.
        cheapest[edges[dearest_first].ravel()] = np.repeat(dearest_first, 2)
        chosen = np.flatnonzero((cheapest[edges] == np.arange(len(edges))[:, None]).all(1))
        a, b = edges[chosen].T
        height = np.maximum(prices[chosen], np.maximum(self.top[a], self.top[b]))
        self.height[self.node[b]], self.turn[self.node[b]] = height, self.turn.max() + 1
        self.parent[self.node[b]] = self.node[a]
        total = self.weight[a] + self.weight[b]
        self.mean[a] = (self.weight[a] * self.mean[a] + self.weight[b] * self.mean[b]) / total
        self.weight[a], self.top[a] = total, height
        to = np.arange(len(self.node))
        to[b] = a
        left = np.ones(len(to), bool)
        left[b] = False
        changed = np.zeros(len(to), bool)
        changed[a] = True
        to = (np.cumsum(left) - 1)[to]
        self.mean, self.weight, self.node, self.top = (x[left] for x in (self.mean, self.weight, self.node, self.top))
        stale = changed[edges].any(1) | ~left[edges].all(1)
        edges, at = self._distinct(to[edges])
        prices, stale = prices[at], stale[at]
        prices[stale] = self.prices(edges[stale])
        return edges, prices

    def cut(self, most: int) -> np.ndarray:
        """Labels of the nodes without the dearest merges: ``most`` groups, or fewer where there are no more nodes."""
        count = len(self.parent)
        cheapest_first = np.lexsort((self.turn, self.height))
        parent = np.arange(count)
        kept = cheapest_first[: max(0, count - most)]
        parent[kept] = self.parent[kept]
        while not np.array_equal(parent[parent], parent):
            parent = parent[parent]
        return np.unique(parent, return_inverse=True)[1].reshape(-1)


def _principal_axes(rows: np.ndarray) -> np.ndarray:
    """(C, 8) axes along which the rows vary most, from some of the rows by power iteration (Halko et al. 2011)."""
    rng = np.random.default_rng(0)
    some = rows[rng.permutation(len(rows))[:_SAMPLED]]
    some = some - some.mean(0)
    axes = rng.normal(size=(rows.shape[1], 2 * _AXES))
    for _ in range(3):
        axes = some.T @ np.linalg.qr(some @ np.linalg.qr(axes)[0])[0]
    axes, _, _ = np.linalg.svd(axes, full_matrices=False)
    return axes[:, :_AXES]
