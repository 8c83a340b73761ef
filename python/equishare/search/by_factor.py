"""The search among levels of factors: given all other factors, the best partition of one is found exactly.

Given the effects of the others, the levels of a factor have independent estimates, and the best partition into any
number of groups is contiguous in them: dynamic programming finds it. So the search goes from factor to factor, and each
candidate is judged with the values of all factors refitted. It starts from several points and is repeated until nothing
improves.

The score of a pattern is its negative log posterior. The values of the groups of all factors are drawn from one normal
distribution and integrated out together with b and γ, and so is the noise variance of a gaussian (its prior is 1/σ²);
the partition of a factor has the prior of :mod:`equishare.search.price`, an ordered one 1/(L − 1 choose G − 1) for its
cuts. A GLM is judged by its quadratic; the best candidates by a fit of their own, with Laplace's method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy

from equishare.clustering import segmentation_path
from equishare.linalg import solve
from equishare.problems.additive import MOST_DENSE, Additive, Quadratic, RandomEffects, joined
from equishare.problems.answers import Belief, Predictor
from equishare.problems.base import Labels, Proposal
from equishare.problems.factors import FactorProblem
from equishare.search.averaging import Averaged, averaged
from equishare.search.price import Structure, log_prior
from equishare.search.segmentation import probable_segmentations

# Rounds over all factors, at most.
_MAX_ROUNDS = 12
# Candidates of a GLM that are refitted by their own likelihood.
_FINALISTS = 6
# What a group of averaged effects costs, in nats of the loss that tying makes.
_LOSS = 0.05
# So many nats more may a factor lose by the partition of the best pattern.
_KEPT = 2.0
# What a factor costs beside its groups.
_FACTOR = 0.25
# Prior log odds of some pattern against effects that are all different.
_CONTINUUM = 2.0
# Rows of the history.
_SHOWN = 12
# Shrunk effects with fewer degrees of freedom do not vary.
_LEAST_FREEDOM = 1.0
# Of an ordered factor, and of the best cuts of any, at most so many groups are tried.
_MOST_CUTS = 12


@dataclass
class FactorSearch:
    """Patterns of the levels of all factors, and their scores: lower is better.

    Attributes:
        quadratic: of the log likelihood.
        noise: its variance, about.
        width2: variance of the values of groups.
        ordered: which factors tie neighbours only.
        scores: of the patterns met, by their labels.
    """

    quadratic: Quadratic
    noise: float
    width2: float
    ordered: tuple[bool, ...]
    scores: dict[bytes, tuple[float, Labels]] = field(default_factory=dict)

    @classmethod
    def of(cls, effects: RandomEffects, ordered: tuple[bool, ...]) -> FactorSearch:
        """Widths from the effects of the factor that varies most."""
        quadratic = effects.quadratic
        error2 = float(np.median(effects.noise / quadratic.counts[quadratic.counts > 0]))
        spread = max((float(np.average(effects.effects[own] ** 2)) for own in quadratic.slices), default=0.0)
        return cls(quadratic, effects.noise, max(spread, effects.scale.max(initial=0), 4 * error2), ordered)

    def score(self, labels: Labels) -> float:
        """Negative log posterior of a pattern."""
        key = b"".join(np.asarray(own, np.int32).tobytes() for own in labels)
        if key not in self.scores:
            self.scores[key] = self._fit(labels)[0] - self.log_prior(labels), labels
        return self.scores[key][0]

    def log_prior(self, labels: Labels) -> float:
        """log of the prior of the partitions of all factors."""
        return sum(partition_prior(own, self.ordered[j]) for j, own in enumerate(labels))

    def _fit(self, labels: Labels, width2: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        """−log of the integrated likelihood, and the values of the groups, b and γ.

        Args:
            labels: the pattern.
            width2: (G,) variances of the values, where they are not those of the search.
        """
        total, right = self.quadratic.gathered(labels)
        rest = len(self.quadratic.corner)
        num_groups = len(right) - rest
        own = self.noise / (np.full(num_groups, self.width2) if width2 is None else width2)
        prior = np.concatenate([own, np.full(rest, 1e-9 * total[-1, -1])])
        prior[num_groups] = 0.0
        total[np.arange(len(right)), np.arange(len(right))] += prior
        try:
            factor = scipy.linalg.cho_factor(total, lower=True)
        except np.linalg.LinAlgError:
            return np.inf, np.zeros(len(right))
        values = scipy.linalg.cho_solve(factor, right)
        misfit = max(self.quadratic.constant - float(right @ values), 1e-300)
        half_log_det = float(np.log(np.diag(factor[0])).sum() - 0.5 * np.log(own).sum())
        if self.quadratic.is_known:
            return half_log_det + 0.5 * misfit, values
        freedom = max(self.quadratic.count - rest, 1)
        floor = self.quadratic.least_noise * self.quadratic.constant
        return half_log_det + 0.5 * freedom * np.log(max(misfit, floor) / freedom), values

    def continuum_log_odds(self, labels: Labels, effects: RandomEffects) -> float:
        """log odds of effects drawn from a normal distribution for each factor, none tied, against a pattern.

        Each of the variances, which are those of most likelihood, costs half the log of the number of levels.
        """
        if self.quadratic.num_levels > MOST_DENSE:
            return -np.inf
        free = tuple(np.arange(size) for size in self.quadratic.sizes)
        spread = self._fit(free, np.repeat(effects.scale, self.quadratic.sizes))[0]
        price = 0.5 * np.log(self.quadratic.sizes)[varying(effects)].sum()
        return float(self.score(labels) - spread - price - _CONTINUUM)

    def effects(self, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
        """Effects (K,) of the levels, and (b, γ), of a pattern."""
        values = self._fit(labels)[1]
        at, parts = 0, []
        for own in labels:
            parts.append(values[at + own])
            at += int(own.max(initial=-1)) + 1
        return np.concatenate([*parts, np.empty(0)]), values[at:]

    def improve(self, labels: Labels, order: Sequence[int]) -> Labels:
        """Re-partition factor after factor while the score falls."""
        best = self.score(labels)
        for _ in range(_MAX_ROUNDS):
            before = best
            for j in order:
                effects, rest = self.effects(labels)
                for own in self.candidates(j, effects, rest):
                    moved = (*labels[:j], own, *labels[j + 1 :])
                    if (score := self.score(moved)) < best - 1e-9:
                        best, labels = score, moved
            if not best < before - 1e-9:
                break
        return labels

    def spread_of(self, j: int, effects: np.ndarray) -> float:
        """What a factor's effects (K,) do to the fit: ``Σ n θ²``."""
        own = self.quadratic.slices[j]
        return float(self.quadratic.counts[own] @ effects[own] ** 2)

    def loss(self, labels: Labels, effects: np.ndarray) -> float:
        """What tying costs the fit: ½ min over values of ``(θ − Aψ)ᵀ Ω (θ − Aψ)/σ²``, b and γ refitted too."""
        pull = effects @ self.quadratic.levels
        tail = effects @ self.quadratic.border
        total, _ = self.quadratic.gathered(labels)
        join = joined(labels)
        right = np.concatenate([np.bincount(join, pull), tail])
        left = float(effects @ pull) - float(right @ solve(total, right))
        return 0.5 * max(left, 0.0) / self.noise

    def tied(self, labels: Labels, start: RandomEffects) -> RandomEffects:
        """The same with the effects of a pattern."""
        effects, rest = self.effects(labels)
        return replace(start, effects=effects, rest=rest)

    def candidates(self, j: int, effects: np.ndarray, rest: np.ndarray) -> list[np.ndarray]:
        """Partitions of factor j that are best given the effects of all others."""
        own = self.quadratic.slices[j]
        counts = np.maximum(self.quadratic.counts[own], 1e-12)
        estimates = self.quadratic.conditional(j, effects, rest) / counts
        precision = counts / self.noise
        if len(estimates) == 1:
            return [np.zeros(1, np.int64)]
        if self.ordered[j]:
            return best_cuts(estimates, precision)
        return list(probable_segmentations(estimates, precision, float(np.sqrt(self.width2))))

    def ranked(self) -> list[Labels]:
        """The patterns met, best first."""
        return [labels for _, labels in sorted(self.scores.values(), key=lambda pair: pair[0])]


