"""How sure a partition is: how often its ties are found again on resamples, as calibrated probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equishare.notebook import shown
from equishare.partition import Partition
from equishare.result.calibration import CLOSED_FORM, Curves, evidence, far, log_odds, probability
from equishare.result.verdict import percent

# `frequencies` and `ties` hold the square of the number of entries.
MAX_ENTRIES = 4096
# Pairs compared at a time, over all resamples.
_PAIRS = 1 << 24
# Groups that a notebook lists.
_MAX_GROUPS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Confidence:
    """How often two entries are tied on resamples of the data, and how probable that makes the tie.

    The method that found the partition is run on B resamples of the problem. If n of them tie two entries, the
    *frequency* of the tie is n/B. The *probability* that the two truly hold one value rises with n, along a curve that
    was fitted for ``auto`` on simulated problems (:mod:`equishare.result.calibration`). For a tie of the partition it
    also depends on the size of its group and on the frequencies in it. For networks it depends on how much more often
    the two are tied than others. Levels of factors need no resamples: their patterns are drawn given the data.

    Attributes:
        partition: what was found on the data themselves.
        labels: (B, K) groups found on each resample, or drawn given the data; entries in C order.
        gaps: (G,) distance from the value of each group to the nearest other value, in standard errors of an entry of
            the group; 0 where there is no other. None where it cannot be computed; the curves of networks do without.
        curves: turn frequencies into probabilities.

    Raises:
        ValueError: labels or gaps of another shape.
    """

    partition: Partition
    labels: np.ndarray
    gaps: np.ndarray | None = None
    curves: Curves = CLOSED_FORM

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or not len(self.labels) or self.labels.shape[1] != len(self.partition):
            raise ValueError(
                f"labels must have shape (resamples, {len(self.partition)}) for this partition, got {self.labels.shape}"
            )
        if self.gaps is not None and self.gaps.shape != (self.partition.num_groups,):
            raise ValueError(f"gaps must have shape ({self.partition.num_groups},), got {self.gaps.shape}")

    def __repr__(self) -> str:
        count, groups = len(self.partition), self.partition.num_groups
        words = f"{count} entr{'ies' if count > 1 else 'y'} in {groups} group{'s' * (groups > 1)}"
        words += f", {self.counted}"
        if len(self.partition) <= MAX_ENTRIES:
            words += ", {} of {} ties at least 95 % probable".format(*self.sure_ties())
        return f"Confidence({words})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the line, and how sure each group is."""
        sizes, sure = self.partition.group_sizes.tolist(), self.groups.tolist()
        rows = [
            (f"group {g}", f"{size} entries, tied with probability {percent(p)}")
            for g, (size, p) in enumerate(zip(sizes, sure, strict=True))
            if size > 1
        ]
        more = [("…", f"{len(rows) - _MAX_GROUPS} groups more")] if len(rows) > _MAX_GROUPS else []
        return shown(repr(self), [*rows[:_MAX_GROUPS], *more])

    @property
    def num_resamples(self) -> int:
        """B."""
        return len(self.labels)

    @property
    def counted(self) -> str:
        """``20 resamples``; ``160 draws`` where the patterns were drawn given the data."""
        return f"{self.num_resamples} {'draw' if self.curves.of_draws else 'resample'}{'s' * (self.num_resamples > 1)}"

    @property
    def frequencies(self) -> np.ndarray:
        """(K, K) share of the resamples that tie two entries.

        Raises:
            ValueError: more than 4096 entries.
        """
        return self._counts() / self.num_resamples

    @property
    def ties(self) -> np.ndarray:
        """(K, K) probability that two entries are tied, 1 on the diagonal.

        Raises:
            ValueError: more than 4096 entries.
        """
        found, counts = self.partition.labels.ravel(), self._counts()
        inside = self._chances[found[:, None], counts]
        result = np.where(found[:, None] == found, inside, self._chances_apart[counts])
        np.fill_diagonal(result, 1.0)
        return result

    def tie(self, k: int | tuple[int, ...], l: int | tuple[int, ...]) -> float:  # noqa: E741
        """Probability that the entries k and l are tied; each an index, or a tuple (output, input) for a map.

        Raises:
            TypeError: an index that is no integer or tuple of integers.
            IndexError: an index that the parameter does not have.
        """
        a, b = self._flat(k, "k"), self._flat(l, "l")
        if a == b:
            return 1.0
        found = self.partition.labels.ravel()
        count = np.count_nonzero(self.labels[:, a] == self.labels[:, b])
        return float(self._chances[found[a], count] if found[a] == found[b] else self._chances_apart[count])

    @cached_property
    def entries(self) -> np.ndarray:
        """How sure each entry belongs to its group: the mean probability of its ties, NaN where it has none.

        In the shape of the parameter. Takes time O(B Σ m²) for groups of m entries.
        """
        result = np.full(len(self.partition), np.nan)
        for members, rows, chances in self._blocks():
            result[members[rows]] = (chances.sum(1) - 1) / (len(members) - 1)
        return result.reshape(self.partition.shape)

    @cached_property
    def groups(self) -> np.ndarray:
        """(G,) stability of each group: the mean probability of its ties, NaN for a group of one."""
        flat, sizes = self.partition.labels.ravel(), self.partition.group_sizes
        total = np.bincount(flat, np.nan_to_num(self.entries.ravel()), self.partition.num_groups)
        return np.where(sizes > 1, total / sizes, np.nan)

    def sure_ties(self, level: float = 0.95) -> tuple[int, int]:
        """How many ties of the partition have at least this probability, and how many ties it has in all.

        Raises:
            ValueError: level is not in (0, 1].
        """
        if not 0 < level <= 1:
            raise ValueError(f"level must lie in (0, 1], got {level}")
        twice = sum(int((chances >= level).sum()) - len(rows) for _, rows, chances in self._blocks())
        sizes = self.partition.group_sizes
        return twice // 2, int((sizes * (sizes - 1) // 2).sum())

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Members (m,) of a group, some positions among them, and the probabilities (n, m) of their ties."""
        order = np.argsort(self.partition.labels, axis=None, kind="stable")
        for group, members in enumerate(np.split(order, np.cumsum(self.partition.group_sizes)[:-1])):
            if len(members) < 2:
                continue
            step = max(1, _PAIRS // (len(members) * self.num_resamples))
            for start in range(0, len(members), step):
                rows = np.arange(start, min(start + step, len(members)))
                chances = self._chances[group, self._tied(members[rows], members)]
                chances[np.arange(len(rows)), rows] = 1.0
                yield members, rows, chances

    @cached_property
    def mean_counts(self) -> np.ndarray:
        """(G,) how many resamples tie two entries of each group, averaged over its pairs; B for a group of one."""
        flat, sizes = self.partition.labels.ravel(), self.partition.group_sizes
        total = np.zeros(len(sizes))
        for labels in self.labels:
            count = int(labels.max()) + 1
            both, number = np.unique(flat * count + labels, return_counts=True)
            np.add.at(total, both // count, number * (number - 1) / 2)
        pairs = sizes * (sizes - 1) / 2
        return np.divide(total, pairs, out=np.full(len(pairs), float(self.num_resamples)), where=pairs > 0)

    @property
    def evidence(self) -> np.ndarray:
        """(G, B + 1, d) the d arguments of the curve for ties, in each group, where 0, 1, …, B resamples find the tie.

        See :func:`equishare.result.calibration.evidence`; for networks there is one argument, that of pairs apart, and
        for draws the first and the last. With more resamples than the curves were fitted with, a tie that all find
        counts as if so many as those found it.
        """
        counts, sizes = np.arange(self.num_resamples + 1), self.partition.group_sizes[:, None]
        most = log_odds(np.array(self.curves.num_resamples), self.curves.num_resamples)
        x = np.minimum(log_odds(counts, self.num_resamples), most)
        if self.curves.over_chance:
            return np.broadcast_to((x - self._chance)[:, None], (len(sizes), len(counts), 1))
        gaps = np.zeros((len(sizes), 1)) if self.gaps is None else self.gaps[:, None]
        if self.curves.of_draws:
            return np.stack(np.broadcast_arrays(x, far(gaps)), axis=-1)
        x_group = log_odds(self.mean_counts, self.num_resamples)[:, None]
        return evidence(x, x_group, sizes, len(self.partition), len(sizes), gaps)

    @property
    def evidence_apart(self) -> np.ndarray:
        """(B + 1, 1) the argument of the curve for pairs that the partition takes apart: log (n + ½)/(B − n + ½).

        For networks the same number for the mean of n over all pairs is subtracted.
        """
        odds = log_odds(np.arange(self.num_resamples + 1), self.num_resamples)
        return odds[:, None] - (self._chance if self.curves.over_chance else 0.0)

    @cached_property
    def _chance(self) -> float:
        """Log odds that a pair of entries is tied, for the mean count over all pairs."""
        pairs = len(self.partition) * (len(self.partition) - 1)
        sizes = [np.unique(row, return_counts=True)[1] for row in self.labels]
        found = sum(int((size * (size - 1)).sum()) for size in sizes)
        return float(log_odds(np.array(found / max(pairs, 1)), self.num_resamples))

    @cached_property
    def _chances(self) -> np.ndarray:
        """(G, B + 1) probability of a tie in each group that 0, 1, …, B resamples find."""
        return probability(self.evidence, self.curves.tied)

    @cached_property
    def _chances_apart(self) -> np.ndarray:
        """(B + 1,) the same between groups."""
        return probability(self.evidence_apart, self.curves.apart)

    def _tied(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((self.labels[:, a, None] == self.labels[:, None, b]).sum(0))

    def _counts(self) -> np.ndarray:
        size = len(self.partition)
        if size > MAX_ENTRIES:
            raise ValueError(
                f"ties between all pairs are given for up to {MAX_ENTRIES} entries, not {size}: use tie(k, l)"
            )
        every = np.arange(size)
        step = max(1, _PAIRS // (size * self.num_resamples))
        return np.concatenate([self._tied(every[i : i + step], every) for i in range(0, size, step)])

    def _flat(self, index: int | tuple[int, ...], name: str) -> int:
        shape = self.partition.shape
        given = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in given):
            raise TypeError(f"{name} must be an integer or a tuple of integers, got {index!r}")
        if len(given) != len(shape) or any(not -n <= i < n for i, n in zip(given, shape, strict=True)):
            raise IndexError(f"{name} must index an entry of a parameter of shape {shape}, got {index!r}")
        return int(np.ravel_multi_index(tuple(int(i) % n for i, n in zip(given, shape, strict=True)), shape))
