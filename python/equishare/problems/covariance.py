"""Which entries of a covariance are equal, when the variables are permuted by one action?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from equishare.arrays import Names, column_names, sample_matrix
from equishare.checks import flag
from equishare.problems.answers import About, Quality, Refit
from equishare.problems.base import Labels, Session, Slot
from equishare.problems.commutant import distinct
from equishare.problems.described import Described
from equishare.problems.estimates import BlockEstimate
from equishare.problems.split import halves, same_columns
from equishare.problems.tied_covariance import fit_tied, mean_errors

#: The most variables that are taken.
MAX_VARIABLES = 200
# Variables are exact combinations of others where an eigenvalue of the correlations is smaller.
_SINGULAR = 1e-10
# Standard deviations that differ by more are too far apart for one matrix.
_MOST_RATIO = 1e7


class CovarianceSession(Session):
    """Covariances, for the methods that read no more than the estimate and the loss of a pattern."""

    takes = ("auto", "gap", "merge", "no_sharing", "oracle")


class CovarianceProblem(Described):
    """Which covariances of p variables are equal, and which permutations of the variables leave all as they are?

    The model is ``x ~ N(μ, Σ)`` with Σ (p, p) shared: ``Σ[π i, π j] = Σ[i, j]`` for the permutations π of a group that
    is not known, or a pattern of another kind. Variances are compared too, in the units of the data: divide variables
    of different units by their standard deviations first, and the correlations are compared.

    Args:
        x: (n, p) samples: an array, a tensor, or a table of pandas, polars or pyarrow, whose names go into the answer.
            Or a list of several such samples of the same variables: each has a covariance of its own, and all have one
            pattern. n may be below p.
        center: whether means are estimated; False: they are known to be zero.
        seed: of the split into samples that fit and samples that validate, which only the validation loss needs.

    Raises:
        TypeError: not numbers.
        ValueError: wrong shape, NaN or infinite values, a variable that does not vary, fewer than two variables or
            more than 200, fewer than three samples (two where the means are known), samples of different variables,
            a covariance matrix in place of samples.
    """

    Session = CovarianceSession

    def __init__(self, x: Any, *, center: bool = True, seed: int = 0) -> None:
        flag("center", center)
        given = list(x) if _is_several(x) else [x]
        called = ["x"] if len(given) == 1 else [f"x[{i}]" for i in range(len(given))]
        names = column_names(given[0], called[0])
        for one, name in zip(given[1:], called[1:], strict=True):
            same_columns(one, names, (called[0], name))
        self.center, self.seed = bool(center), seed
        self.samples = [
            _contrasts(sample_matrix(one, name), self.center, names, name)
            for one, name in zip(given, called, strict=True)
        ]
        # Logarithms and fourth powers of what is very large or small are none: the model is written in this unit.
        self.unit = float(2.0 ** np.round(np.log2(max(own.std() for own in self.samples))))
        self.samples = [own / self.unit for own in self.samples]
        sizes = [own.shape[1] for own in self.samples]
        if len(set(sizes)) > 1:
            raise ValueError(f"samples of one list must have the same variables, got {', '.join(map(str, sizes))}")
        size = sizes[0]
        if not 2 <= size <= MAX_VARIABLES:
            raise ValueError(f"x must have 2 to {MAX_VARIABLES} variables (columns), got {size}")
        self._prepare()
        several = len(given) > 1
        parameters = tuple(f"sample {i}" for i in range(len(given))) if several else ("covariance",)
        self.slots = (
            Slot(
                parameters,
                ((size, size),) * len(given),
                (None,) * len(given),
                size * size,
                size * (size + 1) // 2,
                "covariance",
                several,
                (names, names) if names else (),
                same_action=True,
            ),
        )

    def _prepare(self) -> None:
        self.moments = [(own.T @ own / len(own), len(own)) for own in self.samples]
        self._halves = []
        for own in self.samples:
            sides = halves(len(own), self.seed, "x")
            self._halves.append(tuple(own[side].T @ own[side] / len(side) for side in sides))

    @classmethod
    def from_batches(cls, *batches: Any, **options: Any) -> NoReturn:
        """TypeError: resamples of a covariance are drawn from its samples."""
        raise TypeError(
            "batches must be those of a LinearProblem or a MeanProblem: a covariance is of 200 variables at most, and "
            "keeps its samples to draw resamples. Give a part of the rows that fits into memory, drawn at random"
        )

    def __repr__(self) -> str:
        counts = ", ".join(str(len(own) + self.center) for own in self.samples)
        return f"CovarianceProblem({self.num_variables} variables, {counts} samples)"

    @property
    def num_variables(self) -> int:
        """The number of variables, p."""
        return self.samples[0].shape[1]

    def estimate(self, on: str = "all") -> BlockEstimate | None:
        """The sample covariance and the variance of its entries, ``(σ_ii σ_jj + σ_ij²)/n``; None for several samples.

        Both are in the problem's unit. It leaves out how entries covary: a guide for methods that merge entry by entry.
        The evidence of ``auto`` does not read it.

        Args:
            on: ``all`` samples, or ``train``, those that do not validate.
        """
        if len(self.samples) > 1:
            return None
        second, count = self.moments[0]
        if on == "train":
            second, count = self._halves[0][0], count // 2
        return BlockEstimate.diagonal(second, _entry_variances(self.moments[0][0], count))

    def evaluate(self, patterns: Sequence[Labels]) -> np.ndarray:
        """How far a pattern fitted on one half of the samples is from the covariance of the other half.

        The mean squared difference of their entries, in units of the standard deviations; the entries of a group have
        their mean.
        """
        losses = np.zeros(len(patterns))
        for (second, _), (train, val) in zip(self.moments, self._halves, strict=True):
            scale = np.outer(*[np.sqrt(np.diag(second))] * 2)
            for i, (labels,) in enumerate(patterns):
                flat = labels.ravel()
                means = np.bincount(flat, train.ravel()) / np.bincount(flat)
                losses[i] += (((means[labels.reshape(val.shape)] - val) / scale) ** 2).mean()
        return losses / len(self.samples)

    def refit(self, pattern: Labels) -> Refit:
        """The values of greatest likelihood from all samples; where there are none, the means of the groups."""
        labels = pattern[0].reshape(self.moments[0][0].shape)
        own = [_values(labels, second, count) for second, count in self.moments]
        values = [one * self.unit**2 for one in own]
        loss, unshared = self.evaluate([(labels,), (distinct(self.num_variables),)])
        slot = self.slots[0]
        return Refit(dict(zip(slot.names, values, strict=True)), loss, unshared, quality=self._quality(labels, own))

    def _loss_error(self, labels: np.ndarray) -> float:
        """Standard error of the loss less that without sharing, which varies with the samples that validate.

        The loss differs by ``−2 tr(M V)`` and a constant, V the covariance of these samples; ``2/n tr(M Σ M Σ)`` is the
        variance of tr(M V).
        """
        total = 0.0
        for (second, count), (train, _) in zip(self.moments, self._halves, strict=True):
            variances = np.diag(second)
            means = np.bincount(labels.ravel(), train.ravel()) / np.bincount(labels.ravel())
            change = (means[labels] - train) / np.outer(variances, variances) / second.size @ second
            total += 4 * 2 / (count - count // 2) * float((change * change.T).sum())
        return float(np.sqrt(max(total, 0.0))) / len(self.samples)

    def _quality(self, labels: np.ndarray, values: list[np.ndarray]) -> Quality:
        notes = []
        fewest = min(count for _, count in self.moments)
        if fewest < self.num_variables:
            notes.append("There are fewer samples than variables: theta may have no inverse; posterior_mean has one.")
        elif any(_is_singular(second) for second, _ in self.moments):
            notes.append("Some variables are exact combinations of others: the covariance has no inverse.")
        if notes and _ties_nothing(labels):
            notes.append(
                "That nothing is tied may be for want of variation: in the directions in which the samples do not vary "
                "nothing tells a symmetry from what is only near one. More samples may tell, or fewer variables: leave "
                "out copies and sums."
            )
        error = self._loss_error(labels)
        if len(self.samples) > 1:
            return Quality(loss_error=error, notes=tuple(notes))
        second, count = self.moments[0]
        errors = np.sqrt(_entry_variances(second, count))
        own = mean_errors(labels, values[0][labels], count)
        second, errors, own = (one * self.unit**2 for one in (second, errors, own))
        return Quality(second, errors, own, loss_error=error, notes=tuple(notes))

    def resampled(self, generator: np.random.Generator) -> CovarianceProblem:
        """The same problem on a bootstrap of its samples."""
        other = copy.copy(self)
        other.samples = [own[generator.integers(len(own), size=len(own))] for own in self.samples]
        if any((np.ptp(own, axis=0) == 0).any() for own in other.samples):
            return self.resampled(generator)
        other._prepare()
        return other

    def about(self) -> About:
        """The data in words and numbers, for the report."""
        sizes = [tuple(map(len, halves(len(own), self.seed, "x"))) for own in self.samples]
        mean = "estimated" if self.center else "known to be zero"
        facts: tuple[tuple[str, str], ...] = (("variables", str(self.num_variables)), ("means", mean))
        if len(self.samples) > 1:
            facts += (("covariances with one pattern", str(len(self.samples))),)
        question = f"which covariances of {self.num_variables} variables are equal"
        train, val = (sum(side) for side in zip(*sizes, strict=True))
        return About(
            question, train + self.center * len(sizes), val, "mean squared error of standardised covariances", facts
        )


def _is_several(x: Any) -> bool:
    """Whether there is a list of samples, not of rows."""
    if not isinstance(x, list | tuple) or not x:
        return False
    return all(_depth(one) == 2 for one in x)


def _depth(one: Any) -> int:
    if hasattr(one, "ndim"):
        return int(one.ndim)
    if hasattr(one, "columns") or hasattr(one, "column_names"):
        return 2
    return 1 + _depth(one[0]) if isinstance(one, list | tuple) and one else int(isinstance(one, list | tuple))


def _contrasts(x: np.ndarray, center: bool, names: Names, called: str) -> np.ndarray:
    """Samples of mean zero: n − 1 contrasts of n samples (Helmert), which are independent and have their covariance.

    Raises:
        ValueError: a variable that does not vary, too few samples, numbers that are too large or too small, or
            variables whose standard deviations are too far apart.
    """
    needed = 2 + center
    if len(x) < needed:
        raise ValueError(f"{called} must hold at least {needed} samples (rows), got {len(x)}")
    x = x.astype(np.float64)
    if _is_covariance(x):
        raise ValueError(
            f"{called} must hold samples, one a row, and this is a covariance matrix: symmetric, {len(x)} × {len(x)}; "
            "give the data that it was computed from"
        )
    flat = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if flat.size:
        which = ", ".join(names[i] if names else f"column {i}" for i in flat[:5])
        raise ValueError(f"{called} must vary in every variable, and {which} does not: leave it out")
    if center:
        x = x - x.mean(0)
        k = np.arange(1, len(x))[:, None]
        x = (np.cumsum(x, axis=0)[:-1] - k * x[1:]) / np.sqrt(k * (k + 1))
    with np.errstate(over="ignore", under="ignore"):
        squares = (x**2).sum(0)
    if not (np.isfinite(squares).all() and (squares > np.finfo(float).tiny * len(x)).all()):
        raise ValueError(f"{called} is too large or too small to be squared in float64: rescale it")
    least, most = int(squares.argmin()), int(squares.argmax())
    if (ratio := float(np.sqrt(squares[most] / squares[least]))) > _MOST_RATIO:
        one, other = (names[i] if names else f"column {i}" for i in (most, least))
        raise ValueError(
            f"{called} must have variables of like units, got {one} that varies {ratio:.0e} times as much as {other}: "
            "divide the variables by their standard deviations, and correlations are compared"
        )
    return x


def _is_covariance(x: np.ndarray) -> bool:
    """Whether an array is symmetric and bounded by its diagonal; small tables of whole numbers are so by chance."""
    if x.shape[0] != x.shape[1] or (x == np.round(x)).all() or not np.allclose(x, x.T, rtol=1e-6, atol=0):
        return False
    scale = np.sqrt(np.maximum(np.diag(x), 0.0))
    return bool((np.abs(x) <= np.outer(scale, scale) * (1 + 1e-6)).all())


def _entry_variances(second: np.ndarray, count: int) -> np.ndarray:
    variances = np.diag(second)
    return (np.outer(variances, variances) + second**2) / count


def _ties_nothing(labels: np.ndarray) -> bool:
    return int(labels.max()) + 1 == len(labels) * (len(labels) + 1) // 2


def _is_singular(second: np.ndarray) -> bool:
    scale = np.sqrt(np.diag(second))
    return bool(np.linalg.eigvalsh(second / np.outer(scale, scale))[0] < _SINGULAR)


def _values(labels: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Values of the groups: of greatest likelihood where the samples determine them."""
    means = np.bincount(labels.ravel(), second.ravel()) / np.bincount(labels.ravel())
    if _ties_nothing(labels) or count < len(second) or _is_singular(second):
        return means
    values = fit_tied(labels, second)
    return means if values is None else values