def partition_prior(labels: np.ndarray, is_ordered: bool) -> float:
    """log of the prior of a partition, the values of whose groups come in any order."""
    count = int(labels.max(initial=0)) + 1
    if not is_ordered:
        return float(log_prior(labels, Structure(), False)[0] + scipy.special.gammaln(count + 1))
    alike = log_prior(np.arange(count), Structure(), False)[0] - log_prior_of_singles(count)
    ways = scipy.special.gammaln([len(labels), count, len(labels) - count + 1])
    return float(alike - (ways[0] - ways[1] - ways[2]))


def log_prior_of_singles(count: int) -> float:
    """log of what the labels of so many groups of one entry cost, without that of their number."""
    equal = -count * np.log(count)
    unknown = scipy.special.gammaln(count) - scipy.special.gammaln(2 * count)
    return float(np.logaddexp(equal, unknown))


def best_cuts(estimates: np.ndarray, precision: np.ndarray) -> list[np.ndarray]:
    """Segmentations of levels in their order into 1, 2, … groups, each of least misfit."""
    size = len(estimates)
    most = min(_MOST_CUTS, size)
    w = np.concatenate([[0.0], np.cumsum(precision)])
    wx = np.concatenate([[0.0], np.cumsum(precision * estimates)])
    wxx = np.concatenate([[0.0], np.cumsum(precision * estimates**2)])
    best = np.full((most + 1, size + 1), np.inf)
    back = np.zeros((most + 1, size + 1), np.int64)
    best[0, 0] = 0.0
    for end in range(1, size + 1):
        weight = w[end] - w[:end]
        scatter = np.maximum(wxx[end] - wxx[:end] - (wx[end] - wx[:end]) ** 2 / weight, 0)
        sums = best[:most, :end] + scatter
        back[1:, end] = sums.argmin(1)
        best[1:, end] = sums.min(1)
    found = []
    for count in range(1, most + 1):
        labels, end = np.zeros(size, np.int64), size
        for group in range(count, 0, -1):
            start = int(back[group, end])
            labels[start:end] = group - 1
            end = start
        found.append(labels)
    return found


