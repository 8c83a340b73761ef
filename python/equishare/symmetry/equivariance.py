"""How far a function is from commuting with a group, on data, and whether that is closer than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equishare.checks import flag, natural
from equishare.symmetry.evaluation import Evaluated, Function
from equishare.symmetry.given import as_given
from equishare.symmetry.moving import Mover

__all__ = ["EquivarianceError", "equivariance_error"]


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
    function: Function, group: Any, x: Any, num_permutations: int = 199, seed: int = 0, invariant: bool = False
) -> EquivarianceError:
    """Measure how far a function is from ``f(x ρ) = f(x) π`` for each generator (π, ρ) of a group.

    ``x ρ`` has the columns ``x[:, ρ]``, ``f(x) π`` the columns ``f(x)[:, π]``. The p-value is that of a permutation
    test: the generator against random conjugates (σ π σ⁻¹, τ ρ τ⁻¹), which move as many points in cycles of
    the same lengths; with σ = τ where the group acts alike on outputs and inputs. A small p-value says that f is closer
    to this group than to such permutations. That f commutes is what :func:`equishare.equivalence_test` can show.

    Args:
        function: takes (n, I) to (n, O) float64 arrays where the group is that of a weight; (n, K) to (n, K) for a
            vector (K,), whose entries are inputs and outputs; images (n, I, *grid) to (n, O, *grid) for a kernel, whose
            taps turn the grid. A ``torch.nn.Module``, or a method of one, takes tensors of the dtype of its parameters.
            It is asked in evaluation mode; its modes and buffers are left as they were.
        group: a SymmetryGroup, a name, a sympy group or a list, as :func:`equishare.pattern` takes it.
        x: (n, I) inputs, array or tensor, or as the function takes them.
        num_permutations: random pairs of permutations a generator.
        seed: of the random permutations.
        invariant: ``f(x ρ) = f(x)`` is asked instead, of outputs (n,) or (n, ...) that do not move.

    Raises:
        TypeError: function cannot be called or gives no real numbers, group is no group, x holds no real numbers, or
            num_permutations is no integer.
        ValueError: shapes that do not fit, values that are not finite, an f(x) that does not vary, num_permutations
            below one, or a seed that is no natural number.
    """
    given = as_given(group)
    natural("seed", seed)
    flag("invariant", invariant)
    if isinstance(num_permutations, bool) or not isinstance(num_permutations, int | np.integer):
        raise TypeError(f"num_permutations must be an integer, got {num_permutations!r}")
    if num_permutations < 1:
        raise ValueError(f"num_permutations must be at least 1, got {num_permutations}")
    known = Evaluated(function, Mover(given.shape, invariant), x)
    size = known.spread()

    def error(p_out: np.ndarray, p_in: np.ndarray) -> float:
        return float(np.linalg.norm(known.differences(p_out, p_in))) / size

    rng = np.random.default_rng(seed)
    errors, p_values, random_errors = [], [], []
    for p_out, p_in in map(known.places, given.generators):
        own = error(p_out, p_in)
        others = np.empty(num_permutations)
        for i in range(num_permutations):
            sigma = rng.permutation(len(p_out))
            tau = sigma if given.same_action and len(p_in) == len(p_out) else rng.permutation(len(p_in))
            others[i] = error(_conjugate(p_out, sigma), _conjugate(p_in, tau))
        # Of two errors that are rounding errors none is the smaller one.
        as_small = others <= max(own * (1 + 1e-9), 1e-12)
        errors.append(own)
        p_values.append((1 + as_small.sum()) / (1 + num_permutations))
        random_errors.append(np.median(others))
    return EquivarianceError(np.array(errors), np.array(p_values), np.array(random_errors))


def _conjugate(p: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """σ p σ⁻¹."""
    conjugate = np.empty_like(p)
    conjugate[sigma] = sigma[p]
    return conjugate
