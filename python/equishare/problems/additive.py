"""Additive models of factors and numeric columns: their fits, with and without ties.

    η = offset + b + Σ_j ψ_j[label_j[level]] + z γ,      E y = g⁻¹(η)

The quadratic of the log likelihood about a fit, ``½ βᵀ N β − rᵀ β + …`` in β = (levels of all factors, b, γ), is all
that a search reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy

from equishare.linalg import pseudo_inverse, solve
from equishare.problems.families import WIDE, Family
from equishare.problems.newton import maximised

# Normal matrices of more levels are kept sparse.
MOST_DENSE = 2000
# Designs of more cells are kept sparse.
_MOST_CELLS = 1 << 22
_TOLERANCE = 1e-9
# Rounds in which the variances of effects are re-estimated, and where they begin, as a share of that of the outcome.
_ROUNDS = 25
# Of a gaussian so much less than the data say, that only what these leave open is decided by it.
_RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The quadratic of a log likelihood, times the noise variance of a gaussian.

    Attributes:
        sizes: number of levels of each factor.
        levels: (K, K) curvature among levels, a dense array or, of many levels, a sparse one.
        border: (K, 1 + P) between levels and (b, γ).
        corner: (1 + P, 1 + P) among these.
        right: (K + 1 + P,) gradient at β = 0.
        constant: Σ v z², of which the fit explains a part.
        count: number of samples with a weight.
        is_known: whether the noise variance is known to be 1.
    """

    sizes: tuple[int, ...]
    levels: np.ndarray
    border: np.ndarray
    corner: np.ndarray
    right: np.ndarray
    constant: float
    count: int
    is_known: bool

    @property
    def num_levels(self) -> int:
        """K."""
        return len(self.border)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """The levels of each factor among all."""
        ends = np.cumsum((0, *self.sizes))
        return tuple(slice(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True))

    @cached_property
    def counts(self) -> np.ndarray:
        """(K,) weight of the samples of each level."""
        return np.asarray(self.levels.diagonal())

    @property
    def least_noise(self) -> float:
        """Noise of a gaussian, as a share of the variance of the outcome, that rounding hides: of many samples more."""
        return max(1e-10, 1e-14 * self.count)

    def gathered(self, labels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Curvature and gradient in (values of the groups of all factors, b, γ)."""
        join = joined(labels)
        num_groups, rest = int(join.max(initial=-1)) + 1, len(self.corner)
        if len(join) <= MOST_DENSE:
            one_hot = np.zeros((len(join), num_groups))
            one_hot[np.arange(len(join)), join] = 1.0
        else:
            one_hot = scipy.sparse.csr_array(
                (np.ones(len(join)), (np.arange(len(join)), join)), (len(join), num_groups)
            )
        total = np.empty((num_groups + rest,) * 2)
        inner = one_hot.T @ (one_hot.T @ self.levels).T
        total[:num_groups, :num_groups] = inner.toarray() if scipy.sparse.issparse(inner) else inner
        total[:num_groups, num_groups:] = one_hot.T @ self.border
        total[num_groups:, :num_groups] = total[:num_groups, num_groups:].T
        total[num_groups:, num_groups:] = self.corner
        right = np.concatenate([one_hot.T @ self.right[: len(join)], self.right[len(join) :]])
        return total, right

    def conditional(self, j: int, effects: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """(…, L) gradient in the effects of factor j at 0, given those of all others (…, K) and (b, γ) (…, 1 + P)."""
        own = self.slices[j]
        others = effects @ self.levels[:, own] - effects[..., own] * self.counts[own]
        return np.asarray(self.right[own] - others - rest @ self.border[own].T)


def joined(labels: Sequence[np.ndarray]) -> np.ndarray:
    """(K,) groups of the levels of all factors, those of each after those before it."""
    start, parts = 0, []
    for own in labels:
        parts.append(own + start)
        start += int(own.max(initial=-1)) + 1
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Fit:
    """An additive model with values.

    Attributes:
        values: value of each group of each factor; their mean over the samples is 0 for each factor.
        bias: b.
        coefficients: (P,) γ of the numeric columns as they are given.
        errors: standard errors of the values, in their order.
        log_evidence: log of the likelihood integrated over the values, by Laplace's method; of a GLM.
    """

    values: tuple[np.ndarray, ...]
    bias: float
    coefficients: np.ndarray
    errors: tuple[np.ndarray, ...] = ()
    log_evidence: float = float("nan")


@dataclass(frozen=True, eq=False)
class Additive:
    """Samples of an additive model.

    Attributes:
        family: of the outcome.
        codes: (n, J) level of each factor; −1 for one that is not known.
        sizes: number of levels of each factor.
        numeric: (n, P) numbers that are never tied.
        y: (n,) outcomes.
        weights: (n,) of the samples.
        offset: (n,) added to η.
    """

    family: Family
    codes: np.ndarray
    sizes: tuple[int, ...]
    numeric: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    offset: np.ndarray

    def rows(self, chosen: np.ndarray) -> Additive:
        """Some of the samples."""
        parts = (self.codes, self.numeric, self.y, self.weights, self.offset)
        codes, numeric, y, weights, offset = (part[chosen] for part in parts)
        return Additive(self.family, codes, self.sizes, numeric, y, weights, offset)

    @cached_property
    def units(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of the numeric columns."""
        mean = self.numeric.mean(0) if len(self.numeric) else np.zeros(self.numeric.shape[1])
        spread = self.numeric.std(0)
        return mean, np.where(spread > 0, spread, 1.0)

    @cached_property
    def rest(self) -> np.ndarray:
        """(n, 1 + P) ones, and the numeric columns in their units."""
        mean, spread = self.units
        return np.concatenate([np.ones((len(self.y), 1)), (self.numeric - mean) / spread], 1)

    def one_hot(self, labels: Sequence[np.ndarray] | None = None) -> scipy.sparse.csr_array:
        """(n, G) membership of the samples in the groups of all factors; of levels for None."""
        own = [np.arange(size) for size in self.sizes] if labels is None else list(labels)
        starts = np.cumsum([0, *[int(one.max(initial=-1)) + 1 for one in own]])
        columns = np.empty(self.codes.shape, np.int64)
        for j, one in enumerate(own):
            columns[:, j] = one[self.codes[:, j]] + starts[j]
        known = self.codes >= 0
        rows = np.broadcast_to(np.arange(len(self.y))[:, None], self.codes.shape)[known]
        return scipy.sparse.csr_array((np.ones(len(rows)), (rows, columns[known])), (len(self.y), int(starts[-1])))

    def quadratic(self, eta: np.ndarray) -> Quadratic:
        """The quadratic of the log likelihood about the linear predictor ``eta`` (n,), offset included."""
        curvature = self.weights * self.family.curvature(eta)
        response = eta - self.offset + self.weights * (self.y - self.family.mean(eta)) / np.maximum(curvature, 1e-300)
        x, z = self.one_hot(), self.rest
        weighted = x.multiply(curvature[:, None]).tocsr()
        levels = x.T @ weighted
        dense = levels.toarray() if levels.shape[0] <= MOST_DENSE else levels.tocsr()
        right = np.concatenate([weighted.T @ response, z.T @ (curvature * response)])
        return Quadratic(
            self.sizes,
            dense,
            weighted.T @ z,
            z.T @ (curvature[:, None] * z),
            right,
            float(curvature @ response**2),
            int(np.count_nonzero(self.weights)),
            not self.family.is_gaussian,
        )

    def predicted(self, fit: Fit, labels: Sequence[np.ndarray]) -> np.ndarray:
        """(n,) linear predictor of a fit."""
        values = np.concatenate([*fit.values, np.empty(0)])
        return np.asarray(self.offset + fit.bias + self.numeric @ fit.coefficients + self.one_hot(labels) @ values)

    def fitted(self, labels: Sequence[np.ndarray]) -> Fit:
        """Values of the groups by maximum likelihood.

        What the samples leave open is decided by a normal prior about one value: of a gaussian a very wide one, of
        other families one of standard deviation 5, so that classes that are separated have finite effects.
        """
        x: Any = scipy.sparse.hstack([self.one_hot(labels), scipy.sparse.csr_array(self.rest)]).tocsr()
        if math.prod(x.shape) <= _MOST_CELLS:
            x = x.toarray()
        num_groups, many = x.shape[1] - self.rest.shape[1], x.shape[1] > MOST_DENSE
        gaussian = self.family.is_gaussian
        precision = _RIDGE * self.weights.sum() / max(len(self.y), 1) if gaussian else WIDE**-2.0
        prior = np.full(x.shape[1], precision)
        prior[num_groups] = 0.0

        def curvature(beta: np.ndarray) -> Any:
            found = x.T @ (x * (self.weights * self.family.curvature(x @ beta + self.offset))[:, None])
            if many:
                return scipy.sparse.csr_array(found) + scipy.sparse.diags_array(prior + 1e-10)
            return np.asarray(found if isinstance(x, np.ndarray) else found.toarray()) + np.diag(prior)

        def step(beta: np.ndarray) -> np.ndarray:
            residual = self.y - self.family.mean(x @ beta + self.offset)
            gradient = x.T @ (self.weights * residual) - prior * beta
            if many:
                return np.asarray(scipy.sparse.linalg.cg(curvature(beta), gradient, rtol=1e-10, maxiter=2000)[0])
            return solve(curvature(beta), gradient)

        def objective(beta: np.ndarray) -> float:
            likelihoods = self.family.log_likelihoods(self.y, x @ beta + self.offset)
            return float(self.weights @ likelihoods - 0.5 * prior @ beta**2)

        beta = np.zeros(x.shape[1])
        log_evidence, covariance = np.nan, None
        if gaussian:
            beta = step(beta)
        else:
            beta[num_groups] = self.intercept()
            beta, best = maximised(beta, objective, step, _TOLERANCE)
        if not many:
            hessian = curvature(beta)
            covariance = pseudo_inverse(hessian)
            if gaussian:
                residual = self.weights @ (self.y - x @ beta - self.offset) ** 2
                freedom = max(np.count_nonzero(self.weights) - np.linalg.matrix_rank(hessian, hermitian=True), 1)
                covariance = covariance * residual / freedom
            else:
                logdet = np.linalg.slogdet(hessian + 1e-12 * np.eye(len(prior)))[1]
                log_evidence = best - 0.5 * logdet + 0.5 * np.log(prior[prior > 0]).sum()
        return self._centred(beta, labels, covariance, float(log_evidence))

    def intercept(self) -> float:
        """b of a model with nothing else, or near it: where iterations begin."""
        if self.family.is_gaussian:
            return float(np.average(self.y - self.offset, weights=self.weights))
        mean = float(np.average(self.y, weights=self.weights))
        mean = float(np.clip(mean, 1e-6, 1 - 1e-6)) if self.family.name == "binomial" else max(mean, 1e-6)
        # exp(b) Σ w exp(offset) = Σ w y of counts; of classes about so.
        shift = np.average(self.offset, weights=self.weights)
        if self.family.name == "poisson":
            shift = scipy.special.logsumexp(self.offset, b=self.weights / self.weights.sum())
        return float(self.family.start(mean) - shift)

    def _centred(
        self, beta: np.ndarray, labels: Sequence[np.ndarray], covariance: np.ndarray | None, log_evidence: float
    ) -> Fit:
        mean, spread = self.units
        counts = np.asarray(self.one_hot(labels).T @ self.weights)
        values, errors, at, bias = [], [], 0, 0.0
        for own in labels:
            part = slice(at, at + int(own.max(initial=-1)) + 1)
            share = counts[part] / max(counts[part].sum(), 1e-300)
            middle = float(share @ beta[part])
            values.append(beta[part] - middle)
            bias += middle
            if covariance is not None:
                block = covariance[part, part]
                crossed = block @ share
                variance = np.diag(block) - 2 * crossed + share @ crossed
                errors.append(np.sqrt(np.maximum(variance, 0)))
            at = part.stop
        gamma = beta[at + 1 :] / spread
        return Fit(tuple(values), float(bias + beta[at] - mean @ gamma), gamma, tuple(errors), log_evidence)

    def loss(self, fit: Fit, labels: Sequence[np.ndarray]) -> float:
        """Mean loss of a fit on these samples."""
        losses = self.family.losses(self.y, self.predicted(fit, labels))
        return float(self.weights @ losses / self.weights.sum())

    def random_effects(self) -> RandomEffects:
        """All effects drawn from normal distributions, one a factor, whose variances are those of most likelihood.

        MacKay's fixed point: ``w_j² = |θ_j|² / (L_j − tr S_jj / w_j²)``, S the covariance of the effects given the
        data. A GLM is linearised anew in each round.
        """
        family = self.family
        intercept = self.intercept()
        quadratic = self.quadratic(self.offset + intercept)
        noise = 1.0
        if family.is_gaussian:
            noise = float(
                self.weights @ (self.y - self.offset - intercept) ** 2 / max(np.count_nonzero(self.weights), 1)
            )
        start = noise if family.is_gaussian else 1.0
        scale = np.full(len(self.sizes), start / max(len(self.sizes), 1))
        sizes = np.array(self.sizes)
        rows, rest = self.one_hot(), self.rest
        for round_ in range(_ROUNDS):
            effects, tail, variance = _shrunk(quadratic, np.repeat(1 / scale, sizes), noise)
            before = scale.copy()
            spent = 0.0
            for j, own in enumerate(quadratic.slices):
                freedom = np.clip(sizes[j] - variance[own].sum() / scale[j], 1e-3, sizes[j])
                scale[j] = np.clip(effects[own] @ effects[own] / freedom, 1e-6 * start, 1e3 * start)
                spent += freedom
            if family.is_gaussian:
                misfit = self.weights @ (self.y - self.offset - rows @ effects - rest @ tail) ** 2
                freedom = max(quadratic.count - len(tail) - spent, 0.1 * quadratic.count, 1.0)
                noise = max(float(misfit / freedom), quadratic.least_noise * start)
            else:
                quadratic = self.quadratic(self.offset + rows @ effects + rest @ tail)
            if round_ > 3 and np.abs(np.log(scale / before)).max(initial=0) < 0.05:
                break
        return RandomEffects(quadratic, effects, tail, variance, scale, noise)


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """Effects of levels, shrunk towards the mean of their factor.

    Attributes:
        quadratic: of the log likelihood about them.
        effects: (K,).
        rest: (1 + P,) b and γ, the latter in units of the columns.
        variance: (K,) of the effects, given the data.
        scale: (J,) variance of the effects of each factor.
        noise: variance of the noise, 1 where it is known.
    """

    quadratic: Quadratic
    effects: np.ndarray
    rest: np.ndarray
    variance: np.ndarray
    scale: np.ndarray
    noise: float


def _shrunk(quadratic: Quadratic, prior: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effects (K,), (b, γ) and the variances of the effects, for normal effects of precision ``prior`` (K,)."""
    num = quadratic.num_levels
    ridge = 1e-9 * np.trace(quadratic.corner) / len(quadratic.corner)
    if num <= MOST_DENSE:
        whole = np.block([[quadratic.levels, quadratic.border], [quadratic.border.T, quadratic.corner]]) / noise
        whole[np.arange(num), np.arange(num)] += prior
        tail = np.arange(num + 1, len(whole))
        whole[tail, tail] += ridge / noise
        inverse = np.linalg.inv(whole)
        solution = inverse @ quadratic.right / noise
        return solution[:num], solution[num:], np.diag(inverse)[:num].copy()
    whole = scipy.sparse.block_array(
        [[scipy.sparse.csr_array(quadratic.levels), quadratic.border], [quadratic.border.T, quadratic.corner]]
    )
    added = np.concatenate([prior, np.full(len(quadratic.corner), ridge / noise)])
    matrix = (whole / noise + scipy.sparse.diags_array(added)).tocsr()
    diagonal = scipy.sparse.diags_array(1 / matrix.diagonal())
    solution = scipy.sparse.linalg.cg(matrix, quadratic.right / noise, rtol=1e-8, maxiter=1000, M=diagonal)[0]
    return solution[:num], solution[num:], 1 / (quadratic.counts / noise + prior)