def search_factors(effects: RandomEffects, ordered: tuple[bool, ...]) -> FactorSearch:
    """Search from all levels tied, and from the segmentations of the shrunk effects."""
    search = FactorSearch.of(effects, ordered)
    quadratic = search.quadratic
    tied = tuple(np.zeros(size, np.int64) for size in quadratic.sizes)
    by_scale = np.argsort(-effects.scale).tolist()
    search.improve(tied, by_scale)
    search.improve(varied(search, effects), by_scale)
    search.improve(search.ranked()[0], by_scale[::-1])
    return search


def varying(effects: RandomEffects) -> np.ndarray:
    """(J,) whether the effects of each factor vary: whether they have more than one degree of freedom."""
    quadratic = effects.quadratic
    freedom = [(1 - effects.variance[own] / effects.scale[j]).sum() for j, own in enumerate(quadratic.slices)]
    return np.array(freedom) > _LEAST_FREEDOM


def varied(search: FactorSearch, effects: RandomEffects) -> Labels:
    """The best partition of each factor given the shrunk effects of the others, tied only where these do not vary.

    Where noise is large no single partition is more probable than none, and yet the effects are there.
    """
    found = []
    for j, own in enumerate(search.quadratic.slices):
        varies = varying(effects)[j]
        ways = [one for one in search.candidates(j, effects.effects, effects.rest) if one.any() or not varies]
        gradient = search.quadratic.conditional(j, effects.effects, effects.rest)
        counts = search.quadratic.counts[own]

        def score(labels: np.ndarray, j: int = j, gradient: np.ndarray = gradient, n: np.ndarray = counts) -> float:
            pull = np.bincount(labels, gradient) / search.noise
            weight = np.bincount(labels, n) / search.noise
            gain = 0.5 * (pull**2 / (weight + 1 / search.width2) - np.log1p(weight * search.width2)).sum()
            return float(-gain - partition_prior(labels, search.ordered[j]))

        found.append(min(ways, key=score) if ways and varies else np.zeros(len(counts), np.int64))
    return tuple(found)


def judged(search: FactorSearch, model: Additive) -> list[tuple[float, Labels]]:
    """The best patterns with their scores, best first; of a GLM by a fit of their own."""
    ranked = search.ranked()
    if not search.quadratic.is_known:
        return [(search.score(labels), labels) for labels in ranked]
    found = []
    for labels in ranked[:_FINALISTS]:
        own = model.fitted(labels)
        exact = np.isfinite(own.log_evidence)
        found.append(((-own.log_evidence if exact else search._fit(labels)[0]) - search.log_prior(labels), labels))
    return sorted(found, key=lambda pair: pair[0])


