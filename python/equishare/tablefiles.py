"""Files of tables: text, spreadsheets and Parquet as data frames, and where in them a cell is no number."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from equishare.columns import ignoring, listed
from equishare.files import BadFile, check_expansion
from equishare.naming import printable

__all__ = ["READERS", "Table"]

# What spreadsheets and other programs write in files that end in .csv as well.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# Bytes of a text that are read at a time, and rows that tell whether the first one holds names.
_PART, _LOOKED_AT = 1 << 20, 1000
# Bytes of a text that are parsed at a time: a parser takes several times as much.
_PARSED = 1 << 24
# Bytes of each column of a Parquet file that are read at a time.
_BUFFER = 1 << 16


@dataclass(frozen=True)
class Table:
    """A table as a file holds it.

    Attributes:
        frame: pandas.DataFrame; its columns are names, or are counted where the file has none.
        cell: the place in the file of a row and a column, in words, and what stands there.
        note: what a person should know of how it was read.
        block: (n, K) the numbers of the frame, NaN where a cell is empty, where all columns hold numbers of one type;
            else None.
    """

    frame: Any
    cell: Callable[[int, int], tuple[str, str]]
    note: str = ""
    block: np.ndarray | None = None

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
        """Whether a cell of the column is a number."""
        own = self._numbers(column) if self.block is None else self.block[:, column]
        return not bool(np.isnan(own).all())

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
        from pandas.api.types import is_datetime64_any_dtype

        own = self._columns[column]
        if isinstance(own.dtype, np.dtype) and own.dtype.kind == "f":
            return own.to_numpy(np.float32 if own.dtype == np.float32 else np.float64)
        if is_datetime64_any_dtype(own.dtype):
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
        if len(bad) == len(self.frame) > 1:
            return f"column {name!r} holds no numbers ({place}: {cell!r}): code it as numbers, or {remedy}"
        what = f": {cell!r} is not {'finite' if _is_number(cell) else 'a number'}" if cell.strip() else " is empty"
        where = f"{place}, column {column + 1}{f' ({name})' if self.names else ''}"
        return f"{where}{what}; leave rows with missing values out, fill them, or {remedy}"


def _read_text(file: BinaryIO, stack: ExitStack, separator: str, is_packed: bool) -> Table:
    from pyarrow import ArrowInvalid
    from pyarrow import csv as arrow

    source = file if file.seekable() and not is_packed else _spooled(file, stack, is_packed)
    longest, is_plain, can_be_cut = _scanned(source, separator)
    if not is_plain:
        source = _plain(source, stack, separator)
    rows = list(islice(_rows(source, separator), _LOOKED_AT))
    line, first = rows[0] if rows else (0, [])
    if not first:
        raise BadFile("the file is empty")
    for sign, name in _SEPARATORS.items():
        if len(first) == 1 and sign in first[0]:
            raise BadFile(
                f"line {line} separates columns by {name}; separate them by {_SEPARATORS[separator]}, and write "
                "numbers with a decimal point"
            )
    names, note = _names(first, [cells for _, cells in rows[1:]])
    if names and len(rows) < 2:
        raise BadFile("there is no row of numbers below the column names")
    cell = partial(_cell, source, separator, bool(names))
    skipped = line if names else line - 1
    parse = arrow.ParseOptions(delimiter=separator, newlines_in_values=True)
    convert = arrow.ConvertOptions(null_values=[""])

    def parsed(text: Any, skip: int) -> Any:
        # A block must hold a line.
        read = arrow.ReadOptions(skip_rows=skip, autogenerate_column_names=True, block_size=max(_PART, 2 * longest))
        table = arrow.read_csv(text, read, parse, convert)
        if table.num_columns != len(first):
            raise ArrowInvalid(f"{table.num_columns} columns below {len(first)} names")
        return table

    try:
        if can_be_cut:
            blocks = map(_block, (parsed(io.BytesIO(part), 0) for part in _parts(source, skipped)))
            if (block := _joined(blocks)) is not None:
                return Table.of_block(block, names or range(len(first)), cell, note)
        source.seek(0)
        table = parsed(_Kept(source), skipped)
    except ArrowInvalid as error:
        for n, cells in _rows(source, separator):
            if len(cells) != len(first):
                raise BadFile(f"line {n} has {len(cells)} columns, the first line has {len(first)}") from error
        raise
    return Table(table.to_pandas(self_destruct=True).set_axis(names or range(len(first)), axis=1), cell, note)


def _parts(source: BinaryIO, skipped: int) -> Iterator[bytes]:
    """Whole lines of a text below its first ones, so many that what a parser needs for them is little."""
    source.seek(0)
    for _ in range(skipped):
        source.readline()
    while part := source.read(_PARSED):
        yield part + source.readline()


def _block(table: Any) -> np.ndarray | None:
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


def _joined(blocks: Iterator[np.ndarray | None], count: int | None = None) -> np.ndarray | None:
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
        return _joined(_given_away(found), sum(one.shape[1] for one in found))
    return found[0].T if found else None if joined is None else joined.T


def _given_away(blocks: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Each in turn, forgotten with it."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()


def _spooled(file: BinaryIO, stack: ExitStack, is_packed: bool) -> BinaryIO:
    """A text that can be read several times: unpacked on the disk, as memory is for the numbers."""
    stored = os.fstat(file.fileno()).st_size
    text, size = stack.enter_context(tempfile.TemporaryFile()), 0
    source = gzip.open(file) if is_packed else file
    while part := source.read(_PART):
        size += len(part)
        check_expansion("the table", size, stored)
        text.write(part)
    return text


class _Kept(io.RawIOBase):
    """A file that whoever reads it does not close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._file.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _scanned(source: BinaryIO, separator: str) -> tuple[int, bool, bool]:
    """Bytes of the longest line; whether the text is as pyarrow reads it; whether every line of it is a row.

    Pyarrow reads no lines of blanks, and no quotes after blanks. Quotes may hold the end of a line.

    Raises:
        BadFile: it is in UTF-16 or in cp1252.
        UnicodeDecodeError: it is no text.
    """
    blank = rb"(?m)^ +(?=\r?$)" if separator == "\t" else rb"(?m)^[ \t]+(?=\r?$)"
    odd = re.compile(blank + b"|" + re.escape(separator).encode() + rb' +"')
    of_several = re.compile(rb'"|\r(?!\n)')
    source.seek(0)
    longest, is_plain, can_be_cut, lines, rest = 0, True, True, 0, b""
    while part := source.read(_PART):
        if not lines and not rest:
            _refuse_utf16(part, source)
        whole, newline, rest = (rest + part).rpartition(b"\n")
        whole += newline
        _check_utf8(whole, lines)
        lines += whole.count(b"\n")
        longest = max(longest, *map(len, whole.split(b"\n")))
        is_plain = is_plain and odd.search(whole) is None
        can_be_cut = can_be_cut and of_several.search(whole) is None
    _check_utf8(rest, lines)
    is_plain, can_be_cut = is_plain and odd.search(rest) is None, can_be_cut and of_several.search(rest) is None
    return max(longest, len(rest)) + 2, is_plain, is_plain and can_be_cut


