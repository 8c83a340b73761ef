"""Symmetric and alternating groups, by their natural actions or by the presentation of the symmetric group."""

from __future__ import annotations

import math

import numpy as np

from equishare.symmetry.automorphisms import Permutation
from equishare.symmetry.blocks import block_kernel, block_systems
from equishare.symmetry.chain import inverse
from equishare.symmetry.permutation_group import PermutationGroup, groups_of, order_of
from equishare.symmetry.structure import Structure, symmetric

# Random elements whose powers are tried as exchanges.
_TRIALS = 200


def symmetric_or_alternating(group: PermutationGroup) -> Structure | None:
    """S_n and A_n, n ≥ 4.

    A group of order n! or n!/2 that acts faithfully on n points, or on n blocks, is all permutations of them or the
    one subgroup of index two. A group of order n! is also S_n if it satisfies the presentation of S_n by exchanges of
    neighbours.
    """
    n = 4
    while math.factorial(n) < group.order:
        n += 1
    whole = group.order == math.factorial(n)
    if not whole and 2 * group.order != math.factorial(n):
        return None
    if _acts_naturally(group, n) or (whole and _has_exchanges_of_neighbours(group, n)):
        return symmetric(n) if whole else Structure("alternating", group.order, n)
    return None


def _acts_naturally(group: PermutationGroup, n: int) -> bool:
    if len(group.orbits()) != 1:
        return False
    return group.degree == n or any(
        labels.max() + 1 == n and block_kernel(group, groups_of(labels)).order == 1
        for labels in block_systems(group.degree, group.generators)
    )


def _has_exchanges_of_neighbours(group: PermutationGroup, n: int) -> bool:
    """Whether there are t_1, …, t_(n−1) of order 2, (t_k t_(k+1))³ = 1, that commute otherwise (Coxeter and Moore).

    They generate a quotient of S_n. With t_1 t_2 of order three it is not of order two, with t_1 ≠ t_3 it is not the
    quotient S_3 of S_4: it is S_n, and as large as the group.
    """
    chain, rng = group.chain(), np.random.default_rng(0)
    seen: set[bytes] = set()
    for _ in range(_TRIALS):
        p = chain.random_element(rng)
        order = order_of(p)
        if order % 2:
            continue
        t = np.arange(group.degree)
        for _ in range(order // 2):
            t = p[t]
        if t.tobytes() in seen:
            continue
        conjugates = _conjugates(group, t, math.comb(n, 2))
        seen |= {c.tobytes() for c in conjugates}
        if len(conjugates) == math.comb(n, 2) and _chain_of_neighbours(conjugates, n):
            return True
    return False


def _chain_of_neighbours(conjugates: list[Permutation], n: int) -> bool:
    exchanges = conjugates[:1]
    while len(exchanges) < n - 1:
        last, earlier = exchanges[-1], exchanges[:-1]
        following = (
            t
            for t in conjugates
            if order_of(t[last]) == 3 and all(np.array_equal(t[s], s[t]) and (t != s).any() for s in earlier)
        )
        t = next(following, None)
        if t is None:
            return False
        exchanges.append(t)
    return True


def _conjugates(group: PermutationGroup, t: Permutation, most: int) -> list[Permutation]:
    """The conjugates of t, or the first ones if there are more than ``most``."""
    found = {t.tobytes(): t}
    queue = [t]
    while queue and len(found) <= most:
        s = queue.pop()
        for p in group.generators:
            image = p[s[inverse(p)]]
            if image.tobytes() not in found:
                found[image.tobytes()] = image
                queue.append(image)
    return list(found.values())
