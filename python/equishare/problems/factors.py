"""Which levels of a factor have the same effect?"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import scipy

from equishare.linalg import pseudo_inverse
from equishare.problems.additive import MOST_DENSE, Additive, Fit
from equishare.problems.answers import About, Predictor, Quality, Refit
from equishare.problems.base import Labels, Slot
from equishare.problems.described import Described
from equishare.problems.factor_tables import is_named, is_same, numeric_columns, orders
from equishare.problems.families import Family
from equishare.problems.level_estimate import LevelEstimate
from equishare.problems.levels import MISSING, columns_of, factor_of
from equishare.problems.split import check_order, sample_vector, sample_weights, weighted_halves

# A level of so few rows is rare.
_RARE = 3
# Squares of smaller differences, or of the inverse of it, are no numbers of full precision.
_LEAST_UNIT = 1e-146
# A p-value near one must not become one.
_LARGEST_P = 1 - 1e-12


class FactorProblem(Described):
    """Which levels of a factor have the same effect on an outcome?

    The model is ``η = b + Σ_j ψ_j[label_j[level]] + z γ`` with the mean ``g⁻¹(η)`` of y. Levels of one factor may be
    tied, never those of two. A factor whose levels are all tied drops out. There is no reference level: the effects of
    a factor have the mean zero over the samples.

    Levels seen once, factors that tell the same, more levels than samples: none is an error. Rows without a value have
    a level of their own, "missing".

    Args:
        table: a data frame of pandas, polars or pyarrow, a dict of columns, or an array (n, J). Each column is a factor
            but for those that ``numeric`` names; whole numbers are categories like text.
        y: (n,) outcomes: numbers, 0 and 1 (or False and True), or counts 0, 1, 2, …; with weights, that are exposures,
            also rates, counts by exposure.
        family: ``gaussian`` (identity), ``binomial`` (logit) or ``poisson`` (log).
        numeric: names of columns of the table that are numbers and never tied, or an array (n, P) of them.
        ordered: names of factors of which only neighbouring levels may be tied, in the order of their sorted levels, or
            a dict of the levels in their order by name. Ordered categories of pandas and polars' enumerations need
            nothing.
        offset: (n,) added to η, such as the log of an exposure.
        weights: (n,) of the samples, not negative.
        seed: of the split into samples to fit and to validate; the answer's pattern and values come from all.

    Raises:
        TypeError: no table, no numbers, or an unknown kind of argument.
        ValueError: columns of different lengths or of one name; an outcome that the family cannot have or that does
            not vary; a numeric column that is constant; no factor with two levels; the outcome among the inputs.
    """

    def __init__(
        self,
        table: Any,
        y: Any,
        *,
        family: str = "gaussian",
        numeric: Any = None,
        ordered: Sequence[str] | Mapping[str, Sequence[Any]] | None = None,
        offset: Any = None,
        weights: Any = None,
        seed: int = 0,
    ) -> None:
        self.family = Family(family)
        columns = columns_of(table)
        outcome = self.family.checked(y, rates=weights is not None)
        if outcome.shape[1] != 1:
            raise ValueError(f"y must have one outcome a sample, got shape {outcome.shape}")
        count = len(outcome)
        length = len(next(iter(columns.values())))
        if length != count:
            raise ValueError(f"table and y must have as many rows as each other, got {length} and {count}")
        check_order(table, y, ("table", "y"))
        self.numeric_names, z = numeric_columns(numeric, columns, count)
        names = [name for name in columns if name not in self.numeric_names or not is_named(numeric)]
        order = orders(ordered, names)
        self.factors = tuple(factor_of(name, columns[name], order.get(name, False)) for name in names)
        name = getattr(y, "name", None)
        if isinstance(name, str) and name in columns and is_same(columns[name], y):
            raise ValueError(f"table must not hold the outcome, got column {name!r}: table.drop(columns={name!r})")
        if not any(len(one.levels) > 1 for one in self.factors):
            got = ", ".join(names[:5]) or "none"
            raise ValueError(f"table must have a factor with at least two levels, got {got}")
        for p, own in enumerate(z.T):
            if count > 1 and np.ptp(own) == 0:
                raise ValueError(f"numeric column {self.numeric_names[p]!r} is constant: leave it out")
        added = np.zeros(count) if offset is None else sample_vector(offset, "offset", count)
        for vector, called in ((weights, "weights"), (offset, "offset")):
            check_order(table, vector, ("table", called))
            check_order(y, vector, ("y", called))
        target, weight = outcome[:, 0], sample_weights(weights, count)
        self.family.check_varies(outcome[weight > 0], added[weight > 0, None])
        # Squares of large numbers, or of small differences of large ones, would drown the differences.
        self.origin, self.unit = -float(added.min() / 2 + added.max() / 2), 1.0
        if self.family.is_gaussian:
            target, added = target - added, np.zeros(count)
            self.origin = float(target.min() / 2 + target.max() / 2)
            self.unit = float(2.0 ** np.round(np.log2(np.abs(target - self.origin).max())))
            if not _LEAST_UNIT < self.unit < 1 / _LEAST_UNIT:
                raise ValueError(
                    f"y varies by about {self.unit:.0e}, which is too large or too small to be squared in float64: "
                    "rescale it"
                )
            target = (target - self.origin) / self.unit
            self._loss_unit = self.unit**2
            # Only the ratios of weights count.
            weight = weight / 2.0 ** np.round(np.log2(weight.mean()))
        else:
            self._loss_unit = self.family.unit(target, weight)
            target, weight = target / self._loss_unit, weight * self._loss_unit
            added, self.origin = added + self.origin, self.origin + float(np.log(self._loss_unit))
        self.model = Additive(
            self.family,
            np.stack([one.codes for one in self.factors], 1),
            tuple(len(one.levels) for one in self.factors),
            z,
            target,
            weight,
            added,
        )
        self._train, self._val = weighted_halves(weight, seed, "table and y")
        self.slots = tuple(
            replace(Slot.of(one.name, (len(one.levels),), "level", (one.levels,)), named=True) for one in self.factors
        )
        self._estimate: LevelEstimate | None = None

    @classmethod
    def from_batches(cls, *batches: Any, **options: Any) -> NoReturn:
        """TypeError: which levels there are is known once all samples are."""
        raise TypeError(
            "batches must be those of a LinearProblem or a MeanProblem: the levels of factors are known once all rows "
            "are. Give a part of the rows that fits into memory, drawn at random"
        )

    def __repr__(self) -> str:
        listed = ", ".join(f"{one.name} ({len(one.levels)})" for one in self.factors[:6])
        more = ", …" if len(self.factors) > 6 else ""
        return f"FactorProblem({listed}{more}; {self.family.name}, {len(self.model.y)} samples)"

    @property
    def ordered(self) -> tuple[bool, ...]:
        """Which factors tie neighbours only."""
        return tuple(one.is_ordered for one in self.factors)

    def estimate(self, on: str = "all") -> LevelEstimate:
        """The effects of all levels when none are tied.

        Args:
            on: ``all`` samples, or ``train``, a half of them.
        """
        if on == "train":
            half = self.model.rows(self._train)
            return LevelEstimate(half, half.random_effects(), self.ordered, self.unit)
        if self._estimate is None:
            self._estimate = LevelEstimate(self.model, self.model.random_effects(), self.ordered, self.unit)
        return self._estimate

    def evaluate(self, patterns: Sequence[Labels]) -> np.ndarray:
        """Mean loss of each pattern on a half of the samples, fitted on the other."""
        train, val = self.model.rows(self._train), self.model.rows(self._val)
        return np.array([val.loss(train.fitted(own), own) for own in patterns]) * self._loss_unit

    def refit(self, pattern: Labels) -> Refit:
        """The values of a pattern by maximum likelihood on all samples."""
        fit = self.model.fitted(pattern)
        unit, bias = self.unit, fit.bias * self.unit + self.origin
        unshared = tuple(np.arange(size) for size in self.model.sizes)
        loss, without = self.evaluate([pattern, unshared])
        predictor = Predictor(
            self.family.name, bias, self.numeric_names, fit.coefficients * unit, unseen_values(fit, pattern) * unit
        )
        values = {slot.key: own * unit for slot, own in zip(self.slots, fit.values, strict=True)}
        weights = ", ".join(f"{name} {weight:.4g}" for name, weight in predictor.weights.items())
        return Refit(
            values,
            float(loss),
            float(without),
            bias=np.array([bias]),
            quality=self._quality(fit, pattern, float(loss)),
            predictor=predictor,
            facts=(("weights of numeric columns, never tied", weights),) if weights else (),
        )

    def resampled(self, generator: np.random.Generator) -> FactorProblem:
        """The same levels, with outcomes drawn from the unshared fit: a parametric bootstrap."""
        estimate = self.estimate()
        effects, model = estimate.effects, self.model
        eta = model.offset + model.one_hot() @ effects.effects + model.rest @ effects.rest
        other = copy.copy(self)
        drawn = self.family.drawn(eta, model.weights, generator, effects.noise)
        if np.ptp(drawn) == 0:  # of rare classes
            drawn = model.y
        other.model = replace(model, y=drawn)
        other._estimate = None
        return other

    def about(self) -> About:
        """The data in words and numbers, for the report."""
        sizes = ", ".join(f"{one.name} ({len(one.levels)})" for one in self.factors)
        facts = [("factors (levels)", sizes), ("family", self.family.name)]
        facts.append(("values", f"effects on {self.family.scale}, on average zero over the samples"))
        question = "which levels of a factor have the same effect"
        return About(question, len(self._train), len(self._val), self.family.loss, tuple(facts))

    def _quality(self, fit: Fit, pattern: Labels, loss: float) -> Quality:
        estimate, model = self.estimate(), self.model
        errors = np.concatenate(fit.errors) * self.unit if fit.errors else None
        r_squared = float("nan")
        if self.family.is_gaussian:
            val, weights = model.y[self._val], model.weights[self._val]
            spread = float(np.average((val - np.average(val, weights=weights)) ** 2, weights=weights))
            r_squared = 1 - loss / self.unit**2 / spread if spread > 0 else float("nan")
        return Quality(
            estimate.values,
            np.sqrt(estimate.variance),
            errors,
            r_squared,
            self._dependence(),
            notes=tuple(self._notes(fit, pattern)),
        )

    def _dependence(self) -> float:
        """p-value of the F test that y depends on no factor and no numeric column.

        Of a GLM the score test, as the F test of the quadratic about the fit of a constant.
        """
        if self.family.is_gaussian:
            quadratic = self.estimate().effects.quadratic
        else:
            quadratic = self.model.quadratic(self.model.offset + self.model.intercept())
        if quadratic.num_levels > MOST_DENSE:
            return float("nan")
        whole = np.block([[quadratic.levels, quadratic.border], [quadratic.border.T, quadratic.corner]])
        inverse = pseudo_inverse(whole)
        rank = int(np.linalg.matrix_rank(whole, hermitian=True))
        explained = float(quadratic.right @ inverse @ quadratic.right)
        constant = float(quadratic.right[quadratic.num_levels] ** 2 / quadratic.corner[0, 0])
        freedom = quadratic.count - rank
        if freedom < 1 or rank < 2:
            return float("nan")
        left = max(quadratic.constant - explained, np.finfo(float).eps * quadratic.constant)
        ratio = max(explained - constant, 0.0) / (rank - 1) / (left / freedom)
        return float(np.clip(scipy.special.fdtrc(rank - 1, freedom, ratio), 1e-300, _LARGEST_P))

    def _notes(self, fit: Fit, pattern: Labels) -> list[str]:
        found = []
        rare = {
            one.name: int((np.bincount(one.codes, minlength=len(one.levels)) < _RARE).sum()) for one in self.factors
        }
        if listed := [f"{name} ({number})" for name, number in rare.items() if number]:
            found.append(f"Some levels have less than {_RARE} rows: {', '.join(listed)}; their group is a guess.")
        if absent := [one.name for one in self.factors if MISSING in one.levels]:
            found.append(f"Rows without a value are a level of their own, {MISSING!r}: {', '.join(absent)}.")
        if last := [one.name for one in self.factors if one.is_ordered and one.levels[-1] == MISSING]:
            found.append(
                f"In the order {MISSING!r} comes last, and may be tied with the greatest only: {', '.join(last)}."
            )
        if alike := [f"{one.name} ({', '.join(one.alike[:3])})" for one in self.factors if one.alike]:
            found.append(f"Values that read alike (1 and '1', None and 'missing') are one level: {', '.join(alike)}.")
        if not self.family.is_gaussian and self._is_separated(fit, pattern):
            found.append("Some groups have outcomes of one kind only: a weak prior keeps their values finite.")
        return found

    def _is_separated(self, fit: Fit, pattern: Labels) -> bool:
        model = self.model
        members = model.one_hot(pattern)
        total, sums = members.T @ model.weights, members.T @ (model.weights * model.y)
        full = sums >= total if self.family.name == "binomial" else np.zeros(len(total), bool)
        return bool(((total > 0) & ((sums <= 0) | full)).any())


def unseen_values(fit: Fit, pattern: Labels) -> np.ndarray:
    """(J,) expected effect of a new level: of G groups with m of L levels each weighs (m + 1)/(L + G)."""
    found = []
    for values, own in zip(fit.values, pattern, strict=True):
        share = np.bincount(own, minlength=len(values)) + 1.0
        found.append(float(share @ values / share.sum()))
    return np.array(found)
