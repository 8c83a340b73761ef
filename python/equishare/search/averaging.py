"""Effects of the levels of factors averaged over partitions: what predicts best where no single partition is sure.

Gibbs sampling of a mixture model, several chains at once. Of each factor:

- K values, ψ ~ N(0, w_j²), and their frequencies, uniform on the simplex; K has the prior of the number of groups;
- each level has one of them: given the values and all other factors the levels are independent, so that all labels of
  a factor are drawn at once, and the mean of an effect over its labels is known in closed form;
- K is drawn given the number of groups that have members (the telescoping sampler of Frühwirth-Schnatter,
  Malsiner-Walli and Grün 2021), the other values from their prior;
- with probability one half the values are spread evenly: their gaps are log-normal with unknown mean and variance. A
  Metropolis step brings this in, whose proposals are the draws of the independent prior.

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

_CHAINS = 16
# With many levels, which average too.
_FEW_CHAINS = 4
_ROUNDS = 80
_BURN_IN = 20
# Values of a factor, at most; more where the partition that chains start from has more.
_MOST_VALUES = 8
# Prior of the number of values, exp(−K/2)/K. For a single pattern that of few is steeper; a mean over patterns loses
# little by values too many, and much by values too few.
_RATE, _EXPONENT = 0.5, 1.0
# Prior of log gaps: mean N(log(4 standard errors), v / .05), v from an inverse gamma distribution of shape 1 and rate
# .02.
_GAPS, _GAP_SHAPE, _GAP_RATE = 0.05, 1.0, 0.02


@dataclass(frozen=True, eq=False)
class Averaged:
    """Means given the data.

    Attributes:
        effects: (K,) of the levels, whose mean over the samples is 0 for each factor.
        bias: b.
        coefficients: (P,) γ in units of the columns.
        unseen: (J,) effect of a level that was never seen: the mean of the values by their frequencies.
        labels: partitions that chains were in at the end.
    """

    effects: np.ndarray
    bias: float
    coefficients: np.ndarray
    unseen: np.ndarray
    labels: list[Labels]


@cache
def _number_table(most: int, levels: int) -> np.ndarray:
    """Distribution functions (most + 1, most) of the number of values, for each number of those with members."""
    k, occupied = np.arange(1, most + 1), np.arange(most + 1)[:, None]
    log_factorial = scipy.special.gammaln
    log_p = -_RATE * k - _EXPONENT * np.log(k) + log_factorial(k + 1) + log_factorial(k) - log_factorial(levels + k)
    log_p = np.where(k < occupied, -np.inf, log_p - log_factorial(np.maximum(k - occupied, 0) + 1))
    p = np.exp(log_p - log_p.max(1, keepdims=True)).cumsum(1)
    return np.asarray(p / p[:, -1:])


@cache
def _gap_tables(most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the density of 0, 1, … gaps has of their number alone."""
    count = np.arange(most)
    strength, shape = _GAPS + count, _GAP_SHAPE + count / 2
    log_gamma = scipy.special.gammaln
    constant = log_gamma(shape) - log_gamma(_GAP_SHAPE) + _GAP_SHAPE * np.log(_GAP_RATE) - log_gamma(count + 2)
    constant += 0.5 * np.log(_GAPS / strength) - count / 2 * np.log(2 * np.pi)
    return constant, shape, _GAPS * count / strength


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
        self.labels = [np.tile(own, (self.chains, 1)) for own in labels]
        self.values: list[np.ndarray] = []
        self.log_share: list[np.ndarray] = []
        self.active: list[np.ndarray] = []
        for j, own in enumerate(self.quadratic.slices):
            groups = int(labels[j].max(initial=0)) + 1
            most = max(_MOST_VALUES, groups + _MOST_VALUES // 2)
            counts = np.bincount(labels[j], minlength=most)
            gradient = self.quadratic.conditional(j, start.effects, start.rest)
            weight = np.bincount(labels[j], self.quadratic.counts[own], most) + start.noise / width2
            self.values.append(np.tile(np.bincount(labels[j], gradient, most) / weight, (self.chains, 1)))
            with np.errstate(divide="ignore"):
                self.log_share.append(np.tile(np.log(counts / counts.sum()), (self.chains, 1)))
            self.active.append(np.tile(np.arange(most) < groups, (self.chains, 1)))

    def draw_factor(self, j: int) -> tuple[np.ndarray, np.ndarray]:
        """One round for a factor; the conditional means (C, L) of its effects, and (C,) that of an unseen level."""
        own = self.quadratic.slices[j]
        counts = self.quadratic.counts[own]
        gradient = self.quadratic.conditional(j, self.effects, self.rest)
        if self.ordered[j]:
            return self._draw_segments(j, gradient, counts)
        values, noise = self.values[j], self.noise[:, None]
        fit = (gradient[:, :, None] - 0.5 * counts[:, None] * values[:, None, :]) * values[:, None, :]
        log_p = self.log_share[j][:, None, :] + fit / noise[:, :, None]
        log_p -= log_p.max(2, keepdims=True)
        p = np.exp(log_p)
        cumulative = p.cumsum(2)
        total = cumulative[:, :, -1]
        means = (p * values[:, None, :]).sum(2) / total
        labels = (cumulative < self.rng.random(total.shape)[:, :, None] * total[:, :, None]).sum(2)
        share = np.exp(self.log_share[j])
        unseen = (share * values).sum(1)
        self._draw_values(j, labels, gradient, counts)
        return means, unseen

    def _draw_values(self, j: int, labels: np.ndarray, gradient: np.ndarray, counts: np.ndarray) -> None:
        most, rng = self.values[j].shape[1], self.rng
        one_hot = (labels[:, :, None] == np.arange(most)).astype(float)
        sizes = one_hot.sum(1)
        pull = (gradient[:, None, :] @ one_hot)[:, 0] / self.noise[:, None]
        weight = (counts[None, None, :] @ one_hot)[:, 0] / self.noise[:, None]
        # Values with members come first, then other active ones.
        order = np.argsort(np.where(sizes > 0, 0, 2 - self.active[j]), axis=1, kind="stable")
        rows = self.rows
        sizes, pull, weight = sizes[rows, order], pull[rows, order], weight[rows, order]
        old, old_active = self.values[j][rows, order], self.active[j][rows, order]
        labels = np.argsort(order, axis=1)[rows, labels]
        number = self._draw_number((sizes > 0).sum(1), most, labels.shape[1])
        active = np.arange(most) < number[:, None]
        new, shift = self._draw_normal(pull, weight, active)
        log_even = self._log_even(np.stack([old, new]), np.stack([old_active, active]), counts)
        accepted = np.log(rng.random(self.chains)) < log_even[1] - log_even[0]
        new = np.where(accepted[:, None], new, old)
        active = np.where(accepted[:, None], active, old_active)
        self.rest[:, 0] += np.where(accepted, shift, 0)
        self.values[j], self.active[j], self.labels[j] = new, active, labels
        drawn = rng.standard_gamma(1 + sizes) * active
        with np.errstate(divide="ignore"):
            self.log_share[j] = np.log(drawn / drawn.sum(1, keepdims=True))
        self.effects[:, self.quadratic.slices[j]] = new[rows, labels]

    def _draw_normal(self, pull: np.ndarray, weight: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values given their members, and the shift of all of them that goes to b."""
        precision = weight + 1 / self.width2[:, None]
        drawn = pull / precision + self.rng.standard_normal(pull.shape) / np.sqrt(precision)
        number = active.sum(1)
        middle = (drawn * active).sum(1) / number
        shift = middle + np.sqrt(self.width2 / number) * self.rng.standard_normal(self.chains)
        return drawn - shift[:, None], shift

    def _draw_number(self, occupied: np.ndarray, most: int, levels: int) -> np.ndarray:
        """(C,) number K of values given how many have members: ∝ p(K) K!/(K − k)! (K − 1)!/(L + K − 1)!."""
        p = _number_table(most, levels)[occupied]
        return np.asarray((p < self.rng.random((len(occupied), 1))).sum(1) + 1)

    def _log_even(self, values: np.ndarray, active: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(…, C) log of 1 + p_even(ψ)/p(ψ), both up to a shift of all values."""
        number = active.sum(-1)
        count = number - 1
        ordered = np.sort(np.where(active, values, np.inf), -1)
        told = np.arange(values.shape[-1] - 1) < count[..., None]
        gap = np.subtract(ordered[..., 1:], ordered[..., :-1], out=np.ones(told.shape), where=told)
        log_gap = np.log(np.maximum(gap, 1e-300))
        total = log_gap.sum(-1)
        mean = total / np.maximum(count, 1)
        scatter = (log_gap**2).sum(-1) - count * mean**2
        unit = np.log(4) + 0.5 * np.log(self.noise / counts.mean())
        constant, shape, pull = _gap_tables(values.shape[-1])
        rate = _GAP_RATE + 0.5 * (np.maximum(scatter, 0) + pull[count] * (mean - unit) ** 2)
        even = constant[count] - shape[count] * np.log(rate) - total
        middle = (values * active).sum(-1) / number
        squares = (np.where(active, values, 0) ** 2).sum(-1) - number * middle**2
        alone = -0.5 * (count * np.log(2 * np.pi * self.width2) + np.log(number) + squares / self.width2)
        return np.where(count > 0, np.logaddexp(0, even - alone), np.log(2))

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
        self.values[j], self.active[j], self.labels[j] = drawn, active, labels
        self.effects[:, self.quadratic.slices[j]] = np.take_along_axis(drawn, labels, 1)
        return means, means.mean(1)

    def draw_rest(self) -> None:
        """Draw (b, γ), the noise variance and the width of the values."""
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
        squares, number = np.zeros(self.chains), np.zeros(self.chains)
        for values, active in zip(self.values, self.active, strict=True):
            told = active.sum(1) > 1
            squares += np.where(told, ((values * active) ** 2).sum(1), 0)
            number += np.where(told, active.sum(1) - 1, 0)
        self.width2 = 0.5 * (self.scale0 + squares) / rng.standard_gamma(0.5 * (1 + number))


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
    for round_ in range(_ROUNDS):
        for j, own in enumerate(quadratic.slices):
            means, new = chains.draw_factor(j)
            if round_ >= _BURN_IN:
                middle = means @ shares[j]
                effects[own] += (means - middle[:, None]).mean(0)
                unseen[j] += (new - middle).mean()
        chains.draw_rest()
        if round_ >= _BURN_IN:
            middles = [chains.effects[:, own] @ share for own, share in zip(quadratic.slices, shares, strict=True)]
            rest += chains.rest.mean(0)
            rest[0] += float(np.mean(sum(middles)))
    ends = [tuple(own[c] for own in chains.labels) for c in range(chains.chains)]
    count = _ROUNDS - _BURN_IN
    return Averaged(effects / count, float(rest[0] / count), rest[1:] / count, unseen / count, ends)
