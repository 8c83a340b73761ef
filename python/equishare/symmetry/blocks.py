"""Block systems: partitions of an orbit that a permutation group maps to themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from equishare.partition import Partition
from equishare.symmetry.chain import inverse
from equishare.symmetry.permutation_group import PermutationGroup, groups_of, orbit_labels

# Joins of block systems are taken up to this many; groups of permutations met in weights have a handful.
_MOST_SYSTEMS = 60


def block_systems(group: PermutationGroup) -> list[NDArray[np.int64]]:
    """Block systems of a transitive group, coarsest first, without the two trivial ones.

    The finest system that ties a point to another is found for one point of each orbit of the stabiliser of point 0;
    every system is a join of such ones.

    Returns:
        (degree,) labels of each system; equal labels share a block.
    """
    degree = group.degree
    suborbits = orbit_labels(degree, group.stabilizer([0]).generators)
    second_points = np.unique(suborbits, return_index=True)[1]
    # Dictionaries keep the order of insertion; that of sets would change with each run.
    systems = dict.fromkeys(Partition(_finest_system(group, int(point))) for point in second_points if point)
    queue = list(systems)
    while queue and len(systems) < _MOST_SYSTEMS:
        system = queue.pop()
        new = [join for other in systems if (join := system.join(other)) not in systems]
        systems |= dict.fromkeys(new)
        queue += dict.fromkeys(new)
    proper = [system for system in systems if 1 < system.num_groups < degree]
    return [system.labels for system in sorted(proper, key=lambda system: (system.num_groups, system.labels.tolist()))]


def matching_blocks(
    group: PermutationGroup, blocks: list[NDArray[np.int64]], orbits: list[NDArray[np.int64]]
) -> list[NDArray[np.int64]] | None:
    """Extend the blocks of one orbit to blocks of several orbits that the group permutes in the same way.

    On another orbit, the part of block 0 must be an orbit of the stabiliser of block 0.

    Args:
        group: permutations of all points.
        blocks: blocks of one orbit.
        orbits: the other orbits.

    Returns:
        One set of points for each block; None if some orbit has no such blocks.
    """
    if not orbits:
        return blocks
    extended = with_blocks(group, blocks)
    parts = [[block] for block in blocks]
    chain = extended.chain([group.degree])
    mover = chain.inverse[0]
    movers = [inverse(mover[group.degree + number]) for number in range(len(blocks))]
    labels = orbit_labels(extended.degree, chain.strong_generators(1))
    for orbit in orbits:
        for part in groups_of(labels[orbit]):
            images = [p[orbit[part]] for p in movers]
            if len(part) * len(blocks) == len(orbit) and len(np.unique(np.concatenate(images))) == len(orbit):
                if group.with_sets(images) is None:
                    continue
                for own, image in zip(parts, images, strict=True):
                    own.append(image)
                break
        else:
            return None
    return [np.sort(np.concatenate(own)) for own in parts]


def with_blocks(group: PermutationGroup, blocks: Sequence[NDArray[np.int64]]) -> PermutationGroup:
    """The group with one more point for each block of a system that it permutes."""
    extended = group.with_sets(blocks)
    if extended is None:
        raise RuntimeError("a block system is not permuted by its group")
    return extended


def block_kernel(group: PermutationGroup, blocks: Sequence[NDArray[np.int64]]) -> PermutationGroup:
    """The normal subgroup that maps each block to itself."""
    extended = with_blocks(group, blocks)
    kernel = extended.stabilizer(range(group.degree, extended.degree))
    return PermutationGroup(group.degree, [p[: group.degree] for p in kernel.generators], kernel.order)


def _finest_system(group: PermutationGroup, point: int) -> NDArray[np.int64]:
    """Labels of the finest block system in which point 0 and another share a block."""
    labels = np.arange(group.degree)
    labels[point] = 0
    count = group.degree - 1
    while True:
        # Points that share a block must still share one after every generator.
        _, firsts, number = np.unique(labels, return_index=True, return_inverse=True)
        first = firsts[number]
        rows = np.concatenate([first, *(p[first] for p in group.generators)])
        cols = np.concatenate([np.arange(group.degree), *group.generators])
        graph = coo_array((np.ones(len(rows), bool), (rows, cols)), shape=(group.degree, group.degree))
        before = count
        count, labels = connected_components(graph, directed=False)
        if count == before:
            return labels
