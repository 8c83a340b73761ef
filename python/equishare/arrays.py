"""What people give as arrays: numbers, sequences, NumPy arrays, tensors; read in one place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equishare.naming import is_number, printable, repeated

#: Names of the columns of a table; empty where the data had none.
Names = tuple[str, ...]

_NUMBERS = (Real, Decimal, np.number, np.bool_)
# Types of values that stand for none.
_GAPS = ("NoneType", "NAType")
# Numbers that are looked at a time.
_PART = 1 << 20


def to_numpy(value: Any, name: str) -> NDArray[Any]:
    """Numbers, an array or a tensor as an array; floats that NumPy lacks, such as bfloat16, as float32.

    Args:
        value: what was given.
        name: what an error calls it.

    Raises:
        TypeError: a masked array, a tensor or a matrix that is sparse, or what has to be run first: a lazy frame, a
            generator.
        ValueError: rows of different lengths.
    """
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_meta:
            kind = "on the meta device" if value.is_meta else "sparse"
            raise TypeError(f"{name} must be a dense tensor, got one that is {kind}")
        value = value.detach().cpu()
        value = value.dequantize() if value.is_quantized else value.resolve_neg().resolve_conj()
        is_known = not value.is_floating_point() or value.dtype in (torch.float16, torch.float32, torch.float64)
        return np.asarray((value if is_known else value.float()).numpy())
    rows = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(row, np.ma.MaskedArray) for row in rows):
        raise TypeError(f"{name} must not be a masked array: drop or fill what is masked")
    if hasattr(value, "toarray") and not hasattr(value, "__array__"):
        raise TypeError(f"{name} must be dense, got a sparse {type(value).__name__}: {name}.toarray()")
    if isinstance(value, Iterator):
        raise TypeError(f"{name} must be an array, got a {type(value).__name__}: list({name})")
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None


def real_array(value: Any, name: str) -> NDArray[Any]:
    """As :func:`to_numpy`; real numbers, in a precision that both NumPy and torch have.

    Arrays of objects are taken where each is a number: Python's, NumPy's, fractions and decimals. Gaps among them
    (None, pandas.NA) become NaN.

    Raises:
        TypeError: no real numbers.
    """
    array = to_numpy(value, name)
    if array.dtype.kind == "O":
        array = _numbers_among_objects(array, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}{_remedy(array, name)}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _numbers_among_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Objects as float64."""
    flat = array.ravel().tolist()
    odd = {kind for kind in set(map(type, flat)) if not issubclass(kind, _NUMBERS) and kind.__name__ not in _GAPS}
    if odd:
        first = next(i for i, one in enumerate(flat) if type(one) in odd)
        place = ", ".join(map(str, np.unravel_index(first, array.shape)))
        where = f" at [{place}]" if array.ndim else ""
        text = printable(repr(flat[first]))
        raise TypeError(
            f"{name} must hold real numbers, got dtype object with {text[:40]}{'…' * (len(text) > 40)} of type "
            f"{type(flat[first]).__name__}{where}{_remedy(np.asarray(flat[first]), name)}"
        )
    try:
        found = [math.nan if type(one).__name__ in _GAPS else float(one) for one in flat]
    except OverflowError:
        raise TypeError(f"{name} must hold numbers that float64 can hold, got larger ones of dtype object") from None
    return np.array(found, dtype=np.float64).reshape(array.shape)


def _remedy(array: NDArray[Any], name: str, of_column: str = "") -> str:
    """What to do with values that are no real numbers, for the end of a message."""
    kind = array.dtype.kind
    if kind in "Mm":
        first = f"({of_column} - {of_column}.min())" if kind == "M" else of_column
        numpy = f"({name} - {name}.min())" if kind == "M" else name
        return f", say {first}.dt.total_seconds()" if of_column else f": {numpy} / numpy.timedelta64(1, 's')"
    if kind in "UST":
        first = next(iter(array.ravel().tolist()), "")
        if is_number(first):
            return f": {of_column or name}.astype(float)"
        if of_column:
            return "; the levels of a factor are told by FactorProblem(table, y)"
        if name.startswith("y of "):  # of a network
            return "; classes are integers: numpy.unique(y, return_inverse=True)[1]"
        if name == "y":
            return f"; of two classes GeneralizedLinearProblem(x, y == {str(first)[:40]!r}, family='binomial') takes y"
    return f": numpy.column_stack([{name}.real, {name}.imag]) takes both parts" if kind == "c" and not of_column else ""


