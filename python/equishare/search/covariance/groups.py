"""Groups that the samples do not contradict: maps of variables are joined to groups, and their parts are judged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from equishare.problems.commutant import Commutant, distinct
from equishare.search.covariance.evidence import Moments, Terms, terms_of
from equishare.search.covariance.independent import IndependentSets, independent_sets
from equishare.search.covariance.maps import Matcher, averaged
from equishare.search.covariance.merges import variance_classes
from equishare.search.covariance.near import near_terms, told_apart, unequal_orbits, unequal_terms
from equishare.search.covariance.price import Group, closed, orbits_of_blocks, pair_orbits, preserving, with_map
from equishare.search.covariance.rings import Rings
from equishare.symmetry.permutations import (
    Permutation,
    cycle_and_exchange,
    groups_of,
    inverse,
    orbit_labels,
    random_subproduct,
)

# Rounds of searches, each with the matrix averaged over the maps of the round before.
_ROUNDS = 3
# Variables whose images are searched in a round, one after another, while orbits join.
_MAX_SEARCHES = 4
# After so many maps in a row that the evidence does not take, the rest of a search is left out.
_PATIENCE = 12
# So many of the best maps are joined in the order of their evidence too.
_LIKELIEST = 24
# Numbers of blocks of interchangeable variables that are tried, and how many of the best are judged.
_CUTS, _BLOCKS = 16, 4
# Two variables are exchanged in so many of the best groups, where there are no more pairs of them than that.
_REARRANGED, _MOST_EXCHANGES = 2, 300
# Variables that one of so many of the best groups moves are searched alone, from so few on; so many groups are taken.
_LOOKED_ALONE, _FEWEST_ALONE, _TAKEN_ALONE = 3, 4, 6
# Where the best ring is so much less likely than another group, no others are looked at.
_UNLIKELY = 12.0
# Random subgroups of the best group that are judged, besides those without one of its generators.
_SUBGROUPS = 12
_DROPPED = 16


@dataclass
class Judged:
    """A group with the likelihood of the samples given it.

    Attributes:
        group: it.
        terms: of each sample.
    """

    group: Group
    terms: list[Terms]

    @property
    def score(self) -> float:
        """log of prior times likelihood."""
        return self.group.log_price + sum(one.log_evidence for one in self.terms)


@dataclass
class Search:
    """Groups that were looked at.

    Args:
        moments: of each sample.
        is_whole: whether groups of some of the variables are looked for among these alone, too.
    """

    moments: Sequence[Moments]
    is_whole: bool = True
    judged: dict[bytes, Judged] = field(default_factory=dict)
    _evidence: dict[bytes, list[Terms]] = field(default_factory=dict)
    _commutants: dict[bytes, Commutant] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """p."""
        return len(self.moments[0][0])

    def terms(self, orbits: np.ndarray) -> list[Terms]:
        """The evidence of the covariances that a group with these orbits leaves unchanged."""
        key = orbits.tobytes()
        if key not in self._evidence:
            self._commutants[key] = Commutant(orbits)
            self._evidence[key] = [terms_of(self._commutants[key], *one) for one in self.moments]
        return self._evidence[key]

    def with_independent_sets(self, some: Sequence[Judged]) -> list[tuple[Judged, IndependentSets]]:
        """Groups with sets of variables that are independent of each other, each as large as the zeros let it be."""
        found: dict[bytes, tuple[Judged, IndependentSets]] = {}
        for one in some:
            sets = independent_sets(one.group.orbits, self.moments)
            if sets is None:
                continue
            if one.group.generators:
                larger = self.judge(preserving(np.where(sets.apart, -1, one.group.orbits), one.group.generators))
                if (of_larger := independent_sets(larger.group.orbits, self.moments)) is not None:
                    one, sets = larger, of_larger
            found.setdefault(one.group.orbits.tobytes(), (one, sets))
        return list(found.values())

    def near(self, larger: list[Terms], near: Commutant) -> list[Terms]:
        """The evidence where all numbers are only near what a group leaves unchanged.

        Args:
            larger: the evidence of the group.
            near: its commutant.
        """
        return [near_terms(own, near, second) for own, (second, _) in zip(larger, self.moments, strict=True)]

    def unequal(self, larger: list[Terms], orbits: np.ndarray) -> list[tuple[np.ndarray, float, list[Terms]]]:
        """Scales and variances that are unequal: what is left tied (p, p), log of its prior, and the evidence.

        Args:
            larger: the evidence of a group.
            orbits: its orbits.
        """
        found, ways = [], unequal_orbits(orbits)
        for unequal in ways:
            terms = [unequal_terms(own, second, unequal) for own, (second, _) in zip(larger, self.moments, strict=True)]
            found.append((told_apart(orbits, unequal), -math.log(len(ways)), terms))
        return found

    def commutant(self, orbits: np.ndarray) -> Commutant:
        """Of a group that was judged."""
        return self._commutants[orbits.tobytes()]

    def log_evidence(self, orbits: np.ndarray) -> float:
        """log of the likelihood of all samples."""
        return sum(one.log_evidence for one in self.terms(orbits))

    def judge(self, generators: list[Permutation]) -> Judged:
        """Weigh the group that permutations generate, made as large as its orbits allow."""
        orbits = pair_orbits(generators, self.size)
        key = orbits.tobytes()
        if key not in self.judged:
            self.judged[key] = Judged(closed(orbits, generators), self.terms(orbits))
        return self.judged[key]

    def run(self) -> None:
        """Judge no symmetry, groups of interchangeable variables, groups joined of maps, and parts of the best."""
        self.judge([])
        matrices, variances = zip(*(self._logarithm(i) for i in range(len(self.moments))), strict=True)
        blocks = interchangeable(matrices)
        blocks.sort(key=lambda own: -self.log_evidence(orbits_of_blocks(own)))
        for own in [*blocks[:_BLOCKS], *variance_classes(self.moments)]:
            self.judge(_within_blocks(own))
        for own in blocks[:_BLOCKS]:
            # Of few samples hardly any map of whole blocks is right in all of their variables.
            if between := _between_blocks(own):
                self.judge([*_within_blocks(own), *between])
        for _ in range(_ROUNDS):
            maps, generators = self._joined(Matcher(matrices, variances))
            if not maps:
                break
            self.judge(generators)
            # A map that joins too much may have come first: once more, with the likeliest maps first.
            likeliest = sorted((p for _, p in maps[:_LIKELIEST]), key=lambda p: -self.log_evidence(self._orbits_of(p)))
            self.judge(self._join(distinct(self.size), [], likeliest)[1])
            best = max(score for score, _ in maps)
            some = [p for score, p in maps if score > 0.8 * best][:32]
            matrices = [averaged(one, some) for one in matrices]
            variances = [v / min(len(some) + 1, 8) for v in variances]
        self._unite()
        if self.is_whole:
            self._some_alone()
        self._rearrange()
        if Rings.takes(self.size):
            self._ring()
        self._parts()

    def ranked(self) -> list[Judged]:
        """All groups, best first."""
        return sorted(self.judged.values(), key=lambda one: -one.score)

    def _logarithm(self, sample: int) -> tuple[np.ndarray, float]:
        """log of the shrunk covariance, whose entries have nearly one variance, and that variance."""
        terms = self.terms(distinct(self.size))[sample]
        values, vectors = np.linalg.eigh(terms.mean())
        logs = np.log(values)
        a, b = values[:, None], values
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(np.abs(a - b) > 1e-9 * (a + b), (logs[:, None] - logs) / (a - b), 1 / a)
        weights = np.exp(terms.log_weights - terms.log_evidence)
        share = 1 - 1 / (1 + terms.count / terms.strengths)
        kept = max(float((weights * share).sum()), 1e-3)
        off = ~np.eye(self.size, dtype=bool)
        variance = (kept**2 * slope**2 * a * b)[off].mean() / terms.count if self.size > 1 else 1.0
        return (vectors * logs) @ vectors.T, float(variance)

    def _joined(self, matcher: Matcher) -> tuple[list[tuple[float, Permutation]], list[Permutation]]:
        """All maps found, best first, and those of them that the evidence joins to a group."""
        every: list[tuple[float, Permutation]] = []
        taken: list[Permutation] = []
        searched: list[int] = []
        orbits = distinct(self.size)
        while len(searched) < _MAX_SEARCHES:
            points = orbit_labels(self.size, taken) if taken else np.arange(self.size)
            fresh = np.flatnonzero(~np.isin(points, points[searched]))
            if not fresh.size:
                break
            searched.append(int(fresh[0]))
            found = matcher.search(searched[-1])
            every += found
            before = len(taken)
            orbits, taken = self._join(orbits, taken, [p for _, p in found])
            if len(taken) == before:
                break
        return sorted(every, key=lambda pair: -pair[0]), taken

    def _join(
        self, orbits: np.ndarray, taken: list[Permutation], maps: Sequence[Permutation]
    ) -> tuple[np.ndarray, list[Permutation]]:
        """The orbits of a group and its generators, joined by maps as long as the evidence grows."""
        best, failed, taken = self.log_evidence(orbits), 0, list(taken)
        for p in maps:
            joined = with_map(orbits, p)
            if joined is orbits:
                continue
            own = self.log_evidence(joined)
            if own > best:
                orbits, best, failed = joined, own, 0
                taken.append(p)
            else:
                failed += 1
            if failed == _PATIENCE:
                break
        return orbits, taken

    def _orbits_of(self, p: Permutation) -> np.ndarray:
        return with_map(distinct(self.size), p)

    def _unite(self) -> None:
        """Judge what the best groups generate together."""
        best = [one for one in self.ranked() if one.group.generators][:4]
        for i, one in enumerate(best):
            for other in best[:i]:
                self.judge([*other.group.generators, *one.group.generators])

    def _some_alone(self) -> None:
        """Judge the best groups of those variables alone that one of the best groups moves.

        The others add noise to every map, and hide a group that few samples of its own variables tell.
        """
        searched = set()
        for one in [own for own in self.ranked() if own.group.generators][:_LOOKED_ALONE]:
            points = np.diag(one.group.orbits)
            moved = np.flatnonzero(np.bincount(points)[points] > 1)
            if not _FEWEST_ALONE <= len(moved) < self.size or moved.tobytes() in searched:
                continue
            searched.add(moved.tobytes())
            at = np.ix_(moved, moved)
            alone = Search([(second[at], count) for second, count in self.moments], is_whole=False)
            alone.run()
            for own in [own for own in alone.ranked() if own.group.generators][:_TAKEN_ALONE]:
                self.judge([_lifted(p, moved, self.size) for p in own.group.generators])

    def _rearrange(self) -> None:
        """Judge the best groups with two variables exchanged, as long as that is better.

        Of few samples maps are nearly right more often than right. A group of exchanged variables has the commutant of
        the group, with the samples exchanged.
        """
        pairs = list(itertools.combinations(range(self.size), 2))
        if len(pairs) > _MOST_EXCHANGES:
            return
        for one in [own for own in self.ranked() if own.group.generators][:_REARRANGED]:
            best, order = one, np.arange(self.size)
            commutant = self._commutants[one.group.orbits.tobytes()]
            for _ in range(self.size):
                exchanged = [_exchanged(order, pair) for pair in pairs]
                scores = [self._evidence_in(commutant, own) for own in exchanged]
                place = int(np.argmax(scores))
                if not one.group.log_price + scores[place] > best.score + 1e-9:
                    break
                order = exchanged[place]
                # order[i] is the variable in the place of variable i of the group.
                back = inverse(order)
                best = self.judge([order[p][back] for p in one.group.generators])

    def _ring(self) -> None:
        """Judge the likeliest ring, and rings of other orders that are nearly as likely."""
        rings = Rings(self.moments)
        first = rings.best()
        best = self.judge(_around(first))
        if best.score < self.ranked()[0].score - _UNLIKELY:
            return
        for order in rings.others():
            place, back = order[inverse(first)], first[inverse(order)]
            generators = [place[p][back] for p in best.group.generators]
            orbits = pair_orbits(generators, self.size)
            self.judged.setdefault(
                orbits.tobytes(), Judged(Group(orbits, generators, best.group.log_price), self.terms(orbits))
            )

    def _evidence_in(self, commutant: Commutant, order: np.ndarray) -> float:
        at = np.ix_(order, order)
        return sum(terms_of(commutant, second[at], count).log_evidence for second, count in self.moments)

    def _parts(self) -> None:
        """Judge subgroups of the best group, as long as they are better."""
        rng, tried = np.random.default_rng(0), set()
        while True:
            best = next((one for one in self.ranked() if one.group.generators), None)
            if best is None or best.group.orbits.tobytes() in tried:
                return
            tried.add(best.group.orbits.tobytes())
            maps = best.group.generators
            for left_out in rng.permutation(len(maps))[:_DROPPED].tolist() if len(maps) > 1 else []:
                self.judge([p for i, p in enumerate(maps) if i != left_out])
            for _ in range(_SUBGROUPS):
                self.judge([random_subproduct(maps, rng) for _ in range(int(rng.integers(1, 3)))])


def _exchanged(order: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    found = order.copy()
    found[list(pair)] = order[list(pair[::-1])]
    return found


def _lifted(p: Permutation, moved: np.ndarray, size: int) -> Permutation:
    """A permutation of some variables, that leaves all others where they are."""
    found = np.arange(size)
    found[moved] = moved[p]
    return found


def _around(order: Permutation) -> list[Permutation]:
    """The turn of a ring by one place, and its reflection."""
    turn, mirror = np.empty_like(order), np.empty_like(order)
    turn[order], mirror[order] = np.roll(order, -1), order[::-1]
    return [turn, mirror]


def _within_blocks(blocks: np.ndarray) -> list[Permutation]:
    """Generators of all permutations within blocks, (p,) labels."""
    return [p for own in groups_of(blocks) if len(own) > 1 for p in cycle_and_exchange(len(blocks), own)]


def _between_blocks(blocks: np.ndarray) -> list[Permutation]:
    """Exchanges of blocks of one size with each other, of two variables or more each."""
    found = []
    for one, other in itertools.pairwise(sorted(groups_of(blocks), key=len)):
        if len(one) == len(other) > 1:
            p = np.arange(len(blocks))
            p[one], p[other] = other, one
            found.append(p)
    return found


def interchangeable(matrices: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Blocks of variables any two of which may be exchanged: (p,) labels of them, for some numbers of blocks.

    The distance of two variables is what changes in the matrices when they are exchanged; blocks are the clusters of
    average linkage, at every height.
    """
    size = len(matrices[0])
    if size < 2:
        return []
    distance = np.zeros((size, size))
    for matrix in matrices:
        squares = (matrix**2).sum(1)
        distance += squares[:, None] + squares - 2 * matrix @ matrix
        own = np.diag(matrix)
        # Cells (i, j), (i, i) and (j, j) themselves are compared otherwise.
        distance -= 2 * (own[:, None] - matrix) ** 2 / 2 + 2 * (own - matrix) ** 2 / 2
        distance += (own[:, None] - own) ** 2 / 2
    np.fill_diagonal(distance, 0)
    condensed = scipy.spatial.distance.squareform(np.maximum(distance, 0), checks=False)
    tree = scipy.cluster.hierarchy.linkage(condensed, "average")
    counts = np.unique(np.geomspace(1, size - 1, _CUTS).astype(int)).tolist()
    return [scipy.cluster.hierarchy.fcluster(tree, count, "maxclust").astype(np.int64) - 1 for count in counts]
