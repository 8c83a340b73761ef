"""Abelian, dihedral, dicyclic and Frobenius groups, by relations between elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from equishare.symmetry.automorphisms import Permutation, load_extra
from equishare.symmetry.chain import inverse
from equishare.symmetry.permutation_group import PermutationGroup, order_of
from equishare.symmetry.structure import Structure, cyclic, dicyclic, dihedral, semidirect, sorted_product
from equishare.symmetry.transversal import transversal

# A random element is a rotation of order n = |G| / 2 with probability φ(n) / 2n, at least 0.1 for n below this: the
# chance to miss one in so many trials is below 1e-13. It has order k in a group C_p ⋊ C_k as often.
_LARGEST_RING = 30_030
_TRIALS = 300


def abelian(group: PermutationGroup) -> Structure | None:
    """Cyclic groups and products of cyclic groups.

    The factors are those of a torus whose shifts the group is in the order its points have, if there is one. Else a
    cyclic group has one factor, and any other the factors of its invariants: each order divides the next one, two
    factors are made as equal as they can be.
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


def dihedral_or_dicyclic(group: PermutationGroup) -> Structure | None:
    """D_n and Dic_n: a rotation r of order |G| / 2, and an element s with s r s⁻¹ = r⁻¹ whose square is 1 or r^|G|/4.

    D_n, of order 2n, n ≥ 3, has r of order n and s² = 1; Dic_n, of order 4n, n ≥ 2, has r of order 2n and s² = rⁿ. As
    r² ≠ 1, an s is no power of r, and the two generate all elements: the group is known by these relations.
    """
    n = group.order // 2
    if group.order % 2 or not 3 <= n < _LARGEST_RING:
        return None
    chain, rng = group.chain(), np.random.default_rng(0)
    sample = [chain.random_element(rng) for _ in range(_TRIALS)]
    squares = [p[p] for p in sample[:10]]
    if not all(np.array_equal(p[q], q[p]) for p, q in itertools.combinations(squares, 2)):
        # Squares are rotations, or rⁿ.
        return None
    rotation = next((p for p in sample if order_of(p) == n), None)
    if rotation is None:
        return None
    # In these groups every element that does not commute with r is such an s.
    s = next((p for p in [*sample, *group.generators] if not np.array_equal(p[rotation], rotation[p])), None)
    if s is None or not np.array_equal(s[rotation[inverse(s)]], inverse(rotation)):
        return None
    if order_of(s) == 2:
        return dihedral(n)
    return dicyclic(n // 2) if n % 2 == 0 and np.array_equal(s[s], _power(rotation, n // 2)) else None


def frobenius(group: PermutationGroup) -> Structure | None:
    """C_p ⋊ C_k, p prime, the maps x → u x + b of the integers modulo p with uᵏ = 1, k ≥ 3 a divisor of p − 1.

    Elements a of order p and b of order k with b a b⁻¹ = aᵘ, u of order k modulo p: no power of b but the identity
    commutes with a, so that the two generate p k = |G| elements; all u of order k give one group.
    """
    if group.order >= group.degree**2:
        # It acts faithfully on p points at least, and has fewer than p² elements.
        return None
    p = max(load_extra("sympy").primefactors(group.order))
    k = group.order // p
    if k < 3 or (p - 1) % k:
        return None
    chain, rng = group.chain(), np.random.default_rng(0)
    sample = [chain.random_element(rng) for _ in range(_TRIALS)]
    # Commutators are shifts; two random elements commute with probability below one half.
    commutators = (inverse(g)[inverse(h)][g[h]] for g, h in itertools.pairwise(sample))
    a = next((c for c in commutators if order_of(c) == p), None)
    b = next((g for g in sample if order_of(g) == k), None)
    if a is None or b is None:
        return None
    conjugate, power, u = b[a[inverse(b)]], a, 1
    while u < p and not np.array_equal(power, conjugate):
        power, u = a[power], u + 1
    if u == p or any(pow(u, k // q, p) == 1 for q in load_extra("sympy").primefactors(k)):
        return None
    return semidirect(cyclic(p), cyclic(k))


def _power(p: Permutation, exponent: int) -> Permutation:
    power = np.arange(len(p))
    for _ in range(exponent):
        power = p[power]
    return power


def _torus(group: PermutationGroup) -> list[int] | None:
    """Sizes of the torus on which a transitive abelian group acts by shifts, its points in C order."""
    points, movers = transversal(group.degree, group.generators, 0)
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
    """Orders of cyclic groups, each a divisor of the one before, with a product like that of cyclic p-groups.

    Two of them are made as equal as they can be.
    """
    primefactors = load_extra("sympy").primefactors
    primes = {prime for power in prime_powers for prime in primefactors(power)}
    columns = [sorted((power for power in prime_powers if power % prime == 0), reverse=True) for prime in primes]
    factors: list[int] = [math.prod(row) for row in itertools.zip_longest(*columns, fillvalue=1)]
    if len(factors) != 2:
        return factors
    b, a = factors
    # The parts of the two orders at any set of primes may change places: u is the part of b at such a set.
    parts = [u for u in range(1, b + 1) if b % u == 0 and math.gcd(u, b // u) == 1]
    pairs = {u: (a // math.gcd(a, u) * u, b // u * math.gcd(a, u)) for u in parts}
    return list(pairs[min(parts, key=lambda u: abs(pairs[u][0] - pairs[u][1]))])
