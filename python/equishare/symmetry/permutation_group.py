"""Permutation groups of known order: stabiliser chains, kernels, block stabilisers, restrictions.

A permutation is an integer array p that moves point x to p[x]; ``q[p]`` is p followed by q.

Every group here comes with its exact order. That makes the randomised Schreier–Sims algorithm exact: the chain it
builds can only be too short, its order is then at most half of the true one, and it goes on until the two agree.
Source: Holt, Eick, O'Brien, "Handbook of Computational Group Theory" (2005), sections 4.4 and 4.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equishare.partition import Partition
from equishare.symmetry.automorphisms import Permutation, cell_orbits

# Groups up to this order are searched for generators that read well.
_FEW_ELEMENTS = 512
# Random products in a row that a chain must hold before it is taken for complete.
_MISSES = 10
# Random tuples of elements tried for generators; two elements generate most groups with probability above a third.
_TRIALS = 20


class StabilizerChain:
    """Base, basic orbits and transversals of the subgroup that a list of permutations is known to generate.

    Level l holds elements that fix the base points before l. ``inverse[l][x]`` moves point x of the basic orbit back
    to the base point of the level.
    """

    def __init__(self, degree: int, prefix: Iterable[int] = ()) -> None:
        self.degree = degree
        self.base: list[int] = []
        self.generators: list[list[Permutation]] = []
        self.inverse: list[dict[int, Permutation]] = []
        for point in prefix:
            self._add_level(point)

    @property
    def basic_orbit_lengths(self) -> list[int]:
        """Length of the basic orbit of each level; their product is the order."""
        return [len(level) for level in self.inverse]

    @property
    def order(self) -> int:
        """Exact order of what the chain holds so far."""
        return math.prod(self.basic_orbit_lengths)

    def sift(self, p: Permutation) -> tuple[Permutation, int]:
        """What is left of p after the levels that could take it, and the level that could not."""
        for level, base in enumerate(self.base):
            back = self.inverse[level].get(int(p[base]))
            if back is None:
                return p, level
            p = back[p]
        return p, len(self.base)

    def add(self, p: Permutation) -> bool:
        """Extend the chain by p; False if it held p already."""
        p, level = self.sift(p)
        moved = np.flatnonzero(p != np.arange(self.degree))
        if not len(moved):
            return False
        if level == len(self.base):
            self._add_level(int(moved[0]))
        for upper in range(level + 1):
            self._extend(upper, p)
        return True

    def strong_generators(self, first_level: int = 0) -> list[Permutation]:
        """Generators of the subgroup that fixes the base points before a level."""
        return self.generators[first_level] if first_level < len(self.base) else []

    def random_element(self, rng: np.random.Generator) -> Permutation:
        """A uniformly distributed element."""
        p = np.arange(self.degree)
        for level in reversed(self.inverse):
            points = list(level)
            p = inverse(level[points[rng.integers(len(points))]])[p]
        return p

    def random_product(self, generators: Sequence[Permutation], rng: np.random.Generator) -> Permutation:
        """A random element followed by a generator.

        If the chain holds all such products, what it holds is closed under the generators: it is complete.
        """
        return generators[int(rng.integers(len(generators)))][self.random_element(rng)]

    def _add_level(self, point: int) -> None:
        self.base.append(point)
        self.generators.append([])
        self.inverse.append({point: np.arange(self.degree)})

    def _extend(self, level: int, p: Permutation) -> None:
        generators, orbit = self.generators[level], self.inverse[level]
        generators.append(p)
        queue, new = list(orbit), [p]
        while queue:
            grown = []
            for q in new:
                for point, image in zip(queue, q[queue].tolist(), strict=True):
                    if image not in orbit:
                        orbit[image] = orbit[point][inverse(q)]
                        grown.append(image)
            queue, new = grown, generators


@dataclass(frozen=True)
class PermutationGroup:
    """A group of permutations of ``degree`` points, of known order."""

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
        """Generators of the group, few and simple, each outside the group of those before it.

        A small group offers its elements: first one of the largest order (the shift by one of a ring), then the others
        in lexicographic order, so that those which fix many of the first points come early (the reflection of a ring
        that fixes point 0). A large group offers the generators it has.
        """
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
        order = self.order if is_faithful else self.order // self.stabilizer(points.tolist()).order
        number = np.full(self.degree, -1)
        number[points] = np.arange(len(points))
        generators = [number[p[points]] for p in self.generators]
        return PermutationGroup(len(points), [p for p in generators if (p != np.arange(len(p))).any()], order)

    def with_sets(self, sets: Sequence[NDArray[np.int64]]) -> PermutationGroup | None:
        """The group with one more point for each set of points, at the end; None if the sets are not permuted."""
        index = {frozenset(block.tolist()): self.degree + number for number, block in enumerate(sets)}
        generators = []
        for p in self.generators:
            images = [index.get(frozenset(p[block].tolist())) for block in sets]
            if None in images:
                return None
            generators.append(np.concatenate([p, np.array(images, dtype=np.int64)]))
        return PermutationGroup(self.degree + len(sets), generators, self.order)

    def direct_factors(self) -> list[PermutationGroup]:
        """The finest direct decomposition into groups that move different points.

        A strong generator is reduced by the levels below its own. An element of a factor that does not own the base
        point of the level is itself in the stabiliser below, so the reduction takes it away, and each reduced
        generator lives in a single factor.
        """
        chain = self.chain()
        reduced = []
        for level, base in enumerate(chain.base):
            for p in chain.generators[level]:
                if p[base] != base:
                    reduced.append(_reduced(p, chain.inverse[level + 1 :], chain.base[level + 1 :]))
        supports = groups_of(_linked(self.degree, reduced))
        factors = []
        for support in supports:
            own = [p for p in reduced if (p[support] != support).any()]
            order = math.prod(len(chain.inverse[level]) for level, base in enumerate(chain.base) if base in support)
            if own:
                factors.append(PermutationGroup(self.degree, own, order))
        return factors

    def is_abelian(self) -> bool:
        """Whether all generators commute."""
        gens = self.generators
        return all(np.array_equal(p[q], q[p]) for number, p in enumerate(gens) for q in gens[:number])

    def elements(self) -> NDArray[np.int64]:
        """(order, degree) all elements; for groups small enough to hold them."""
        found = np.arange(self.degree)[None]
        for level in reversed(self.chain().inverse):
            found = np.concatenate([inverse(back)[found] for back in level.values()])
        return found


def _reduced(p: Permutation, inverse: list[dict[int, Permutation]], base: list[int]) -> Permutation:
    """Multiply p by elements of a stabiliser until it fixes every base point that it can be made to fix."""
    for level, point in zip(inverse, base, strict=True):
        back = level.get(int(p[point]))
        if back is not None:
            p = back[p]
    return p


def _linked(degree: int, generators: Sequence[Permutation]) -> NDArray[np.int64]:
    """(degree,) labels under which all points that one generator moves share a label."""
    cycles = []
    for p in generators:
        moved = np.flatnonzero(p != np.arange(degree))
        cycle = np.arange(degree)
        cycle[moved] = np.roll(moved, 1)
        cycles.append(cycle)
    return orbit_labels(degree, cycles)


def inverse(p: Permutation) -> Permutation:
    """The permutation that undoes p."""
    back = np.empty_like(p)
    back[p] = np.arange(len(p))
    return back


def order_of(p: Permutation) -> int:
    """Order of a permutation: the least common multiple of the lengths of its cycles."""
    labels = orbit_labels(len(p), [p])
    return math.lcm(*np.bincount(labels).tolist())


def orbit_labels(degree: int, generators: Sequence[Permutation]) -> NDArray[np.int64]:
    """(degree,) number of the orbit of each point."""
    return cell_orbits([(p,) for p in generators], (degree,))


def groups_of(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The points of each label."""
    partition = Partition(labels)
    return np.split(np.argsort(partition.labels, kind="stable"), np.cumsum(partition.group_sizes)[:-1])
