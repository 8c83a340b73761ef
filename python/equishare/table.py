"""A table as a file holds it: its columns, its numbers in one block, and where in the file a cell is no number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from equishare.columns import ignoring, listed
from equishare.files import BadFile
from equishare.naming import is_number, printable

# Numbers that are looked at a time.
_PART = 1 << 20
# What stands for a number that is missing.
_GAPS = frozenset(("", "na", "n/a", "n.a.", "<na>", "null", "none", "missing", "-", "--", ".", "?", "#n/a"))
#: Rows that tell whether the first one holds names.
LOOKED_AT = 1000
# 0,5 and 1,234.5 and 1.234,5 and 1 234,5
_WRITTEN = re.compile(
    r"[-+\u2212]?(\d+,\d+|\d{1,3}([ ,'\u2019\u00a0\u202f]\d{3})+(\.\d+)?|\d{1,3}([. '\u2019\u00a0\u202f]\d{3})+,\d+)"
)


@dataclass(frozen=True)
class Table:
    """A table as a file holds it.

    Attributes:
        frame: pandas.DataFrame; its columns are names, or are counted where the file has none.
        cell: the place in the file of a row and a column, in words, and what stands there.
        note: what a person should know of how it was read.
        where: behind the name of the file in errors, the part of it that was read; empty where that is all.
        options: of the command line that read the same part.
        block: (n, K) the numbers of the frame, NaN where a cell is empty, where all columns hold numbers of one type;
            else None.
    """

    frame: Any
    cell: Callable[[int, int], tuple[str, str]]
    note: str = ""
    block: np.ndarray | None = None
    where: str = ""
    options: tuple[str, ...] = ()

    @classmethod
    def of_block(cls, block: np.ndarray, names: Sequence[Any], cell: Any, note: str) -> Table:
        """A table of numbers, without a copy."""
        from pandas import DataFrame

        return cls(DataFrame(block, columns=list(names), copy=False), cell, note, block)

    @cached_property
    def names(self) -> list[str]:
        """Of the columns; empty where the file has none."""
        return [] if self.frame.columns.dtype.kind == "i" else list(self.frame.columns)

    @cached_property
    def places(self) -> dict[str, int]:
        """The position of each column by its name."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def _columns(self) -> list[Any]:
        # Once: of a wide frame, pandas takes long for each.
        return [own for _, own in self.frame.items()]

    def has_numbers(self, column: int) -> bool:
        """Whether a cell of the column is a number, or all are but for a decimal comma or signs between thousands."""
        own = self._numbers(column) if self.block is None else self.block[:, column]
        if not np.isnan(own).all():
            return True
        cells = self._columns[column].dropna().head(LOOKED_AT)
        return len(cells) > 0 and all(isinstance(cell, str) and _is_written(cell) for cell in cells)

    def numbers(self, columns: Sequence[int]) -> Any:
        """The columns as a data frame of float32 and float64.

        Raises:
            BadFile: a cell is empty, no number, or not finite.
        """
        if self.block is not None:
            own = self.block if list(columns) == list(range(self.block.shape[1])) else self.block[:, columns]
            part = max(1, _PART // own.shape[0])
            for start in range(0, len(columns), part):
                is_finite = np.isfinite(own[:, start : start + part])
                if not is_finite.all():
                    i = int(np.flatnonzero(~is_finite.all(0))[0])
                    raise BadFile(self._complaint(columns[start + i], np.flatnonzero(~is_finite[:, i]).tolist()))
            return type(self.frame)(own, columns=self.frame.columns.take(list(columns)), copy=False)
        found = {}
        for i in columns:
            own = found[self.names[i] if self.names else i] = self._numbers(i)
            if not (is_finite := np.isfinite(own)).all() or not self._is_numeric(i):
                raise BadFile(self._complaint(i, np.flatnonzero(~is_finite).tolist()))
        if len({own.dtype for own in found.values()}) > 1:
            return type(self.frame)(found, copy=False)
        return type(self.frame)(np.stack(list(found.values())).T, columns=list(found), copy=False)

    def _is_numeric(self, column: int) -> bool:
        from pandas.api.types import is_numeric_dtype

        return is_numeric_dtype(self._columns[column].dtype)

    def _numbers(self, column: int) -> np.ndarray:
        """A column as numbers, NaN where a cell is none."""
        from pandas import to_numeric
        from pandas.api.types import is_datetime64_any_dtype, is_timedelta64_dtype

        own = self._columns[column]
        if isinstance(own.dtype, np.dtype) and own.dtype.kind == "f":
            return own.to_numpy(np.float32 if own.dtype == np.float32 else np.float64)
        if is_datetime64_any_dtype(own.dtype) or is_timedelta64_dtype(own.dtype):
            return np.full(len(own), np.nan)  # to_numeric would count nanoseconds
        if not self._is_numeric(column):
            own = to_numeric(own, errors="coerce")
        return own.to_numpy(np.float32 if own.dtype == "float32" else np.float64, na_value=np.nan)

    def _complaint(self, column: int, bad: list[int]) -> str:
        name = self.names[column] if self.names else str(column + 1)
        remedy = f"leave the column out ({ignoring(name)})" if self.names else "leave the column out"
        if not bad:
            kind = self._columns[column].dtype
            return f"column {name!r} must be numeric, it holds {kind}: store it as numbers, or {remedy}"
        place, cell = self.cell(bad[0], column)
        written = "write numbers with a decimal point and nothing else between digits, such as 1234.5"
        if len(bad) == len(self.frame) > 1:
            how = written if _is_written(cell) else "code it as numbers"
            return f"column {name!r} holds no numbers ({place}: {cell!r}): {how}, or {remedy}"
        what = f": {cell!r} is not {'finite' if is_number(cell) else 'a number'}" if cell.strip() else " is empty"
        where = f"{place}, column {column + 1}{f' ({name})' if self.names else ''}"
        how = written if _is_written(cell) else "leave rows with missing values out, fill them"
        return f"{where}{what}; {how}, or {remedy}"


def numbers_of(table: Any) -> np.ndarray | None:
    """(K, n) numbers of a table of pyarrow, or of a part of one; None where a column holds something else."""
    from pyarrow import types

    kinds = table.schema.types
    if not all(types.is_floating(kind) or types.is_integer(kind) or types.is_null(kind) for kind in kinds):
        return None
    is_single = all(types.is_float32(kind) for kind in kinds)
    block = np.empty((table.num_columns, table.num_rows), np.float32 if is_single else np.float64)
    for own, column in zip(block, table.columns, strict=True):
        own[:] = np.nan if types.is_null(column.type) else column.to_numpy(zero_copy_only=False)
    return block


def in_one_block(blocks: Iterator[np.ndarray | None], count: int | None = None) -> np.ndarray | None:
    """(n, K) numbers of all parts of a table; None where one of them is None.

    Args:
        blocks: (K, n) the parts.
        count: of all rows; each part is copied as it comes. None: not known, and the parts are kept till then.
    """
    found, joined, end = [], None, 0
    for one in blocks:
        if one is None or not one.size:
            return None
        if count is None:
            found.append(one)
            continue
        joined = np.empty((len(one), count), one.dtype) if joined is None else joined
        joined[:, end : end + one.shape[1]] = one
        end += one.shape[1]
    if len(found) > 1:
        return in_one_block(_given_away(found), sum(one.shape[1] for one in found))
    return found[0].T if found else None if joined is None else joined.T


def _given_away(blocks: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Each in turn, forgotten with it."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()


def names_in(first: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    """Names of the columns and what to say of them, if the first row of a table holds names; else none of both."""
    note = ""
    if any(is_number(cell) for cell in first):
        if not _are_numbered(first, below):
            return [], ""
        # Spreadsheets have no integers.
        first = [str(int(float(cell))) if is_number(cell) else cell for cell in first]
        own = listed([cell for cell in first if cell.strip()])
        note = f"The first row, {own}, is taken as the names of the columns, not as a sample."
    # NumPy's savetxt writes "# " before the names, pandas nothing above the numbers of the rows.
    names = [printable(cell.strip(" #")) for cell in first]
    if all(len(name) > 1 and name[0] == name[-1] == "'" for name in names):
        names = [name[1:-1] for name in names]
    return [name or f"Unnamed: {i}" for i, name in enumerate(names)], note


def _are_numbered(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a row with numbers holds the names of columns: 0, 1, 2, … as pandas counts them, years or other integers.

    So it is where a word among them stands above numbers, where no other row holds integers, and where it counts from 0
    or names consecutive years that no other row could.
    """
    # Nothing stands above an index.
    skipped = int(not first[0].strip() and len(first) > 1)
    counted = [i for i in range(skipped, len(first)) if is_number(first[i])]
    words = [i for i in range(skipped, len(first)) if not is_number(first[i])]
    own = [first[i] for i in counted]
    if not below or not all(map(_is_integer, own)) or len(set(own)) < len(own):
        return False
    if any(_is_name(first[i]) and all(is_number(row[i]) for row in below if len(row) > i) for i in words):
        return True
    if words and (len(counted) < 2 or any(row[i] == first[i] for row in below for i in words if len(row) > i)):
        return False
    cells = [row[i] for row in below for i in counted if len(row) > i]
    if not any(map(_is_integer, cells)):
        return len(below) > 1 or skipped > 0
    numbers = [int(float(cell)) for cell in own]
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    if numbers == list(range(len(numbers))):
        return len(numbers) > 2 or skipped > 0 or not all(map(_is_integer, cells))
    is_year = len(steps) == 1 and all(1000 <= number < 3000 for number in numbers)
    return is_year and not any(_is_integer(cell) and 1000 <= float(cell) < 3000 for cell in cells)


def _is_name(cell: str) -> bool:
    """Whether a cell is a word, and no sign that a number is missing."""
    return cell.strip(" #'").lower() not in _GAPS


def _is_written(cell: str) -> bool:
    """Whether a text is a number but for a decimal comma, or for signs between its thousands."""
    return _WRITTEN.fullmatch(cell.strip()) is not None


def _is_integer(cell: str) -> bool:
    return re.fullmatch(r"\s*\d{1,15}(\.0)?\s*", cell) is not None
