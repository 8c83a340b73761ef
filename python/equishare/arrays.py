"""What people give as arrays: numbers, sequences, NumPy arrays, tensors; read in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equishare.naming import printable, repeated

#: Names of the columns of a table; empty where the data had none.
Names = tuple[str, ...]


def to_numpy(value: Any, name: str) -> NDArray[Any]:
    """Numbers, an array or a tensor as an array; bfloat16, which NumPy lacks, as float32.

    Args:
        value: what was given.
        name: what an error calls it.

    Raises:
        TypeError: a masked array, or a tensor that is sparse or holds no numbers.
        ValueError: rows of different lengths.
    """
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_meta:
            kind = "on the meta device" if value.is_meta else "sparse"
            raise TypeError(f"{name} must be a dense tensor, got one that is {kind}")
        value = value.detach().cpu()
        return np.asarray((value.float() if value.dtype == torch.bfloat16 else value).numpy())
    rows = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(row, np.ma.MaskedArray) for row in rows):
        raise TypeError(f"{name} must not be a masked array: drop or fill what is masked")
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None


def real_array(value: Any, name: str) -> NDArray[Any]:
    """As :func:`to_numpy`; real numbers, in a precision that both NumPy and torch have.

    Raises:
        TypeError: no real numbers.
    """
    array = to_numpy(value, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def column_names(value: Any, name: str) -> Names:
    """Names of the columns of a table, or of a series, of pandas, polars or pyarrow; empty where the data have none.

    The numbers with which pandas counts columns that nobody named are no names.

    Args:
        value: what was given.
        name: what an error calls it.

    Raises:
        ValueError: two columns of one name.
    """
    columns = _columns(value)
    if columns is None and getattr(value, "ndim", 1) == 1 and isinstance(getattr(value, "name", None), str):
        columns = [value.name] if value.name else None  # of a series
    if columns is None or columns == list(range(len(columns))):
        return ()
    names = tuple(printable(str(column)) for column in columns)
    if (twice := repeated(names)) is not None:
        raise ValueError(f"{name} must have a name of its own for each column, got {twice!r} twice")
    return names


def in_order(table: Any, names: Names, name: str) -> Any:
    """The columns of a table in the order of ``names``; other data, or without names, as they are.

    Raises:
        ValueError: a column is missing.
    """
    columns = _columns(table)
    if columns is None:
        return table
    own = {printable(str(column)): column for column in columns}
    counted = tuple(map(str, range(len(own))))
    # Columns that pandas counts are in their order by number.
    names = names or (counted if own.keys() == set(counted) else ())
    if not names:
        return table
    missing = [one for one in names if one not in own]
    if missing:
        raise ValueError(f"{name} must have the columns of the data, got none of the name {', '.join(missing[:5])}")
    return _numbers_of(table, [own[one] for one in names], name)


def _columns(value: Any) -> list[Any] | None:
    """What a table calls its columns; None for everything else."""
    columns = getattr(value, "column_names", getattr(value, "columns", None))
    return list(columns) if columns is not None and hasattr(value, "__getitem__") else None


def _numbers_of(table: Any, columns: list[Any], name: str) -> NDArray[Any]:
    """The columns of a table side by side."""
    found = [np.asarray(table[column]) for column in columns]
    for column, own in zip(columns, found, strict=True):
        if own.dtype.kind not in "fiub":
            raise TypeError(
                f"{name} must hold real numbers, got column {str(column)!r} of {own.dtype}: leave it out, or code it "
                "as numbers"
            )
    return np.column_stack(found) if found else np.empty((len(table), 0))


def sample_matrix(value: Any, name: str, one_column: bool = False) -> NDArray[Any]:
    """As :func:`real_array`; a finite matrix of float32 or float64 with at least one row and one column.

    Args:
        value: what was given; data frames are taken as well.
        name: what an error calls it.
        one_column: whether a vector is a matrix of one column.

    Raises:
        TypeError: no real numbers.
        ValueError: another shape, or numbers that are not finite.
    """
    columns = _columns(value)
    array = real_array(value if columns is None else _numbers_of(value, columns, name), name)
    if array.ndim == 1 and one_column:
        array = array[:, None]
    if array.ndim != 2:
        remedy = f"; one column of numbers is {name}[:, None], one sample {name}[None]" if array.ndim == 1 else ""
        if array.ndim > 2:
            remedy = f"; {name}.reshape(len({name}), -1) makes a row of each sample"
        raise ValueError(
            f"{name} must be a two-dimensional matrix, one row a sample and one column an entry, "
            f"got shape {array.shape}{remedy}"
        )
    if 0 in array.shape:
        raise ValueError(f"{name} must hold at least one sample and one entry, got shape {array.shape}")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0].tolist()
        where = f"column {column} counted from 0" if columns is None else f"counted from 0, column {columns[column]!r}"
        where = f"row {row}{',' if columns is None else ''} {where}"
        raise ValueError(
            f"{name} must be finite, got {array[row, column]} at {where} ({(~finite).sum()} such values): leave such "
            "rows out, or fill them"
        )
    return array
