"""Stabiliser chains of permutation groups, by the randomised Schreier–Sims algorithm.

Source: Holt, Eick, O'Brien, "Handbook of Computational Group Theory" (2005), sections 4.4 and 4.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.permutations import Permutation, inverse, moves


class Transversal:
    """One element for each point of an orbit that moves it back to the first point.

    Attributes:
        points: the orbit, in the order it was found.
    """

    def __init__(self, degree: int, point: int) -> None:
        self.points = np.array([point])
        self._row = np.full(degree, -1)
        self._row[point] = 0
        # Long orbits of many points are the bulk of a chain: half the bytes, and room that doubles.
        self._back = np.arange(degree, dtype=np.int32)[None]

    def __len__(self) -> int:
        return len(self.points)

    def back(self, point: int) -> Permutation | None:
        """The element that moves a point back to the first one; None if it is not in the orbit."""
        row = self._row[point]
        return None if row < 0 else self._back[row].astype(np.int64)

    def elements(self) -> NDArray[np.int64]:
        """(orbit, degree) the elements that move the first point to each other one."""
        return np.argsort(self._back[: len(self)], axis=1)

    def is_kept_by(self, p: Permutation) -> bool:
        """Whether p maps the orbit to itself."""
        return bool((self._row[p[self.points]] >= 0).all())

    def extend(self, p: Permutation, others: Sequence[Permutation]) -> None:
        """Add to the orbit under ``others`` what p reaches, so that it is the orbit under p and the others."""
        queue, new = self.points, [p]
        while len(queue):
            grown = [queue[:0]]
            for q in new:
                images = q[queue]
                fresh = self._row[images] < 0
                if fresh.any():
                    self._append(images[fresh], queue[fresh], inverse(q))
                    grown.append(images[fresh])
            queue, new = np.concatenate(grown), [*others, p]

    def _append(self, images: NDArray[np.int64], points: NDArray[np.int64], undo: Permutation) -> None:
        start, stop = len(self), len(self) + len(images)
        if stop > len(self._back):
            wider = np.empty((min(max(stop, 2 * start), len(self._row)), len(self._row)), np.int32)
            wider[:start] = self._back[:start]
            self._back = wider
        self._back[start:stop] = self._back[self._row[points]][:, undo]
        self._row[images] = np.arange(start, stop)
        self.points = np.concatenate([self.points, images])


class StabilizerChain:
    """Base, basic orbits and transversals of the subgroup that a list of permutations is known to generate.

    Level l holds elements that fix the base points before l. Its generators are those that made its orbit longer.
    Together with the generators of the levels below they generate the stabiliser of the base points before l.
    """

    def __init__(self, degree: int, prefix: Iterable[int] = ()) -> None:
        self.degree = degree
        self.base: list[int] = []
        self.generators: list[list[Permutation]] = []
        self.levels: list[Transversal] = []
        for point in prefix:
            self._add_level(point)

    @property
    def basic_orbit_lengths(self) -> list[int]:
        """Length of the basic orbit of each level; their product is the order."""
        return [len(level) for level in self.levels]

    @property
    def order(self) -> int:
        """Exact order of what the chain holds so far."""
        return math.prod(self.basic_orbit_lengths)

    def sift(self, p: Permutation) -> tuple[Permutation, int]:
        """What is left of p after the levels that could take it, and the level that could not."""
        for number, (base, level) in enumerate(zip(self.base, self.levels, strict=True)):
            if p[base] != base:
                back = level.back(p[base])
                if back is None:
                    return p, number
                p = back[p]
        return p, len(self.base)

    def add(self, p: Permutation) -> bool:
        """Extend the chain by p; False if it held p already."""
        p, level = self.sift(p)
        moved = np.flatnonzero(moves(p))
        if not len(moved):
            return False
        if level == len(self.base):
            self._add_level(int(moved[0]))
        for upper in range(level + 1):
            if not self.levels[upper].is_kept_by(p):
                self.levels[upper].extend(p, self.generators[upper])
                self.generators[upper].append(p)
        return True

    def strong_generators(self, first_level: int = 0) -> list[Permutation]:
        """Generators of the subgroup that fixes the base points before a level."""
        return list({id(p): p for level in self.generators[first_level:] for p in level}.values())

    def close(self) -> None:
        """Extend the chain until it is complete, with proof: Schreier's lemma at each level.

        A level is complete if the chain from this level down holds every element of the transversal followed by a
        generator. The number of such products is that of points times generators, summed over the levels.
        """
        while not all(
            not self.add(generator[p])
            for number in reversed(range(len(self.base)))
            for generator in self.strong_generators(number)
            for p in self.levels[number].elements()
        ):
            pass

    def random_element(self, rng: np.random.Generator) -> Permutation:
        """A uniformly distributed element."""
        p = np.arange(self.degree)
        # Levels of one point hold the identity alone.
        for level in reversed([level for level in self.levels if len(level) > 1]):
            back = level.back(level.points[int(rng.integers(len(level)))])
            assert back is not None
            p = inverse(back)[p]
        return p

    def random_product(self, generators: Sequence[Permutation], rng: np.random.Generator) -> Permutation:
        """A random element followed by a generator.

        If the chain holds all such products, it is complete: generators lead to nothing new.
        """
        return generators[int(rng.integers(len(generators)))][self.random_element(rng)]

    def _add_level(self, point: int) -> None:
        self.base.append(point)
        self.generators.append([])
        self.levels.append(Transversal(self.degree, point))
