"""The orbit of a point, with an element for each point of it that leads there, without a stabiliser chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from equishare.partition import Partition
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, inverse, orbit_labels, random_subproduct

# Random elements of a stabiliser in a row that must keep its orbits.
_MISSES = 10


def spanning_tree(generators: Sequence[Permutation], root: int) -> Iterator[tuple[int, int, int]]:
    """The other points of an orbit, breadth first: each with the one it is reached from, and by which generator."""
    degree = len(generators[0])
    step = np.zeros((degree, degree), dtype=np.int32)
    every = np.arange(degree)
    for number, p in enumerate(generators):
        step[every, p] = number
    points, images = np.tile(every, len(generators)), np.concatenate(generators)
    graph = scipy.sparse.coo_array((np.ones(len(points), bool), (points, images)), shape=(degree, degree)).tocsr()
    order, before = scipy.sparse.csgraph.breadth_first_order(graph, root)
    for point in order[1:].tolist():
        yield point, int(before[point]), int(step[before[point], point])


def transversal(group: PermutationGroup, root: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(k,) the orbit of a point, increasing, and (k, degree) elements that move the point to each of its points."""
    movers = {root: np.arange(group.degree)}
    if group.generators:
        for point, before, step in spanning_tree(group.generators, root):
            movers[point] = group.generators[step][movers[before]]
    points = sorted(movers)
    return np.array(points), np.array([movers[point] for point in points])


def stabilizer_elements(
    group: PermutationGroup, point: int, movers: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> list[Permutation]:
    """Elements that fix a point: random Schreier generators, until more of them no longer change the orbits.

    Args:
        group: of one generator or more.
        point: the point.
        movers: the :func:`transversal` of the point.

    Returns:
        Elements whose orbits are, in all likelihood, those of the whole stabiliser; in theory they could be finer.
    """
    points, there = movers
    rng, orbits, misses = np.random.default_rng(0), Partition(np.arange(group.degree)), 0
    elements = []
    while misses < _MISSES:
        p = random_subproduct(group.generators, rng)[there[rng.integers(len(points))]]
        elements.append(inverse(there[np.searchsorted(points, p[point])])[p])
        wider = orbits.join(Partition(orbit_labels(group.degree, elements[-1:])))
        misses = misses + 1 if wider == orbits else 0
        orbits = wider
    return elements
