"""The orbit of a point, with an element for each point of it that leads there, without a stabiliser chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from equishare.partition import Partition
from equishare.symmetry.automorphisms import Permutation, orbit_labels
from equishare.symmetry.chain import inverse, random_subproduct

# Random elements of a stabiliser in a row that must keep its orbits.
_MISSES = 10


def spanning_tree(degree: int, generators: Sequence[Permutation], root: int) -> Iterator[tuple[int, int, int]]:
    """The other points of an orbit, breadth first: each with the one it is reached from, and by which generator."""
    step = np.zeros((degree, degree), dtype=np.int32)
    every = np.arange(degree)
    for number, p in enumerate(generators):
        step[every, p] = number
    points, images = np.tile(every, len(generators)), np.concatenate([every[:0], *generators])
    graph = coo_array((np.ones(len(points), bool), (points, images)), shape=(degree, degree)).tocsr()
    order, before = breadth_first_order(graph, root)
    for point in order[1:].tolist():
        yield point, int(before[point]), int(step[before[point], point])


def transversal(
    degree: int, generators: Sequence[Permutation], root: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(k,) the orbit of a point, increasing, and (k, degree) elements that move the point to each of its points."""
    movers = {root: np.arange(degree)}
    for point, before, step in spanning_tree(degree, generators, root):
        movers[point] = generators[step][movers[before]]
    points = sorted(movers)
    return np.array(points), np.array([movers[point] for point in points])


def stabilizer_elements(
    degree: int, generators: Sequence[Permutation], point: int, movers: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> list[Permutation]:
    """Elements that fix a point: random Schreier generators, until more of them leave the orbits as they are.

    Args:
        movers: the :func:`transversal` of the point.

    Returns:
        In all likelihood they have the orbits of the whole stabiliser; in theory those could be coarser.
    """
    points, there = movers
    rng, orbits, misses = np.random.default_rng(0), Partition(np.arange(degree)), 0
    elements = []
    while misses < _MISSES:
        p = random_subproduct(generators, rng)[there[rng.integers(len(points))]]
        elements.append(inverse(there[np.searchsorted(points, p[point])])[p])
        joined = orbits.join(Partition(orbit_labels(degree, elements[-1:])))
        misses = misses + 1 if joined == orbits else 0
        orbits = joined
    return elements
