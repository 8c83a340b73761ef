"""Whether a function commutes with a group up to a tolerance, with an error probability that was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from equishare.checks import flag, natural, positive
from equishare.symmetry.arguments import checked_tolerance
from equishare.symmetry.evaluation import Evaluated, Function
from equishare.symmetry.given import as_given
from equishare.symmetry.moving import Mover

__all__ = ["Equivalence", "equivalence_test"]

_LEAST_SAMPLES = 20
# Resamples beyond the quantile that a bound is read from, at least; and numbers that are held at a time.
_TAIL = 20
_LEAST_RESAMPLES = 2000
_MOST_NUMBERS = 2**24


@dataclass(frozen=True)
class Equivalence:
    """What a test of :func:`equivalence_test` shows.

    Attributes:
        holds: whether every bound is below the tolerance: shown, not only not refuted.
        tolerance: as given.
        level: as given.
        defects: (generators,) relative defects on these samples, the errors of :func:`equishare.equivariance_error`.
        bounds: (generators,) upper confidence bounds of the relative defects where x comes from. With probability
            1 − level they hold all at once, with that of the mean.
        mean_defect: the relative defect of an element drawn at random for each sample; None where only generators are
            known.
        mean_bound: its upper confidence bound, for the root mean square over all elements of the group; or None.
        num_samples: rows of x.
    """

    holds: bool
    tolerance: float
    level: float
    defects: NDArray[np.float64]
    bounds: NDArray[np.float64]
    mean_defect: float | None
    mean_bound: float | None
    num_samples: int

    def __str__(self) -> str:
        if not len(self.bounds):
            return "The group is trivial: there is nothing to commute with."
        verdict = "holds" if self.holds else "is not shown"
        whole = "" if self.mean_bound is None else f", {self.mean_bound:.2g} in the mean over the group"
        return (
            f"Equivariance up to {self.tolerance:g} {verdict}: with {100 * (1 - self.level):g} % confidence the "
            f"relative defect is at most {self.bounds.max():.2g} for {len(self.bounds)} generators{whole} "
            f"({self.num_samples} samples)."
        )


def equivalence_test(
    function: Function,
    group: Any,
    x: Any,
    tolerance: float,
    level: float = 0.05,
    seed: int = 0,
    invariant: bool = False,
) -> Equivalence:
    """Test that a function commutes with a group up to a tolerance: the hypothesis that it does not must be refuted.

        defect(π, ρ) = (E ‖f(x ρ) − f(x) π‖² / E ‖f(x) − E f(x)‖²)^½

    For each generator the hypothesis is defect ≥ tolerance. For a SymmetryGroup or a name it is also asked of the root
    mean square over all elements, from one element drawn for each sample. Equivariance holds if every upper bound lies
    below the tolerance. Each bound is of level / (number of bounds), so that all hold at once (Bonferroni).

    A bound is that of a ratio of means: the larger one of Student's t and of the bootstrap-t, both from the linearised
    ratio, with the largest squared defect counted twice. No normal errors are assumed; rows of x must be independent,
    and squared defects have a variance. Then the probability of calling a function equivariant that is not is at most
    the level as n grows. In simulations of n = 30, 100 and 400 it is, with log-normal squared defects (σ = 1) too;
    with longer tails it is twice the level. Inputs so rare that none is among the rows cannot be seen: n rows may well
    miss what is rarer than log(1 / level) / n.

    What follows for other elements: f(x g h) − f(x) g h = [f(x g h) − f(x g) h] + [f(x g) − f(x) g] h. Where g leaves
    the distribution of x unchanged, the defect of a product is thus at most the sum of the defects of its factors.
    Otherwise only the generators, and the mean over the group, are certified.

    Args:
        function: as :func:`equishare.equivariance_error` takes it.
        group: as :func:`equishare.pattern` takes it.
        x: (n, I) independent inputs, n ≥ 20, or as the function takes them.
        tolerance: largest relative defect that counts as equivariant, above zero.
        level: probability of calling a function equivariant that is not, 0 < level < 0.5.
        seed: of the resamples and the elements drawn.
        invariant: ``f(x ρ) = f(x)`` is asked instead.

    Raises:
        TypeError, ValueError: as :func:`equishare.equivariance_error`; fewer than 20 samples, a tolerance or a level
            out of range.
    """
    given = as_given(group)
    tolerance = checked_tolerance(tolerance)
    if not tolerance:
        raise ValueError("tolerance must be above 0: no sample shows that there is no defect at all")
    positive("level", level)
    if not level < 0.5:
        raise ValueError(f"level must be above 0 and below 0.5, got {level!r}")
    natural("seed", seed)
    flag("invariant", invariant)
    known = Evaluated(function, Mover(given.shape, invariant), x)
    known.spread()
    count = len(known.inputs)
    if count < _LEAST_SAMPLES:
        raise ValueError(f"x must have at least {_LEAST_SAMPLES} samples for a bound, got {count}")
    rng = np.random.default_rng(seed)
    places = [known.places(generator) for generator in given.generators]
    if given.group is not None and places:
        drawn = [given.group.random_element(rng) for _ in range(count)]
        places.append(known.places(tuple(np.array(axis) for axis in zip(*drawn, strict=True))))
    squares = np.array([(known.differences(*place) ** 2).sum(1) for place in places]).reshape(-1, count).T
    spread = ((known.outputs - known.outputs.mean(0)) ** 2).sum(1)
    defects = np.sqrt(squares.mean(0) / spread.mean())
    bounds = np.sqrt(_upper_bounds(squares, spread, level / max(1, len(places)), rng))
    own = len(given.generators)
    mean_defect, mean_bound = (float(defects[own]), float(bounds[own])) if len(places) > own else (None, None)
    return Equivalence(
        holds=bool((bounds <= tolerance).all()),
        tolerance=tolerance,
        level=level,
        defects=defects[:own],
        bounds=bounds[:own],
        mean_defect=mean_defect,
        mean_bound=mean_bound,
        num_samples=count,
    )


def _upper_bounds(
    squares: NDArray[np.float64], spread: NDArray[np.float64], level: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(k,) bounds that the ratios E squares / E spread exceed with a probability of about ``level`` each.

    With r the ratio of the sums, squares − r · spread has mean 0, and r varies as its mean does, divided by that of
    spread. The bootstrap-t resamples (r* − r) / s*, with the s* of each resample. The largest square counts once
    more: without this the bounds of few samples with long tails are too low.

    Args:
        squares: (n, k) squared defects of n samples.
        spread: (n,) squared distances of the outputs from their mean.
        level: of each bound.
        rng: draws the resamples.
    """
    squares, spread = np.vstack([squares, squares.max(0)]), np.append(spread, spread.mean())
    count, tests = squares.shape
    columns = np.column_stack([squares, squares**2, squares * spread[:, None], spread, spread**2])

    def ratio_and_error(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        d, dd, dv = (sums[..., k * tests : (k + 1) * tests] for k in range(3))
        v, vv = sums[..., -2, None], sums[..., -1, None]
        r = d / v
        # Rounding can take a sum of squares below zero.
        residual = np.maximum(dd - 2 * r * dv + r**2 * vv, 0)
        return r, np.sqrt(residual * count / (count - 1)) / v

    r, error = ratio_and_error(columns.sum(0))
    resamples = max(_LEAST_RESAMPLES, int(np.ceil(_TAIL / level)))
    batch = max(1, _MOST_NUMBERS // (count + 3 * tests))
    pivots = []
    for start in range(0, resamples, batch):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=min(batch, resamples - start))
        again, again_error = ratio_and_error(weights.astype(np.float64) @ columns)
        difference = again - r
        # A resample without any spread of its own is as far as can be on its side.
        far = np.where(difference < 0, -np.inf, np.where(difference > 0, np.inf, 0.0))
        pivots.append(np.divide(difference, again_error, out=far, where=again_error > 0))
    steps = -np.quantile(np.concatenate(pivots), level, axis=0, method="lower")
    steps = np.maximum(steps, scipy.special.stdtrit(count - 1, 1 - level))
    return r + np.where(error > 0, steps * error, 0.0)
