"""The moments of samples that come in blocks of rows: two passes, and nothing of the samples is kept.

The first pass sums up second moments of those rows that fit and of those that validate, the second the residuals of the
unshared fit (:mod:`equishare.problems.noise`). Rows of a part are taken so many at a time, whatever the blocks are in
which they come; their moments are joined in pairs (Chan, Golub and LeVeque 1979), so that rounding grows with the
logarithm of how many there are.

Which side a row falls on is told by its number and the seed alone: a hash of both is compared with the share of the
rows that fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from equishare import cluster, ranks
from equishare.arrays import Names, column_names, sample_matrix
from equishare.blocks import Part, parts_of
from equishare.problems.moments import Moments, folded, rows_at_a_time
from equishare.problems.noise import Residuals, Unshared
from equishare.problems.split import check_order, check_rows, check_split, check_varies, same_columns
from equishare.progress import Progress, silent

T = TypeVar("T")

# Rows of which the first few tell whether a column varies.
_SOME = 64

# Constants of the generator SplitMix64 (Steele, Lea and Flood 2014).
_STEP, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def fits(seed: int, start: int, count: int, train_fraction: float) -> np.ndarray:
    """(n,) whether the rows ``start``, ``start`` + 1, … are used to fit; the others validate."""
    rows = np.arange(start, start + count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = (np.uint64(seed) * _FIRST + rows + np.uint64(1)) * _STEP
        x = (x ^ (x >> np.uint64(30))) * _FIRST
        x = (x ^ (x >> np.uint64(27))) * _SECOND
    return np.asarray((x ^ (x >> np.uint64(31))) >> np.uint64(11)) < train_fraction * 2.0**53


@dataclass(frozen=True)
class Reader:
    """How a block is read.

    Attributes:
        inputs: names of the columns of a table that are x; None for all that are not y.
        outputs: names of those that are y; None where blocks are pairs (x, y), or have no y.
        is_map: whether there is a y.
    """

    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...] | None
    is_map: bool

    def tables(self, block: Any) -> tuple[Any, ...]:
        """(x, y), or (x,)."""
        if not self.is_map:
            return (block if self.inputs is None else _columns(block, self.inputs),)
        if self.outputs is None:
            if not isinstance(block, tuple | list) or len(block) != 2:
                raise TypeError(
                    f"a block must be a pair (x, y), got {type(block).__name__}: of tables outputs=[names of columns] "
                    "tells which are y"
                )
            return tuple(block)
        names = column_names(block, "a block")
        if not names:
            raise TypeError(f"a block must be a table, as outputs are told by name, got {type(block).__name__}")
        inputs = tuple(one for one in names if one not in self.outputs) if self.inputs is None else self.inputs
        return _columns(block, inputs), _columns(block, self.outputs)

    def arrays(self, start: int, blocks: Iterable[Any], names: tuple[Names, ...]) -> Iterator[tuple[np.ndarray, ...]]:
        """Pairs of matrices, each finite, with the columns that the first block has."""
        sides = ("x", "y") if self.is_map else ("samples",)
        for number, block in enumerate(blocks):
            try:
                tables = self.tables(block)
                if _is_empty(tables[0]):
                    continue
                found = tuple(sample_matrix(*one, one_column=one[1] == "y") for one in zip(tables, sides, strict=True))
                check_rows((found[0], found[-1]), ("x", "y"))
                if len(tables) == 2:
                    check_order(*tables)
                for table, own, side in zip(tables, names, sides, strict=False):
                    same_columns(table, own, (side, f"{side} of a later block"))
            except (TypeError, ValueError) as error:
                raise type(error)(f"block {number} of the rows from {start} on: {error}") from None
            yield found


def _is_empty(table: Any) -> bool:
    """Whether a block has no rows, as when all of them were filtered out."""
    one = next(iter(table.values()), ()) if isinstance(table, Mapping) else table
    shape = getattr(one, "shape", None)
    return (shape[0] if shape else len(one)) == 0


def named_columns(name: str, given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of columns that were given; None where none were.

    Raises:
        TypeError: a string, whose letters are no columns.
    """
    if isinstance(given, str):
        raise TypeError(f"{name} must be a list of names of columns, got the string {given!r}: write [{given!r}]")
    return None if given is None else tuple(given)


