"""How far a function is from commuting with a group, on data, and whether that is closer than chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equishare.arrays import real_array, to_numpy
from equishare.symmetry.group import SymmetryGroup

__all__ = ["EquivarianceError", "equivariance_error"]

# f (n, I) -> (n, O)
Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class EquivarianceError:
    """Of one function on one set of inputs, one entry a generator of the group.

    Attributes:
        errors: (generators,) relative errors ``‖f(x ρ) − f(x) π‖ / ‖f(x) − mean f(x)‖``; 0 where f commutes.
        p_values: (generators,) share of random permutations, of the same cycle types as the generator, whose error is
            no larger. The generator itself is counted, so that it is at least 1 / (num_permutations + 1). It is 1 where
            every permutation does as well as the generator, for example where all weights are tied.
        random_errors: (generators,) median of the errors of these random permutations.
    """

    errors: np.ndarray
    p_values: np.ndarray
    random_errors: np.ndarray

    def __str__(self) -> str:
        if not len(self.errors):
            return "The group is trivial: there is nothing to commute with."
        return (
            f"relative error at most {self.errors.max():.2g} over {len(self.errors)} generators "
            f"(random permutations: {self.random_errors.min():.2g}; p ≤ {self.p_values.max():.2g})"
        )


def equivariance_error(
    function: Function, group: SymmetryGroup, x: Any, num_permutations: int = 199, seed: int = 0
) -> EquivarianceError:
    """Measure how far a function is from ``f(x ρ) = f(x) π`` for each generator (π, ρ) of a group.

    ``x ρ`` has the columns ``x[:, ρ]``, ``f(x) π`` the columns ``f(x)[:, π]``. The p-value is that of a permutation
    test: the generator against random conjugates (σ π σ⁻¹, τ ρ τ⁻¹), which move as many points in cycles of
    the same lengths; with σ = τ where the group acts alike on outputs and inputs.

    Args:
        function: takes (n, I) to (n, O) float64 arrays; also (n, I) tensors of the dtype of its parameters, where it is
            a ``torch.nn.Module``.
        group: of a weight (O, I), see :func:`equishare.symmetry_group`.
        x: (n, I) inputs, array or tensor.
        num_permutations: random pairs of permutations a generator.
        seed: of the random permutations.

    Raises:
        TypeError: function cannot be called or gives no real numbers, group is no SymmetryGroup, x holds no real
            numbers, or num_permutations is no integer.
        ValueError: shapes that do not fit, a group of something else than a weight, values that are not finite, an f(x)
            that does not vary, num_permutations below one, or a seed that is no natural number.
    """
    if not callable(function):
        raise TypeError(f"function must be callable, got {type(function).__name__}")
    if not isinstance(group, SymmetryGroup):
        raise TypeError(f"group must be a SymmetryGroup, got {type(group).__name__}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    if isinstance(num_permutations, bool) or not isinstance(num_permutations, int | np.integer):
        raise TypeError(f"num_permutations must be an integer, got {num_permutations!r}")
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1, got {num_permutations}")
    shape = group.partition.shape
    if len(shape) != 2:
        raise ValueError(f"group must be that of a weight (O, I), got one of a parameter of shape {shape}")
    inputs = _inputs(x, shape[1])
    apply = _as_arrays(function, shape[0])
    outputs = apply(inputs)
    size = float(np.linalg.norm(outputs - outputs.mean(0)))
    if not size > 0:
        raise ValueError("function must vary over x: its outputs are all the same")

    def error(p_out: np.ndarray, p_in: np.ndarray) -> float:
        return float(np.linalg.norm(apply(inputs[:, p_in]) - outputs[:, p_out])) / size

    rng = np.random.default_rng(seed)
    errors, p_values, random_errors = [], [], []
    for p_out, p_in in group.generators:
        own = error(p_out, p_in)
        others = np.empty(num_permutations)
        for i in range(num_permutations):
            sigma = rng.permutation(len(p_out))
            tau = sigma if group.same_action else rng.permutation(len(p_in))
            others[i] = error(_conjugate(p_out, sigma), _conjugate(p_in, tau))
        # Of two errors that are rounding errors none is the smaller one.
        as_small = others <= max(own * (1 + 1e-9), 1e-12)
        errors.append(own)
        p_values.append((1 + as_small.sum()) / (1 + num_permutations))
        random_errors.append(np.median(others))
    return EquivarianceError(np.array(errors), np.array(p_values), np.array(random_errors))


def _inputs(x: Any, num_inputs: int) -> np.ndarray:
    array = real_array(x, "x")
    if array.ndim != 2 or array.shape[1] != num_inputs or not len(array):
        raise ValueError(f"x must have shape (samples, {num_inputs}), got {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("x must be finite")
    return array


def _as_arrays(function: Function, num_outputs: int) -> Function:
    def apply(x: np.ndarray) -> np.ndarray:
        y = _call(function, x)
        if y.shape != (len(x), num_outputs):
            raise ValueError(f"function must give shape ({len(x)}, {num_outputs}), got {y.shape}")
        if not np.isfinite(y).all():
            raise ValueError("function must give finite values")
        return y

    return apply


def _call(function: Function, x: np.ndarray) -> np.ndarray:
    values: Any
    if hasattr(function, "parameters"):
        import torch

        parameter = next(iter(function.parameters()), torch.empty(0, dtype=torch.float64))
        with torch.no_grad():
            values = function(torch.as_tensor(x, dtype=parameter.dtype, device=parameter.device))  # type: ignore[arg-type]
    else:
        values = function(x)
    y = to_numpy(values, "what function gives")
    if y.dtype.kind not in "fiub":
        raise TypeError(f"function must give real numbers, got dtype {y.dtype}")
    return y.astype(np.float64)


def _conjugate(p: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """σ p σ⁻¹."""
    conjugate = np.empty_like(p)
    conjugate[sigma] = sigma[p]
    return conjugate
