"""Which entries of a covariance are equal: groups, patterns that are none, and no ties, weighed against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.base import Belief, Labels, Proposal
from equishare.problems.commutant import distinct
from equishare.search.covariance.eigenvalues import rotated
from equishare.search.covariance.evidence import Terms
from equishare.search.covariance.factor_models import FACTORS, terms_of_factors
from equishare.search.covariance.groups import Moments, Search
from equishare.search.covariance.merges import log_price, near_pattern, patterns_of, terms_of_pattern
from equishare.search.covariance.order import Rearranged
from equishare.symmetry.permutations import Permutation

#: Offset and slope of the probability that there is a symmetry, with log odds ℓ for the surest part of the one that is
#: judged: 1 / (1 + exp(−a − b ℓ)). Chosen on simulated covariances, with a group and without.
CURVE = (-6.5, 2.0)
# Of the groups so many are weighed against what is only near them.
_NEAR = 4
# Common factors with loads of their own are a priori this probable.
_FACTORS = 1 / 8
# Terms of less than this weight are left out of the posterior mean.
_LEAST_WEIGHT = 1e-4


class Covariance(Protocol):
    """What the search reads of a problem.

    Attributes:
        samples: (n, p) each, of mean zero.
        moments: their second moments, and n.
        unit: of the data, in which both are.
    """

    @property
    def samples(self) -> list[np.ndarray]: ...  # noqa: D102
    @property
    def moments(self) -> list[Moments]: ...  # noqa: D102
    @property
    def unit(self) -> float: ...  # noqa: D102
    def evaluate(self, patterns: list[Labels]) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class Candidate:
    """A pattern that may be the truth.

    Attributes:
        labels: (p, p).
        log_weight: log of prior times likelihood.
        means: of the covariance of each sample.
        generators: of its group; None for a pattern that is no orbits.
        may_be_told: whether it may be the answer; False for what is only near a pattern.
    """

    labels: np.ndarray
    log_weight: float
    means: list[np.ndarray]
    generators: list[Permutation] | None = None
    may_be_told: bool = True

    def holds(self, generators: list[Permutation]) -> bool:
        """Whether permutations leave the pattern unchanged."""
        return all(np.array_equal(self.labels[np.ix_(p, p)], self.labels) for p in generators)


def propose_covariance(problem: Covariance) -> Proposal:
    """The pattern of the best evidence whose symmetry is sure, and what the evidence says beside it."""
    data = Rearranged.of(problem.samples, problem.moments)
    candidates = candidates_of(data)
    total = scipy.special.logsumexp([one.log_weight for one in candidates])
    groups = [one for one in candidates if one.generators]
    odds = [_odds(candidates, one.generators or []) for one in groups]
    chances = [_chance(groups, odds, place) for place in range(len(groups))]
    sure = next((place for place, chance in enumerate(chances) if chance >= 0.5), None)
    judged = sure or 0
    # A pattern that is no orbits may say more than the orbits of its group.
    plain = [one for one in candidates if one.may_be_told and not one.generators]
    told = next(one for one in plain if one.generators is not None or one.log_weight > total - np.log(2))
    if sure is not None:
        found = groups[sure]
        likelier = (one for one in plain if one.log_weight > found.log_weight and one.holds(found.generators or []))
        told = next(likelier, found)
    means = []
    for sample in range(len(data.moments)):
        weights = np.exp([one.log_weight - total for one in candidates])
        kept = [(w, one.means[sample]) for w, one in zip(weights, candidates, strict=True) if w > _LEAST_WEIGHT]
        means.append(data.back(sum(w * mean for w, mean in kept) / sum(w for w, _ in kept)))
    belief = Belief(
        0.0,
        (0.0, 0.0),
        problem.unit**2 * (means[0] if len(means) == 1 else np.stack(means)),
        odds[judged] if groups else -np.inf,
        Partition(data.back(groups[judged].labels)).labels if groups else None,
        symmetry_chance=chances[judged] if groups else 0.0,
    )
    return Proposal([data.back(told.labels)], history=_history(problem, data, candidates), belief=belief)


def candidates_of(data: Rearranged) -> list[Candidate]:
    """All that is weighed, the likeliest first."""
    search = Search(data.moments)
    search.run()
    found = [*_of_groups(data, search), *_of_factors(data), *_of_patterns(data)]
    return sorted(found, key=lambda one: -one.log_weight)


def _of_groups(data: Rearranged, search: Search) -> list[Candidate]:
    """Groups, no symmetry, and what is only near a group."""
    found = []
    for number, one in enumerate(search.ranked()):
        labels, generators = one.group.orbits, one.group.generators
        evidence = sum(own.log_evidence for own in one.terms)
        means = [own.mean() for own in one.terms]
        if not generators:
            # The posterior mean shrinks all eigenvalues alike, which is best where they lie close together; where they
            # do not, samples tell them better. The evidence compares models, not these two estimates of one.
            means = [
                (mean + rotated(own)) / 2 if len(own) > 1 else mean
                for mean, own in zip(means, data.samples, strict=True)
            ]
            found.append(Candidate(labels, evidence + np.log(1 / 4), means, []))
            continue
        price = one.group.log_price - np.log(2)
        found.append(Candidate(labels, price + evidence, means, generators))
        if number < _NEAR:
            found += [_rival(price + share, terms, tied) for tied, share, terms in search.near(one)]
    return found


def _of_factors(data: Rearranged) -> list[Candidate]:
    """Common factors with loads of their own, and what is only near these."""
    found = []
    for number in FACTORS:
        own = [terms_of_factors(*one, number) for one in data.moments]
        terms = [one for one in own if one is not None]
        if len(terms) == len(own):
            found.append(_rival(np.log(_FACTORS / len(FACTORS)), terms, distinct(len(terms[0].second))))
    return found


def _rival(log_prior: float, terms: list[Terms], tied: np.ndarray) -> Candidate:
    """A covariance that is no answer, since no pattern says all of it; and what of it is tied."""
    evidence = sum(own.log_evidence for own in terms)
    return Candidate(tied, log_prior + evidence, [own.mean() for own in terms], None, False)


def _of_patterns(data: Rearranged) -> list[Candidate]:
    """Patterns that are no orbits, and what is only near the best of them."""
    found: list[Candidate] = []
    kept: list[tuple[str, list[Terms]]] = []
    for name, labels in patterns_of(data.moments).items():
        terms = [own for own in (terms_of_pattern(name, labels, *one) for one in data.moments) if own is not None]
        if len(terms) == len(data.moments):
            weight = log_price(name, labels) - np.log(2) + sum(own.log_evidence for own in terms)
            found.append(Candidate(labels, weight, [own.mean() for own in terms]))
            kept.append((name, terms))
    near = []
    for i in sorted(range(len(found)), key=lambda i: -found[i].log_weight)[:_NEAR]:
        one, (name, terms) = found[i], kept[i]
        own = [
            near_pattern(name, one.labels, term, second) for term, (second, _) in zip(terms, data.moments, strict=True)
        ]
        change = sum(new.log_evidence - old.log_evidence for new, old in zip(own, terms, strict=True))
        labels = distinct(len(one.labels))
        near.append(Candidate(labels, one.log_weight + change, [new.mean() for new in own], None, False))
    return found + near


def _odds(candidates: list[Candidate], generators: list[Permutation]) -> float:
    """Log odds of the candidates that permutations leave unchanged against all others."""
    holds = [one.holds(generators) for one in candidates]
    both = [
        [one.log_weight for one, own in zip(candidates, holds, strict=True) if own is side] for side in (True, False)
    ]
    yes, no = (float(scipy.special.logsumexp([-np.inf, *own])) for own in both)
    return yes - no


def _chance(groups: list[Candidate], odds: list[float], place: int) -> float:
    """Probability of a symmetry: of there being one, by its surest part, times that of the whole given the part."""
    most = max(own for one, own in zip(groups, odds, strict=True) if groups[place].holds(one.generators or []))
    whole = np.exp(_log_sigmoid(odds[place]) - _log_sigmoid(most))
    return float(scipy.special.expit(CURVE[0] + CURVE[1] * most) * whole)


def _log_sigmoid(log_odds: float) -> float:
    return float(-np.logaddexp(0, -log_odds))


def _history(problem: Covariance, data: Rearranged, candidates: list[Candidate]) -> dict[str, np.ndarray]:
    """The best candidate for each number of groups, fewest first."""
    best: dict[int, Candidate] = {}
    for one in candidates:
        if one.may_be_told:
            best.setdefault(int(one.labels.max()) + 1, one)
    rows = [best[number] for number in sorted(best)]
    return {
        "num_groups": np.array(sorted(best)),
        "validation_loss": np.asarray(problem.evaluate([(data.back(one.labels),) for one in rows])),
        "evidence": np.array([one.log_weight for one in rows]),
        "rejected": np.zeros(len(rows), bool),
    }
