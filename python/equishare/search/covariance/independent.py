"""Sets of variables that are independent of each other, beside a group: which covariances are zero.

Sets are joined from below: pairs of variables, the most correlated first, as long as that is likelier. The group takes
sets to sets. Sets pay for how many partitions there are of the orbits of variables that a set keeps for itself, each of
which may be independent within.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equishare.partition import Partition
from equishare.problems.commutant import Commutant
from equishare.search.covariance.evidence import Moments, Terms, centre, terms_of
from equishare.symmetry.permutations import groups_of, joined
from equishare.theory import log_bell

# After so many pairs in a row whose sets stay apart, the rest is left out.
_PATIENCE = 12


@dataclass(frozen=True)
class IndependentSets:
    """Covariances that a group leaves unchanged, and that are zero between sets of variables.

    Attributes:
        sets: (p,) labels of the sets.
        log_prior: log of the share of the prior that they have, given the group.
        commutant: the covariances.
        terms: the evidence of each sample.
    """

    sets: np.ndarray
    log_prior: float
    commutant: Commutant
    terms: list[Terms]

    @property
    def apart(self) -> np.ndarray:
        """(p, p) whether two variables are in two sets."""
        return self.sets[:, None] != self.sets


def independent_sets(orbits: np.ndarray, moments: Sequence[Moments]) -> IndependentSets | None:
    """The likeliest sets; None where they are one set of all variables, or each variable alone.

    Args:
        orbits: (p, p) of the group on pairs.
        moments: S (p, p) and n of each sample.
    """
    judge = _Judge(orbits, moments)
    sets, failed = np.arange(len(orbits)), 0
    best, tried = judge.log_evidence(sets), {sets.tobytes()}
    for label in _pairs_by_correlation(orbits, moments):
        links = np.column_stack([sets[place] for place in np.nonzero(orbits == label)])
        linked = Partition(joined(sets, [links])).labels
        if linked.tobytes() in tried:
            continue
        tried.add(linked.tobytes())
        own = judge.log_evidence(linked)
        if own > best:
            sets, best, failed = linked, own, 0
        else:
            failed += 1
        if failed == _PATIENCE:
            break
    return None if sets.max() in (0, len(sets) - 1) else judge.judged(sets)


class _Judge:
    """The evidence of independent sets of variables, given a group. Each set is judged once."""

    def __init__(self, orbits: np.ndarray, moments: Sequence[Moments]) -> None:
        self._orbits, self._points = orbits, np.diag(orbits)
        whole = Commutant(orbits)
        self._moments = [(whole.project(second), count) for second, count in moments]
        self._known: dict[bytes, list[Terms]] = {}

    def log_evidence(self, sets: np.ndarray) -> float:
        """log of the likelihood of all samples."""
        return sum(one.log_evidence for own in self._classes(sets) for one in self._terms(own))

    def judged(self, sets: np.ndarray) -> IndependentSets:
        """The sets with their evidence."""
        sizes = np.unique(np.stack([sets, self._points]), axis=1, return_counts=True)[1]
        log_prior = -log_bell(len(sizes) + int((sizes > 1).sum()))
        classes = self._classes(sets)
        terms = []
        for i, (second, count) in enumerate(self._moments):
            values = np.zeros(int(self._orbits.max()) + 1)
            for own in classes:
                values[self._orbits[np.ix_(own, own)]] = self._terms(own)[i].mean()
            value = sum(self._terms(own)[i].log_evidence for own in classes)
            target, apart = values[self._orbits], sets[:, None] != sets
            second = np.where(apart, 0.0, second)
            terms.append(Terms(np.array([[value]]), np.array([np.inf]), [centre(target)], second, count))
        return IndependentSets(sets, log_prior, Commutant(self._orbits, sets), terms)

    def _classes(self, sets: np.ndarray) -> list[np.ndarray]:
        """One set of each class: sets that share an orbit of variables are taken to each other."""
        found, seen = [], np.zeros(len(sets), bool)
        for own in groups_of(sets):
            if not seen[own[0]]:
                found.append(own)
                seen |= np.isin(self._points, self._points[own])
        return found

    def _terms(self, own: np.ndarray) -> list[Terms]:
        """The evidence of the sets of a class: they are samples of one."""
        key = own.tobytes()
        if key not in self._known:
            at = np.ix_(own, own)
            copies = int(np.isin(self._points, self._points[own]).sum()) // len(own)
            commutant = Commutant(Partition(self._orbits[at]).labels)
            # Variables that are nearly alike are near a larger group, which is weighed by itself.
            some = [terms_of(commutant, second[at], copies * count, differ=True) for second, count in self._moments]
            self._known[key] = some
        return self._known[key]


def _pairs_by_correlation(orbits: np.ndarray, moments: Sequence[Moments]) -> list[int]:
    """Labels of pairs of two variables, those first whose covariance is least likely to be zero."""
    sizes = np.bincount(orbits.ravel())
    total = np.zeros(len(sizes))
    for second, count in moments:
        scale = np.sqrt(np.diag(second))
        total += count * np.bincount(orbits.ravel(), (second / np.outer(scale, scale)).ravel()) ** 2 / sizes
    pairs = np.setdiff1d(np.arange(len(total)), np.diag(orbits))
    return pairs[np.argsort(-total[pairs], kind="stable")].tolist()
