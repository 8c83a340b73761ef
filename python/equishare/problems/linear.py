"""Problems: data whose parameters may be shared. A problem keeps sufficient statistics, not the data."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from equishare.problems.moments import Moments
from equishare.problems.noise import Estimate, estimate

__all__ = ["LinearProblem", "MeanProblem"]


_P = TypeVar("_P", bound="_LeastSquares")


class _LeastSquares:
    """What both problems are to the methods: a quadratic loss in the weight W (O, I) for each split.

    Attributes:
        shape: shape of the shared parameter, and so of the partition.
        weight_shape: (O, I), the same entries in the same order.
        train, val, pooled: :class:`Moments` of each split and of both together.
        has_bias: whether y = W x + b has a b.
        origin: number that was subtracted from the data, to be added to the values.
    """

    shape: tuple[int, ...]
    train: Moments
    val: Moments
    has_bias: bool
    origin: float = 0.0

    def __init__(self, x: tuple[np.ndarray, np.ndarray], y: tuple[np.ndarray, np.ndarray], bias: bool) -> None:
        self.has_bias = bias
        self.train = Moments.of(x[0], y[0], bias)
        self.val = Moments.of(x[1], y[1], bias)
        self.pooled = self.train.pooled_with(self.val)
        self._estimate: Estimate | None = None
        squares = self.pooled.syy.sum(), self.pooled.sxx.trace(), np.abs(self.pooled.sxy).sum()
        if not np.isfinite(squares).all() or not self.pooled.syy.sum() > np.finfo(float).tiny:
            raise ValueError("the data are too large or too small to be squared in float64: rescale them")
        if self.pooled.count > self.num_inputs + int(bias) and self.pooled.is_full_rank():
            both = np.concatenate(x), np.concatenate(y)
            self._estimate = estimate(*both, self.pooled, bias)

    @property
    def num_inputs(self) -> int:
        return self.train.sxx.shape[0]

    @property
    def weight_shape(self) -> tuple[int, int]:
        return self.train.sxy.shape

    @property
    def num_entries(self) -> int:
        """Number of entries K that may be shared."""
        return self.train.sxy.size

    @property
    def num_train(self) -> int:
        return self.train.count

    @property
    def num_val(self) -> int:
        return self.val.count

    def estimate(self) -> Estimate:
        """The unshared estimates from all samples, with their uncertainty.

        Raises:
            ValueError: the samples do not determine the weights.
        """
        if self._estimate is None:
            raise self._undetermined(self.pooled, "x_train and x_val together")
        return self._estimate

    def train_estimate(self, determined: bool = True) -> Estimate:
        """Unshared estimates from the training samples alone, for unit noise.

        Args:
            determined: whether it is a ValueError if the samples do not determine the weights; otherwise
                the estimates are those of least norm.
        """
        enough = self.train.count >= self.num_inputs + int(self.has_bias) and self.train.is_full_rank()
        if determined and not enough:
            raise self._undetermined(self.train, "x_train")
        weight = self.train.least_squares()
        diagonal = np.diag(self.train.inverse())
        variance = np.broadcast_to(np.maximum(diagonal, 1e-12 * diagonal.max()), weight.shape)
        return Estimate(weight, self.train.sxx, np.ones_like(weight), variance, float(self.num_train))

    def with_statistics(self: _P, train: Moments, val: Moments, estimate: Estimate) -> _P:
        """The same problem with other statistics, those of a resample; this one stays as it is."""
        other = copy.copy(self)
        other.train, other.val, other.pooled = train, val, train.pooled_with(val)
        other._estimate = estimate
        return other

    def _undetermined(self, moments: Moments, name: str) -> ValueError:
        needed = self.num_inputs + int(self.has_bias)
        flat = np.flatnonzero(np.diag(moments.sxx) <= 0)
        if moments.count <= needed and not flat.size:
            reason = f"{moments.count} samples for {needed} parameters per output"
        elif flat.size:
            reason = f"no variation in column {', '.join(map(str, flat[:5]))}"
        else:
            reason = "linearly dependent columns"
        return ValueError(
            f"{name}: {reason}; this method starts from least squares and needs more samples than inputs, and "
            "inputs that vary independently (in Python, method 'bilevel' with lower='exact', unit='mse' "
            "does not, nor do 'brute_force' and 'oracle')"
        )


class MeanProblem(_LeastSquares):
    """Which entries of the mean of a random vector are equal?

    The model is ``x ~ noise + θ`` with θ (K,) shared; noise may differ between entries.

    Args:
        train: (n_t, K) array or tensor of samples, used to fit.
        val: (n_v, K) samples, used to select.

    Raises:
        TypeError: not numbers.
        ValueError: wrong shape, no sample, NaN or infinite values, samples that are all equal.
    """

    def __init__(self, train: Any, val: Any) -> None:
        train, val = _matrix(train, "train"), _matrix(val, "val")
        if train.shape[1] != val.shape[1]:
            raise ValueError(
                f"train and val must have the same number of columns, got shapes {train.shape} and {val.shape}"
            )
        if len(train) + len(val) < 3:
            raise ValueError(f"train and val must hold at least 3 samples together, got {len(train)} and {len(val)}")
        low = np.minimum(train.min(0), val.min(0))
        high = np.maximum(train.max(0), val.max(0))
        if (low == high).all():
            raise ValueError("train and val hold constant data: every sample is the same, so nothing tells the noise")
        # Equality of means does not depend on the origin; squares of large numbers would drown the differences.
        self.origin = float(low.mean(dtype=np.float64) / 2 + high.mean(dtype=np.float64) / 2)
        ones = np.ones((len(train), 1)), np.ones((len(val), 1))
        # In float64: the rounded origin of float32 data would shift the means.
        super().__init__(
            ones, (train.astype(np.float64) - self.origin, val.astype(np.float64) - self.origin), bias=False
        )
        self.shape = (train.shape[1],)


class LinearProblem(_LeastSquares):
    """Which weights of a linear map are equal?

    The model is ``y = W x + b`` with W (O, I) shared and b free.

    Args:
        x_train: (n_t, I) inputs used to fit; array or tensor, like the others.
        y_train: (n_t, O) outputs used to fit.
        x_val: (n_v, I) inputs used to select.
        y_val: (n_v, O) outputs used to select.
        bias: whether to fit b.

    Raises:
        TypeError: not numbers.
        ValueError: shapes that do not fit, no sample, NaN or infinite values, constant inputs or outputs.
    """

    def __init__(self, x_train: Any, y_train: Any, x_val: Any, y_val: Any, bias: bool = True) -> None:
        arrays = {"x_train": x_train, "y_train": y_train, "x_val": x_val, "y_val": y_val}
        x_train, y_train, x_val, y_val = (_matrix(a, name) for name, a in arrays.items())
        for x, y, name in ((x_train, y_train, "train"), (x_val, y_val, "val")):
            if len(x) != len(y):
                raise ValueError(
                    f"x_{name} and y_{name} must have as many rows as each other, got shapes {x.shape} and {y.shape}"
                )
        for a, b, name in ((x_train, x_val, "x"), (y_train, y_val, "y")):
            if a.shape[1] != b.shape[1]:
                raise ValueError(
                    f"{name}_train and {name}_val must have the same number of columns, "
                    f"got shapes {a.shape} and {b.shape}"
                )
            if (np.minimum(a.min(0), b.min(0)) == np.maximum(a.max(0), b.max(0))).all():
                raise ValueError(f"{name}_train and {name}_val hold constant data: no column varies")
        super().__init__((x_train, x_val), (y_train, y_val), bias)
        self.shape = (y_train.shape[1], x_train.shape[1])


Problem = MeanProblem | LinearProblem


def as_problems(problem: Problem | Sequence[Problem]) -> list[Problem]:
    """One problem or a list of same-shaped ones as a list.

    Raises:
        TypeError: something else.
        ValueError: an empty list, or shapes that differ.
    """
    problems = [problem] if isinstance(problem, _LeastSquares) else problem
    if not isinstance(problems, Sequence) or not all(isinstance(p, _LeastSquares) for p in problems):
        raise TypeError(
            f"problem must be a MeanProblem, a LinearProblem, a ModelProblem (for a torch.nn.Module with its data) or "
            f"a list of one of them, got {type(problem).__name__}"
        )
    if not problems:
        raise ValueError("problem must not be an empty list")
    shapes = {p.shape for p in problems}
    if len(shapes) > 1:
        raise ValueError(f"problems of one list must have the same shape, got {sorted(shapes)}")
    return list(problems)


def _matrix(data: Any, name: str) -> np.ndarray:
    """``data`` as a finite float matrix with at least one row and one column; float32 stays float32."""
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        data = (data.float() if data.dtype == torch.bfloat16 else data).numpy()
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array: drop or fill the masked samples")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a matrix of shape (samples, entries), got rows of different lengths"
        ) from error
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"{name} must be a matrix of shape (samples, entries), got shape {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"{name} must hold at least one sample and one entry, got shape {array.shape}")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name} must be finite, got {array[row, column]} at row {row}, column {column} "
            f"({(~finite).sum()} such values)"
        )
    return array
