"""Files of tables: text, spreadsheets and Parquet as data frames, and where in them a cell is no number."""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from equishare.columns import ignoring
from equishare.files import BadFile

__all__ = ["READERS", "Table"]

# What spreadsheets and other programs write in files that end in .csv as well.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Table:
    """A table as a file holds it.

    Attributes:
        frame: pandas.DataFrame; its columns are names, or are counted where the file has none.
        cell: the place in the file of a row and a column, in words, and what stands there.
        note: what a person should know of how it was read.
    """

    frame: Any
    cell: Callable[[int, int], tuple[str, str]]
    note: str = ""

    @property
    def names(self) -> list[str]:
        """Of the columns; empty where the file has none."""
        return [] if self.frame.columns.dtype.kind == "i" else list(self.frame.columns)

    def has_numbers(self, column: int) -> bool:
        """Whether a cell of the column is a number."""
        return bool((~np.isnan(self._numbers(column))).any())

    def numbers(self, columns: Sequence[int]) -> Any:
        """The columns as a data frame of float32 and float64.

        Raises:
            BadFile: a cell is empty, no number, or not finite.
        """
        found = {}
        for i in columns:
            own = found[self.frame.columns[i]] = self._numbers(i)
            bad = np.flatnonzero(~np.isfinite(own))
            if len(bad) or not self._is_numeric(i):
                raise BadFile(self._complaint(i, bad.tolist()))
        return type(self.frame)(found)

    def _is_numeric(self, column: int) -> bool:
        from pandas.api.types import is_numeric_dtype

        return is_numeric_dtype(self.frame.dtypes.iloc[column])

    def _numbers(self, column: int) -> np.ndarray:
        """A column as numbers, NaN where a cell is none."""
        from pandas import to_numeric
        from pandas.api.types import is_datetime64_any_dtype

        own = self.frame.iloc[:, column]
        if is_datetime64_any_dtype(own.dtype):
            return np.full(len(own), np.nan)  # to_numeric would count nanoseconds
        if not self._is_numeric(column):
            own = to_numeric(own, errors="coerce")
        return own.to_numpy(np.float32 if own.dtype == "float32" else np.float64, na_value=np.nan)

    def _complaint(self, column: int, bad: list[int]) -> str:
        name = self.names[column] if self.names else str(column + 1)
        remedy = f"leave the column out ({ignoring(name)})" if self.names else "leave the column out"
        if not bad:
            kind = self.frame.dtypes.iloc[column]
            return f"column {name!r} must be numeric, it holds {kind}: store it as numbers, or {remedy}"
        place, cell = self.cell(bad[0], column)
        if len(bad) == len(self.frame) > 1:
            return f"column {name!r} holds no numbers ({place}: {cell!r}): code it as numbers, or {remedy}"
        what = f": {cell!r} is not {'finite' if _is_number(cell) else 'a number'}" if cell.strip() else " is empty"
        where = f"{place}, column {column + 1}{f' ({name})' if self.names else ''}"
        return f"{where}{what}; leave rows with missing values out, fill them, or {remedy}"


def _read_text(file: BinaryIO, separator: str, is_packed: bool) -> Table:
    from pyarrow import ArrowInvalid
    from pyarrow import csv as arrow

    content = gzip.decompress(file.read()) if is_packed else file.read()
    text = content.decode("utf-8-sig")
    line, first = next(_rows(text, separator), (0, []))
    if not first:
        raise BadFile("the file is empty")
    for sign, name in _SEPARATORS.items():
        if len(first) == 1 and sign in first[0]:
            raise BadFile(
                f"line {line} separates columns by {name}; separate them by {_SEPARATORS[separator]}, and write "
                "numbers with a decimal point"
            )
    names = _names(first)
    if names and not any(n > line for n, _ in _rows(text, separator)):
        raise BadFile("there is no row of numbers below the column names")
    read = arrow.ReadOptions(skip_rows=line if names else line - 1, autogenerate_column_names=True)
    parse = arrow.ParseOptions(delimiter=separator, newlines_in_values=True)
    convert = arrow.ConvertOptions(null_values=[""])
    try:
        # Lines of blanks are no rows.
        blank = r"(?m)^ +(?=\r?$)" if separator == "\t" else r"(?m)^[ \t]+(?=\r?$)"
        table = arrow.read_csv(io.BytesIO(re.sub(blank, "", text).encode()), read, parse, convert)
        if table.num_columns != len(first):
            raise ArrowInvalid(f"{table.num_columns} columns below {len(first)} names")
    except ArrowInvalid as error:
        for n, cells in _rows(text, separator):
            if len(cells) != len(first):
                raise BadFile(f"line {n} has {len(cells)} columns, the first line has {len(first)}") from error
        raise
    frame = table.to_pandas()

    def cell(row: int, column: int) -> tuple[str, str]:
        n, cells = next(one for i, one in enumerate(_rows(text, separator)) if i == row + bool(names))
        return f"line {n}", cells[column].strip()

    return Table(frame.set_axis(names or range(len(first)), axis=1), cell)


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not blank, and their cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for cells in reader:
        if len(cells) > 1 or any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _names(first: Sequence[str]) -> list[str]:
    """Names of the columns, if the first row of a table holds names and no numbers."""
    if any(_is_number(cell) for cell in first):
        return []
    # NumPy's savetxt writes "# " before the names, pandas nothing above the numbers of the rows.
    return [cell.strip(" #") or f"Unnamed: {i}" for i, cell in enumerate(first)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_spreadsheet(file: BinaryIO) -> Table:
    import pandas

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of formats and checks that openpyxl leaves out
        sheets = pandas.read_excel(file, sheet_name=None, header=None, engine="openpyxl")
    sheet, *others = sheets
    frame = sheets[sheet].dropna(how="all").dropna(how="all", axis=1)
    if frame.empty:
        raise BadFile(f"sheet {sheet!r} is empty")
    names = _names([_text(cell) for cell in frame.iloc[0]])
    frame = frame.iloc[int(bool(names)) :].infer_objects()
    if frame.empty:
        raise BadFile("there is no row of numbers below the column names")
    rows = frame.index + 1  # as spreadsheets count them
    note = f"Read sheet {sheet!r}, not {', '.join(map(repr, others))}." if others else ""
    return Table(
        frame.set_axis(names or range(frame.shape[1]), axis=1).reset_index(drop=True),
        lambda row, column: (f"row {rows[row]}", _text(frame.iloc[row, column])),
        note,
    )


def _read_parquet(file: BinaryIO) -> Table:
    from pyarrow import parquet

    frame = parquet.read_table(file).to_pandas().reset_index(drop=True)
    if frame.empty:
        raise BadFile(f"the table is empty, {frame.shape[0]} × {frame.shape[1]}")
    frame.columns = frame.columns.astype(str)
    return Table(frame, lambda row, column: (f"row {row} counted from 0", str(frame.iloc[row, column])))


def _text(cell: object) -> str:
    return "" if cell is None or cell != cell else str(cell)  # NaN is not itself


#: Readers of tables by the endings of their files.
READERS: dict[str, Callable[[BinaryIO], Table]] = {
    ".csv": partial(_read_text, separator=",", is_packed=False),
    ".tsv": partial(_read_text, separator="\t", is_packed=False),
    ".csv.gz": partial(_read_text, separator=",", is_packed=True),
    ".tsv.gz": partial(_read_text, separator="\t", is_packed=True),
    ".xlsx": _read_spreadsheet,
    ".parquet": _read_parquet,
}
