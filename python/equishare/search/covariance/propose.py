"""Which entries of a covariance are equal: groups, patterns that are none, and no ties, weighed against each other."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.answers import Belief
from equishare.problems.base import Labels, Proposal
from equishare.problems.commutant import Commutant, distinct
from equishare.search.covariance.candidates import Candidate, candidates_of
from equishare.search.covariance.eigenvalues import averaged_with
from equishare.search.covariance.evidence import Moments, terms_of
from equishare.search.covariance.order import Rearranged

#: Offset and slope of the probability that there is a symmetry, with log odds ℓ for the surest part of the one that is
#: judged: 1 / (1 + exp(−a − b ℓ)). Of simulated covariances without a symmetry it tells one in about one of a hundred
#: (``equishare reproduce covariance``).
CURVE = (-4.6, 2.0)
# Terms of less than this weight are left out of the posterior mean.
_LEAST_WEIGHT = 1e-4
# So little weight of what ties nothing is not worth asking for its eigenvalues.
_LEAST_FREE = 0.01


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


def propose_covariance(problem: Covariance) -> Proposal:
    """The pattern of the best evidence whose symmetry is sure, and what the evidence says beside it."""
    data = Rearranged.of(problem.samples, problem.moments)
    candidates = candidates_of(data)
    groups, odds, chances = judged_groups(candidates)
    told, judged = told_of(candidates, groups, chances)
    means = _means(data, candidates)
    belief = Belief(
        0.0,
        (0.0, 0.0),
        problem.unit**2 * (means[0] if len(means) == 1 else np.stack(means)),
        odds[judged] if groups else -np.inf,
        Partition(data.back(groups[judged].labels)).labels if groups else None,
        symmetry_chance=chances[judged] if groups else 0.0,
    )
    return Proposal([data.back(told.labels)], history=_history(problem, data, candidates), belief=belief)


def _means(data: Rearranged, candidates: list[Candidate]) -> list[np.ndarray]:
    """The covariance of each sample, averaged over all candidates by their evidence, in the order of the data.

    Where nothing is tied, the evidence shrinks all eigenvalues alike, and there are other ways to shrink them.
    """
    total = scipy.special.logsumexp([one.log_weight for one in candidates])
    kept = [
        (np.exp(one.log_weight - total), one) for one in candidates if one.log_weight > total + np.log(_LEAST_WEIGHT)
    ]
    found = []
    for i, own in enumerate(data.samples):
        means = [(weight, one.terms[i].mean(), one.free) for weight, one in kept]
        mean = sum(weight * one for weight, one, _ in means) / sum(weight for weight, _, _ in means)
        free = sum(weight for weight, _, is_free in means if is_free)
        if free > _LEAST_FREE:
            alike = sum(weight * one for weight, one, is_free in means if is_free) / free
            mean = mean + free * (averaged_with(alike, _shrunk, own) - alike)
        found.append(data.back(mean))
    return found


def _shrunk(samples: np.ndarray) -> np.ndarray:
    second = samples.T @ samples / len(samples)
    return terms_of(Commutant(distinct(len(second))), second, len(samples)).mean()


def _odds(candidates: list[Candidate], group: Candidate) -> float:
    """Log odds of the candidates that a group leaves unchanged against all others."""
    holds = [one.holds(group) for one in candidates]
    both = [
        [one.log_weight for one, own in zip(candidates, holds, strict=True) if own is side] for side in (True, False)
    ]
    yes, no = (float(scipy.special.logsumexp([-np.inf, *own])) for own in both)
    return yes - no


def judged_groups(candidates: list[Candidate]) -> tuple[list[Candidate], list[float], list[float]]:
    """The candidates with a group, the log odds of each, and its probability.

    It is that of there being a symmetry, by the surest part of the group, times that of the whole given the part.
    """
    groups = [one for one in candidates if one.generators]
    odds = [_odds(candidates, one) for one in groups]
    chances = []
    for one, own in zip(groups, odds, strict=True):
        most = max(part for other, part in zip(groups, odds, strict=True) if one.holds(other))
        whole = np.exp(_log_sigmoid(own) - _log_sigmoid(most))
        chances.append(float(scipy.special.expit(CURVE[0] + CURVE[1] * most) * whole))
    return groups, odds, chances


def told_of(candidates: list[Candidate], groups: list[Candidate], chances: list[float]) -> tuple[Candidate, int]:
    """The candidate that is the answer, and the place of the group whose probability goes with it.

    Args:
        candidates: all.
        groups: those with a group.
        chances: the probability of each.
    """
    sure = [place for place, chance in enumerate(chances) if chance >= 0.5]
    # A pattern that is no orbits may say more than the orbits of its group.
    plain = [one for one in candidates if one.may_be_told and not one.generators]
    if not sure:
        total = scipy.special.logsumexp([one.log_weight for one in candidates])
        return next(one for one in plain if one.generators is not None or one.log_weight > total - np.log(2)), 0
    found = groups[sure[0]]
    likelier = (one for one in plain if one.log_weight > found.log_weight and one.holds(found))
    told = next(likelier, found)
    # It may have more symmetry than the group of the best evidence.
    wider = [place for place in sure if told.holds(groups[place])]
    return told, min(wider, key=lambda place: int(groups[place].labels.max()))


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
