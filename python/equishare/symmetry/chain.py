"""Stabiliser chains of permutation groups, by the randomised Schreier–Sims algorithm.

A permutation is an integer array p that moves point x to p[x]; ``q[p]`` is p followed by q. Source: Holt, Eick,
O'Brien, "Handbook of Computational Group Theory" (2005), sections 4.4 and 4.5.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.automorphisms import Permutation


class StabilizerChain:
    """Base, basic orbits and transversals of the subgroup that a list of permutations is known to generate.

    Level l holds elements that fix the base points before l, and as generators those that made its orbit longer;
    with those of the levels below they generate the stabiliser. ``inverse[l][x]`` moves point x of the basic orbit back
    to the base point of the level.
    """

    def __init__(self, degree: int, prefix: Iterable[int] = ()) -> None:
        self.degree = degree
        self.base: list[int] = []
        self.generators: list[list[Permutation]] = []
        self.inverse: list[dict[int, Permutation]] = []
        self._in_orbit: list[NDArray[np.bool_]] = []
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
        return list({id(p): p for level in self.generators[first_level:] for p in level}.values())

    def random_element(self, rng: np.random.Generator) -> Permutation:
        """A uniformly distributed element."""
        p = np.arange(self.degree)
        # Levels of one point hold the identity alone.
        for level in reversed([level for level in self.inverse if len(level) > 1]):
            back = next(itertools.islice(level.values(), int(rng.integers(len(level))), None))
            p = inverse(back)[p]
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
        self._in_orbit.append(np.arange(self.degree) == point)

    def _extend(self, level: int, p: Permutation) -> None:
        generators, back_from, in_orbit = self.generators[level], self.inverse[level], self._in_orbit[level]
        queue, new = np.flatnonzero(in_orbit), [p]
        if in_orbit[p[queue]].all():
            return
        generators.append(p)
        while len(queue):
            grown = [queue[:0]]
            for q in new:
                images = q[queue]
                fresh = ~in_orbit[images]
                if fresh.any():
                    undo = inverse(q)
                    for point, image in zip(queue[fresh].tolist(), images[fresh].tolist(), strict=True):
                        back_from[image] = back_from[point][undo]
                    in_orbit[images] = True
                    grown.append(images[fresh])
            queue, new = np.concatenate(grown), generators


def inverse(p: Permutation) -> Permutation:
    """The permutation that undoes p."""
    back = np.empty_like(p)
    back[p] = np.arange(len(p))
    return back
