"""Abelian groups: products of cyclic groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from equishare.symmetry.extra import load_extra, prime_factors
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import order_of
from equishare.symmetry.structure import Structure, cyclic, sorted_product
from equishare.symmetry.transversal import transversal


def abelian(group: PermutationGroup) -> Structure | None:
    """Cyclic groups and products of cyclic groups.

    If the points, in the order they have, are the cells of a torus and the group its shifts, the factors are the sides
    of the torus. Otherwise a cyclic group has one factor. Any other group has factors each of which divides the next
    one; two factors are made as equal as they can be.
    """
    if not group.is_abelian():
        return None
    # In an abelian group some element has the least common multiple of the orders as its own.
    is_cyclic = group.order == math.lcm(*(order_of(p) for p in group.generators))
    factors = _torus(group)
    # A torus of 2 × n, n odd, is a ring of 2n as well, and so called.
    if factors is None or (is_cyclic and min(factors) < 3):
        factors = [group.order] if is_cyclic else invariant_factors(_prime_powers(group))
    return sorted_product(cyclic(n) for n in factors)


def _torus(group: PermutationGroup) -> list[int] | None:
    """Sizes of the torus on which a transitive abelian group acts by shifts, its points in C order."""
    points, movers = transversal(group, 0)
    if len(points) != group.degree:
        return None
    sizes, step = [], 1
    while step < group.degree:
        shift = movers[step]
        size = order_of(shift)
        if group.degree % (step * size):
            return None
        grid = np.arange(group.degree).reshape(-1, size, step)
        if not np.array_equal(shift[grid], np.roll(grid, -1, axis=1)):
            return None
        sizes.append(size)
        step *= size
    return sizes


def _prime_powers(group: PermutationGroup) -> list[int]:
    combinatorics = load_extra("sympy.combinatorics")
    sympy_group = combinatorics.PermutationGroup([combinatorics.Permutation(p.tolist()) for p in group.generators])
    orders: list[int] = sympy_group.abelian_invariants()
    return orders


def invariant_factors(prime_powers: Sequence[int]) -> list[int]:
    """Orders of cyclic groups, each a divisor of the one before, with the product of the given groups of prime powers.

    Two of them are made as equal as they can be.
    """
    primes = {prime for power in prime_powers for prime in prime_factors(power)}
    columns = [sorted((power for power in prime_powers if power % prime == 0), reverse=True) for prime in primes]
    factors: list[int] = [math.prod(row) for row in itertools.zip_longest(*columns, fillvalue=1)]
    if len(factors) != 2:
        return factors
    b, a = factors
    # The parts of the two orders at any set of primes may change places: u is the part of b at such a set.
    parts = [u for u in range(1, b + 1) if b % u == 0 and math.gcd(u, b // u) == 1]
    pairs = {u: (a // math.gcd(a, u) * u, b // u * math.gcd(a, u)) for u in parts}
    return list(pairs[min(parts, key=lambda u: abs(pairs[u][0] - pairs[u][1]))])