def _refuse_utf16(part: bytes, source: BinaryIO) -> None:
    """BadFile where a text has two bytes a character."""
    beginning = part[:1024]
    is_marked = part.startswith((b"\xff\xfe", b"\xfe\xff")) and source.seek(0, os.SEEK_END) % 2 == 0
    is_unmarked = len(beginning) > 1 and any(not any(beginning[i::2]) and all(beginning[1 - i :: 2]) for i in (0, 1))
    source.seek(len(part))
    if is_marked or is_unmarked:
        raise BadFile("it is written in UTF-16: save it as UTF-8, in a spreadsheet as 'CSV UTF-8'")


def _check_utf8(text: bytes, lines_before: int) -> None:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        with suppress(UnicodeDecodeError):
            start = text.rfind(b"\n", 0, error.start) + 1
            end = min(text.find(b"\n", error.start) % (len(text) + 1), error.start + 20)
            shown = text[max(start, error.start - 20) : end].decode("cp1252")
            if b"\0" not in text:
                line = lines_before + text.count(b"\n", 0, start) + 1
                raise BadFile(
                    f"it is not written in UTF-8 but rather in Windows-1252 (cp1252), see line {line}: "
                    f"{printable(shown).strip()!r}; save it as UTF-8, in a spreadsheet as 'CSV UTF-8', or by "
                    "pandas.read_csv(file, encoding='cp1252').to_csv(file, index=False)"
                ) from None
        raise


def _plain(source: BinaryIO, stack: ExitStack, separator: str) -> BinaryIO:
    """The same rows on the same lines, blank lines empty and cells quoted as pyarrow reads them."""
    plain = stack.enter_context(tempfile.TemporaryFile())
    text = io.TextIOWrapper(plain, "utf-8", newline="", write_through=True)
    writer, written = csv.writer(text, delimiter=separator, lineterminator="\n"), 0
    for n, cells in _rows(source, separator):
        own = sum(cell.count("\n") for cell in cells)
        text.write("\n" * (n - own - 1 - written))
        writer.writerow(cells)
        written = n
    text.detach()
    return plain


def _cell(source: BinaryIO, separator: str, is_named: bool, row: int, column: int) -> tuple[str, str]:
    n, cells = next(islice(_rows(source, separator), row + is_named, None))
    return f"line {n}", cells[column].strip()


