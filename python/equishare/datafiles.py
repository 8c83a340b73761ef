"""Read a person's data file and split it into a problem."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from equishare.arrays import sample_matrix
from equishare.problems import LinearProblem, MeanProblem

__all__ = ["Data", "read_data", "split_problem"]

# What spreadsheets and other programs write in files that end in .csv as well.
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}
_INPUT_OR_OUTPUT = re.compile(r"([xy])[ _.\-]?\d*", re.IGNORECASE)


@dataclass(frozen=True)
class Data:
    """Samples as a file holds them, finite float32 or float64.

    Attributes:
        x: (n, I) inputs, or (n, K) samples whose means may be shared when there is no y.
        y: (n, O) outputs, or None.
    """

    x: np.ndarray
    y: np.ndarray | None = None


def read_data(path: str | os.PathLike[str]) -> Data:
    """Read samples, or inputs and outputs, from a file; the name's ending tells the format.

    - ``.npz``: arrays named x and y (others are left alone), or exactly one array of samples.
    - ``.npy``: one array of samples.
    - ``.csv``: numbers separated by commas, with or without a line of column names.
    - ``.parquet``: numeric columns; needs pyarrow.

    In a table, columns named x0, x1, … and y0, y1, … are inputs and outputs in the order of the
    file; without such names every column is an entry of the samples.

    Raises:
        OSError: the file cannot be read.
        ValueError: another ending; a damaged file; arrays that are not matrices of finite real
            numbers with at least two rows; x and y with different numbers of rows.
        ImportError: .parquet without pyarrow.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: data must be a file ending in {', '.join(_READERS)}")
    try:
        with path.open("rb") as file:
            arrays = reader(path, file)
    except (ImportError, _BadFile):
        raise
    except Exception as error:
        # Damaged files make the readers of zip, npy and parquet raise almost anything, OSError
        # included; only the system's own names the file.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: damaged, or not a {path.suffix.lower()} file ({reason})") from error
    try:
        x, *y = [sample_matrix(array, f"{path}: {name}") for name, array in arrays.items()]
    except TypeError as error:
        raise ValueError(str(error)) from None
    if y and len(x) != len(y[0]):
        raise ValueError(f"{path}: x and y must have as many rows as each other, got {len(x)} and {len(y[0])}")
    if len(x) < 2:
        raise ValueError(f"{path}: at least two samples (rows) are needed, got {len(x)}")
    return Data(x, *y)


def split_problem(data: Data, train_fraction: float, seed: int) -> MeanProblem | LinearProblem:
    """Shuffle the samples, split them into training and validation, and state the problem.

    Args:
        data: what :func:`read_data` gives.
        train_fraction: share of the samples used to fit, between 0 and 1 exclusive; at least one
            sample falls on each side.
        seed: of the shuffle, not negative.

    Raises:
        ValueError: an argument out of range, or data the problem refuses.
    """
    if not 0 < train_fraction < 1:
        raise ValueError(f"train_fraction must lie between 0 and 1 (exclusive), got {train_fraction}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    count = len(data.x)
    num_train = min(max(round(train_fraction * count), 1), count - 1)
    order = np.random.default_rng(seed).permutation(count)
    train, val = order[:num_train], order[num_train:]
    if data.y is None:
        return MeanProblem(data.x[train], data.x[val])
    return LinearProblem(data.x[train], data.y[train], x_val=data.x[val], y_val=data.y[val])


class _BadFile(ValueError):
    """What is wrong with a file is known; the message is complete."""


def _read_npz(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise _BadFile(f"{path}: not a .npz file but a single array; name it .npy")
    with archive:
        names = archive.files
        if {"x", "y"} <= set(names):
            return {"x": archive["x"], "y": archive["y"]}
        if len(names) != 1:
            found = ", ".join(names) or "none"
            raise _BadFile(f"{path}: must hold arrays named x and y, or exactly one array of samples; found {found}")
        return {names[0]: archive[names[0]]}


def _read_npy(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    array = np.load(file, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise _BadFile(f"{path}: not a .npy file but an archive of arrays; name it .npz")
    return {"samples": array}


def _read_csv(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    lines = file.read().decode("utf-8-sig").splitlines()
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if not filled:
        raise _BadFile(f"{path}: the file is empty")
    first = next(csv.reader([lines[filled[0]]]))
    for sign, name in _OTHER_SEPARATORS.items():
        if sign in lines[filled[0]] and len(first) == 1:
            raise _BadFile(
                f"{path}: line {filled[0] + 1} separates columns by {name}; separate them by commas, and write numbers "
                "with a decimal point"
            )
    has_names = not any(_is_number(cell) for cell in first)
    rows = lines[filled[0] + 1 :] if has_names else lines
    if has_names and len(filled) == 1:
        raise _BadFile(f"{path}: there is no row of numbers below the column names")
    try:
        table = np.loadtxt(rows, delimiter=",", comments=None, quotechar='"', ndmin=2)
        if table.shape[1] != len(first):
            raise ValueError(f"{len(first)} column names for {table.shape[1]} columns")
    except ValueError as error:
        reason = _first_bad_cell(lines, filled[int(has_names) :], len(first)) or error
        raise _BadFile(f"{path}: {reason}") from None
    # NumPy's savetxt writes "# " before the names.
    return _by_name(path, [name.strip(" #") for name in first] if has_names else [], list(table.T))


def _first_bad_cell(lines: list[str], numbers: list[int], width: int) -> str | None:
    for i in numbers:
        cells = next(csv.reader([lines[i]]))
        for column, cell in enumerate(cells):
            if not cell.strip():
                return f"line {i + 1}, column {column + 1} is empty; leave rows with missing values out, or fill them"
            if not _is_number(cell):
                return f"line {i + 1}, column {column + 1}: {cell.strip()!r} is not a number"
        if len(cells) != width:
            return f"line {i + 1} has {len(cells)} columns, the first line has {width}"
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    try:
        from pyarrow import parquet, types
    except ImportError:
        raise ImportError(f"{path}: reading .parquet needs pyarrow: pip install 'equishare[parquet]'") from None
    table = parquet.read_table(file)
    for field in table.schema:
        if not (types.is_integer(field.type) or types.is_floating(field.type)):
            raise _BadFile(f"{path}: column {field.name!r} must be numeric, it holds {field.type}")
    if not table.num_columns or not table.num_rows:
        raise _BadFile(f"{path}: the table is empty, {table.num_rows} × {table.num_columns}")
    return _by_name(path, table.column_names, [column.to_numpy() for column in table.columns])


def _by_name(path: Path, names: list[str], columns: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs and outputs where the columns are named so, else samples."""
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise _BadFile(f"{path}: two columns are named {twice!r}; every column needs a name of its own")
    kinds = [m[1].lower() if (m := _INPUT_OR_OUTPUT.fullmatch(name)) else None for name in names]
    if not {"x", "y"} <= set(kinds):
        return {"samples": np.stack(columns, axis=1)}
    if None in kinds:
        other = names[kinds.index(None)]
        raise _BadFile(
            f"{path}: column {other!r} stands beside columns x… and y…; "
            "name every column x0, x1, … or y0, y1, …, or none"
        )
    return {
        kind: np.stack([c for c, k in zip(columns, kinds, strict=True) if k == kind], axis=1) for kind in ("x", "y")
    }


_READERS: dict[str, Callable[[Path, BinaryIO], dict[str, np.ndarray]]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
