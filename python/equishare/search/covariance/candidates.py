"""What a covariance may be: groups, patterns that are none, what is only near these, and no ties; and its evidence."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from equishare.problems.commutant import Commutant, distinct
from equishare.search.covariance.evidence import Terms
from equishare.search.covariance.factor_models import FACTORS, factors_of_sets
from equishare.search.covariance.groups import Judged, Search
from equishare.search.covariance.independent import IndependentSets
from equishare.search.covariance.merges import log_price, near_pattern, patterns_of, terms_of_pattern
from equishare.search.covariance.order import Rearranged
from equishare.search.covariance.price import Group
from equishare.symmetry.permutations import Permutation

# Of the groups so many are weighed against what is only near them.
_NEAR = 4
# Common factors with loads of their own are a priori this probable.
_FACTORS = 1 / 8


@dataclass(frozen=True)
class Candidate:
    """A pattern that may be the truth.

    Attributes:
        labels: (p, p).
        log_weight: log of prior times likelihood.
        terms: the evidence of each sample, which knows the mean of its covariance.
        generators: of its group; None for a pattern that is no orbits.
        may_be_told: whether it may be the answer; False for what is only near a pattern.
        free: whether all numbers of the covariance deviate from what is simpler, and alike.
    """

    labels: np.ndarray
    log_weight: float
    terms: list[Terms]
    generators: list[Permutation] | None = None
    may_be_told: bool = True
    free: bool = False

    def holds(self, group: Candidate) -> bool:
        """Whether the permutations of a group leave the pattern unchanged: each of its orbits lies in one label."""
        label_of = np.empty(int(group.labels.max()) + 1, np.int64)
        label_of[group.labels] = self.labels
        return np.array_equal(label_of[group.labels], self.labels)


def candidates_of(data: Rearranged) -> list[Candidate]:
    """All that is weighed, the likeliest first."""
    search = Search(data.moments)
    search.run()
    none = search.judge([])
    # Where covariances are zero, a group may be larger.
    apart = search.with_independent_sets([none, *_best(search)])
    found = [*_of_groups(search, apart), *_of_factors(data, none, apart), *_of_patterns(data)]
    return sorted(found, key=lambda one: -one.log_weight)


def _best(search: Search) -> list[Judged]:
    return [one for one in search.ranked() if one.group.generators][:_NEAR]


def _of_groups(search: Search, apart: list[tuple[Judged, IndependentSets]]) -> list[Candidate]:
    """Groups, no symmetry, and what is only near one of the best groups; some with independent sets."""
    best = _best(search)
    found = []
    for one, sets in apart:
        log_prior = _log_prior(one.group) + sets.log_prior
        found.append(_weighed(one.group, log_prior, sets.terms))
        found += _near(search, one.group, log_prior, sets.terms, sets.commutant)
    for one in search.ranked():
        log_prior = _log_prior(one.group)
        found.append(_weighed(one.group, log_prior, one.terms, free=not one.group.generators))
        if any(one is other for other in best):
            found += _near(search, one.group, log_prior, one.terms, search.commutant(one.group.orbits))
    return found


def _log_prior(group: Group) -> float:
    return group.log_price - float(np.log(2))


def _weighed(group: Group, log_prior: float, terms: list[Terms], free: bool = False) -> Candidate:
    evidence = sum(own.log_evidence for own in terms)
    return Candidate(group.orbits, log_prior + evidence, terms, group.generators, free=free)


def _near(search: Search, group: Group, log_prior: float, terms: list[Terms], commutant: Commutant) -> list[Candidate]:
    """What is only near a group: all numbers deviate, or scales and variances."""
    found = [_rival(log_prior, search.near(terms, commutant), distinct(search.size), free=True)]
    return found + [_rival(log_prior + share, own, tied) for tied, share, own in search.unequal(terms, group.orbits)]


def _of_factors(data: Rearranged, none: Judged, apart: list[tuple[Judged, IndependentSets]]) -> list[Candidate]:
    """Common factors with loads of their own: of all variables, and of each of independent sets."""
    ways = [(np.zeros(len(none.group.orbits), np.int64), 0.0)]
    ways += [(own.sets, own.log_prior) for one, own in apart if one is none]
    found = []
    for (sets, log_prior), number in itertools.product(ways, FACTORS):
        terms = [factors_of_sets(*one, sets, number) for one in data.moments]
        some = [one for one in terms if one is not None]
        if len(some) == len(terms):
            found.append(_rival(np.log(_FACTORS / len(FACTORS)) + log_prior, some, none.group.orbits))
    return found


def _rival(log_prior: float, terms: list[Terms], tied: np.ndarray, free: bool = False) -> Candidate:
    """A covariance that is no answer, since no pattern says all of it; and what of it is tied."""
    evidence = sum(own.log_evidence for own in terms)
    return Candidate(tied, log_prior + evidence, terms, None, False, free)


def _of_patterns(data: Rearranged) -> list[Candidate]:
    """Patterns that are no orbits, and what is only near the best of them."""
    found: list[Candidate] = []
    kept: list[tuple[str, list[Terms]]] = []
    for name, labels in patterns_of(data.moments).items():
        terms = [own for own in (terms_of_pattern(name, labels, *one) for one in data.moments) if own is not None]
        if len(terms) == len(data.moments):
            weight = log_price(name, labels) - np.log(2) + sum(own.log_evidence for own in terms)
            found.append(Candidate(labels, weight, terms))
            kept.append((name, terms))
    near = []
    for i in sorted(range(len(found)), key=lambda i: -found[i].log_weight)[:_NEAR]:
        one, (name, terms) = found[i], kept[i]
        pairs = zip(terms, data.moments, strict=True)
        own = [near for near in (near_pattern(name, one.labels, term, second) for term, (second, _) in pairs) if near]
        if len(own) == len(terms):
            log_prior = one.log_weight - sum(old.log_evidence for old in terms)
            near.append(_rival(log_prior, own, distinct(len(one.labels)), free=True))
    return found + near
