"""Symmetric and alternating groups, by their natural actions or by the presentation of the symmetric group."""

from __future__ import annotations

import math

import numpy as np

from equishare.symmetry.blocks import block_kernel, block_systems
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, commute, inverse, order_of, power
from equishare.symmetry.structure import Structure, alternating, symmetric

# Random elements whose powers are tried as exchanges.
_TRIALS = 200


def symmetric_or_alternating(group: PermutationGroup) -> Structure | None:
    """S_n, n ≥ 3, and A_n, n ≥ 4.

    A group of order n! that acts faithfully on n points, or on n blocks, is all permutations of them; one of order n!/2
    is A_n, the only subgroup of index two. A group of order n! is also S_n if it satisfies the presentation of S_n by
    exchanges of neighbours. A_4 is the only group of order twelve without an element of order six.
    """
    n = 3
    while math.factorial(n) < group.order:
        n += 1
    if group.order == math.factorial(n):
        return symmetric(n) if _acts_naturally(group, n) or _has_exchanges_of_neighbours(group, n) else None
    if n < 4 or 2 * group.order != math.factorial(n):
        return None
    is_alternating = all(order_of(p) != 6 for p in group.elements()) if n == 4 else _acts_naturally(group, n)
    return alternating(n) if is_alternating else None


def _acts_naturally(group: PermutationGroup, n: int) -> bool:
    (orbit, *others) = group.orbits()
    if others:
        return False
    return group.degree == n or any(
        len(system) == n and block_kernel(group, system).order == 1 for system in block_systems(group, orbit)
    )


def _has_exchanges_of_neighbours(group: PermutationGroup, n: int) -> bool:
    """Whether there are t_1, …, t_(n−1) of order 2, (t_k t_(k+1))³ = 1, that commute otherwise (Coxeter and Moore).

    They generate a quotient of S_n. It has more than two elements, as t_1 t_2 has order three, and it is not the
    quotient S_3 of S_4, as t_1 ≠ t_3. So it is S_n, which has as many elements as the group.
    """
    chain, rng = group.chain(), np.random.default_rng(0)
    seen: set[bytes] = set()
    for _ in range(_TRIALS):
        p = chain.random_element(rng)
        order = order_of(p)
        t = power(p, order // 2)
        if order % 2 or t.tobytes() in seen:
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
            t for t in conjugates if order_of(t[last]) == 3 and all(commute(s, t) and (t != s).any() for s in earlier)
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
