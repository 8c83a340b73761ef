"""Frobenius groups: shifts of a ring of prime length, and multiplications of its positions."""

from __future__ import annotations

import itertools

import numpy as np

from equishare.symmetry.extra import prime_factors
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import inverse, order_of
from equishare.symmetry.structure import Structure, cyclic, semidirect

# A random element has order k with probability φ(k) / k: the chance to miss one in so many trials is below 1e-13.
_TRIALS = 300


def frobenius(group: PermutationGroup) -> Structure | None:
    """C_p ⋊ C_k, p prime, the maps x → u x + b of the integers modulo p with uᵏ = 1, k ≥ 3 a divisor of p − 1.

    Elements a of order p and b of order k with b a b⁻¹ = aᵘ, u of order k modulo p: no power of b but the identity
    commutes with a, so that the two generate p k = |G| elements; all u of order k give one group.
    """
    if group.order >= group.degree**2:
        # It acts faithfully on p points at least, and has fewer than p² elements.
        return None
    p = max(prime_factors(group.order))
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
    if u == p or any(pow(u, k // q, p) == 1 for q in prime_factors(k)):
        return None
    return semidirect(cyclic(p), cyclic(k))
