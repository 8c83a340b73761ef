"""Least-squares problems: the loss of each split is quadratic, and sufficient statistics stand for the samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from equishare.columns import ignoring
from equishare.linalg import solve
from equishare.problems.answers import Refit
from equishare.problems.base import Labels, Slot
from equishare.problems.bootstrap import resampled_moments
from equishare.problems.described import Described
from equishare.problems.estimates import BlockEstimate, gather_curvature
from equishare.problems.moments import Moments, Rows
from equishare.problems.noise import Residuals, Unshared, estimate, output_weights, residuals
from equishare.problems.quality import quality
from equishare.problems.streamed import Stream

_P = TypeVar("_P", bound="LeastSquares")


# Smaller sums of squares have few digits, and their inverses are no numbers.
_LEAST_SQUARES = 1e6 * np.finfo(float).tiny
# So many columns are told by name.
_FEW = 5


class Undetermined(ValueError):
    """Samples that do not determine the weights."""


class LeastSquares(Described):
    """What means and linear maps have in common: a quadratic loss in the weight W (O, I) for each split.

    Attributes:
        slots: the one parameter that is shared.
        train, val, pooled: :class:`Moments` of each split and of both together.
        has_bias: whether y = W x + b has a b.
        origin: number that was subtracted from the data, and is added to the values of the answer.
        notes: sentences on what makes an answer unsure, of what the moments do not tell.
    """

    slots: tuple[Slot, ...]
    train: Moments
    val: Moments
    has_bias: bool
    origin: float = 0.0
    notes: tuple[str, ...] = ()

    def __init__(
        self, slot: Slot, x: tuple[np.ndarray | Rows, ...], y: tuple[np.ndarray | Rows, ...], bias: bool
    ) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            splits = Moments.of(x[0], y[0], bias), Moments.of(x[1], y[1], bias)
        every_x, every_y = (Rows.of(train).and_then(Rows.of(val)) for train, val in (x, y))
        self._begin(slot, splits, bias, lambda fit: residuals(every_x, every_y, fit))

    def _begin(
        self, slot: Slot, splits: tuple[Moments, Moments], bias: bool, residuals_of: Callable[[Unshared], Residuals]
    ) -> None:
        """Take the moments of both splits, and what a second look at the samples tells of the noise."""
        self.slots, self.has_bias = (slot,), bias
        self.train, self.val = splits
        with np.errstate(over="ignore", invalid="ignore"):
            self.pooled = self.train.pooled_with(self.val)
        self._estimate: BlockEstimate | None = None
        self._weights = np.ones(self.weight_shape[0])
        squares = self.pooled.syy.sum(), self.pooled.sxx.trace(), np.abs(self.pooled.sxy).sum()
        inputs, means = self.pooled.sxx.diagonal(), np.abs(self.pooled.x_mean)
        # A constant has a mean without squares about it; so has what is too small to be squared.
        is_small = np.where(inputs > 0, inputs < _LEAST_SQUARES, (means > 0) & (means**2 < _LEAST_SQUARES)).any()
        if is_small or not np.isfinite(squares).all() or not self.pooled.syy.sum() > np.finfo(float).tiny:
            raise ValueError("the samples are too large or too small to be squared in float64: rescale them")
        if self.pooled.count > self.num_inputs + int(bias) and self.pooled.is_full_rank():
            fit = Unshared.of(self.pooled, bias)
            found = residuals_of(fit)
            self._estimate = estimate(fit, found, self.pooled.sxx, self.shape)
            self._estimate = replace(self._estimate, origin=self.origin)
            self._weights = output_weights(found, self.pooled.count - self.num_inputs - int(bias))

    def _begin_streamed(self, slot: Slot, stream: Stream, bias: bool) -> None:
        """The same for samples that come in blocks of rows: two passes over them.

        Raises:
            ValueError: too few rows, or constant data.
        """
        self.origin = stream.origin
        with np.errstate(over="ignore", invalid="ignore"):
            totals = stream.totals(bias)
        if totals.train is None or totals.val is None or totals.train.count + totals.val.count < 3:
            raise ValueError(
                "batches must hold more rows: too few were drawn to fit, or to validate; give all rows at once to "
                f"{type(self).__name__}(…), which takes one half of them exactly"
            )
        stream.check_varies(totals, bias)
        self._begin(slot, (totals.train, totals.val), bias, stream.residuals)

    def __repr__(self) -> str:
        entries = f"{' × '.join(map(str, self.shape))} {self.slots[0].noun}s"
        return f"{type(self).__name__}({entries}, {self.num_train} samples to fit, {self.num_val} to validate)"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the shared parameter, and so of the partition."""
        return self.slots[0].shapes[0]

    @property
    def num_inputs(self) -> int:
        """I."""
        return self.train.sxx.shape[0]

    @property
    def weight_shape(self) -> tuple[int, int]:
        """(O, I), the entries as a matrix."""
        return self.train.sxy.shape

    @property
    def num_entries(self) -> int:
        """Number of entries K that may be shared."""
        return self.train.sxy.size

    @property
    def num_train(self) -> int:
        """Number of training samples."""
        return self.train.count

    @property
    def num_val(self) -> int:
        """Number of validation samples."""
        return self.val.count

    def estimate(self, on: str = "all") -> BlockEstimate:
        """The unshared least-squares estimates and their uncertainty.

        Args:
            on: ``all`` samples, or ``train``, the training samples alone, for noise of variance 1.

        Raises:
            ValueError: the samples do not determine the weights.
        """
        if on == "train":
            return self.train_estimate()
        if self._estimate is None:
            raise self._undetermined(self.pooled, "the samples")
        return self._estimate

    def train_estimate(self, determined: bool = True) -> BlockEstimate:
        """Unshared estimates from the training samples alone, for noise of variance 1.

        Args:
            determined: whether samples that do not determine the weights raise a ValueError; otherwise they give the
                estimates of least norm.
        """
        enough = self.train.count >= self.num_inputs + int(self.has_bias) and self.train.is_full_rank()
        if determined and not enough:
            raise self._undetermined(self.train, "the training samples")
        weight = self.train.least_squares()
        diagonal = np.diag(self.train.inverse())
        variance = np.broadcast_to(np.maximum(diagonal, 1e-12 * diagonal.max()), weight.shape)
        return BlockEstimate(
            weight.reshape(self.shape),
            variance.reshape(self.shape),
            float(self.num_train),
            self.train.sxx,
            np.ones(self.shape),
        )

    def validation_loss(self, labels: np.ndarray) -> float:
        """Mean squared error on the validation samples of a pattern fitted on the training samples."""
        weight = self._trained(labels.reshape(self.weight_shape))
        return self.val.loss(weight, self.train.bias(weight))

    def evaluate(self, patterns: Sequence[Labels]) -> np.ndarray:
        """:meth:`validation_loss` of each pattern."""
        return np.array([self.validation_loss(labels) for (labels,) in patterns])

    def refit(self, pattern: Labels) -> Refit:
        """The pattern's values by least squares on training and validation samples together.

        Outputs count by the inverse of their noise variances, as far as these are told to differ: so the least noisy
        say most of what a value is, and no unit of an output changes it.
        """
        labels = pattern[0].reshape(self.weight_shape)
        values = fit_values(self.pooled, labels, int(labels.max()) + 1, self._weights)
        tied, free = (self._trained(own) for own in (labels, np.arange(labels.size).reshape(labels.shape)))
        found = quality(
            labels,
            self._estimate,
            (self.train, self.val, self.pooled),
            (tied, free),
            self._weights,
            self.has_bias,
            self._input_names if len(self.shape) > 1 else (),
        )
        return Refit(
            {self.slots[0].key: values + self.origin},
            self.val.loss(tied, self.train.bias(tied)),
            self.val.loss(free, self.train.bias(free)),
            self.pooled.bias(values[labels]) if self.has_bias else None,
            centre=self.pooled.x_mean if self.has_bias else None,
            quality=replace(found, notes=found.notes + self.notes),
        )

    def _trained(self, labels: np.ndarray) -> np.ndarray:
        """Weights of a pattern (O, I) fitted on the training samples."""
        return fit_values(self.train, labels, int(labels.max()) + 1, self._weights)[labels]

    @property
    def _input_names(self) -> tuple[str, ...]:
        labels = self.slots[0].labels
        return labels[-1] if labels and labels[-1] else tuple(map(str, range(self.num_inputs)))

    def resampled(self: _P, generator: np.random.Generator) -> _P:
        """The same problem on a parametric bootstrap of its estimates; see :func:`resampled_moments`.

        Raises:
            ValueError: the samples do not determine the weights.
        """
        other = copy.copy(self)
        splits, other._estimate = resampled_moments((self.train, self.val), self.estimate(), self.has_bias, generator)
        other.train, other.val = splits
        other.pooled = other.train.pooled_with(other.val)
        return other

    def _undetermined(self, moments: Moments, name: str) -> Undetermined:
        needed, names = self.num_inputs + int(self.has_bias), self._input_names
        flat = np.flatnonzero(np.diag(moments.sxx) <= 0)
        if flat.size:
            reason = f"no variation in column{'s' * (len(flat) > 1)} {_few([names[i] for i in flat])}"
            remedy = f"leave out columns that are constant, {self._leaving_out(flat)}"
        elif moments.count <= needed:
            reason = f"{moments.count} samples for {needed} parameters per output"
            remedy = (
                "more samples or fewer columns, or the weights of least norm without sharing "
                "(method 'no_sharing', --method no_sharing)"
            )
        else:
            reason = f"linearly dependent columns {_few([names[i] for i in moments.dependent_columns()])}"
            remedy = f"leave out columns that others add up to, {self._leaving_out(moments.redundant_columns())}"
            if self.has_bias and moments.about_zero().is_full_rank():
                reason += ", which add up to a constant as the levels of a category do"
                remedy = f"fit no bias (LinearProblem(x, y, bias=False), --no-bias), or {remedy}"
        return Undetermined(f"{name} do not determine the weights: {reason}; {remedy}")

    def _leaving_out(self, columns: np.ndarray) -> str:
        """Which columns to leave out, and how where they have names."""
        own = [self._input_names[i] for i in columns]
        option = (
            f" ({ignoring(*own)})" if self.slots[0].labels and self.slots[0].labels[-1] and len(own) <= _FEW else ""
        )
        return f"here {_few(own)}{option}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_FEW]) + ", …" * (len(names) > _FEW)


def fit_values(moments: Moments, labels: np.ndarray, num_groups: int, weights: np.ndarray) -> np.ndarray:
    """Least-squares values ψ (G,) of y = W x + b with W[o, i] = ψ[labels[o, i]], for weights ω (O,) of the outputs.

    Solves ``(Σ_o ω_o A_oᵀ S A_o) ψ = Σ_o ω_o A_oᵀ c_o``; where the samples leave a direction of ψ open, the
    solution of least norm in units of the inputs' spread.
    """
    if num_groups == labels.size:
        values = np.empty(num_groups)
        values[labels.ravel()] = moments.least_squares().ravel()
        return values
    right = np.bincount(labels.ravel(), (weights[:, None] * moments.sxy).ravel(), num_groups)
    if labels.shape[1] == 1:
        return right / np.bincount(labels.ravel(), weights, num_groups) / moments.sxx[0, 0]
    normal = gather_curvature(labels, num_groups, moments.sxx, np.sqrt(weights)[:, None])
    return solve(normal, right)
