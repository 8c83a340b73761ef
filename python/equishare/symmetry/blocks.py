"""Block systems: partitions of an orbit that a permutation group maps to themselves.

A system is a list of blocks, a block an array of points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from equishare.partition import Partition
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import groups_of, moves, orbit_labels
from equishare.symmetry.transversal import stabilizer_elements, transversal

Blocks = Sequence[NDArray[np.int64]]

# Joins of block systems are taken up to this many; groups of permutations met in weights have a handful.
_MOST_SYSTEMS = 60


def block_systems(group: PermutationGroup, orbit: NDArray[np.int64]) -> Iterator[list[NDArray[np.int64]]]:
    """Block systems of an orbit of two or more points, coarsest first, without the two trivial ones.

    For one point of each orbit of the stabiliser of the first point: the finest system with it and the first point in
    one block. Every system is a join of such ones.
    """
    acting = group.acting_on(orbit, 0)
    movers = transversal(acting, 0)
    elements = stabilizer_elements(acting, 0, movers)
    second_points = np.unique(orbit_labels(acting.degree, elements), return_index=True)[1]
    # The block of point 0 is its orbit under the stabiliser and an element that moves it to the other point.
    # Dictionaries keep the order of insertion; that of sets would change with each run.
    parts = [orbit_labels(acting.degree, [*elements, movers[1][x]]) for x in second_points if x]
    blocks = dict.fromkeys(tuple(np.flatnonzero(labels == labels[0]).tolist()) for labels in parts)
    systems = dict.fromkeys(Partition(_finest_system(acting, block)) for block in blocks)
    queue = list(systems)
    while queue and len(systems) < _MOST_SYSTEMS:
        system = queue.pop()
        new = [join for other in systems if (join := system.join(other)) not in systems]
        systems |= dict.fromkeys(new)
        queue += dict.fromkeys(new)
    proper = [system for system in systems if 1 < system.num_groups < acting.degree]
    for system in sorted(proper, key=lambda system: (system.num_groups, system.labels.tolist())):
        yield [orbit[block] for block in groups_of(system.labels)]


def matching_blocks(group: PermutationGroup, blocks: Blocks, orbits: Blocks = ()) -> NDArray[np.int64] | None:
    """Extend the blocks of one orbit to blocks of several orbits that the group permutes in the same way.

    On another orbit, the part of block 0 must be an orbit of the stabiliser of block 0.

    Args:
        group: permutations of all points.
        blocks: blocks of one orbit.
        orbits: the other orbits.

    Returns:
        (blocks, points of each) the points; each row is the image of row 0, in its order, under an element of the
        group. None if some orbit has no such blocks.
    """
    extended = with_blocks(group, blocks)
    level = transversal(extended, group.degree)
    movers = level[1]
    parts = [movers[:, blocks[0]]]
    if orbits:
        labels = orbit_labels(extended.degree, stabilizer_elements(extended, group.degree, level))
    for orbit in orbits:
        for part in groups_of(labels[orbit]):
            images = movers[:, orbit[part]]
            if images.size == len(orbit) == len(np.unique(images)) and group.with_sets(list(images)) is not None:
                parts.append(images)
                break
        else:
            return None
    return np.concatenate(parts, axis=1)


def block_actions(group: PermutationGroup, blocks: NDArray[np.int64]) -> tuple[PermutationGroup, PermutationGroup]:
    """The action of the stabiliser of block 0 on that block, and the action on the blocks.

    Schreier generators of the stabiliser: the element that moves block 0 to block j, a generator, and the way back from
    the block that it leads to.

    Args:
        group: permutes the blocks.
        blocks: (m, b) as :func:`matching_blocks` orders them.

    Returns:
        Two groups of unknown order.
    """
    place = np.empty(blocks.max() + 1, dtype=np.int64)
    number = np.empty_like(place)
    place[blocks], number[blocks] = np.arange(blocks.shape[1]), np.arange(len(blocks))[:, None]
    within = np.concatenate([np.unique(place[p[blocks]], axis=0) for p in group.generators])
    between = np.array([number[p[blocks[:, 0]]] for p in group.generators])
    return _generated_by(within), _generated_by(between)


def _generated_by(permutations: NDArray[np.int64]) -> PermutationGroup:
    generators = [p for p in np.unique(permutations, axis=0) if moves(p).any()]
    return PermutationGroup(permutations.shape[1], generators, 0)


def with_blocks(group: PermutationGroup, blocks: Blocks) -> PermutationGroup:
    """The group with one more point for each block of a system that it permutes."""
    extended = group.with_sets(blocks)
    if extended is None:
        raise RuntimeError("a block system is not permuted by its group")
    return extended


def block_kernel(group: PermutationGroup, blocks: Blocks) -> PermutationGroup:
    """The normal subgroup that maps each block to itself."""
    extended = with_blocks(group, blocks)
    kernel = extended.stabilizer(range(group.degree, extended.degree))
    return PermutationGroup(group.degree, [p[: group.degree] for p in kernel.generators], kernel.order)


def _finest_system(group: PermutationGroup, block: Sequence[int]) -> NDArray[np.int64]:
    """Labels of the finest block system in which some points share a block."""
    labels = np.arange(group.degree)
    labels[list(block)] = block[0]
    count = group.degree - len(block) + 1
    while True:
        # Points that share a block must still share one after every generator.
        _, firsts, number = np.unique(labels, return_index=True, return_inverse=True)
        first = firsts[number]
        rows = np.concatenate([first, *(p[first] for p in group.generators)])
        cols = np.concatenate([np.arange(group.degree), *group.generators])
        graph = scipy.sparse.coo_array((np.ones(len(rows), bool), (rows, cols)), shape=(group.degree, group.degree))
        before = count
        count, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
        if count == before:
            return labels
