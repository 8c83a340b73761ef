"""Coordinates of a transitive permutation group whose points are tuples: the corners of a cube, the cells of a grid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy
from numpy.typing import NDArray

from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import groups_of, orbit_labels
from equishare.symmetry.transversal import stabilizer_elements, transversal

# Edges of the graphs that are factored, and those up to which all edges are compared with all.
_MOST_EDGES = 50_000
_ALL_COMPARED = 2000


def coordinate_sets(group: PermutationGroup) -> Iterator[list[NDArray[np.int64]]]:
    """Sets of points "coordinate i has value v", from the prime factors of a graph on which the group acts.

    The edges of each graph are the pairs to which the group moves one pair of points. A connected graph is a Cartesian
    product of prime factors, and each factor is a class of edges. Two edges are of one class if a chain of these
    relations links them: d(a, c) + d(b, e) ≠ d(a, e) + d(b, c) for edges ab and ce (Djoković and Winkler), or edges ab
    and ae whose ends b and e have no other common neighbour (Feder, "Product graph representations", J. Graph Theory
    16, 1992). Without the edges of one class there is one component for each value of its coordinate.

    Args:
        group: transitive; graphs of more than 50,000 edges are passed over. In one of more than 2000, only the edges at
            point 0 are compared with all others: the classes may, in theory, come out finer.

    Yields:
        The sets of one graph, of all its coordinates; graphs with few edges come first.
    """
    level = transversal(group, 0)
    labels = orbit_labels(group.degree, stabilizer_elements(group, 0, level))
    suborbits = [suborbit for suborbit in groups_of(labels) if suborbit[0] != 0]
    seen: set[frozenset[bytes]] = set()
    for suborbit in sorted(suborbits, key=len):
        if len(suborbit) * group.degree > 2 * _MOST_EDGES:
            return
        adjacent = np.zeros((group.degree, group.degree), dtype=np.int64)
        for point, mover in enumerate(level[1]):
            adjacent[point, mover[suborbit]] = 1
        if (adjacent == adjacent.T).all() and (sets := _sets(adjacent)):
            # Several graphs may show the same coordinates.
            key = frozenset(points.tobytes() for points in sets)
            if key not in seen:
                seen.add(key)
                yield sets


def _sets(adjacent: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The sets of one graph; none for one that is not connected, or prime."""
    a, b = np.nonzero(np.triu(adjacent))
    some = np.flatnonzero((a == 0) | (len(a) <= _ALL_COMPARED))
    # Distances and common neighbours are needed of the ends of these edges alone.
    ends, c, e = _numbered(a[some], b[some])
    graph = scipy.sparse.csr_array(adjacent)
    distance = scipy.sparse.csgraph.shortest_path(graph, unweighted=True, indices=ends)
    if not np.isfinite(distance).all():
        return []
    distance = distance.astype(np.int16)
    related = distance[np.ix_(c, a)] + distance[np.ix_(e, b)] != distance[np.ix_(c, b)] + distance[np.ix_(e, a)]
    single = (graph[ends] @ graph).toarray() == 1
    for x, y in [(c, e), (e, c)]:
        for u, v in [(a, b), (b, a)]:
            related |= (ends[x][:, None] == u) & single[np.ix_(y, v)]
    rows, cols = np.nonzero(related)
    related = scipy.sparse.coo_array((np.ones(len(rows), bool), (some[rows], cols)), shape=(len(a), len(a)))
    count, classes = scipy.sparse.csgraph.connected_components(related, directed=False)
    sets = []
    # Every factor has edges at point 0: classes without one are of edges that were not compared with those of theirs.
    for number in np.unique(classes[a == 0]) if count > 1 else ():
        kept = classes != number
        graph = scipy.sparse.csr_array((np.ones(kept.sum(), bool), (a[kept], b[kept])), shape=adjacent.shape)
        sets += groups_of(scipy.sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64))
    return sets


def _numbered(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The points among a and b, ascending, and a and b as their numbers."""
    points, numbers = np.unique(np.stack([a, b]), return_inverse=True)
    return points, *numbers.reshape(2, -1)
