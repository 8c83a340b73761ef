"""Which weights of a generalised linear map are equal?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from equishare.arrays import column_names, real_array, sample_matrix
from equishare.linalg import pseudo_inverse, solve
from equishare.problems.answers import About, Predictor, Quality, Refit
from equishare.problems.base import Labels, Slot
from equishare.problems.described import Described
from equishare.problems.estimates import BlockEstimate
from equishare.problems.families import WIDE, Family
from equishare.problems.linear import about_map
from equishare.problems.moments import Moments
from equishare.problems.newton import maximised
from equishare.problems.quality import dependence, joined_p
from equishare.problems.split import (
    check_map_call,
    check_order,
    check_rows,
    check_validation,
    sample_weights,
    weighted_halves,
)
from equishare.problems.within import checked_within

_TOLERANCE = 1e-10
# A linear predictor that is so large tells that the classes are separated.
_SEPARATED = 10.0


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs x (n, I) in units of their spread, outcomes y (n, O), weights (n,) and an offset (n, O)."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    offset: np.ndarray


class GeneralizedLinearProblem(Described):
    """Which weights of a map from inputs to the mean of an outcome are equal?

    The model is ``E y = g⁻¹(W x + b + offset)`` with W (O, I) shared and b free: the logit for yes or no, the log for
    counts. The unshared weights are those of most likelihood by iteratively reweighted least squares; Fisher
    information is their precision. A weak normal prior of standard deviation 5 for a weight times the spread of its
    input keeps them finite where classes are separated or inputs dependent.

    Args:
        x: (n, I) inputs: an array, a tensor, or a table, whose names go into the answer.
        y: (n, O) outcomes, or (n,) for one: 0 and 1 (or False and True), or counts 0, 1, 2, …; with weights, that are
            exposures, also rates, counts by exposure.
        x_val: (n_v, I) inputs on which the answer is measured. Without them a half of the samples, drawn by ``seed``,
            is; the pattern and its values come from all samples.
        y_val: (n_v, O) outcomes for them.
        family: ``binomial`` or ``poisson``.
        bias: whether to fit b.
        within: (O, I) integers; only weights of one number may be tied. (I,) for one output.
        offset: (n,) or (n, O) added to the linear predictor, such as the log of an exposure.
        weights: (n,) of the samples, not negative.
        seed: of the split.

    Raises:
        TypeError: not numbers, or arrays for validation without their names.
        ValueError: shapes that do not fit, an outcome that the family cannot have or that does not vary, constant
            inputs, offset or weights together with samples for validation.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *more: NoReturn,
        x_val: Any = None,
        y_val: Any = None,
        family: str = "binomial",
        bias: bool = True,
        within: Any = None,
        offset: Any = None,
        weights: Any = None,
        seed: int = 0,
    ) -> None:
        check_map_call("GeneralizedLinearProblem", more, bias, x_val, y_val)
        self.family, self.has_bias = Family(family), bool(bias)
        if self.family.is_gaussian:
            raise ValueError("family must be one of binomial, poisson; got 'gaussian': LinearProblem is the problem")
        names = column_names(y, "y"), column_names(x, "x")
        given, outcome = sample_matrix(x, "x").astype(float), self.family.checked(y, rates=weights is not None)
        check_rows((given, outcome), ("x", "y"))
        check_order(x, y)
        count = len(given)
        shift = np.zeros(outcome.shape) if offset is None else offset_of(offset, outcome.shape)
        for own, name in ((weights, "weights"), (offset, "offset")):
            check_order(x, own, ("x", name))
            check_order(y, own, ("y", name))
        weight = sample_weights(weights, count)
        self.family.check_varies(outcome[weight > 0], shift[weight > 0], self.has_bias)
        if x_val is None:
            train, val = weighted_halves(weight, seed, "x and y")
        else:
            if offset is not None or weights is not None:
                raise ValueError("offset and weights must come without x_val and y_val: give all samples as x and y")
            more_x, more_y = sample_matrix(x_val, "x_val").astype(float), self.family.checked(y_val, "y_val")
            check_validation((x_val, y_val), (more_x, more_y), names[::-1], (given, outcome))
            train, val = np.arange(count), np.arange(count, count + len(more_x))
            given, outcome = np.concatenate([given, more_x]), np.concatenate([outcome, more_y])
            shift, weight = np.zeros(outcome.shape), np.ones(len(given))
        self._unit = self.family.unit(outcome, np.broadcast_to(weight[:, None], outcome.shape))
        outcome, weight, shift = outcome / self._unit, weight * self._unit, shift - np.log(self._unit)
        spread = given.std(0)
        if flat := np.flatnonzero(spread <= 1e-12 * np.abs(given).max(0)).tolist() if bias else []:
            listed = ", ".join(names[1][i] if names[1] else str(i) for i in flat[:5])
            raise ValueError(f"x must have columns that vary, got constant column {listed}: leave it out")
        self._mean = given.mean(0) if bias else np.zeros(given.shape[1])
        self.samples = Samples(given - self._mean, outcome, weight, shift)
        self._spread = np.where(spread > 0, spread, 1.0)
        self._train, self._val = train, val
        self.slots = (Slot.of("weight", (outcome.shape[1], given.shape[1]), "weight", names),)
        self.within = checked_within(within, self.shape)
        self._names = names[1]

    @classmethod
    def from_batches(cls, *batches: Any, **options: Any) -> NoReturn:
        """TypeError: the likelihood has no moments that stand for the samples."""
        raise TypeError(
            "batches must be those of a LinearProblem or a MeanProblem: each step of a generalised linear fit reads "
            "all samples again. Give a part of the rows that fits into memory, drawn at random, or ask "
            "LinearProblem.from_batches for the linear map, whose variances hold for counts and classes too"
        )

    def __repr__(self) -> str:
        entries = " × ".join(map(str, self.shape))
        return (
            f"GeneralizedLinearProblem({entries} weights, {self.family.name}, {len(self._train)} samples to fit, "
            f"{len(self._val)} to validate)"
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(O, I)."""
        return self.slots[0].shapes[0]

    @property
    def num_entries(self) -> int:
        """Number of weights."""
        return self.slots[0].num_entries

    def estimate(self, on: str = "all") -> BlockEstimate:
        """The unshared weights and Fisher information, one block an output.

        Args:
            on: ``all`` samples, or ``train``, those to fit.
        """
        return self._estimate if on == "all" else self._estimated(self._rows(self._train))

    @cached_property
    def _estimate(self) -> BlockEstimate:
        return self._estimated(self.samples)

    def _estimated(self, samples: Samples) -> BlockEstimate:
        values, bias = self._fitted(samples, np.arange(self.num_entries).reshape(self.shape), self.num_entries)
        return self._linearised(samples, values.reshape(self.shape), bias)

    def _bias(self, samples: Samples, start: np.ndarray) -> np.ndarray:
        """(O,) biases of most likelihood where the offset is all else."""
        if not self.has_bias:
            return np.zeros(self.shape[0])
        none = np.empty((len(samples.x), 0))
        return self._newton(samples, slice(None), [none] * self.shape[0], np.empty(0), np.empty(0), start)[1]

    def _dependence(self) -> float:
        """p-value of the test that no outcome depends on any input.

        The score test, as the F test that least squares makes of it: residuals of the fit without weights, in units of
        their expected spread, on inputs in the same units. So the scale of the spread is estimated, and separated
        classes do no harm.
        """
        samples = self.samples
        eta = samples.offset + self._bias(samples, self._start(samples))
        used = samples.weights > 0
        residual = (samples.y - self.family.mean(eta))[used]
        found = []
        for left, variance in zip(residual.T, self.family.curvature(eta)[used].T, strict=True):
            root = np.sqrt(samples.weights[used] * variance)
            x = samples.x[used]
            if self.has_bias:
                x = x - np.average(x, axis=0, weights=root**2)
            moments = Moments.of(x * root[:, None], (root * left / variance)[:, None], centred=False)
            found.append(dependence(moments, self.has_bias))
        return joined_p(np.array([p for p in found if np.isfinite(p)]))

    def estimate_about(self, weight: np.ndarray) -> BlockEstimate:
        """The unshared weights that the quadratic of the log likelihood about ``weight`` (O, I) has: a Newton step.

        Where estimates are large, Fisher information at them is too small; at shrunk or tied weights it is not.
        """
        samples = self.samples
        shifted = replace(samples, offset=samples.offset + samples.x @ weight.T)
        return self._linearised(samples, weight, self._bias(shifted, np.zeros(self.shape[0])))

    def _linearised(self, samples: Samples, weight: np.ndarray, bias: np.ndarray) -> BlockEstimate:
        eta = samples.offset + samples.x @ weight.T + bias
        curvature = samples.weights[:, None] * self.family.curvature(eta)
        residual = samples.weights[:, None] * (samples.y - self.family.mean(eta))
        blocks, moved = [], []
        for own, left, row in zip(curvature.T, residual.T, weight, strict=True):
            weighted = samples.x * own[:, None]
            block, gradient = samples.x.T @ weighted, samples.x.T @ left
            if self.has_bias:
                total = weighted.sum(0)
                block = block - np.outer(total, total) / own.sum()
                gradient = gradient - total * left.sum() / own.sum()
            prior = (self._spread / WIDE) ** 2
            blocks.append(block + np.diag(prior))
            moved.append(row + solve(blocks[-1], gradient - prior * row))
        precision = np.stack(blocks)
        variance = np.stack([np.diag(pseudo_inverse(block)) for block in precision])
        return BlockEstimate(np.stack(moved), variance, np.inf, precision, np.ones(self.shape))

    def likelihood(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Values (G,) of a pattern by maximum likelihood, their information (G, G), log likelihood with the prior."""
        count = int(labels.max()) + 1
        values, bias = self._fitted(self.samples, labels, count)
        _, precision = self._linearised(self.samples, values[labels], bias).gather(labels, count)
        eta = self.samples.offset + self.samples.x @ values[labels].T + bias
        likelihood = (self.samples.weights[:, None] * self.family.log_likelihoods(self.samples.y, eta)).sum()
        return values, precision, float(likelihood - 0.5 * ((self._spread / WIDE) ** 2 * values[labels] ** 2).sum())

    def _rows(self, rows: np.ndarray) -> Samples:
        parts = (self.samples.x, self.samples.y, self.samples.weights, self.samples.offset)
        return Samples(*(part[rows] for part in parts))

    def _fitted(self, samples: Samples, labels: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
        """Values (G,) and biases (O,) of most likelihood, with the weak prior, by Newton's method."""
        outputs, count = self.shape[0], num_groups
        joined = [np.zeros((len(samples.x), count)) for _ in range(outputs)] if num_groups < self.num_entries else None
        if joined is not None:
            for own, row in zip(joined, labels, strict=True):
                for i, group in enumerate(row):
                    own[:, group] += samples.x[:, i]
        prior = np.bincount(labels.ravel(), np.tile((self._spread / WIDE) ** 2, outputs), num_groups)
        values, bias = np.zeros(count), self._start(samples)
        if joined is None:
            found = [
                self._newton(samples, o, [samples.x], prior.reshape(self.shape)[o], np.zeros(self.shape[1]), bias[[o]])
                for o in range(outputs)
            ]
            return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])
        return self._newton(samples, slice(None), joined, prior, values, bias)

    def _start(self, samples: Samples) -> np.ndarray:
        """(O,) biases to begin with: those of the means of the outcomes."""
        if not self.has_bias:
            return np.zeros(self.shape[0])
        mean = np.average(samples.y, axis=0, weights=samples.weights)
        least = 1 / (2 * len(samples.y))
        mean = np.clip(mean, least, 1 - least) if self.family.name == "binomial" else np.maximum(mean, least)
        offset = np.average(samples.offset, axis=0, weights=samples.weights)
        return np.array([self.family.start(float(one)) for one in mean]) - offset

    def _newton(
        self,
        samples: Samples,
        which: Any,
        designs: list[np.ndarray],
        prior: np.ndarray,
        values: np.ndarray,
        bias: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        y = samples.y[:, which].reshape(len(samples.y), -1)
        offset = samples.offset[:, which].reshape(y.shape)
        weights = samples.weights[:, None]
        count, outputs = len(values), len(designs)

        def predictor(point: np.ndarray) -> np.ndarray:
            return offset + np.stack([design @ point[:count] for design in designs], 1) + point[count:]

        def objective(point: np.ndarray) -> float:
            likelihood = weights * self.family.log_likelihoods(y, predictor(point))
            return float(likelihood.sum() - 0.5 * prior @ point[:count] ** 2)

        def step(point: np.ndarray) -> np.ndarray:
            eta = predictor(point)
            residual = weights * (y - self.family.mean(eta))
            curvature = weights * self.family.curvature(eta)
            gradient = np.concatenate([-prior * point[:count], residual.sum(0)])
            hessian = np.zeros((count + outputs,) * 2)
            hessian[:count, :count] = np.diag(prior)
            for o, design in enumerate(designs):
                weighted = design * curvature[:, [o]]
                gradient[:count] += design.T @ residual[:, o]
                hessian[:count, :count] += design.T @ weighted
                hessian[:count, count + o] = hessian[count + o, :count] = weighted.sum(0)
                hessian[count + o, count + o] = curvature[:, o].sum()
            if not self.has_bias:
                return np.concatenate([solve(hessian[:count, :count], gradient[:count]), np.zeros(outputs)])
            return solve(hessian, gradient)

        point, _ = maximised(np.concatenate([values, bias]), objective, step, _TOLERANCE)
        return point[:count], point[count:]

    def evaluate(self, patterns: Sequence[Labels]) -> np.ndarray:
        """Mean loss of each pattern on the samples to validate, fitted on those to fit."""
        train, val = self._rows(self._train), self._rows(self._val)
        losses = []
        for (labels,) in patterns:
            values, bias = self._fitted(train, labels.reshape(self.shape), int(labels.max()) + 1)
            losses.append(self._loss(val, values[labels.reshape(self.shape)], bias))
        return np.array(losses)

    def _loss(self, samples: Samples, weight: np.ndarray, bias: np.ndarray) -> float:
        losses = self.family.losses(samples.y, samples.offset + samples.x @ weight.T + bias)
        return float(np.average(losses.mean(1), weights=samples.weights)) * self._unit

    def refit(self, pattern: Labels) -> Refit:
        """The values of a pattern by maximum likelihood on all samples."""
        labels = pattern[0].reshape(self.shape)
        count = int(labels.max()) + 1
        values, bias = self._fitted(self.samples, labels, count)
        weight = values[labels]
        loss, without = self.evaluate([(labels,), (np.arange(labels.size).reshape(self.shape),)])
        _, precision = self._linearised(self.samples, weight, bias).gather(labels, count)
        notes = []
        eta = self.samples.offset + self.samples.x @ self._estimate.values.T
        if self.family.name == "binomial" and np.abs(eta).max() > _SEPARATED:
            notes.append("The inputs separate the classes, or nearly: a weak prior keeps the weights finite.")
        if len(self.samples.x) < 2 * (self.shape[1] + 1):
            notes.append(f"There are few samples: {len(self.samples.x)} for {self.shape[1]} inputs.")
        quality = Quality(
            self._estimate.values,
            np.sqrt(self._estimate.variance),
            np.sqrt(np.diag(pseudo_inverse(precision))),
            dependence=self._dependence(),
            notes=tuple(notes),
        )
        own = bias - weight @ self._mean
        # Samples count by their information: so the bias for other weights is a Newton step.
        fitted = self.samples.offset + self.samples.x @ weight.T + bias
        curvature = self.samples.weights[:, None] * self.family.curvature(fitted)
        return Refit(
            {"weight": values},
            float(loss),
            float(without),
            bias=own if self.has_bias else None,
            quality=quality,
            predictor=Predictor(self.family.name),
            centre=self._mean + curvature.T @ self.samples.x / curvature.sum(0)[:, None] if self.has_bias else None,
        )

    def resampled(self, generator: np.random.Generator) -> GeneralizedLinearProblem:
        """The same inputs, with outcomes drawn from the unshared fit: a parametric bootstrap."""
        samples = self.samples
        labels = np.arange(self.num_entries).reshape(self.shape)
        values, bias = self._fitted(samples, labels, self.num_entries)
        eta = samples.offset + samples.x @ values.reshape(self.shape).T + bias
        other = copy.copy(self)
        other.__dict__.pop("_estimate", None)
        other.samples = replace(samples, y=self.family.drawn(eta, samples.weights[:, None], generator))
        return other

    def about(self) -> About:
        """The data in words and numbers, for the report."""
        found = about_map(self.shape, self.has_bias, len(self._train), len(self._val))
        link = "log odds of y" if self.family.name == "binomial" else "log of the mean of y"
        question = f"which weights of W x{' + b' if self.has_bias else ''}, the {link}, are shared"
        facts = (*found.facts, ("family", self.family.name))
        return About(question, found.num_train, found.num_val, self.family.loss, facts)


def offset_of(offset: Any, shape: tuple[int, ...]) -> np.ndarray:
    """(n, O) numbers that are added to the linear predictor, from (n,) or (n, O).

    Raises:
        TypeError: no numbers.
        ValueError: another shape, or not finite.
    """
    found = real_array(offset, "offset").astype(float)
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or len(found) != shape[0] or found.shape[1] not in (1, shape[1]) or not np.isfinite(found).all():
        raise ValueError(
            f"offset must be finite numbers of shape ({shape[0]},) or {shape}, one a sample, got shape {found.shape}: "
            "np.full(n, value) where it is the same for all"
        )
    return np.broadcast_to(found, shape).copy()