def _rows(source: BinaryIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not blank, and their cells."""
    source.seek(0)
    text = io.TextIOWrapper(_Kept(source), "utf-8-sig", newline="")  # type: ignore[type-var]
    reader = csv.reader(text, delimiter=separator, skipinitialspace=separator != "\t")
    for cells in reader:
        if len(cells) > 1 or any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _names(first: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    """Names of the columns and what to say of them, if the first row of a table holds names; else none of both."""
    note = ""
    if any(_is_number(cell) for cell in first):
        if not _are_numbered(first, below):
            return [], ""
        # Spreadsheets have no integers.
        first = [str(int(float(cell))) if _is_number(cell) else cell for cell in first]
        own = listed([cell for cell in first if cell.strip()])
        note = f"The first row, {own}, is taken as the names of the columns, not as a sample."
    # NumPy's savetxt writes "# " before the names, pandas nothing above the numbers of the rows.
    names = [printable(cell.strip(" #")) for cell in first]
    if all(len(name) > 1 and name[0] == name[-1] == "'" for name in names):
        names = [name[1:-1] for name in names]
    return [name or f"Unnamed: {i}" for i, name in enumerate(names)], note


def _are_numbered(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a row of numbers holds the names of columns: 0, 1, 2, … as pandas counts them, years or other integers.

    So it is where no other row holds integers, and where it counts from 0 or names consecutive years that no other row
    could.
    """
    index, *others = first
    own = others if not index.strip() and others else list(first)  # nothing stands above an index
    skipped = len(first) - len(own)
    if not below or not all(map(_is_integer, own)) or len(set(own)) < len(own):
        return False
    cells = [cell for row in below for cell in row[skipped:]]
    if not any(map(_is_integer, cells)):
        return len(below) > 1 or skipped > 0
    numbers = [int(float(cell)) for cell in own]
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    if numbers == list(range(len(numbers))):
        return len(numbers) > 2 or skipped > 0 or not all(map(_is_integer, cells))
    is_year = len(steps) == 1 and all(1000 <= number < 3000 for number in numbers)
    return is_year and not any(_is_integer(cell) and 1000 <= float(cell) < 3000 for cell in cells)


def _is_integer(cell: str) -> bool:
    return re.fullmatch(r"\s*\d{1,15}(\.0)?\s*", cell) is not None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_spreadsheet(file: BinaryIO, stack: ExitStack) -> Table:
    import pandas

    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        check_expansion("the table", sum(e.file_size for e in entries), sum(e.compress_size for e in entries))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of formats and checks that openpyxl leaves out
        sheets = pandas.read_excel(file, sheet_name=None, header=None, engine="openpyxl")
    sheet, *others = sheets
    frame = sheets[sheet].dropna(how="all").dropna(how="all", axis=1)
    if frame.empty:
        raise BadFile(f"sheet {sheet!r} is empty")
    first, *below = ([_text(cell) for cell in frame.iloc[i]] for i in range(min(len(frame), _LOOKED_AT)))
    names, numbered = _names(first, below)
    frame = frame.iloc[int(bool(names)) :].infer_objects()
    if frame.empty:
        raise BadFile("there is no row of numbers below the column names")
    rows = frame.index + 1  # as spreadsheets count them
    notes = [f"Read sheet {sheet!r}, not {', '.join(map(repr, others))}."] if others else []
    return Table(
        frame.set_axis(names or range(frame.shape[1]), axis=1).reset_index(drop=True),
        lambda row, column: (f"row {rows[row]}", _text(frame.iloc[row, column])),
        " ".join([*notes, numbered]).strip(),
    )


def _read_parquet(file: BinaryIO, stack: ExitStack) -> Table:
    from pyarrow import parquet

    # Else a column is held as it is stored.
    opened = parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
    about, schema = opened.metadata, opened.schema_arrow
    check_expansion("the table", 8 * about.num_rows * about.num_columns, os.fstat(file.fileno()).st_size)

    def cell(row: int, column: int) -> tuple[str, str]:
        return f"row {row} counted from 0", str(frame.iloc[row, column])

    indices = (schema.pandas_metadata or {}).get("index_columns", ())
    is_counted = all(isinstance(one, dict) and (one.get("start"), one.get("step")) == (0, 1) for one in indices)
    if about.num_rows and is_counted:
        blocks = (_block(batch) for batch in opened.iter_batches(max(1, _PART // max(len(schema), 1))))
        if (block := _joined(blocks, about.num_rows)) is not None:
            frame = (table := Table.of_block(block, [printable(str(name)) for name in schema.names], cell, "")).frame
            return table
    file.seek(0)
    frame = parquet.read_table(file).to_pandas()
    note = ""
    if (index := frame.index).tolist() != list(range(len(frame))):
        own = listed([printable(str(name)) for name in index.names if name is not None])
        note = f"Left out: the index of the table{f', {own}' if own else ''}."
    frame = frame.reset_index(drop=True)
    if frame.empty:
        raise BadFile(f"the table is empty, {frame.shape[0]} × {frame.shape[1]}")
    frame.columns = [printable(str(name)) for name in frame.columns]
    return Table(frame, cell, note)


def _text(cell: object) -> str:
    return "" if cell is None or cell != cell else str(cell)  # NaN is not itself


#: Readers of tables by the endings of their files. A table may look into its file, and into files on the stack, later.
READERS: dict[str, Callable[[BinaryIO, ExitStack], Table]] = {
    ".csv": partial(_read_text, separator=",", is_packed=False),
    ".tsv": partial(_read_text, separator="\t", is_packed=False),
    ".csv.gz": partial(_read_text, separator=",", is_packed=True),
    ".tsv.gz": partial(_read_text, separator="\t", is_packed=True),
    ".xlsx": _read_spreadsheet,
    ".parquet": _read_parquet,
}
