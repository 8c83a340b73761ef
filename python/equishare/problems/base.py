"""What a problem is to the methods, and the batch of problems that a method works on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from equishare import ranks
from equishare.partition import Partition
from equishare.problems.answers import About, Belief, Refit
from equishare.progress import Progress, silent

__all__ = [
    "Estimate",
    "Labels",
    "Problem",
    "Proposal",
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
        draws: (B, K) for each slot, groups of levels drawn given the data, where the search of factors does; the answer
            tells by them how probable each tie is. Of a method from outside they do not count.
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
        return replace(self, patterns=patterns, history=columns or None, draws=None)

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
