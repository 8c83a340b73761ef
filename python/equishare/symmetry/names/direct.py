"""Direct products A × B: normal subgroups that meet in the identity and whose orders multiply to that of the group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from equishare.symmetry.blocks import Blocks, block_kernel, block_systems
from equishare.symmetry.names.abelian import invariant_factors
from equishare.symmetry.names.decomposition import indecomposable_factors
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.structure import Structure, cyclic, dihedral, preferred, sorted_product, symmetric

Name = Callable[[PermutationGroup], Structure]

# Groups up to this order are decomposed by a multiplication table.
_MOST_ELEMENTS = 2048


def product_of_factors(group: PermutationGroup, name: Name) -> Structure | None:
    """The finest decomposition of a small group, by its multiplication table."""
    factors = indecomposable_factors(group) if group.order <= _MOST_ELEMENTS else []
    return preferred(_products(factors, name)) if len(factors) > 1 else None


def product_of_kernels(group: PermutationGroup, name: Name) -> Structure | None:
    """A × B in a large group, for kernels of its actions on orbits and on systems of blocks."""
    pairs = _pairs_of_kernels(group) if group.order > _MOST_ELEMENTS else ()
    return preferred(sorted_product(map(name, pair)) for pair in pairs)


def _products(factors: list[PermutationGroup], name: Name) -> Iterator[Structure]:
    """Names of a product of indecomposable groups: C_2 × D_n may stand as D_2n for odd n."""
    cyclic_factors = [factor for factor in factors if factor.is_abelian()]
    others = [name(factor) for factor in factors if not factor.is_abelian()]
    orders = sorted(factor.order for factor in cyclic_factors)
    odd = [i for i, part in enumerate(others) if part == symmetric(3) or (part.kind == "dihedral" and part.index % 2)]
    for count in range(min(len(odd), orders.count(2)) + 1):
        rest = sorted_product(cyclic(n) for n in invariant_factors(orders[count:]))
        if not count and cyclic_factors:
            # In their order, the points may show a torus.
            generators = [p for factor in cyclic_factors for p in factor.generators]
            rest = name(PermutationGroup(cyclic_factors[0].degree, generators, math.prod(orders)))
        for doubled in itertools.combinations(odd, count):
            parts = [dihedral(part.order) if i in doubled else part for i, part in enumerate(others)]
            yield sorted_product([rest, *parts])


def _pairs_of_kernels(group: PermutationGroup) -> Iterator[tuple[PermutationGroup, PermutationGroup]]:
    """Those whose product is the group."""
    orbits = group.moved_orbits()
    actions: list[Blocks] = []
    for orbit in orbits:
        if len(orbits) > 1:
            actions.append(list(orbit[:, None]))
        actions.extend(block_systems(group, orbit))
    kernels = [(sets, block_kernel(group, sets)) for sets in actions]
    kernels = [(sets, kernel) for sets, kernel in kernels if 1 < kernel.order < group.order]
    for (other_sets, other), (sets, kernel) in itertools.combinations(kernels, 2):
        if kernel.order * other.order == group.order and block_kernel(group, [*sets, *other_sets]).order == 1:
            yield kernel, other
