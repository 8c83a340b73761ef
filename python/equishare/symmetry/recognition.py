"""Names of permutation groups, each with a proof that does not rest on the order alone (docs/symmetry.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.blocks import block_actions, block_kernel, block_systems, matching_blocks
from equishare.symmetry.bounds import order_bound
from equishare.symmetry.cartesian import coordinate_sets
from equishare.symmetry.decomposition import indecomposable_factors
from equishare.symmetry.factors import direct_factors
from equishare.symmetry.followers import without_followers
from equishare.symmetry.permutation_group import PermutationGroup, groups_of
from equishare.symmetry.small_groups import abelian, dihedral_or_dicyclic, frobenius, invariant_factors
from equishare.symmetry.structure import Structure, proper_divisors, sorted_product, symmetric
from equishare.symmetry.structure import cyclic as cyclic_group
from equishare.symmetry.structure import dihedral as dihedral_group
from equishare.symmetry.symmetric import symmetric_or_alternating

# Groups up to this order are decomposed by a multiplication table.
_MOST_ELEMENTS = 2048


def recognise(group: PermutationGroup) -> Structure:
    """The structure of a group: the product of its factors that move different points, each one named."""
    return sorted_product(recognise_factor(factor) for factor in direct_factors(without_followers(group).group))


def recognise_factor(group: PermutationGroup) -> Structure:
    """The structure of a group that does not split into factors that move different points."""
    group = _on_few_points(group)
    if group.order == 6 and not group.is_abelian():
        # The only such group; it is D_3 too, and one name serves.
        return symmetric(3)
    named = abelian(group) or dihedral_or_dicyclic(group) or symmetric_or_alternating(group) or frobenius(group)
    if named:
        return named
    if group.order == 12:
        # The others that are not abelian are D_6 and Dic_3.
        return Structure("alternating", 12, 4)
    candidates = list(_wreath_products(group)) or list(_direct_products(group))
    if not any(candidate.is_named for candidate in candidates):
        candidates += _product_actions(group)
    if candidates:
        return min(candidates, key=_preference)
    return Structure("unnamed", group.order, len(group.random_generators()))


def _preference(structure: Structure) -> tuple[bool, bool, int, str]:
    """Named throughout, then direct products, then short names."""
    name = str(structure)
    return not structure.is_named, structure.kind != "product", len(name), name


def _on_few_points(group: PermutationGroup) -> PermutationGroup:
    """The action on the shortest orbit that is faithful, or on all points that move."""
    orbits = [orbit for orbit in group.orbits() if len(orbit) > 1]
    for orbit in sorted(orbits, key=len):
        if any((p[orbit] == orbit).all() for p in group.generators):
            continue
        acting = group.restricted(orbit)
        if acting.order == group.order:
            return acting
    return group.restricted(np.sort(np.concatenate(orbits)))


def _wreath_products(group: PermutationGroup) -> Iterator[Structure]:
    """T ≀ P, T the action of the stabiliser of a block on the block and P the action on the m blocks.

    The group embeds in T ≀ P (Krasner and Kaloujnine); it is T ≀ P when its order is |T|^m |P|, or proved bounds of
    these two.
    """
    orbits = [orbit for orbit in group.orbits() if len(orbit) > 1]
    for number, orbit in enumerate(orbits):
        others, found = orbits[:number] + orbits[number + 1 :], False
        if not any(_may_be_wreath(group, len(orbit), count) for count in proper_divisors(len(orbit))):
            continue
        acting = group.acting_on(orbit, 0)
        for labels in block_systems(acting.degree, acting.generators):
            count = int(labels.max()) + 1
            if not _may_be_wreath(group, len(orbit), count):
                continue
            blocks = matching_blocks(group, [orbit[block] for block in groups_of(labels)], others)
            if blocks is None:
                continue
            sizes = blocks.shape[1], count
            base, top = (
                PermutationGroup(degree, generators, order_bound(degree, generators))
                for degree, generators in zip(sizes, block_actions(group.generators, blocks), strict=True)
            )
            if base.order > 1 and base.order**count * top.order == group.order:
                found = True
                parts = (recognise(base), recognise(top))
                yield Structure("wreath", group.order, parts=parts, points=count)
        if found:
            # Another orbit shows the same blocks.
            return


def _may_be_wreath(group: PermutationGroup, points: int, count: int) -> bool:
    """Whether T ≀ P is not too large: the base is transitive on a block, the top on the blocks."""
    return (points // count) ** count * count <= group.order


def _product_actions(group: PermutationGroup) -> Iterator[Structure]:
    """Wreath products that act on tuples of coordinates: on the values of the coordinates they act in blocks."""
    if len(group.orbits()) != 1:
        return
    for sets in coordinate_sets(group):
        extended = group.with_sets(sets)
        if extended is None:
            continue
        member = np.array([np.isin(np.arange(group.degree), points) for points in sets])
        if len(np.unique(member, axis=1).T) < group.degree:
            continue
        # Points are told apart by the sets they are in: the action on the sets is faithful.
        acting = extended.acting_on(np.arange(group.degree, extended.degree), group.order)
        if len(acting.orbits()) == 1:
            yield from (replace(structure, places="coordinates") for structure in _wreath_products(acting))


def _direct_products(group: PermutationGroup) -> Iterator[Structure]:
    """A × B for normal subgroups that meet in the identity and whose orders multiply to that of the group.

    A small group is decomposed by its multiplication table. For a large one the normal subgroups tried are the kernels
    of the actions on orbits and on systems of blocks.
    """
    if group.order > _MOST_ELEMENTS:
        yield from _products_of_kernels(group)
        return
    factors = indecomposable_factors(group)
    if len(factors) > 1:
        yield from _products_of_factors(factors)


def _products_of_factors(factors: list[PermutationGroup]) -> Iterator[Structure]:
    """Names of a product of indecomposable groups: C_2 × D_n may stand as D_2n for odd n."""
    cyclic = [factor for factor in factors if factor.is_abelian()]
    others = [recognise_factor(factor) for factor in factors if not factor.is_abelian()]
    orders = sorted(factor.order for factor in cyclic)
    odd = [i for i, part in enumerate(others) if part == symmetric(3) or (part.kind == "dihedral" and part.index % 2)]
    for count in range(min(len(odd), orders.count(2)) + 1):
        rest = sorted_product(cyclic_group(n) for n in invariant_factors(orders[count:]))
        if not count and cyclic:
            # In their order, the points may show a torus.
            generators = [p for factor in cyclic for p in factor.generators]
            rest = recognise_factor(PermutationGroup(cyclic[0].degree, generators, math.prod(orders)))
        for doubled in itertools.combinations(odd, count):
            parts = [dihedral_group(part.order) if i in doubled else part for i, part in enumerate(others)]
            yield sorted_product([rest, *parts])


def _products_of_kernels(group: PermutationGroup) -> Iterator[Structure]:
    """A × B for kernels of the actions on orbits and on systems of blocks."""
    orbits = [orbit for orbit in group.orbits() if len(orbit) > 1]
    actions: list[list[NDArray[np.int64]]] = []
    for orbit in orbits:
        if len(orbits) > 1:
            actions.append([orbit[[point]] for point in range(len(orbit))])
        acting = group.acting_on(orbit, 0)
        systems = block_systems(acting.degree, acting.generators)
        actions.extend([orbit[block] for block in groups_of(labels)] for labels in systems)
    kernels = [(sets, block_kernel(group, sets)) for sets in actions]
    kernels = [(sets, kernel) for sets, kernel in kernels if 1 < kernel.order < group.order]
    for number, (sets, kernel) in enumerate(kernels):
        for other_sets, other in kernels[:number]:
            if kernel.order * other.order == group.order and block_kernel(group, sets + other_sets).order == 1:
                yield sorted_product([recognise(kernel), recognise(other)])