def column_names(value: Any, name: str) -> Names:
    """Names of the columns of a table, or of a series, of pandas, polars or pyarrow; empty where the data have none.

    The numbers with which pandas counts columns that nobody named are no names.

    Args:
        value: what was given.
        name: what an error calls it.

    Raises:
        ValueError: two columns of one name.
    """
    columns = _columns(value, name)
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
    columns = _columns(table, name)
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


def _columns(value: Any, name: str) -> list[Any] | None:
    """What a table, or a dict of columns, calls its columns; None for everything else."""
    if type(value).__name__ == "LazyFrame":
        raise TypeError(f"{name} must be a table, got a LazyFrame: {name}.collect()")
    if isinstance(value, Mapping):
        return list(value)
    columns = getattr(value, "column_names", getattr(value, "columns", None))
    return list(columns) if columns is not None and hasattr(value, "__getitem__") else None


def _numbers_of(table: Any, columns: list[Any], name: str) -> NDArray[Any]:
    """The columns of a table side by side; without a copy where pandas holds them so."""
    dtypes = set(getattr(table, "dtypes", ())) if type(table).__name__ == "DataFrame" else set()
    if dtypes and all(isinstance(one, np.dtype) and one.kind in "fiu" for one in dtypes):
        return np.asarray(table if columns == list(table.columns) else table[columns])
    found = [_column(table, column, name) for column in columns]
    lengths = dict(zip(map(len, found), columns, strict=True))
    if len(lengths) > 1:
        (a, first), (b, second) = list(lengths.items())[:2]
        raise ValueError(f"{name} must have columns of one length, got {a} values of {first!r} and {b} of {second!r}")
    return np.column_stack(found) if found else np.empty((len(table), 0))


def _column(table: Any, column: Any, name: str) -> NDArray[Any]:
    """A column of a table as numbers."""
    whose = f"column {printable(str(column))!r}"
    own = to_numpy(table[column], f"{name}[{column!r}]")
    if own.ndim != 1:
        raise ValueError(f"{name} must hold one number a row in each column, got {whose} of shape {own.shape}")
    if own.dtype.kind == "O" and all(isinstance(one, str) for one in own[:1].tolist()):
        own = own.astype(str)
    if own.dtype.kind == "O":
        own = _numbers_among_objects(own, f"{name}[{column!r}]")
    if own.dtype.kind not in "fiub":
        kind = {"M": "dates", "m": "times", "U": "text", "S": "text", "T": "text"}.get(own.dtype.kind)
        raise TypeError(
            f"{name} must hold real numbers, got {whose} of {own.dtype if kind is None else kind}: leave it out, or "
            f"code it as numbers{_remedy(own, name, f'{name}[{column!r}]')}"
        )
    return own


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
    columns = _columns(value, name)
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
        array = array.astype(np.float64, copy=False)
    if (bad := _not_finite(array)) is not None:
        row, column, count = bad
        where = f"column {column} counted from 0" if columns is None else f"counted from 0, column {columns[column]!r}"
        where = f"row {row}{',' if columns is None else ''} {where}"
        raise ValueError(
            f"{name} must be finite, got {array[row, column]} at {where} ({count} such values): leave such rows out, "
            "or fill them"
        )
    return array


def _not_finite(matrix: NDArray[Any]) -> tuple[int, int, int] | None:
    """Row and column of the first number that is not finite, and how many there are; a part of the rows at a time."""
    first, count, step = None, 0, max(1, _PART // matrix.shape[1])
    for start in range(0, len(matrix), step):
        bad = ~np.isfinite(matrix[start : start + step])
        if bad.any():
            count += int(bad.sum())
            row, column = np.argwhere(bad)[0].tolist()
            first = first or (start + row, column)
    return None if first is None else (*first, count)
