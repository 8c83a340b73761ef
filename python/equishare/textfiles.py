"""Tables in text: looked through once for their encoding and lines, then parsed in parts."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from equishare.files import BadFile, check_expansion
from equishare.naming import printable
from equishare.table import LOOKED_AT, Table, in_one_block, names_in, numbers_of

# What spreadsheets and other programs write in files that end in .csv as well.
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# Bytes of a text that are read at a time, and that are parsed at a time: a parser takes several times as much.
_PART, _PARSED = 1 << 20, 1 << 24


def read_text(file: BinaryIO, stack: ExitStack, separator: str, is_packed: bool) -> Table:
    """A text whose cells stand between separators, packed by gzip or not.

    Args:
        file: opened to be read.
        stack: holds what the table may look into later.
        separator: a comma or a tab.
        is_packed: whether it is packed.

    Raises:
        BadFile: it is empty, has other separators, rows of several lengths, or is no UTF-8.
        Exception: whatever damaged files make gzip and pyarrow raise.
    """
    from pyarrow import ArrowInvalid
    from pyarrow import csv as arrow

    source = file if file.seekable() and not is_packed else _spooled(file, stack, is_packed)
    longest, is_plain, can_be_cut = _scanned(source, separator)
    if not is_plain:
        source = _plain(source, stack, separator)
    rows = _first_rows(source, separator)
    line, first = rows[0]
    names, note = names_in(first, [cells for _, cells in rows[1:]])
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
            blocks = map(numbers_of, (parsed(io.BytesIO(part), 0) for part in _parts(source, skipped)))
            if (block := in_one_block(blocks)) is not None:
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


def head_rows(path: Path, separator: str) -> list[list[str]]:
    """The cells of the first rows of a text.

    Raises:
        BadFile: it is empty, has other separators, or is no UTF-8 from the beginning.
    """
    with path.open("rb") as file:
        part = file.read(_PART)
        _refuse_utf16(part, file)
        _check_utf8(part.rpartition(b"\n")[0], 0)
        return [cells for _, cells in _first_rows(file, separator)]


def _first_rows(source: BinaryIO, separator: str) -> list[tuple[int, list[str]]]:
    rows = list(islice(_rows(source, separator), LOOKED_AT))
    if not rows:
        raise BadFile("the file is empty")
    line, first = rows[0]
    for sign, name in _SEPARATORS.items():
        if len(first) == 1 and sign in first[0]:
            raise BadFile(
                f"line {line} separates columns by {name}; separate them by {_SEPARATORS[separator]}, and write "
                "numbers with a decimal point"
            )
    return rows


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
