"""Abelian and dihedral groups, by the orders of elements."""

from __future__ import annotations

import math
from itertools import zip_longest

import numpy as np

from equishare.symmetry.permutation_group import PermutationGroup, order_of
from equishare.symmetry.structure import Structure, cyclic, product

# A random element of D_n is a rotation of order n with probability φ(n) / 2n, at least 0.1 for n below this: the chance
# to miss one in so many trials is below 1e-13.
_LARGEST_RING = 30_030
_TRIALS = 300


def abelian(group: PermutationGroup) -> Structure | None:
    """Cyclic groups, and products of cyclic groups in which each order divides the next one."""
    if not group.is_abelian():
        return None
    # In an abelian group some element has the least common multiple of the orders as its own.
    exponent = math.lcm(*(order_of(p) for p in group.generators))
    if exponent == group.order:
        return cyclic(group.order)
    return product([cyclic(n) for n in _invariant_factors(group)])


def dihedral(group: PermutationGroup) -> Structure | None:
    """D_n, n ≥ 3: a rotation r of order n = |G| / 2, and an element s of order two with s r s = r⁻¹."""
    n = group.order // 2
    if group.order % 2 or not 3 <= n < _LARGEST_RING:
        return None
    chain, rng = group.chain(), np.random.default_rng(0)
    sample = [chain.random_element(rng) for _ in range(_TRIALS)]
    rotation = next((p for p in sample if order_of(p) == n), None)
    if rotation is None:
        return None
    back = np.argsort(rotation)
    # In D_n every element that does not commute with r is such an s. As r² ≠ 1, an s is no power of r, and the two
    # generate all 2n elements.
    s = next((p for p in [*sample, *group.generators] if not np.array_equal(p[rotation], rotation[p])), None)
    if s is None or order_of(s) != 2 or not np.array_equal(s[rotation[s]], back):
        return None
    return Structure("dihedral", group.order, n)


def _invariant_factors(group: PermutationGroup) -> list[int]:
    from sympy import combinatorics, primefactors

    sympy_group = combinatorics.PermutationGroup([combinatorics.Permutation(p.tolist()) for p in group.generators])
    prime_powers = sympy_group.abelian_invariants()
    primes = {prime for power in prime_powers for prime in primefactors(power)}
    columns = [sorted((power for power in prime_powers if power % prime == 0), reverse=True) for prime in primes]
    return [math.prod(row) for row in zip_longest(*columns, fillvalue=1)][::-1]
