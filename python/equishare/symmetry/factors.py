"""The finest direct decomposition of a permutation group into groups that move different points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.blocks import block_systems, matching_blocks
from equishare.symmetry.bounds import bounded
from equishare.symmetry.chain import Transversal
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, joined, moves, orbit_labels


def direct_factors(group: PermutationGroup) -> list[PermutationGroup]:
    """The finest direct decomposition into groups that move different points.

    First the generators are sorted into parts that move different points. A part whose exchanges link all its points
    is all permutations of them. The other parts get proved bounds as their orders: if these multiply to the order that
    is left, each of them is exact. Where they do not, and where a part may split further, a stabiliser chain decides.
    """
    parts = [PermutationGroup(group.degree, own, 0) for own in _components(group.degree, group.generators)]
    bounds = [(part, _all_permutations(part)) for part in parts]
    factors = [replace(part, order=order) for part, order in bounds if order]
    others = [part for part, order in bounds if not order]
    left = group.order // math.prod(factor.order for factor in factors)
    if len(others) > 1:
        others = [replace(part, order=bounded(part.acting_on(part.moved_points(), 0)).order) for part in others]
    elif others:
        others = [replace(others[0], order=left)]
    if math.prod(part.order for part in others) != left:
        others = [PermutationGroup(group.degree, [p for part in others for p in part.generators], left)]
    return factors + [factor for part in others for factor in ([part] if _is_linked(part) else _by_chain(part))]


def _all_permutations(group: PermutationGroup) -> int:
    """n! if exchanges link all n points that the generators move, else 0."""
    exchanges = [p for p in group.generators if np.count_nonzero(moves(p)) == 2]
    points = group.moved_points()
    linked = orbit_labels(group.degree, exchanges)[points]
    return math.factorial(len(points)) if (linked == linked[0]).all() else 0


def _components(degree: int, generators: Sequence[Permutation]) -> list[list[Permutation]]:
    """The generators in parts: two that move a common point are in one part."""
    labels = _linked(degree, generators)
    parts: dict[int, list[Permutation]] = {}
    for p in generators:
        parts.setdefault(int(labels[moves(p).argmax()]), []).append(p)
    return list(parts.values())


def _is_linked(group: PermutationGroup) -> bool:
    """Whether blocks show that the group does not split: linked orbits have blocks on which it acts in the same way.

    Orbits of different factors are not linked: an element of one factor moves blocks of its own orbit alone.
    """
    orbits = group.moved_orbits()
    if len(orbits) == 1:
        return True
    links = [(a, b) for a, b in itertools.combinations(range(len(orbits)), 2) if _in_step(group, orbits[a], orbits[b])]
    return not joined(np.arange(len(orbits)), [np.array(links, dtype=np.int64).reshape(-1, 2)]).any()


def _in_step(group: PermutationGroup, orbit: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    systems = itertools.chain(block_systems(group, orbit), [list(orbit[:, None])])
    return any(matching_blocks(group, system, [other]) is not None for system in systems)


def _by_chain(group: PermutationGroup) -> list[PermutationGroup]:
    """The factors by reduced strong generators.

    A strong generator is a product of elements of the factors, and only one factor moves the base point of its level.
    What the others contribute is in the stabiliser below that level. Reduction by the levels below takes it away, so
    that each reduced generator is in a single factor.
    """
    chain = group.chain()
    reduced = []
    for level, base in enumerate(chain.base):
        for p in chain.generators[level]:
            if p[base] != base:
                reduced.append(_reduced(p, chain.levels[level + 1 :], chain.base[level + 1 :]))
    factors = []
    for own in _components(group.degree, reduced):
        support = PermutationGroup(group.degree, own, 0).moved_points()
        order = math.prod(len(level) for level, base in zip(chain.levels, chain.base, strict=True) if base in support)
        factors.append(PermutationGroup(group.degree, own, order))
    return factors


def _reduced(p: Permutation, levels: Sequence[Transversal], base: Sequence[int]) -> Permutation:
    """Multiply p by elements of a stabiliser until it fixes every base point that it can be made to fix."""
    for level, point in zip(levels, base, strict=True):
        back = level.back(p[point])
        if back is not None:
            p = back[p]
    return p


def _linked(degree: int, generators: Sequence[Permutation]) -> NDArray[np.int64]:
    """(degree,) labels under which all points that one generator moves share a label."""
    cycles = []
    for p in generators:
        moved = np.flatnonzero(moves(p))
        cycle = np.arange(degree)
        cycle[moved] = np.roll(moved, 1)
        cycles.append(cycle)
    return orbit_labels(degree, cycles)
