"""Files of tables by their endings: text, spreadsheets and Parquet."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

from equishare.blocks import SEPARATORS
from equishare.columns import listed, option
from equishare.files import BadFile, check_expansion
from equishare.naming import printable
from equishare.table import LOOKED_AT, Table, in_one_block, names_in, numbers_of
from equishare.textfiles import read_text

__all__ = ["Table", "readers"]

# Bytes of each column of a Parquet file that are read at a time, and numbers of a part of it.
_BUFFER, _PART = 1 << 16, 1 << 20


def _read_spreadsheet(file: BinaryIO, stack: ExitStack, sheet: str | None = None) -> Table:
    import pandas

    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        check_expansion("the table", sum(e.file_size for e in entries), sum(e.compress_size for e in entries))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of formats and checks that openpyxl leaves out
        sheets = pandas.read_excel(file, sheet_name=None, header=None, engine="openpyxl")
    if sheet is not None and sheet not in sheets:
        raise BadFile(f"sheet must be one of {', '.join(map(repr, sheets))}, got {sheet!r}")
    chosen = next(iter(sheets)) if sheet is None else sheet
    others = ", ".join(repr(name) for name in sheets if name != chosen)
    another = f"--sheet reads another: {others}" if others and sheet is None else ""
    frame = sheets[chosen].dropna(how="all").dropna(how="all", axis=1)
    if frame.empty:
        raise BadFile(f"sheet {chosen!r} is empty{f'; {another}' if another else ''}")
    first, *below = ([_text(cell) for cell in frame.iloc[i]] for i in range(min(len(frame), LOOKED_AT)))
    names, numbered = names_in(first, below)
    frame = frame.iloc[int(bool(names)) :].infer_objects()
    if frame.empty:
        raise BadFile("there is no row of numbers below the column names")
    rows = frame.index + 1  # as spreadsheets count them
    notes = [f"Read the first sheet, {chosen!r} ({another})."] if another else []
    return Table(
        frame.set_axis(names or range(frame.shape[1]), axis=1).reset_index(drop=True),
        lambda row, column: (f"row {rows[row]}", _text(frame.iloc[row, column])),
        " ".join([*notes, numbered]).strip(),
        where=f", sheet {chosen!r}{f' ({another})' if another else ''}" if others else "",
        options=() if sheet is None else (option("sheet", sheet),),
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
        blocks = (numbers_of(batch) for batch in opened.iter_batches(max(1, _PART // max(len(schema), 1))))
        if (block := in_one_block(blocks, about.num_rows)) is not None:
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


def readers(path: Path, sheet: str | None = None) -> dict[str, Callable[[BinaryIO, ExitStack], Table]]:
    """Readers of tables by the endings of their files. A table may look into its file, and into others, later.

    Args:
        path: of the file that is to be read.
        sheet: which one of a spreadsheet is read; None for the first.

    Raises:
        ValueError: a sheet of another file.
    """
    if sheet is not None and path.suffix.lower() != ".xlsx":
        raise ValueError(f"{printable(str(path))}: sheet belongs to a spreadsheet, .xlsx: leave it out")
    return {
        **{
            f"{ending}{packed}": partial(read_text, separator=separator, is_packed=bool(packed))
            for packed in ("", ".gz")
            for ending, separator in SEPARATORS.items()
        },
        ".xlsx": partial(_read_spreadsheet, sheet=sheet),
        ".parquet": _read_parquet,
    }
