"""What a problem is to the methods, and the batch of problems that a method works on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import nn

from equishare import ranks
from equishare.partition import Partition
from equishare.progress import Progress, silent

__all__ = [
    "About",
    "Belief",
    "Estimate",
    "Labels",
    "Predictor",
    "Problem",
    "Proposal",
    "Quality",
    "Refit",
    "Session",
    "Slot",
]

#: A pattern as methods propose it: for each slot the group 0 … G − 1 of each entry, without holes.
Labels = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Slot:
    """Entries among which ties are looked for: those of one parameter, or of several that get the same partition.

    Attributes:
        names: name of each parameter.
        shapes: shape of each parameter.
        axes: for each parameter the axis of its slices, where whole slices are tied; None where single entries are.
        num_entries: K, the number of entries or slices.
        max_groups: the most groups that may be found.
        noun: what an entry is called in the answer.
        named: whether a person gave the names. The answer for a single parameter without a name is no dict by name.
        labels: what the data call the entries along each axis of the partition, such as (outputs, inputs) of a map;
            empty, or empty along an axis, where they have no names.
        same_action: whether one permutation moves both axes, as the variables of a covariance.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    axes: tuple[int | None, ...]
    num_entries: int
    max_groups: int
    noun: str = "entry"
    named: bool = False
    labels: tuple[tuple[str, ...], ...] = ()
    same_action: bool = False

    @classmethod
    def of(
        cls, name: str, shape: tuple[int, ...], noun: str = "entry", labels: tuple[tuple[str, ...], ...] = ()
    ) -> Slot:
        """One parameter whose single entries may be tied.

        Raises:
            TypeError: shape is no tuple of integers.
        """
        if not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape):
            raise TypeError(f"shape must be a tuple of integers such as (3,), got {shape!r}")
        size = int(np.prod(shape))
        return cls((name,), (shape,), (None,), size, size, noun, labels=labels if any(labels) else ())

    @property
    def unshared(self) -> np.ndarray:
        """The labels when nothing is tied, but the entries of a covariance to their mirror images."""
        shape = self.shape_of(self.key)
        labels = np.arange(int(np.prod(shape))).reshape(shape)
        return Partition(np.minimum(labels, labels.T)).labels if self.same_action else labels

    @property
    def key(self) -> str:
        """The first name, under which the slot's groups are kept."""
        return self.names[0]

    @property
    def is_sliced(self) -> bool:
        """Whether slices are tied. Those of a network can be compared only if training starts with them equal."""
        return any(axis is not None for axis in self.axes)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of the partition of a parameter: its own for single entries, (K,) for slices."""
        i = self.names.index(name)
        return self.shapes[i] if self.axes[i] is None else (self.num_entries,)


class Estimate(Protocol):
    """What the data say of the entries when none are tied: ``ŵ ~ N(w, Ω⁻¹)``, the noise level estimated from the data.

    Attributes:
        values: ŵ, in the shape of the parameter; of slices (K, C).
        variance: of each value.
        freedom: ν, the degrees of freedom of the estimated noise level; infinite where it is given.
    """

    @property
    def values(self) -> np.ndarray: ...  # noqa: D102
    @property
    def variance(self) -> np.ndarray: ...  # noqa: D102
    @property
    def freedom(self) -> float: ...  # noqa: D102

    def apply(self, w: np.ndarray) -> np.ndarray:
        """``Ω w`` in the shape of ``values``."""

    def gather(self, labels: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
        """``AᵀΩŵ`` (G,) and ``AᵀΩA`` (G, G) for the assignment A of a pattern."""


@dataclass(frozen=True)
class About:
    """The data in words and numbers, for the report.

    Attributes:
        question: what is asked of the data, in small letters: "which … are equal".
        num_train: number of training samples; None where a DataLoader has no length.
        num_val: the same for validation samples.
        loss: name of the loss.
        facts: further rows for the table of the data, each a name and a text.
    """

    question: str
    num_train: int | None
    num_val: int | None
    loss: str = "mean squared error"
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Quality:
    """How well the answer rests on the data.

    Attributes:
        unshared: estimates of the entries when none are tied, in the shape of the parameter, or of all slots one after
            another (K,); None where the samples do not determine them.
        unshared_errors: their standard errors.
        value_errors: (G,) standard error of the value of each group, if its entries are equal; those of all slots one
            after another.
        r_squared: share of the variance of the validation samples' outputs that the map explains,
            ``1 − loss / variance``; of a map outputs count as in the fit, by the inverse of their noise variance. NaN
            where nothing is predicted.
        dependence: p-value of the test that no output depends on any input; NaN where there is none.
        loss_error: standard error of the validation loss less that without sharing; NaN where not known.
        notes: sentences on what makes the answer unsure.
    """

    unshared: np.ndarray | None = None
    unshared_errors: np.ndarray | None = None
    value_errors: np.ndarray | None = None
    r_squared: float = math.nan
    dependence: float = math.nan
    loss_error: float = math.nan
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Predictor:
    """What a prediction needs beside the effects of entries: ``E y = g⁻¹(b + effects + z γ)``.

    Attributes:
        family: gaussian, binomial or poisson, which has the link g.
        bias: b of an additive model; of a map b (O,) where its weights are averaged, which has another one else.
        numeric: names of the columns z.
        coefficients: γ (P,).
        unseen: (J,) for each factor the effect of a level that was never seen, the mean of a new value by the prior.
    """

    family: str = "gaussian"
    bias: float | np.ndarray = 0.0
    numeric: tuple[str, ...] = ()
    coefficients: np.ndarray = field(default_factory=lambda: np.empty(0))
    unseen: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def weights(self) -> dict[str, float]:
        """γ by the names of the columns."""
        return dict(zip(self.numeric, np.asarray(self.coefficients).tolist(), strict=True))


@dataclass(frozen=True)
class Refit:
    """The numbers of an answer: a pattern fitted on all samples.

    Attributes:
        values: by parameter name, the value of each group, (G,), or (G, …) for slices.
        validation_loss: of the pattern fitted on the training samples alone, on the validation samples.
        no_sharing_loss: the same without sharing; NaN where that was not fitted.
        bias: of a map, or None.
        model: a module refitted with the pattern, or None.
        complete: False where the search was cut off.
        settled: False where the loss was still falling at the end of the fit.
        quality: how well all this rests on the data, where the problem tells.
        facts: how the fit was made, further rows for the table of the data.
        predictor: of a factor or a generalised linear problem, what predictions need beside the values.
        centre: of a map with a bias the mean x̄ of the inputs, (I,) or for each output (O, I), where other weights are
            to predict the same: their bias is ``b + (W − W′) x̄``.
    """

    values: dict[str, np.ndarray]
    validation_loss: float
    no_sharing_loss: float
    bias: np.ndarray | None = None
    model: nn.Module | None = None
    complete: bool = True
    settled: bool = True
    quality: Quality = field(default_factory=Quality)
    facts: tuple[tuple[str, str], ...] = ()
    predictor: Predictor | None = None
    centre: np.ndarray | None = None


@runtime_checkable
class Problem(Protocol):
    """Data, and parameters of which some may be equal.

    A class that has these members is a problem; it need not inherit from this one. It may have an attribute
    ``Session``, a subclass of :class:`Session` that works on a batch of such problems.
    """

    @property
    def slots(self) -> Sequence[Slot]:
        """The parameters whose entries may be tied."""

    def estimate(self, on: str = "all") -> Estimate | None:
        """The estimate of the unshared entries; None where a pattern has to be trained to be judged.

        Args:
            on: ``all``: from all samples. ``train``: from the training samples alone, with a precision for noise of
                variance 1.
        """

    def evaluate(self, patterns: Sequence[Labels]) -> np.ndarray:
        """Loss of each pattern on the validation samples, fitted on the training samples alone."""

    def refit(self, pattern: Labels) -> Refit:
        """The pattern fitted on all samples."""

    def resampled(self, generator: np.random.Generator) -> Problem:
        """The same problem with new samples: a bootstrap or the like."""

    def about(self) -> About:
        """The data in words and numbers."""


@dataclass(frozen=True)
class Belief:
    """What the evidence says of an answer beside its partition.

    Attributes:
        spread: standard deviation τ of the entries of a group about its value; 0: they are equal.
        spread_interval: between these two numbers τ lies with probability .95.
        posterior_mean: in the shape of the parameter, or of all slots one after another (K,), each entry's mean given
            the data: shrunk to the value of its group by as much as τ says. Of several parameters with one partition an
            array of each, stacked.
        symmetry_log_odds: log odds of the symmetry of ``guess`` being one of the truth, over all candidates; NaN where
            no symmetry was looked for.
        guess: labels of the candidate whose symmetry is judged: the partition, one whose symmetry is the part of that
            of the partition that is sure, or the best one that has a symmetry; None where none was found.
        continuum_log_odds: log odds of all entries being spread about one value, against the best groups of equal ones.
        rival_log_odds: log odds of the symmetry of ``guess`` against patterns of shifts that lack it, a line in place
            of a ring say; NaN where no symmetry was found.
        predictor: what predictions with the posterior mean need beside it; None where that is nothing else than with
            the values.
        shift_log_odds: log odds of the shifts up to a boundary that the partition is a union of; NaN where it is none.
        symmetry_chance: probability of the symmetry of ``guess``, where the search tells it; None: the log odds do.
    """

    spread: float
    spread_interval: tuple[float, float]
    posterior_mean: np.ndarray
    symmetry_log_odds: float = math.nan
    guess: np.ndarray | None = None
    shift_log_odds: float = math.nan
    continuum_log_odds: float = math.nan
    rival_log_odds: float = math.nan
    predictor: Predictor | None = None
    symmetry_chance: float | None = None


@dataclass(frozen=True)
class Proposal:
    """Candidate patterns of one problem.

    Attributes:
        patterns: the candidates, each a tuple of labels, one array a slot; with a single slot the array alone will do.
        scores: one number a candidate, lower is better; None: the loss on the validation samples.
        as_good: which candidates are as good as the best; of these the one with the fewest groups is selected. None:
            those of the least score.
        history: columns of equal length that show how the candidates were found; None: one row a candidate, with its
            number of groups and its score.
        belief: what else the evidence says of the candidate that is selected; None where it was not asked.
        notes: sentences on what the search left out; the answer tells them.
        draws: (B, K) for each slot, groups of its entries drawn given the data, where the search does; the answer tells
            by them how probable each tie is.
    """

    patterns: Sequence[Labels | np.ndarray]
    scores: np.ndarray | None = None
    as_good: np.ndarray | None = field(default=None, kw_only=True)
    history: dict[str, np.ndarray] | None = field(default=None, kw_only=True)
    belief: Belief | None = field(default=None, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    draws: tuple[np.ndarray, ...] | None = field(default=None, kw_only=True)

    def checked(self, slots: Sequence[Slot], name: str) -> Proposal:
        """The proposal of a method from outside: labels numbered from 0 without holes, all lengths as they must be.

        Raises:
            TypeError, ValueError: they are not.
        """
        if not len(self.patterns):
            raise ValueError(f"method {name!r} must propose at least one pattern for each problem, got none")
        patterns = []
        for one in self.patterns:
            given = one if isinstance(one, tuple) else (one,)
            if len(given) != len(slots):
                raise ValueError(
                    f"a pattern of method {name!r} must have a label array for each of {len(slots)} slots, "
                    f"got {len(given)}"
                )
            own = partitions_of(slots, tuple(p.labels if isinstance(p, Partition) else p for p in given))
            patterns.append(tuple(own[slot.key].labels for slot in slots))
        for what, value in (("scores", self.scores), ("as_good", self.as_good)):
            if value is not None and np.shape(value) != (len(patterns),):
                raise ValueError(f"{what} of method {name!r} must be {len(patterns)}, got shape {np.shape(value)}")
        if not isinstance(self.notes, tuple) or not all(isinstance(one, str) for one in self.notes):
            raise TypeError(f"notes of method {name!r} must be a tuple of sentences, got {self.notes!r}")
        if self.as_good is not None and not np.any(self.as_good):
            raise ValueError(f"as_good of method {name!r} must mark at least one pattern")
        columns = {key: np.asarray(column) for key, column in (self.history or {}).items()}
        numbers = all(column.dtype.kind in "fiub" and column.ndim == 1 for column in columns.values())
        if not numbers or len({len(column) for column in columns.values()}) > 1:
            raise ValueError(f"history of method {name!r} must have columns of numbers of one length")
        return replace(self, patterns=patterns, history=columns or None)

    def labels(self, i: int) -> Labels:
        """The i-th candidate, a tuple."""
        one = self.patterns[i]
        return (one,) if isinstance(one, np.ndarray) else tuple(one)

    @property
    def best(self) -> int:
        """Position of the candidate that is selected: of those as good as the best, the one with the fewest groups.

        Among equally many groups the one with the least score, and among equal scores the first. A single candidate
        needs no score.
        """
        if len(self.patterns) == 1:
            return 0
        assert self.scores is not None
        scores = np.nan_to_num(np.asarray(self.scores, float), nan=np.inf)
        if not np.isfinite(scores).any():
            raise FloatingPointError(f"none of {len(scores)} candidates has a finite score")
        as_good = scores == scores.min() if self.as_good is None else self.as_good
        return min(np.flatnonzero(as_good).tolist(), key=lambda i: (self.num_groups(i), scores[i]))

    def num_groups(self, i: int) -> int:
        """Number of groups of the i-th candidate, of all slots together."""
        return sum(int(labels.max()) + 1 for labels in self.labels(i))


def partitions_of(slots: Sequence[Slot], pattern: Labels) -> dict[str, Partition]:
    """The partition of each parameter by name.

    Raises:
        ValueError: the pattern has not one array of labels for each slot, with a label for each entry.
    """
    found = [Partition(labels) for labels in pattern]
    sizes, given = [slot.num_entries for slot in slots], [len(one) for one in found]
    if sizes != given:
        raise ValueError(f"a pattern must have {sizes} labels, for each slot as many as entries, got {given}")
    return {
        name: Partition(one.labels.reshape(slot.shape_of(name)))
        for slot, one in zip(slots, found, strict=True)
        for name in slot.names
    }


@dataclass
class Session:
    """A batch of problems of one kind, and the run of a method on them. This class evaluates problem after problem.

    Attributes:
        problems: the batch.
        seed: of everything random.
        progress: called with the work done and the work in total.
        method: name of the method.
        options: of the method.
        is_trained: whether a pattern has to be trained to be evaluated.
        takes: names of the methods of this package that can take the problems; empty: all.
        interrupted: whether Ctrl-C ended the search; its best so far is then the answer.
    """

    problems: Sequence[Any]
    seed: int = 0
    progress: Progress = silent
    method: str = ""
    options: Any = None
    interrupted: bool = field(default=False, init=False)
    is_trained: ClassVar[bool] = False
    takes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Subclasses prepare here what they need."""

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: all but the progress, which is told here."""
        return {**self.__dict__, "progress": silent}

    @staticmethod
    def check(problems: Sequence[Any]) -> None:
        """ValueError where the problems cannot be solved as one batch."""
        shapes = {tuple(slot.shapes for slot in problem.slots) for problem in problems}
        if len(shapes) > 1:
            sizes = sorted({str(slot.shape_of(slot.key)) for problem in problems for slot in problem.slots})
            raise ValueError(f"problems of one list must have the same shape, got {', '.join(sizes)}")

    def fingerprint(self) -> str:
        """A digest of all that decides the course of the run: method, seed, options, and estimates of the problems."""
        digest = hashlib.sha256(repr((self.method, self.seed, self.options)).encode())
        for problem in self.problems:
            digest.update(repr(problem.about()).encode())
            try:
                estimate = problem.estimate()
            except ValueError:  # the samples do not determine the entries
                continue
            for values in () if estimate is None else (estimate.values, estimate.variance):
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def each(self, propose: Callable[[Any], Proposal]) -> list[Proposal]:
        """What a function proposes for each problem; the problems are shared out among ranks."""
        total = len(self.problems)

        def proposed(i: int) -> Proposal:
            proposal = propose(self.problems[i])
            self.progress(i + 1, total)
            return proposal

        return ranks.mapped(proposed, range(total), anywhere=not self.is_trained)

    def evaluate(self, patterns: Sequence[Sequence[Labels]]) -> list[np.ndarray]:
        """Validation losses of patterns, a list of them for each problem."""
        return ranks.mapped(lambda i: self.problems[i].evaluate(patterns[i]), range(len(self.problems)))

    def refit(self, patterns: Sequence[Labels]) -> list[Refit]:
        """The pattern selected for each problem, fitted on all of its samples."""
        return ranks.mapped(lambda i: self.problems[i].refit(patterns[i]), range(len(self.problems)))
