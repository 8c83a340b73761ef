"""Permutations as arrays: what they move, inverse, powers, order, orbits.

A permutation is an integer array p that moves point x to p[x]; ``q[p]`` is p followed by q.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from equishare.partition import Partition

Permutation = NDArray[np.int64]


def moves(p: Permutation) -> NDArray[np.bool_]:
    """(degree,) whether each point is moved."""
    return p != np.arange(len(p))


def inverse(p: Permutation) -> Permutation:
    """The permutation that undoes p."""
    back = np.empty_like(p)
    back[p] = np.arange(len(p))
    return back


def power(p: Permutation, exponent: int) -> Permutation:
    """The permutation that applies p so many times."""
    image = np.arange(len(p))
    for _ in range(exponent):
        image = p[image]
    return image


def commute(p: Permutation, q: Permutation) -> bool:
    """Whether it does not matter which of two permutations is the first."""
    return np.array_equal(p[q], q[p])


def order_of(p: Permutation) -> int:
    """Order of a permutation: the least common multiple of the lengths of its cycles."""
    return math.lcm(*np.bincount(orbit_labels(len(p), [p])).tolist())


def cycle_and_exchange(degree: int, points: NDArray[np.int64]) -> list[Permutation]:
    """Generators of all permutations of two or more points: a cycle and, for more than two, an exchange."""
    generators = []
    for moved in [points, points[:2]][: min(len(points), 3) - 1]:
        p = np.arange(degree)
        p[moved] = np.roll(moved, -1)
        generators.append(p)
    return generators


def random_subproduct(generators: Sequence[Permutation], rng: np.random.Generator) -> Permutation:
    """The product of a random choice of generators, in random order.

    It lies in any given proper subgroup with probability at most one half (Babai).
    """
    p = np.arange(len(generators[0]))
    for number in rng.permutation(len(generators))[: rng.binomial(len(generators), 0.5)]:
        p = generators[number][p]
    return p


def orbit_labels(degree: int, generators: Sequence[Permutation]) -> NDArray[np.int64]:
    """(degree,) number of the orbit of each point, by first appearance."""
    points = np.tile(np.arange(degree), len(generators))
    images = np.concatenate([points[:0], *generators])
    return joined(np.arange(degree), [np.column_stack([points, images])])


def joined(labels: NDArray[np.int64], links: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Labels under which linked labels are one; links are arrays of pairs (k, 2)."""
    rows, cols = np.concatenate(links).T
    if not len(rows):
        return labels
    count = int(labels.max()) + 1
    # Compressed and of floating point, as connected_components wants it: of few links, making it so takes longest.
    graph = scipy.sparse.csr_array((np.ones(len(rows)), (rows, cols)), shape=(count, count))
    return scipy.sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)[labels]


def groups_of(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The points of each label."""
    partition = Partition(labels)
    return np.split(np.argsort(partition.labels, kind="stable"), np.cumsum(partition.group_sizes)[:-1])


def cycles(p: Permutation) -> list[list[int]]:
    """The cycles of two points and more, each from its smallest point on."""
    image, seen, found = p.tolist(), np.zeros(len(p), dtype=bool), []
    for start in np.flatnonzero(moves(p)).tolist():
        cycle, point = [], start
        while not seen[point]:
            seen[point] = True
            cycle.append(point)
            point = image[point]
        if cycle:
            found.append(cycle)
    return found
