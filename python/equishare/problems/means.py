"""Which entries of a mean are equal?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equishare.arrays import column_names, sample_matrix
from equishare.problems.answers import About
from equishare.problems.base import Labels, Slot
from equishare.problems.least_squares import LeastSquares
from equishare.problems.moments import Rows
from equishare.problems.split import check_columns, halves, same_columns
from equishare.problems.streamed import Reader, Stream, named_columns
from equishare.problems.within import checked_within
from equishare.progress import Progress

# Patterns of up to so many entries are fitted all at once.
_FEW = 10


class MeanProblem(LeastSquares):
    """Which entries of the mean of a random vector are equal?

    The model is ``x ~ noise + θ`` with θ (K,) shared; noise may differ between entries.

    Args:
        train: (n, K) samples: an array, a tensor, or a table of pandas, polars or pyarrow, whose names go into the
            answer.
        val: (n_v, K) samples used to select. Without them a part of ``train``, drawn by ``seed``, is.
        within: (K,) integers; only entries of one number may be tied.
        seed: of the split.
        train_fraction: share of ``train`` that is used to fit where ``val`` is left out, in (0, 1).

    Raises:
        TypeError: not numbers.
        ValueError: wrong shape, no sample, NaN or infinite values, samples that are all equal.
    """

    def __init__(
        self, train: Any, val: Any = None, *, within: Any = None, seed: int = 0, train_fraction: float = 0.5
    ) -> None:
        names = column_names(train, "train")
        data = [sample_matrix(train, "train")]
        rows: tuple[np.ndarray | None, ...] = (None, None)
        if val is None:
            rows = halves(len(data[0]), seed, "train", train_fraction)
        else:
            same_columns(val, names, ("train", "val"))
            data.append(sample_matrix(val, "val"))
            check_columns(data[0], data[1], ("train", "val"))
        num_entries = data[0].shape[1]
        # Without copies: samples are made float64 when they are read. In float32 the rounded origin would shift means.
        low = np.minimum.reduce([one.min(0) for one in data])
        high = np.maximum.reduce([one.max(0) for one in data])
        # Equality of means does not depend on the origin; squares of large numbers would drown the differences.
        self.origin = float(low.mean(dtype=np.float64) / 2 + high.mean(dtype=np.float64) / 2)
        y = Rows((data[0], rows[0]), origin=self.origin), Rows((data[-1], rows[1]), origin=self.origin)
        if len(y[0]) + len(y[1]) < 3:
            raise ValueError(f"train and val must hold at least 3 samples together, got {len(y[0])} and {len(y[1])}")
        if (low == high).all():
            raise ValueError("train and val hold constant data: every sample is the same, so nothing tells the noise")
        self.within = checked_within(within, (num_entries,))
        ones = np.broadcast_to(1.0, (len(y[0]), 1)), np.broadcast_to(1.0, (len(y[1]), 1))
        super().__init__(Slot.of("mean", (num_entries,), "mean", (names,)), ones, y, bias=False)

    @classmethod
    def from_batches(
        cls,
        batches: Any,
        *,
        columns: Sequence[str] | None = None,
        within: Any = None,
        seed: int = 0,
        train_fraction: float = 0.5,
        progress: Progress | None = None,
    ) -> MeanProblem:
        """The problem of samples that come in blocks of rows: two passes over them, and none is kept.

        The answer is that of all rows at once, up to rounding, but for the validation losses: here each row is drawn by
        its number to fit or to validate, as nobody knows beforehand how many there are.

        Args:
            batches: blocks (n, K), see :func:`equishare.blocks.parts_of`: arrays on disk, of Dask or zarr, files and
                folders of Parquet, tables, or a function that returns an iterator of blocks.
            columns: names of those that are taken, of a table.
            within, seed, train_fraction: as of the class.
            progress: called with what is read and what there is to read, of both passes: parts, of text MiB.

        Raises:
            TypeError: no numbers; an iterator, which can be gone through once.
            ValueError: as of the class; blocks of other columns than the first.
        """
        reader = Reader(named_columns("columns", columns), None, is_map=False)
        stream = Stream(batches, reader, seed, train_fraction, progress)
        problem = cls.__new__(cls)
        problem.within = checked_within(within, (stream.widths[-1],))
        slot = Slot.of("mean", (stream.widths[-1],), "mean", stream.names)
        problem._begin_streamed(slot, stream, bias=False)
        return problem

    def evaluate(self, patterns: Sequence[Labels]) -> np.ndarray:
        """Mean squared error of each pattern on the validation samples, fitted on the training samples."""
        if self.num_entries > _FEW:
            return super().evaluate(patterns)
        # With few entries brute force asks for every pattern there is; they are fitted all at once.
        labels = np.stack([one.ravel() for (one,) in patterns])
        train, val = (m.sxy[:, 0] / m.count for m in (self.train, self.val))
        theta = tied_means(labels, train[:, None])[:, :, 0]
        return ((theta - val) ** 2).mean(1) + (self.val.syy / self.val.count - val**2).mean()

    def about(self) -> About:
        """The data in words and numbers, for the report."""
        return about_means(self.num_entries, self.num_train, self.num_val)


def about_means(num_entries: int, num_train: int | None, num_val: int | None) -> About:
    """What a report tells of the data of means."""
    noun = "mean" if num_entries == 1 else "means"
    return About(f"which of {num_entries} {noun} are equal", num_train, num_val)


def tied_means(labels: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Fit many partitions to many means at once: a group's value is the mean of its entries.

    Args:
        labels: (P, K) one partition a row, groups numbered within 0 … K − 1.
        means: (K, n) one set of means a column.

    Returns:
        (P, K, n) fitted means.
    """
    one_hot = (labels[:, :, None] == np.arange(labels.shape[1])).astype(np.float64)
    sizes = np.maximum(one_hot.sum(1), 1)
    return one_hot @ (one_hot.transpose(0, 2, 1) @ means / sizes[:, :, None])
