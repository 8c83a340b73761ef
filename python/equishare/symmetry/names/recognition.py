"""The table of families of groups, and the name of a group from it: each with a proof that is not the order alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from equishare.symmetry.factors import direct_factors
from equishare.symmetry.followers import without_followers
from equishare.symmetry.names.abelian import abelian
from equishare.symmetry.names.dihedral import dihedral_or_dicyclic
from equishare.symmetry.names.direct import product_of_factors, product_of_kernels
from equishare.symmetry.names.frobenius import frobenius
from equishare.symmetry.names.symmetric import symmetric_or_alternating
from equishare.symmetry.names.wreath import wreath_product_on_blocks, wreath_product_on_coordinates
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.structure import Structure, dihedral, preferred, product, sorted_product, symmetric


def recognise_pattern(
    factors: Sequence[PermutationGroup], moved: Sequence[tuple[int, ...]], same_action: bool
) -> tuple[Structure, list[Structure]]:
    """The structure of the group of a weight or a kernel, and that of each of its factors.

    Factors that move outputs alone come first, those that move inputs alone last.

    Args:
        factors: groups that move different points.
        moved: how many outputs, inputs and taps each of them moves.
        same_action: whether outputs and inputs are moved alike by demand.
    """
    parts = [recognise_factor(factor) for factor in factors]
    if parts == [symmetric(3)] and moved == [(3, 3)] and not same_action:
        # Three outputs and three inputs that move freely are a ring of three as well, and are called like larger rings.
        parts = [dihedral(3)]
    sides = [(in_ > 0) - (out > 0) for out, in_, *_ in moved]
    ordered = [[part for part, at in zip(parts, sides, strict=True) if at == side] for side in (-1, 0, 1)]
    return product(map(sorted_product, ordered)), parts


def recognise(group: PermutationGroup) -> Structure:
    """The structure of a group: the product of its factors that move different points, each one named."""
    return sorted_product(map(recognise_factor, direct_factors(without_followers(group).group)))


def recognise_factor(group: PermutationGroup) -> Structure:
    """The structure of a group that does not split into factors that move different points.

    The first family of the table that the group belongs to names it. A wreath product on coordinates is looked for
    only where that leaves a part unnamed.
    """
    group = _on_few_points(group)
    found = next(filter(None, (family(group) for family in FAMILIES)), None)
    if found is None or not found.is_named:
        found = preferred(filter(None, (found, wreath_product_on_coordinates(group, recognise))))
    return found or Structure("unnamed", group.order, len(group.random_generators()))


def _on_few_points(group: PermutationGroup) -> PermutationGroup:
    """The action on the shortest orbit that is faithful, or on all points that move."""
    orbits = group.moved_orbits()
    for orbit in sorted(orbits, key=len):
        if any((p[orbit] == orbit).all() for p in group.generators):
            continue
        acting = group.restricted(orbit)
        if acting.order == group.order:
            return acting
    return group.restricted(np.sort(np.concatenate(orbits)))


# In the order in which they are tried; those that are made of other groups get the function that names these.
FAMILIES: tuple[Callable[[PermutationGroup], Structure | None], ...] = (
    abelian,
    dihedral_or_dicyclic,
    symmetric_or_alternating,
    frobenius,
    partial(wreath_product_on_blocks, name=recognise),
    partial(product_of_factors, name=recognise_factor),
    partial(product_of_kernels, name=recognise),
)