def _columns(table: Any, names: Sequence[str]) -> Any:
    own = column_names(table, "a block")
    missing = [one for one in names if one not in own]
    if missing:
        have = ", ".join(map(str, own[:5])) or "no names"
        raise ValueError(f"a block must have the columns {', '.join(missing[:5])}, got {have}")
    if isinstance(table, Mapping):
        return {one: table[one] for one in names}
    return table.select(list(names)) if hasattr(table, "column_names") else table[list(names)]


def _aligned(pairs: Iterator[tuple[np.ndarray, ...]]) -> Iterator[tuple[np.ndarray, ...]]:
    """The same rows, always so many at a time but for the last, in float64."""
    held: list[tuple[np.ndarray, ...]] = []
    count, size, widths = 0, 0, None
    for pair in pairs:
        own = tuple(one.shape[1] for one in pair)
        if widths is not None and own != widths:
            raise ValueError(f"every block must have as many columns as the first, {widths}, got {own}")
        widths, size = own, rows_at_a_time(sum(own), own[0])
        start = 0
        while count + len(pair[0]) - start >= size:
            stop = start + size - count
            yield _joined([*held, tuple(one[start:stop] for one in pair)])
            held, count, start = [], 0, stop
        if start < len(pair[0]):
            held.append(tuple(one[start:] for one in pair))
            count += len(pair[0]) - start
    if held:
        yield _joined(held)