def propose_by_factor(problem: FactorProblem, seed: int) -> Proposal:
    """The pattern of the best evidence, and the effects averaged over patterns."""
    estimate = problem.estimate()
    model, effects, ordered = estimate.model, estimate.effects, estimate.ordered
    search = search_factors(effects, ordered)
    best = search.ranked()[0]
    continuum = search.continuum_log_odds(best, effects)
    mean = averaged(search.tied(best, effects), best, ordered, search.width2, seed)
    ends = [own[-mean.chains :] for own in mean.draws]
    for labels in zip(*ends, strict=True):  # where chains ended: other good patterns
        search.score(tuple(np.unique(own, return_inverse=True)[1] for own in labels))
    search.improve(search.ranked()[0], range(len(ordered)))
    scores, patterns = (list(column) for column in zip(*judged(search, model), strict=True))
    chosen = projected(search, mean.effects, patterns[0]) if continuum > 0 else patterns[0]
    shown: dict[int, tuple[float, Labels]] = {}
    for score, labels in zip(scores, patterns, strict=True):
        shown.setdefault(sum(int(own.max(initial=0)) + 1 for own in labels), (score, labels))
    counts = sorted(sorted(shown, key=lambda count: shown[count][0])[:_SHOWN])
    history = {
        "num_groups": np.array(counts),
        "validation_loss": problem.evaluate([shown[count][1] for count in counts]),
        "evidence": np.array([-shown[count][0] for count in counts]),
    }
    belief = _belief(problem, mean, continuum)
    return Proposal([chosen], history=history, belief=belief, draws=tuple(mean.draws))


def projected(search: FactorSearch, effects: np.ndarray, best: Labels) -> Labels:
    """The pattern that loses least of averaged effects, with a price for each group.

    Where no single pattern is probable, the best of them is far too coarse to predict: it ties what cannot be told
    apart. This one ties what has nearly the same expectation. It minimises ``½ Σ n (θ̄ − ψ)²/σ² + λ G`` over the
    partitions of each factor, exactly. What the best pattern tells of a factor is kept where that loses little more.
    """
    found = []
    for j, own in enumerate(search.quadratic.slices):
        weight = np.maximum(search.quadratic.counts[own], 1e-12) / search.noise
        if search.ordered[j]:
            ways = best_cuts(effects[own], weight)
        else:
            ways = list(segmentation_path(effects[own], weight, min(_MOST_CUTS, len(weight)))[0].astype(np.int64))
        ways.append(best[j])
        costs = []
        for labels in ways:
            values = np.bincount(labels, weight * effects[own]) / np.bincount(labels, weight)
            costs.append(0.5 * float(weight @ (effects[own] - values[labels]) ** 2) + _LOSS * (labels.max() + 1))
            if best[j].any() and (labels == best[j]).all():
                costs[-1] -= _KEPT
        found.append(ways[int(np.argmin(costs))])
    pattern: Labels = tuple(found)
    for j in sorted(range(len(found)), key=lambda j: search.spread_of(j, effects)):
        # Another factor may tell the same.
        without = (*pattern[:j], np.zeros_like(pattern[j]), *pattern[j + 1 :])
        price = _FACTOR + _LOSS * int(pattern[j].max(initial=0))
        if search.loss(without, effects) - search.loss(pattern, effects) < price:
            pattern = without
    return pattern


def _belief(problem: FactorProblem, mean: Averaged, continuum: float) -> Belief:
    """The averaged effects as the answer has them: centred over the samples, coefficients in units of the data."""
    model, unit = problem.estimate().model, problem.unit
    middle, spread = model.units
    gamma = mean.coefficients / spread
    bias = mean.bias - float(middle @ gamma)
    effects, unseen = mean.effects.copy(), mean.unseen.copy()
    weight = np.asarray(model.one_hot().T @ model.weights)
    for j, own in enumerate(problem.estimate().effects.quadratic.slices):
        shift = float(weight[own] @ effects[own] / weight[own].sum())
        effects[own] -= shift
        unseen[j] -= shift
        bias += shift
    bias = bias * unit + problem.origin
    predictor = Predictor(model.family.name, bias, problem.numeric_names, gamma * unit, unseen * unit)
    return Belief(0.0, (0.0, 0.0), effects * unit, continuum_log_odds=continuum, predictor=predictor)
