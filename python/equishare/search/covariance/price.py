"""What a group of permutations of p variables costs before the data speak.

    price(H) = 1/c(n) · |N| / p!

Of the p! ways to name the variables, those in N give the same orbits: N is the group that takes orbits to orbits, the
normaliser of H. All p!/|N| conjugates are as probable. c(n) stands for the number of classes of groups with n orbits on
pairs, as in :mod:`equishare.search.price`. Half of the prior mass is that of no symmetry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.commutant import distinct
from equishare.search.price import log_classes
from equishare.symmetry.automorphisms import automorphism_group, pattern_normaliser_order
from equishare.symmetry.chain import StabilizerChain
from equishare.symmetry.permutations import Permutation, joined


@dataclass(frozen=True)
class Group:
    """A group of permutations of variables, as large as its orbits on pairs allow.

    Attributes:
        orbits: (p, p) symmetric labels of its orbits on pairs, without regard to their order.
        generators: that generate it; none for the identity alone.
        log_price: log of the share of the prior that it has.
    """

    orbits: np.ndarray
    generators: list[Permutation]
    log_price: float


def pair_orbits(generators: list[Permutation], size: int) -> np.ndarray:
    """(p, p) orbits of the group that permutations generate on pairs without order, numbered by first appearance."""
    labels = distinct(size)
    for p in generators:
        labels = with_map(labels, p)
    return labels


def with_map(orbits: np.ndarray, p: Permutation) -> np.ndarray:
    """The orbits of a group joined where one more permutation takes one to the other; themselves if it does nowhere."""
    images = orbits[np.ix_(p, p)]
    if np.array_equal(images, orbits):
        return orbits
    links = np.column_stack([orbits.ravel(), images.ravel()])
    return Partition(joined(np.arange(int(orbits.max()) + 1), [links])[orbits]).labels


def closed(orbits: np.ndarray, generators: list[Permutation]) -> Group:
    """The largest group with these orbits on pairs; without igraph the one that the permutations generate.

    Args:
        orbits: of the permutations, :func:`pair_orbits`.
        generators: them.
    """
    size = len(orbits)
    if int(orbits.max()) + 1 == size * (size + 1) // 2:
        return Group(orbits, [], -math.log(2))
    try:
        triples, _ = automorphism_group(orbits, same_action=True)
        generators, order = [p for p, _, _ in triples], pattern_normaliser_order(orbits, same_action=True)
    except ImportError:
        chain = StabilizerChain(size)
        for p in generators:
            chain.add(p)
        order = chain.order
    count = math.log(orbits.max() + 1)
    price = math.log(order) - scipy.special.gammaln(size + 1)
    price -= log_classes(size) * count / math.log(size * (size + 1) / 2)
    return Group(orbits, generators, float(price - math.log(2)))
