"""Proved upper bounds on the order of a group that is known by its generators.

They prove that a group is a product: if it lies in the product and has as many elements as the bound allows, it is all
of it, and every bound that went in was exact.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from equishare.symmetry.blocks import block_actions, block_systems, matching_blocks
from equishare.symmetry.chain import StabilizerChain
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import orbit_labels, random_subproduct

# A chain is completed with proof if its levels, times the points of its basic orbits, are at most so many.
_MOST_WORK = 5000
# Random products in a row that a chain must hold before it is tried for completeness.
_MISSES = 10


def bounded(group: PermutationGroup) -> PermutationGroup:
    """The group with an upper bound as its order: exact for a group with a short stabiliser chain.

    Otherwise the product over the orbits, and for each orbit of n points the least of n!, n!/2 for even permutations,
    and bound(T)ᵐ bound(P) over systems of m blocks, where T is the action of the stabiliser of a block on the block and
    P that on the blocks: the group embeds in T ≀ P (Krasner and Kaloujnine).
    """
    orbits = [group.acting_on(orbit, 0) for orbit in group.moved_orbits()]
    order = _short_order(group, math.prod(_all_permutations(orbit) for orbit in orbits))
    return replace(group, order=math.prod(_transitive_bound(orbit) for orbit in orbits) if order is None else order)


def _transitive_bound(group: PermutationGroup) -> int:
    least = _all_permutations(group)
    for system in block_systems(group, np.arange(group.degree)):
        blocks = matching_blocks(group, system)
        if blocks is not None:
            base, top = (bounded(part).order for part in block_actions(group, blocks))
            least = min(least, base ** len(blocks) * top)
    return least


def _all_permutations(group: PermutationGroup) -> int:
    """n!, or n!/2 if all generators are even."""
    cycles = [int(orbit_labels(group.degree, [p]).max()) + 1 for p in group.generators]
    return math.factorial(group.degree) // (2 if all((group.degree - c) % 2 == 0 for c in cycles) else 1)


def _short_order(group: PermutationGroup, bound: int) -> int | None:
    """The order, proved; None where the chain would be long."""
    chain, rng, misses = StabilizerChain(group.degree), np.random.default_rng(0), 0
    queue = list(group.generators)
    while chain.order < bound and (queue or misses < _MISSES):
        misses = 0 if chain.add(queue.pop() if queue else random_subproduct(group.generators, rng)) else misses + 1
        if len(chain.base) * sum(chain.basic_orbit_lengths) > _MOST_WORK:
            return None
    if chain.order < bound:
        chain.close()
    return chain.order
