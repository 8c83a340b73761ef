"""Sets of variables that are independent of each other, beside a group: which covariances are zero.

Sets are joined from below: pairs of variables, the most correlated first, as long as that is likelier. The group takes
sets to sets. A priori the sets are any partition of the orbits of variables that a set keeps for itself, each of which
may be independent within, with the same probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equishare.partition import Partition
from equishare.problems.commutant import Commutant
from equishare.search.covariance.evidence import Terms, terms_of
from equishare.symmetry.permutations import joined
from equishare.theory import log_bell

# After so many pairs in a row whose sets stay apart, the rest is left out.
_PATIENCE = 12


@dataclass(frozen=True)
class IndependentSets:
    """Covariances that a group leaves unchanged, and that are zero between sets of variables.

    Attributes:
        log_prior: log of the share of the prior that the sets have, given the group.
        commutant: the covariances.
        terms: the evidence of each sample.
    """

    log_prior: float
    commutant: Commutant
    terms: list[Terms]

    @property
    def apart(self) -> np.ndarray:
        """(p, p) whether two variables are in two sets."""
        assert self.commutant.apart is not None
        return self.commutant.apart

    @property
    def log_evidence(self) -> float:
        """log of the likelihood of all samples."""
        return sum(one.log_evidence for one in self.terms)


def independent_sets(orbits: np.ndarray, moments: Sequence[tuple[np.ndarray, int]]) -> IndependentSets | None:
    """The likeliest sets; None where they are one set of all variables, or each variable alone.

    Args:
        orbits: (p, p) of the group on pairs.
        moments: S (p, p) and n of each sample.
    """

    def judged(sets: np.ndarray) -> IndependentSets:
        commutant = Commutant(orbits, sets)
        points = np.stack([sets, np.diag(orbits)])
        sizes = np.unique(points, axis=1, return_counts=True)[1]
        log_prior = -log_bell(len(sizes) + int((sizes > 1).sum()))
        return IndependentSets(log_prior, commutant, [terms_of(commutant, *one) for one in moments])

    sets, failed = np.arange(len(orbits)), 0
    best, tried = judged(sets), {sets.tobytes()}
    for label in _pairs_by_correlation(orbits, moments):
        links = np.column_stack([sets[place] for place in np.nonzero(orbits == label)])
        linked = Partition(joined(sets, [links])).labels
        if linked.tobytes() in tried:
            continue
        tried.add(linked.tobytes())
        found = judged(linked)
        if found.log_evidence > best.log_evidence:
            sets, best, failed = linked, found, 0
        else:
            failed += 1
        if failed == _PATIENCE:
            break
    return None if sets.max() in (0, len(sets) - 1) else best


def _pairs_by_correlation(orbits: np.ndarray, moments: Sequence[tuple[np.ndarray, int]]) -> list[int]:
    """Labels of pairs of two variables, those first whose covariance is least likely to be zero."""
    sizes = np.bincount(orbits.ravel())
    total = np.zeros(len(sizes))
    for second, count in moments:
        scale = np.sqrt(np.diag(second))
        total += count * np.bincount(orbits.ravel(), (second / np.outer(scale, scale)).ravel()) ** 2 / sizes
    pairs = np.setdiff1d(np.arange(len(total)), np.diag(orbits))
    return pairs[np.argsort(-total[pairs], kind="stable")].tolist()
