"""Which weights of a linear map are equal?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from equishare.arrays import column_names, sample_matrix
from equishare.checks import flag
from equishare.problems.answers import About
from equishare.problems.base import Slot
from equishare.problems.least_squares import LeastSquares
from equishare.problems.moments import Rows
from equishare.problems.split import check_map_call, check_order, check_rows, check_validation, check_varies, halves
from equishare.problems.streamed import Reader, Stream, named_columns
from equishare.problems.within import checked_within
from equishare.progress import Progress

# Fewer samples may hold few values by chance.
_FEW_SAMPLES = 10
# Classes and counts are 0 or 1 and what follows, up to so many.
_MOST_CLASSES = 10


class LinearProblem(LeastSquares):
    """Which weights of a linear map are equal?

    The model is ``y = W x + b`` with W (O, I) shared and b free.

    Args:
        x: (n, I) inputs: an array, a tensor, or a table of pandas, polars or pyarrow, whose names go into the answer.
        y: (n, O) outputs, or (n,) for one, likewise.
        x_val: (n_v, I) inputs used to select. Without them a part of the samples, drawn by ``seed``, is.
        y_val: (n_v, O) outputs used to select.
        bias: whether to fit b.
        within: (O, I) integers; only weights of one number may be tied. (I,) for one output.
        seed: of the split.
        train_fraction: share of the samples that is used to fit where ``x_val`` is left out, in (0, 1).

    Raises:
        TypeError: not numbers, arrays for validation without their names, or a bias that is neither True nor False.
        ValueError: shapes that do not fit, no sample, NaN or infinite values, constant inputs or outputs.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *others: NoReturn,
        x_val: Any = None,
        y_val: Any = None,
        bias: bool = True,
        within: Any = None,
        seed: int = 0,
        train_fraction: float = 0.5,
    ) -> None:
        check_map_call("LinearProblem", others, bias, x_val, y_val)
        names = column_names(y, "y"), column_names(x, "x")
        data = sample_matrix(x, "x"), sample_matrix(y, "y", one_column=True)
        check_rows(data, ("x", "y"))
        check_order(x, y)
        rows: tuple[np.ndarray | None, ...] = (None, None)
        if x_val is None:
            rows = halves(len(data[0]), seed, "x and y", train_fraction)
            more = data
        else:
            more = sample_matrix(x_val, "x_val"), sample_matrix(y_val, "y_val", one_column=True)
            check_validation((x_val, y_val), more, names[::-1], data)
        for a, b, name in zip(data, more, ("x", "y"), strict=True):
            check_varies(name, np.minimum(a.min(0), b.min(0)), np.maximum(a.max(0), b.max(0)), bias)
        slot = Slot.of("weight", (data[1].shape[1], data[0].shape[1]), "weight", names)
        self.within = checked_within(within, slot.shapes[0])
        # Samples are made float64 when they are read, without copies.
        splits = [
            [Rows((one, own)) for one, own in zip(pair, rows, strict=True)] for pair in zip(data, more, strict=True)
        ]
        super().__init__(slot, tuple(splits[0]), tuple(splits[1]), bool(bias))
        self.notes = _of_few_values(data[1])

    @classmethod
    def from_batches(
        cls,
        batches: Any,
        *,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        bias: bool = True,
        within: Any = None,
        seed: int = 0,
        train_fraction: float = 0.5,
        progress: Progress | None = None,
    ) -> LinearProblem:
        """The problem of samples that come in blocks of rows: two passes over them, and none is kept.

        The answer is that of all rows at once, up to rounding, but for the validation losses: here each row is drawn by
        its number to fit or to validate, as nobody knows beforehand how many there are. It has no caution where the
        outputs hold few values, as classes do.

        Args:
            batches: blocks (x, y), or a pair of arrays on disk, of Dask or zarr; or with ``outputs`` tables, files and
                folders of Parquet, see :func:`equishare.blocks.parts_of`.
            inputs: of a table, names of the columns that are x; None for all that are not y.
            outputs: of a table, names of the columns that are y.
            bias, within, seed, train_fraction: as of the class.
            progress: called with what is read and what there is to read, of both passes: parts, of text MiB.

        Raises:
            TypeError: no numbers; an iterator, which can be gone through once; blocks that are no pairs, without
                ``outputs``.
            ValueError: as of the class; blocks of other columns than the first.
        """
        flag("bias", bias)
        x, y = named_columns("inputs", inputs), named_columns("outputs", outputs)
        if x is not None and y is None:
            raise ValueError("inputs must come with outputs, which tell the columns of a table that are y")
        stream = Stream(batches, Reader(x, y, is_map=True), seed, train_fraction, progress)
        problem = cls.__new__(cls)
        slot = Slot.of("weight", stream.widths[::-1], "weight", stream.names[::-1])
        problem.within = checked_within(within, slot.shapes[0])
        problem._begin_streamed(slot, stream, bool(bias))
        return problem

    def about(self) -> About:
        """The data in words and numbers, for the report."""
        return about_map(self.shape, self.has_bias, self.num_train, self.num_val)


def _of_few_values(outputs: np.ndarray) -> tuple[str, ...]:
    """What to say where all outputs hold two values each, or 0 to few: rather classes or counts than measurements."""
    if len(outputs) < _FEW_SAMPLES:
        return ()
    lowest, highest = outputs.min(0) + 0.0, outputs.max(0) + 0.0  # no minus before a zero

    def are_two(rows: np.ndarray) -> bool:
        return bool(((rows == lowest) | (rows == highest)).all())

    def are_classes(rows: np.ndarray) -> bool:
        return bool((np.round(rows) == rows).all() and lowest.min() in (0, 1) and highest.max() <= _MOST_CLASSES)

    first = outputs[:100]  # which decides for most data
    if are_two(first) and are_two(outputs):
        which = f", {lowest[0]:g} and {highest[0]:g}," if len({*lowest}) == len({*highest}) == 1 else " each"
        return (
            f"The outputs hold two values only{which} as classes do: their probability is told by "
            f"GeneralizedLinearProblem(x, y == {highest[0]:g}, family='binomial'), on the command line by "
            "--outcome.",
        )
    if are_classes(first) and are_classes(outputs):
        return (
            f"The outputs hold the whole numbers {lowest.min():g} to {highest.max():g} only, as classes and counts do, "
            "and were taken as measurements. Of classes the probability of each is told by "
            f"GeneralizedLinearProblem(x, y == {highest.max():g}, family='binomial') and the like, of counts the mean "
            "by family='poisson', on the command line by --outcome with --family poisson.",
        )
    return ()


def about_map(shape: tuple[int, ...], has_bias: bool, num_train: int | None, num_val: int | None) -> About:
    """What a report tells of the data of a map (O, I)."""
    outputs, inputs = shape
    sizes = (f"{inputs} input{'s' * (inputs > 1)}", f"{outputs} output{'s' * (outputs > 1)}")
    question = f"which weights of y = W x{' + b' if has_bias else ''} are shared"
    return About(question, num_train, num_val, facts=(("map", " → ".join(sizes)),))
