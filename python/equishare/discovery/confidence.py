"""How sure a partition is: how often its ties are found again on resamples, as calibrated probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equishare.discovery.calibration import LINEAR, Curves, log_odds, probability
from equishare.partition import Partition

# `frequencies` and `ties` hold the square of the number of entries.
MAX_ENTRIES = 4096
# Pairs compared at a time, over all resamples.
_PAIRS = 1 << 24


@dataclass(frozen=True, eq=False)
class Confidence:
    """How often two entries are tied on resamples of the data, and how probable that makes the tie.

    The method that found the partition is run on B resamples (:func:`equishare.discovery.resample.resampled`, for
    models :mod:`equishare.discovery.models.resample`). With n of them tying two entries, the *frequency* is n/B. The
    *probability* that the two truly hold one value rises with n along a curve that was fitted for ``auto`` on simulated
    problems (:mod:`equishare.discovery.calibration`); for models with how much more often than others the two are tied.

    Attributes:
        partition: what was found on the data themselves.
        labels: (B, K) groups found on each resample, entries in C order.
        curves: from frequencies to probabilities.

    Raises:
        ValueError: labels of another shape.
    """

    partition: Partition
    labels: np.ndarray
    curves: Curves = LINEAR

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or not len(self.labels) or self.labels.shape[1] != len(self.partition):
            raise ValueError(
                f"labels must have shape (resamples, {len(self.partition)}) for this partition, got {self.labels.shape}"
            )

    @property
    def num_resamples(self) -> int:
        """B."""
        return len(self.labels)

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
        result = np.where(found[:, None] == found, self._chances(True)[counts], self._chances(False)[counts])
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
        return float(self._chances(bool(found[a] == found[b]))[count])

    @cached_property
    def log_odds(self) -> np.ndarray:
        """(B + 1,) what the curves are functions of, for a tie that 0, 1, …, B resamples find.

        log (n + ½)/(B − n + ½), for models less the same of the mean of n over all pairs.
        """
        result = log_odds(np.arange(self.num_resamples + 1), self.num_resamples)
        pairs = len(self.partition) * (len(self.partition) - 1)
        if not self.curves.over_chance or not pairs:
            return result
        sizes = [np.unique(row, return_counts=True)[1] for row in self.labels]
        found = sum(int((size * (size - 1)).sum()) for size in sizes)
        return result - log_odds(np.array(found / pairs), self.num_resamples)

    @cached_property
    def entries(self) -> np.ndarray:
        """How sure each entry belongs to its group: the mean probability of its ties, NaN where it has none.

        In the shape of the parameter. Time O(B Σ m²) for groups of m entries, as for what follows.
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
        """How many ties of the partition are at least so probable, and how many ties it has in all.

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
        for members in np.split(order, np.cumsum(self.partition.group_sizes)[:-1]):
            if len(members) < 2:
                continue
            step = max(1, _PAIRS // (len(members) * self.num_resamples))
            for start in range(0, len(members), step):
                rows = np.arange(start, min(start + step, len(members)))
                chances = self._chances(True)[self._tied(members[rows], members)]
                chances[np.arange(len(rows)), rows] = 1.0
                yield members, rows, chances

    def _chances(self, tied: bool) -> np.ndarray:
        """(B + 1,) probability of a tie that 0, 1, …, B resamples find."""
        return probability(self.log_odds, self.curves.tied if tied else self.curves.apart)

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
