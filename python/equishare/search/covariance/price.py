"""What a group of permutations of p variables costs before the data speak.

    price(H) = 1/c(n) · |N| / p!

Of the p! ways to name the variables, those in N give the same orbits: N is the group that takes orbits to orbits, the
normaliser of H. All p!/|N| conjugates are as probable. c(n) stands for the number of classes of groups with n orbits on
pairs, as in :mod:`equishare.search.price`. Half of the prior mass is that of no symmetry.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.commutant import distinct
from equishare.search.price import log_classes
from equishare.symmetry.automorphisms import automorphism_group, pattern_normaliser_order
from equishare.symmetry.chain import StabilizerChain
from equishare.symmetry.permutations import Permutation, groups_of, joined


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
    links = [np.column_stack([labels.ravel(), labels[np.ix_(p, p)].ravel()]) for p in generators]
    return Partition(joined(labels, links)).labels if links else labels


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
    size, points = len(orbits), np.diag(orbits)
    if int(orbits.max()) + 1 == size * (size + 1) // 2:
        return Group(orbits, [], -math.log(2))
    if np.array_equal(orbits_of_blocks(points), orbits):
        generators, order = _exchanges(points)
        return Group(orbits, generators, _log_price(orbits, order))
    try:
        order = pattern_normaliser_order(orbits, same_action=True)
        generators = preserving(orbits, generators)
    except ImportError:
        chain = StabilizerChain(size)
        for p in generators:
            chain.add(p)
        order = chain.order
    return Group(orbits, generators, _log_price(orbits, order))


def preserving(labels: np.ndarray, generators: list[Permutation]) -> list[Permutation]:
    """Generators of all permutations that leave a matrix of labels (p, p) as it is; without igraph the given ones."""
    try:
        return [p for p, _, _ in automorphism_group(labels, same_action=True)[0]]
    except ImportError:
        return generators


def orbits_of_blocks(blocks: np.ndarray) -> np.ndarray:
    """(p, p) orbits on pairs when any two variables of a block may be exchanged, numbered by first appearance."""
    low, high = np.minimum(blocks[:, None], blocks), np.maximum(blocks[:, None], blocks)
    return Partition(2 * (low * (blocks.max() + 1) + high) + np.eye(len(blocks), dtype=np.int64)).labels


def _exchanges(blocks: np.ndarray) -> tuple[list[Permutation], int]:
    """Exchanges that generate all permutations within blocks, and the order of the normaliser.

    That one permutes blocks of one size too.
    """
    generators, order, members = [], 1, groups_of(blocks)
    for own in members:
        order *= math.factorial(len(own))
        for pair in itertools.pairwise(own):
            p = np.arange(len(blocks))
            p[list(pair)] = pair[::-1]
            generators.append(p)
    for count in np.bincount([len(own) for own in members]).tolist():
        order *= math.factorial(count)
    return generators, order


def _log_price(orbits: np.ndarray, order: int) -> float:
    """The price, given |N|."""
    size = len(orbits)
    price = math.log(order) - scipy.special.gammaln(size + 1)
    price -= log_classes(size) * math.log(orbits.max() + 1) / math.log(size * (size + 1) / 2)
    return float(price - math.log(2))