def _joined(pairs: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    if len(pairs) == 1:
        return tuple(one.astype(np.float64, copy=False) for one in pairs[0])
    return tuple(np.concatenate(side).astype(np.float64, copy=False) for side in zip(*pairs, strict=True))


@dataclass(frozen=True, eq=False)
class Totals:
    """What the first pass finds.

    Attributes:
        train, val: moments; None where no row is on that side.
        low, high: of each column, of x and then of y, two numbers that differ where one column of x, or of y, varies:
            the least and the greatest where none does.
    """

    train: Moments | None
    val: Moments | None
    low: np.ndarray
    high: np.ndarray

    def joined_with(self, other: Totals) -> Totals:
        """Of the rows of both."""
        sides = [(self.train, other.train), (self.val, other.val)]
        train, val = (a.pooled_with(b) if a is not None and b is not None else a or b for a, b in sides)
        return Totals(train, val, np.minimum(self.low, other.low), np.maximum(self.high, other.high))


class Stream:
    """Samples of y (n, O) and x (n, I), or of y alone, in blocks of rows.

    Args:
        batches: see :func:`equishare.blocks.parts_of`.
        reader: of the blocks.
        seed: of the split.
        train_fraction: share of the rows that fit, about.
        progress: called with what is read and what there is to read, of both passes: parts, of text MiB.

    Attributes:
        names: of the columns of x and y, or of the samples.
        widths: numbers of these columns.
        origin: what is subtracted from y.
    """

    def __init__(
        self, batches: Any, reader: Reader, seed: int, train_fraction: float, progress: Progress | None = None
    ) -> None:
        check_split(seed, train_fraction)
        self.parts = parts_of(batches, None if reader.inputs is None else (*reader.inputs, *(reader.outputs or ())))
        self.reader, self.seed, self.train_fraction = reader, int(seed), train_fraction
        self.progress = progress or silent
        tables = reader.tables(self._first())
        self.names = tuple(column_names(one, "a block") for one in tables)
        first = [sample_matrix(one, "the first block", one_column=reader.is_map) for one in tables]
        self.widths, y = tuple(one.shape[1] for one in first), first[-1]
        # Equality of means does not depend on the origin; squares of large numbers would drown the differences.
        some = y[: rows_at_a_time(y.shape[1])]
        low, high = some.min(0).mean(dtype=float), some.max(0).mean(dtype=float)
        self.origin = 0.0 if reader.is_map else float(low / 2 + high / 2)

    def _first(self) -> Any:
        for part in self.parts:
            for block in part.read() if part.task is None else [_computed(part.task)]:
                if not _is_empty(self.reader.tables(block)[0]):
                    return block
        raise ValueError("batches must hold at least one block of rows, got none")

    def totals(self, centred: bool) -> Totals:
        """The first pass.

        Raises:
            ValueError: a block that does not fit the first, or holds no finite numbers.
        """

        def of(start: int, pairs: Iterator[tuple[np.ndarray, ...]]) -> Iterator[Totals]:
            for x, y in pairs:
                is_fit = fits(seed, start, len(y), share)
                train, val = (Moments.of(x[own], y[own], centred) if own.any() else None for own in (is_fit, ~is_fit))
                ranges = [_range_of(one) for one in (x, y)]
                start += len(y)
                yield Totals(train, val, *(np.concatenate(own) for own in zip(*ranges, strict=True)))

        seed, share = self.seed, self.train_fraction
        return self._folded(of, Totals.joined_with, 0)

    def check_varies(self, totals: Totals, bias: bool) -> None:
        """ValueError where inputs, or outputs, are constant."""
        if not self.reader.is_map:
            return check_varies("batches", totals.low[1:], totals.high[1:], True)
        inputs = self.widths[0]
        for name, own in (("x", slice(None, inputs)), ("y", slice(inputs, None))):
            check_varies(name, totals.low[own], totals.high[own], bias)

    def residuals(self, fit: Unshared) -> Residuals:
        """The second pass: sums over the residuals of a fit."""

        def of(start: int, pairs: Iterator[tuple[np.ndarray, ...]]) -> Iterator[Residuals]:
            return (fit.sums(x, y) for x, y in pairs)

        found = self._folded(of, Residuals.joined_with, 1)
        if found.count != fit.count:
            raise ValueError(
                f"batches must give the same rows whenever they are gone through, got {fit.count} rows and then "
                f"{found.count}: give a function that opens its source anew in each call"
            )
        return found

    def _folded(
        self, of: Callable[[int, Iterator[tuple[np.ndarray, ...]]], Iterator[T]], join: Callable[[T, T], T], number: int
    ) -> T:
        """What a function finds in the rows of all parts, joined: where they lie, by the ranks, or here."""
        read = partial(_pairs, self.reader, self.names, self.origin)

        def found(start: int, blocks: Iterable[Any]) -> T | None:
            each = of(start, read(start, blocks))
            first = next(each, None)
            return None if first is None else folded(chain([first], each), join)

        def either(a: T | None, b: T | None) -> T | None:
            return join(a, b) if a is not None and b is not None else a or b

        parts = self.parts
        result: T | None
        if any(part.task is not None for part in parts):
            result = cluster.folded(_of_task(found), either, [_members(part) for part in parts])
        elif cluster.client() is not None and not ranks.is_shared_out():
            result = cluster.folded(_of_part(found), either, [(part,) for part in parts])
        elif ranks.count() > 1:
            result = folded(ranks.mapped(_of_part(found), parts), either)
        else:
            result = folded(self._watched(found, number), either)
        if result is None:
            raise ValueError(
                "batches must hold rows whenever they are gone through, got none: give a function that opens its "
                "source anew in each call"
            )
        return result

    def _watched(self, found: Callable[[int, Iterable[Any]], T], number: int) -> Iterator[T]:
        size = sum(part.size for part in self.parts)
        done = number * size
        for part in self.parts:
            watch = partial(lambda before, read: self.progress(before + read, 2 * size), done)
            yield found(part.start, part.read(watch) if part.size > 1 else part.read())
            done += part.size
            self.progress(done, 2 * size)


def _range_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of each column, of some rows where these show that a column varies."""
    some = rows[:_SOME]
    low, high = some.min(0), some.max(0)
    return (low, high) if (low != high).any() else (rows.min(0), rows.max(0))


def _computed(task: Any) -> Any:
    import dask

    return dask.compute(task)[0]


def _members(part: Part) -> tuple[Any, ...]:
    """The number of the first row, and what Dask computes: an array, a table, or two arrays."""
    return (part.start, *part.task) if isinstance(part.task, tuple) else (part.start, part.task)


def _of_task(found: Callable[[int, Iterable[Any]], T]) -> Callable[..., T]:
    return lambda start, *block: found(start, [block[0] if len(block) == 1 else block])


def _of_part(found: Callable[[int, Iterable[Any]], T]) -> Callable[[Part], T]:
    return lambda part: found(part.start, part.read())


def _pairs(
    reader: Reader, names: tuple[Names, ...], origin: float, start: int, blocks: Iterable[Any]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows of blocks as (x, y) in float64, so many at a time; x is 1 for means."""
    for pair in _aligned(reader.arrays(start, blocks, names)):
        x, y = pair if reader.is_map else (np.broadcast_to(1.0, (len(pair[0]), 1)), pair[0])
        yield x, y - origin if origin else y
