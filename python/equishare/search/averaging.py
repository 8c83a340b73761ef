"""Effects of the levels of factors averaged over partitions: what predicts best where no single partition is sure.

Gibbs sampling of a mixture model, several chains at once. Of each factor:

- K values and their frequencies, uniform on the simplex; the values have the prior of :mod:`equishare.search.spacing`;
- each level has one of them: given the values and all other factors the levels are independent, so that all labels of
  a factor are drawn at once, and the mean of an effect over its labels is known in closed form;
- K, the values and the frequencies are drawn together with all labels summed out
  (:mod:`equishare.search.mixture`), so that a chain leaves its start within a few rounds; then once more given the
  labels, where K follows from the number of values that have members.

Levels of an ordered factor have contiguous segments: their cuts are drawn by forward filtering and backward sampling.
Effects of a factor and b may be shifted against each other; each round draws this shift too. w² and the noise variance
are drawn given all else. A GLM is its quadratic about the shrunk effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from equishare.problems.additive import MOST_DENSE, RandomEffects
from equishare.problems.base import Labels
from equishare.search.mixture import Values, resampled
from equishare.search.spacing import gap_sums, log_alone, log_even, width_sums

_CHAINS = 16
# With many levels, which average too.
_FEW_CHAINS = 4
_ROUNDS = 40
_BURN_IN = 10
# Of so many rounds one is kept: neighbours differ little.
_KEPT = 3
# Values of a factor, at most; more where the partition that chains start from has more.
_MOST_VALUES = 6
# Prior of the number of values, exp(−K/2)/K. For a single pattern that of few is steeper; a mean over patterns loses
# little by values too many, and much by values too few.
_RATE, _EXPONENT = 0.5, 1.0


@dataclass(frozen=True, eq=False)
class Averaged:
    """Means given the data.

    Attributes:
        effects: (K,) of the levels, whose mean over the samples is 0 for each factor.
        bias: b.
        coefficients: (P,) γ in units of the columns.
        unseen: (J,) effect of a level that was never seen: the mean of the values by their frequencies.
        draws: (B, L) for each factor, groups of its levels in some rounds of all chains, those of the last at the end.
        chains: how many there are.
    """

    effects: np.ndarray
    bias: float
    coefficients: np.ndarray
    unseen: np.ndarray
    draws: list[np.ndarray]
    chains: int


@cache
def _number_table(most: int, levels: int) -> np.ndarray:
    """Distribution functions (most + 1, most) of K for each number k of values with members.

    ∝ p(K) K!/(K − k)! (K − 1)!/(L + K − 1)!: the telescoping sampler of Frühwirth-Schnatter, Malsiner-Walli and Grün
    (2021).
    """
    number, occupied = np.arange(1, most + 1), np.arange(most + 1)[:, None]
    log_gamma = scipy.special.gammaln
    log_p = _log_prior_of_number(most) + log_gamma(number + 1) + log_gamma(number) - log_gamma(levels + number)
    log_p = np.where(number < occupied, -np.inf, log_p - log_gamma(np.maximum(number - occupied, 0) + 1))
    p = np.exp(log_p - log_p.max(1, keepdims=True)).cumsum(1)
    return np.asarray(p / p[:, -1:])


def _log_prior_of_number(most: int) -> np.ndarray:
    number = np.arange(1, most + 1)
    return -_RATE * number - _EXPONENT * np.log(number)


class Chains:
    """Chains of one model; arrays have the chains along their first axis."""

    def __init__(
        self, start: RandomEffects, labels: Labels, ordered: tuple[bool, ...], width2: float, rng: np.random.Generator
    ) -> None:
        self.quadratic, self.ordered, self.rng = start.quadratic, ordered, rng
        self.chains = _CHAINS if self.quadratic.num_levels <= MOST_DENSE else _FEW_CHAINS
        self.rows = np.arange(self.chains)[:, None]
        self.effects = np.tile(start.effects, (self.chains, 1))
        self.rest = np.tile(start.rest, (self.chains, 1))
        self.noise = np.full(self.chains, start.noise)
        self.width2, self.scale0 = np.full(self.chains, width2), width2
        self.gaps = [np.zeros((3, self.chains)) for _ in labels]
        self.labels = [np.tile(own, (self.chains, 1)) for own in labels]
        self.state: list[Values] = []
        self.log_number: list[np.ndarray] = []
        for j, own in enumerate(self.quadratic.slices):
            groups = int(labels[j].max(initial=0)) + 1
            most = min(max(_MOST_VALUES, groups + _MOST_VALUES // 2), len(labels[j]))
            self.log_number.append(_log_prior_of_number(most))
            counts = np.bincount(labels[j], minlength=most)
            gradient = self.quadratic.conditional(j, start.effects, start.rest)
            weight = np.bincount(labels[j], self.quadratic.counts[own], most) + start.noise / width2
            values = np.bincount(labels[j], gradient, most) / weight
            order = np.argsort(np.where(counts > 0, values, np.inf), kind="stable")
            with np.errstate(divide="ignore"):
                log_share = np.log(counts / counts.sum())[order]
            self.state.append(Values(*(np.tile(one, (self.chains, 1)) for one in (values[order], log_share))))

    def draw_factor(self, j: int) -> tuple[np.ndarray, np.ndarray]:
        """One round for a factor; the conditional means (C, L) of its effects, and (C,) that of an unseen level."""
        own = self.quadratic.slices[j]
        counts = self.quadratic.counts[own]
        gradient = self.quadratic.conditional(j, self.effects, self.rest)
        if self.ordered[j]:
            return self._draw_segments(j, gradient, counts)
        noise = self.noise[:, None]
        state = resampled(
            self.state[j],
            gradient / noise,
            np.maximum(counts, 1e-12) / noise,
            self.width2,
            self.log_number[j],
            lambda at: self._log_prior(j, at),
            self.rng,
        )
        values = state.values
        fit = (gradient[:, :, None] - 0.5 * counts[:, None] * values[:, None, :]) * values[:, None, :]
        log_p = state.log_share[:, None, :] + fit / noise[:, :, None]
        p = np.exp(log_p - log_p.max(2, keepdims=True))
        cumulative = p.cumsum(2)
        total = cumulative[:, :, -1]
        means = (p * values[:, None, :]).sum(2) / total
        labels = (cumulative < self.rng.random(total.shape)[:, :, None] * total[:, :, None]).sum(2)
        unseen = (np.exp(state.log_share) * values).sum(1)
        self._draw_values(j, state, labels, gradient, counts)
        return means, unseen

    def _draw_values(self, j: int, state: Values, labels: np.ndarray, gradient: np.ndarray, counts: np.ndarray) -> None:
        """K, values and frequencies given the labels, and a shift of all values that goes to b."""
        rng, rows, most = self.rng, self.rows, state.values.shape[1]
        one_hot = (labels[:, :, None] == np.arange(most)).astype(float)
        sizes = one_hot.sum(1)
        pull = (gradient[:, None, :] @ one_hot)[:, 0] / self.noise[:, None]
        weight = (counts[None, None, :] @ one_hot)[:, 0] / self.noise[:, None]
        # Values with members stay, however many others there are.
        front = np.argsort(sizes == 0, axis=1, kind="stable")
        table = _number_table(most, labels.shape[1])[(sizes > 0).sum(1)]
        number = (table < rng.random((self.chains, 1))).sum(1) + 1
        active = np.arange(most) < number[:, None]
        drawn, shift = self._draw_normal(pull[rows, front], weight[rows, front], active)
        order = np.argsort(np.where(active, drawn, np.inf), axis=1, kind="stable")
        values = np.stack([state.values, np.where(active, drawn, 0.0)[rows, order]])
        both = np.stack([state.active, active])
        gaps = gap_sums(values, both)
        odds = self._log_even(j, gaps) - log_alone(values, both, self.width2)
        accepted = np.log(rng.random(self.chains)) < np.logaddexp(0, odds[1]) - np.logaddexp(0, odds[0])
        self.rest[:, 0] += np.where(accepted, shift, 0)
        kept = np.where(accepted[:, None], values[1], values[0])
        active = np.where(accepted[:, None], active, state.active)
        moved = front[rows, order]  # what was where before
        self.labels[j] = labels = np.where(accepted[:, None], np.argsort(moved, axis=1)[rows, labels], labels)
        sizes = np.where(accepted[:, None], sizes[rows, moved], sizes)
        is_even = rng.random(self.chains) < scipy.special.expit(np.where(accepted, odds[1], odds[0]))
        self.gaps[j] = np.where(accepted, gaps[:, 1], gaps[:, 0]) * is_even
        shares = rng.standard_gamma(1 + sizes) * active
        with np.errstate(divide="ignore"):
            self.state[j] = Values(kept, np.log(shares / shares.sum(1, keepdims=True)))
        self.effects[:, self.quadratic.slices[j]] = kept[rows, labels]

    def _draw_normal(self, pull: np.ndarray, weight: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values given their members, and the shift of all of them that goes to b."""
        precision = weight + 1 / self.width2[:, None]
        drawn = pull / precision + self.rng.standard_normal(pull.shape) / np.sqrt(precision)
        number = active.sum(1)
        middle = (drawn * active).sum(1) / number
        shift = middle + np.sqrt(self.width2 / number) * self.rng.standard_normal(self.chains)
        return drawn - shift[:, None], shift

    def _log_even(self, j: int, gaps: np.ndarray) -> np.ndarray:
        """(…, C) log density of evenly spread values of factor j; ``gaps`` (3, …, C)."""
        others = sum((own for i, own in enumerate(self.gaps) if i != j), np.zeros((3, self.chains)))
        shape = (3, *[1] * (gaps.ndim - 2), self.chains)
        unit = 0.5 * np.log(self.noise / self.quadratic.counts[self.quadratic.slices[j]].mean())
        return log_even(gaps, np.broadcast_to(others.reshape(shape), gaps.shape), unit)

    def _log_prior(self, j: int, at: Values) -> np.ndarray:
        """(C, P) log density of ascending values (C, P, M)."""
        active, width2 = at.active, self.width2[:, None]
        number = active.sum(2)
        alone = log_alone(at.values, active, width2)
        even = self._log_even(j, np.moveaxis(gap_sums(at.values, active), 2, 1))
        middle = np.where(active, at.values, 0).sum(2) / number
        location = 0.5 * np.log(number / width2) - 0.5 * number * middle**2 / width2
        return np.asarray(scipy.special.gammaln(number + 1) + location + np.logaddexp(alone, even.T))

    def _draw_segments(self, j: int, gradient: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cuts of an ordered factor and the values of its segments; as :meth:`draw_factor`."""
        chains, size = gradient.shape
        noise, width2 = self.noise[:, None], self.width2[:, None]
        pulls = np.concatenate([np.zeros((chains, 1)), (gradient / noise).cumsum(1)], 1)
        weights = np.concatenate([np.zeros((chains, 1)), (counts / noise).cumsum(1)], 1)
        # A cut between two neighbours has this prior: about one cut in all.
        odds = -np.log(max(size - 1, 1))
        ahead = np.zeros((chains, size + 1))
        for start in range(size - 1, -1, -1):
            pull = pulls[:, start + 1 :] - pulls[:, start : start + 1]
            weight = weights[:, start + 1 :] - weights[:, start : start + 1]
            own = 0.5 * pull**2 / (weight + 1 / width2) - 0.5 * np.log1p(weight * width2)
            own = own + ahead[:, start + 1 :]
            own[:, :-1] += odds
            ahead[:, start] = np.logaddexp.reduce(own, 1)
        labels = np.zeros((chains, size), np.int64)
        begin = np.zeros(chains, np.int64)
        group = np.zeros(chains, np.int64)
        places = np.arange(size)
        while (begin < size).any():
            left = np.minimum(begin, size - 1)[:, None]
            pull = pulls[:, 1:] - np.take_along_axis(pulls, left, 1)
            weight = np.maximum(weights[:, 1:] - np.take_along_axis(weights, left, 1), 0)
            own = 0.5 * pull**2 / (weight + 1 / width2) - 0.5 * np.log1p(weight * width2) + ahead[:, 1:]
            own[:, :-1] += odds
            own = np.where(places >= left, own, -np.inf)
            p = np.exp(own - own.max(1, keepdims=True)).cumsum(1)
            end = (p < self.rng.random((chains, 1)) * p[:, -1:]).sum(1) + 1
            inside = (places >= begin[:, None]) & (places < end[:, None])
            labels = np.where(inside, group[:, None], labels)
            group = np.where(begin < size, group + 1, group)
            begin = np.where(begin < size, end, begin)
        most = int(group.max())
        one_hot = (labels[:, :, None] == np.arange(most)).astype(float)
        pull = (gradient[:, None, :] @ one_hot)[:, 0] / noise
        weight = (counts[None, None, :] @ one_hot)[:, 0] / noise
        centre = pull / (weight + 1 / width2)
        means = np.take_along_axis(centre, labels, 1)
        active = np.arange(most) < group[:, None]
        drawn, shift = self._draw_normal(pull, weight, active)
        self.rest[:, 0] += shift
        with np.errstate(divide="ignore"):
            log_share = np.log(one_hot.mean(1) * active)
        self.state[j], self.labels[j] = Values(drawn, log_share), labels
        self.effects[:, self.quadratic.slices[j]] = np.take_along_axis(drawn, labels, 1)
        return means, means.mean(1)

    def draw_rest(self) -> np.ndarray:
        """Draw (b, γ), the noise variance and the width of the values; the mean (C, 1 + P) of the first."""
        quadratic, rng = self.quadratic, self.rng
        num = quadratic.num_levels
        tail = quadratic.right[num:] - self.effects @ quadratic.border
        root = np.linalg.cholesky(quadratic.corner + 1e-9 * np.trace(quadratic.corner) * np.eye(tail.shape[1]))
        centre = scipy.linalg.cho_solve((root, True), tail.T).T
        draws = rng.standard_normal(tail.shape) * np.sqrt(self.noise)[:, None]
        self.rest = centre + scipy.linalg.solve_triangular(root, draws.T, lower=True, trans="T").T
        if not quadratic.is_known:
            explained = (self.effects @ quadratic.levels * self.effects).sum(1)
            explained += 2 * ((self.effects @ quadratic.border) * self.rest).sum(1)
            explained += (self.rest @ quadratic.corner * self.rest).sum(1)
            misfit = (
                quadratic.constant
                + explained
                - 2 * (self.effects @ quadratic.right[:num] + self.rest @ quadratic.right[num:])
            )
            drawn = 0.5 * misfit / rng.standard_gamma(quadratic.count / 2, self.chains)
            self.noise = np.maximum(drawn, quadratic.least_noise * quadratic.constant / quadratic.count)
        told = [
            width_sums(state.values, state.active, gaps[0] > 0)
            for state, gaps in zip(self.state, self.gaps, strict=True)
        ]
        number, squares = np.sum(told, axis=0)
        self.width2 = 0.5 * (self.scale0 + squares) / rng.standard_gamma(0.5 * (1 + number))
        return np.asarray(centre)


def averaged(start: RandomEffects, labels: Labels, ordered: tuple[bool, ...], width2: float, seed: int = 0) -> Averaged:
    """Means over partitions.

    Args:
        start: the shrunk effects, with the quadratic of the log likelihood; chains start from them.
        labels: groups of the levels whose means are the first values.
        ordered: which factors tie neighbours only.
        width2: variance of the values of groups.
        seed: of the draws.
    """
    chains = Chains(start, labels, ordered, width2, np.random.default_rng(seed))
    quadratic = start.quadratic
    shares = [quadratic.counts[own] / max(quadratic.counts[own].sum(), 1e-300) for own in quadratic.slices]
    effects, unseen = np.zeros(quadratic.num_levels), np.zeros(len(labels))
    rest = np.zeros(len(quadratic.corner))
    draws: list[list[np.ndarray]] = [[] for _ in labels]
    for round_ in range(_ROUNDS):
        for j, own in enumerate(quadratic.slices):
            means, new = chains.draw_factor(j)
            if round_ >= _BURN_IN:
                middle = means @ shares[j]
                effects[own] += (means - middle[:, None]).mean(0)
                unseen[j] += (new - middle).mean()
        drawn = chains.draw_rest()
        if round_ >= _BURN_IN:
            middles = [chains.effects[:, own] @ share for own, share in zip(quadratic.slices, shares, strict=True)]
            rest += drawn.mean(0)
            rest[0] += float(np.mean(sum(middles)))
            if (_ROUNDS - 1 - round_) % _KEPT == 0:
                for own_draws, now in zip(draws, chains.labels, strict=True):
                    own_draws.append(now.astype(np.int32))
    count, kept = _ROUNDS - _BURN_IN, [np.concatenate(one) for one in draws]
    return Averaged(effects / count, float(rest[0] / count), rest[1:] / count, unseen / count, kept, chains.chains)
