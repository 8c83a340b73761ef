"""Symmetric and alternating groups, by their natural actions or by presentations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from equishare.symmetry.blocks import block_kernel, block_systems
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, commute, inverse, order_of, power
from equishare.symmetry.structure import Structure, alternating, symmetric

# Random elements whose powers are tried as exchanges, or as cycles of three points.
_TRIALS = 200


def symmetric_or_alternating(group: PermutationGroup) -> Structure | None:
    """S_n, n ≥ 3, and A_n, n ≥ 4.

    A group of order n! that acts faithfully on n points, or on n blocks, is all permutations of them; one of order n!/2
    is A_n, the only subgroup of index two. A group of order n! is also S_n if it satisfies the presentation of S_n by
    exchanges of neighbours, one of order n!/2, n ≥ 5, A_n if it satisfies that of A_n by cycles of three points. A_4 is
    the only group of order twelve without an element of order six.
    """
    n = 3
    while math.factorial(n) < group.order:
        n += 1
    if group.order == math.factorial(n):
        return symmetric(n) if _acts_naturally(group, n) or _has_exchanges_of_neighbours(group, n) else None
    if n < 4 or 2 * group.order != math.factorial(n):
        return None
    if n == 4:
        is_alternating = all(order_of(p) != 6 for p in group.elements())
    else:
        is_alternating = _acts_naturally(group, n) or _has_cycles_of_three(group, n)
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

    def follows(t: Permutation, before: list[Permutation]) -> bool:
        return order_of(t[before[-1]]) == 3 and all(commute(s, t) and (s != t).any() for s in before[:-1])

    return _has_sequence(group, 2, n - 1, math.comb(n, 2), follows)


def _has_cycles_of_three(group: PermutationGroup, n: int) -> bool:
    """Whether there are c_1, …, c_(n−2) of order 3 with (c_j c_k)² = 1 for all j < k (Carmichael), n ≥ 5.

    The cycles (1 2 k) are such elements. They generate a quotient of A_n that is not trivial. As A_n is simple, it is
    A_n, which has as many elements as the group. Source: Coxeter and Moser, "Generators and Relations for Discrete
    Groups", section 6.3.
    """

    def follows(c: Permutation, before: list[Permutation]) -> bool:
        return all(order_of(c[b]) == 2 for b in before)

    return _has_sequence(group, 3, n - 2, 2 * math.comb(n, 3), follows)


def _has_sequence(
    group: PermutationGroup,
    prime: int,
    length: int,
    class_size: int,
    follows: Callable[[Permutation, list[Permutation]], bool],
) -> bool:
    """Whether conjugates of prime order, of which there are so many, form a sequence where each follows those before.

    They are taken as they come: in the groups looked for it does not matter which of several is the next.
    """
    chain, rng = group.chain(), np.random.default_rng(0)
    seen: set[bytes] = set()
    for _ in range(_TRIALS):
        p = chain.random_element(rng)
        order = order_of(p)
        t = power(p, order // prime)
        if order % prime or t.tobytes() in seen:
            continue
        conjugates = _conjugates(group, t, class_size)
        seen |= {c.tobytes() for c in conjugates}
        if len(conjugates) == class_size:
            sequence = [t]
            while len(sequence) < length:
                following = next((c for c in conjugates if follows(c, sequence)), None)
                if following is None:
                    break
                sequence.append(following)
            else:
                return True
    return False


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
