"""Wreath products T ≀ P: P permutes blocks, or coordinates, and T acts within each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from equishare.symmetry.blocks import block_actions, block_systems, matching_blocks
from equishare.symmetry.bounds import bounded
from equishare.symmetry.names.coordinates import coordinate_sets
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.structure import Structure, preferred

Name = Callable[[PermutationGroup], Structure]


def wreath_product_on_blocks(group: PermutationGroup, name: Name) -> Structure | None:
    """T ≀ P, T the action of the stabiliser of a block on the block and P the action on the blocks."""
    return preferred(_wreath_products(group, name))


def wreath_product_on_coordinates(group: PermutationGroup, name: Name) -> Structure | None:
    """T ≀ P on tuples of coordinates: on the values of the coordinates it acts in blocks."""
    return preferred(
        replace(structure, places="coordinates")
        for acting in _actions_on_values(group)
        for structure in _wreath_products(acting, name)
    )


def _wreath_products(group: PermutationGroup, name: Name) -> Iterator[Structure]:
    """Names for each system of blocks that shows one. The group lies in T ≀ P (Krasner and Kaloujnine).

    Let m be the number of blocks. If the group has |T|^m |P| elements, or as many with proved upper bounds in place of
    |T| and |P|, it is all of T ≀ P.
    """
    orbits = group.moved_orbits()
    for number, orbit in enumerate(orbits):
        others, found = orbits[:number] + orbits[number + 1 :], False
        if not any(_may_be_wreath(group, len(orbit), count) for count in range(2, len(orbit) // 2 + 1)):
            continue
        for system in block_systems(group, orbit):
            count = len(system)
            blocks = matching_blocks(group, system, others) if _may_be_wreath(group, len(orbit), count) else None
            if blocks is None:
                continue
            base, top = map(bounded, block_actions(group, blocks))
            if base.order > 1 and base.order**count * top.order == group.order:
                found = True
                yield Structure("wreath", group.order, parts=(name(base), name(top)), points=count)
        if found:
            # Another orbit shows the same blocks.
            return


def _may_be_wreath(group: PermutationGroup, points: int, count: int) -> bool:
    """Whether T ≀ P can be so small: T is transitive on the points of a block, P on the blocks."""
    return points % count == 0 and (points // count) ** count * count <= group.order


def _actions_on_values(group: PermutationGroup) -> Iterator[PermutationGroup]:
    """Transitive actions on the values of coordinates; they are faithful."""
    if len(group.orbits()) != 1:
        return
    for sets in coordinate_sets(group):
        extended = group.with_sets(sets)
        if extended is None:
            continue
        # The points are to be told apart by the sets they are in.
        member = np.array([np.isin(np.arange(group.degree), points) for points in sets])
        if len(np.unique(member, axis=1).T) < group.degree:
            continue
        acting = extended.acting_on(np.arange(group.degree, extended.degree), group.order)
        if len(acting.orbits()) == 1:
            yield acting
