"""Permutation groups of known order: stabilisers, restrictions, generators.

Every group here comes with its exact order, and that makes the randomised stabiliser chain exact. A chain that is not
complete yet has at most half of the elements, so it is extended until it has as many as the group.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.chain import StabilizerChain
from equishare.symmetry.permutations import (
    Permutation,
    commute,
    cycle_and_exchange,
    groups_of,
    moves,
    orbit_labels,
    order_of,
)

# Groups up to this order are searched for generators that read well.
_FEW_ELEMENTS = 512
# The stabiliser chain of a larger group is long, and its generators are taken as they are.
_MOST_SIFTED = 2**256
# Random products in a row that a chain must hold before it is taken for complete.
_MISSES = 10
# Random tuples of elements tried for generators; two elements generate most groups with probability above a third.
_TRIALS = 20


@dataclass(frozen=True)
class PermutationGroup:
    """A group of permutations of ``degree`` points, of known order; 0 where only generators and orbits are needed."""

    degree: int
    generators: list[Permutation]
    order: int

    def chain(self, prefix: Iterable[int] = ()) -> StabilizerChain:
        """A complete stabiliser chain whose base begins with the given points."""
        chain = StabilizerChain(self.degree, prefix)
        for p in self.generators:
            chain.add(p)
        rng = np.random.default_rng(0)
        while chain.order < self.order:
            chain.add(chain.random_product(self.generators, rng))
        if chain.order > self.order:
            raise RuntimeError(f"the group has more than the {self.order} elements it was said to have")
        return chain

    def few_generators(self) -> list[Permutation]:
        """Few and simple generators. None of them is in the group that those before it generate.

        In a small group they are chosen among all elements. The first has the largest order (the shift by one of a
        ring). The others are tried in lexicographic order, in which elements that fix many of the first points come
        early (the reflection of a ring that fixes point 0). The group of all permutations of many points gets a cycle
        and an exchange. In another large group the known generators are thinned out, in a very large one they stay.
        """
        if self.order > _FEW_ELEMENTS and self.is_symmetric:
            return cycle_and_exchange(self.degree, self.moved_points())
        if self.order > _MOST_SIFTED:
            return self.generators
        candidates = self.generators
        if self.order <= _FEW_ELEMENTS:
            candidates = sorted(self.elements(), key=lambda p: p.tolist())
            candidates.insert(0, max(candidates, key=order_of))
        return self._needed(candidates)[0]

    def random_generators(self) -> list[Permutation]:
        """Random elements that generate the group, in all likelihood as few as can be."""
        chain, rng = self.chain(), np.random.default_rng(0)
        for number in range(1, len(self.generators)):
            for _ in range(_TRIALS):
                kept, is_whole = self._needed([chain.random_element(rng) for _ in range(number)])
                if is_whole:
                    return kept
        return self.generators

    def _needed(self, candidates: Sequence[Permutation]) -> tuple[list[Permutation], bool]:
        """The candidates that are not in the group of those before, and whether they are seen to generate the group."""
        kept: list[Permutation] = []
        chain, rng = StabilizerChain(self.degree), np.random.default_rng(0)
        for p in candidates:
            if chain.order < self.order and chain.add(p):
                kept.append(p)
                misses = 0
                # A chain that is still too short keeps a generator that could go, and nothing worse.
                while misses < _MISSES and chain.order < self.order:
                    misses = 0 if chain.add(chain.random_product(kept, rng)) else misses + 1
        return kept, chain.order == self.order

    def orbits(self) -> list[NDArray[np.int64]]:
        """Orbits on points, those of one point included."""
        return groups_of(orbit_labels(self.degree, self.generators))

    def moved_orbits(self) -> list[NDArray[np.int64]]:
        """Orbits of more than one point."""
        return [orbit for orbit in self.orbits() if len(orbit) > 1]

    def stabilizer(self, points: Iterable[int]) -> PermutationGroup:
        """The subgroup that fixes each of the points."""
        points = [int(point) for point in points]
        chain = self.chain(points)
        order = math.prod(chain.basic_orbit_lengths[len(points) :])
        return PermutationGroup(self.degree, chain.strong_generators(len(points)), order)

    def restricted(self, points: NDArray[np.int64]) -> PermutationGroup:
        """The group as it acts on points that it maps to each other, numbered in their order."""
        others = np.setdiff1d(np.arange(self.degree), points)
        is_faithful = all((p[others] == others).all() for p in self.generators)
        return self.acting_on(points, self.order if is_faithful else self.order // self.stabilizer(points).order)

    def acting_on(self, points: NDArray[np.int64], order: int) -> PermutationGroup:
        """The same where the caller knows the order of the action, or needs none."""
        number = np.full(self.degree, -1)
        number[points] = np.arange(len(points))
        generators = [number[p[points]] for p in self.generators]
        return PermutationGroup(len(points), [p for p in generators if moves(p).any()], order)

    def with_sets(self, sets: Sequence[NDArray[np.int64]]) -> PermutationGroup | None:
        """The group on more points, one for each set, after the others; None if it does not permute the sets."""
        index = {frozenset(block.tolist()): self.degree + number for number, block in enumerate(sets)}
        generators = []
        for p in self.generators:
            images = [index.get(frozenset(p[block].tolist())) for block in sets]
            if None in images:
                return None
            generators.append(np.concatenate([p, np.array(images, dtype=np.int64)]))
        return PermutationGroup(self.degree + len(sets), generators, self.order)

    def moved_points(self) -> NDArray[np.int64]:
        """The points that some element moves."""
        moved = np.array(self.generators).reshape(-1, self.degree) != np.arange(self.degree)
        return np.flatnonzero(moved.any(axis=0))

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether the group is all permutations of the points it moves."""
        return self.order == math.factorial(len(self.moved_points()))

    def random_element(self, rng: np.random.Generator) -> Permutation:
        """A uniformly distributed element."""
        if not self.is_symmetric:
            return self._plain_chain.random_element(rng)
        points, p = self.moved_points(), np.arange(self.degree)
        p[points] = rng.permutation(points)
        return p

    @cached_property
    def _plain_chain(self) -> StabilizerChain:
        return self.chain()

    def is_abelian(self) -> bool:
        """Whether all generators commute."""
        return all(commute(p, q) for p, q in itertools.combinations(self.generators, 2))

    def elements(self) -> NDArray[np.int64]:
        """(order, degree) all elements; for groups small enough to hold them."""
        found = np.arange(self.degree)[None]
        for level in reversed(self.chain().levels):
            found = np.concatenate([p[found] for p in level.elements()])
        return found
