"""Dihedral and dicyclic groups: a rotation, and elements that reverse it."""

from __future__ import annotations

import itertools

import numpy as np

from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import commute, inverse, order_of, power
from equishare.symmetry.structure import Structure, dicyclic, dihedral

# A random element is a rotation of order n = |G| / 2 with probability φ(n) / 2n, at least 0.1 for n below this: the
# chance to miss one in so many trials is below 1e-13.
_LARGEST_RING = 30_030
_TRIALS = 300


def dihedral_or_dicyclic(group: PermutationGroup) -> Structure | None:
    """D_n and Dic_n: a rotation r of order |G| / 2, and an element s with s r s⁻¹ = r⁻¹ whose square is 1 or r^|G|/4.

    D_n, of order 2n, n ≥ 4, has r of order n and s² = 1. Dic_n, of order 4n, n ≥ 2, has r of order 2n and s² = rⁿ. As
    r² ≠ 1, s is no power of r: r and s generate the group, and these relations determine it.
    """
    n = group.order // 2
    if group.order % 2 or not 4 <= n < _LARGEST_RING:
        return None
    chain, rng = group.chain(), np.random.default_rng(0)
    sample = [chain.random_element(rng) for _ in range(_TRIALS)]
    # Squares are rotations, or rⁿ.
    if not all(commute(p, q) for p, q in itertools.combinations([p[p] for p in sample[:10]], 2)):
        return None
    rotation = next((p for p in sample if order_of(p) == n), None)
    if rotation is None:
        return None
    # In these groups every element that does not commute with r is such an s.
    s = next((p for p in [*sample, *group.generators] if not commute(p, rotation)), None)
    if s is None or not np.array_equal(s[rotation[inverse(s)]], inverse(rotation)):
        return None
    if order_of(s) == 2:
        return dihedral(n)
    return dicyclic(n // 2) if n % 2 == 0 and np.array_equal(s[s], power(rotation, n // 2)) else None
