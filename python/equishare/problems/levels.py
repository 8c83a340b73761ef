"""Tables of categories as people give them: columns, the names of their levels, and a code for each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from equishare.arrays import column_names, real_array, to_numpy
from equishare.naming import printable

#: The level of rows without a value.
MISSING = "missing"


@dataclass(frozen=True, eq=False)
class Factor:
    """A column of categories.

    Attributes:
        name: of the column.
        levels: names of its levels, in their order.
        codes: (n,) position of the level of each row.
        is_ordered: whether only neighbouring levels may be tied.
        alike: levels that are several values of one name, such as 1 and "1".
    """

    name: str
    levels: tuple[str, ...]
    codes: np.ndarray
    is_ordered: bool = False
    alike: tuple[str, ...] = ()


def columns_of(table: Any) -> dict[str, Any]:
    """The columns of a table by name: a data frame, a dict of columns, or an array (n, J), whose columns are counted.

    Raises:
        TypeError: something else, or a column that is no list of values.
        ValueError: no column, a name that repeats, or columns of different lengths.
    """
    if isinstance(table, Mapping):
        keys = [str(key) for key in table]
        found = dict(zip(keys, table.values(), strict=True))
        if len(found) < len(keys):
            raise ValueError(f"table must have a name of its own for each column, got {', '.join(keys)}")
    elif (names := getattr(table, "column_names", getattr(table, "columns", None))) is not None:
        listed = list(names)
        column_names(table, "table")  # complains of names that repeat
        if listed == list(range(len(listed))):
            array = np.asarray(table, dtype=object)
            found = {str(i): array[:, i] for i in listed}
        else:
            found = {str(name): table[name] for name in listed}
    else:
        if isinstance(table, str) or not hasattr(table, "__len__"):
            raise TypeError(
                f"table must be a data frame, a dict of columns or an array (n, J), got {type(table).__name__}"
            )
        if isinstance(table, list | tuple):
            table = np.array([list(row) if isinstance(row, list | tuple) else row for row in table], dtype=object)
        array = to_numpy(table, "table")
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise ValueError(f"table must have one row a sample and one column a factor, got shape {array.shape}")
        found = {str(i): array[:, i] for i in range(array.shape[1])}
    for name, column in found.items():
        if isinstance(column, str | Set | Mapping) or not hasattr(column, "__len__") or getattr(column, "ndim", 1) != 1:
            what = f"{column!r}"[:60] if getattr(column, "ndim", 0) == 0 else f"shape {column.shape}"
            raise TypeError(f"column {name!r} must be a list of one value a row, got {what}")
    lengths = {name: len(column) for name, column in found.items()}
    if not found or not max(lengths.values()):
        raise ValueError("table must have at least one column and one row, got none")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"table must have columns of one length, got {lengths}")
    return found


def factor_of(name: str, column: Any, order: Sequence[Any] | bool = False) -> Factor:
    """A column as a factor.

    Rows without a value (None, NaN) have a level of their own, "missing". Levels that no row has are left out.

    Args:
        name: of the column.
        column: its values.
        order: the levels in their order, or True for that of a sorted column, where neighbours alone may be tied.
            Ordered categories of pandas and the enumerations of polars bring their order.

    Raises:
        ValueError: infinite numbers, or such with fractions, which are no categories; an order that lacks a level or
            holds one twice.
    """
    given, own_order = _own_order(column)
    keys, own_codes = _distinct(given)
    names, codes = _named(keys, own_codes)
    if (odd := next((one for one in names.values() if _is_fraction(one)), None)) is not None:
        if np.isinf(odd):
            raise ValueError(f"column {name!r} of table holds {odd}: leave such rows out, or put None for no value")
        raise ValueError(
            f"column {name!r} of table holds numbers with fractions, which are no categories, got {odd:g}: "
            f"numeric=[{name!r}] takes them as numbers, rounding or cutting makes categories of them"
        )
    levels = list(names)
    if own_order is not None and not isinstance(order, Sequence):
        ranked = {level_name(one): i for i, one in enumerate(own_order)}
        levels.sort(key=lambda one: ranked.get(one, len(ranked)))
    elif isinstance(order, Sequence) and not isinstance(order, str):
        ranked = {level_name(one): i for i, one in enumerate(order)}
        if len(ranked) < len(order):
            twice = next(one for one, count in Counter(map(level_name, order)).items() if count > 1)
            raise ValueError(f"ordered must hold each level of column {name!r} once, got {twice!r} twice")
        lacking = [one for one in levels if one not in ranked and one != MISSING]
        if lacking:
            raise ValueError(f"ordered must hold all levels of column {name!r}, and lacks {', '.join(lacking[:5])}")
        levels.sort(key=lambda one: ranked.get(one, len(ranked)))
    position = {one: i for i, one in enumerate(levels)}
    place = np.array([position[one] for one in names])
    is_ordered = own_order is not None or order is True or (isinstance(order, Sequence) and len(order) > 0)
    shared = Counter(map(level_name, keys))
    alike = tuple(one for one in levels if shared[one] > 1)
    return Factor(name, tuple(levels), place[codes], bool(is_ordered), alike)


def named_levels(column: Any) -> tuple[dict[str, Any], np.ndarray]:
    """Levels by name, sorted, each with its value, and the position of each row's."""
    return _named(*_distinct(column))


def _distinct(column: Any) -> tuple[list[Any], np.ndarray]:
    """The different values of a column, None for all that are missing, and the position of each row's."""
    values = _values(column)
    try:
        missing = np.array([_is_missing(one) for one in values]) if values.dtype == object else np.zeros(0, bool)
        if missing.any():
            raise TypeError
        found, codes = np.unique(values, return_inverse=True)
        return found.tolist(), codes
    except TypeError:  # of several types, or with gaps
        if (odd := next((one for one in values.tolist() if not isinstance(one, Hashable)), None)) is not None:
            raise TypeError(f"levels must be text, numbers or tuples of them, got {type(odd).__name__}") from None
        positions: dict[Any, int] = {}
        codes = np.array([positions.setdefault(None if _is_missing(v) else v, len(positions)) for v in values])
        return list(positions), codes


def _named(keys: list[Any], codes: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    names = [level_name(key) for key in keys]
    # Of several values of one name a number or a gap stands for all, whichever comes first.
    values = dict(sorted(zip(names, keys, strict=True), key=lambda pair: _is_real(pair[1]) + 2 * _is_missing(pair[1])))
    unique = sorted(values, key=lambda one: _sort_key(one, values[one]))
    place = {one: i for i, one in enumerate(unique)}
    return {one: values[one] for one in unique}, np.array([place[one] for one in names], np.int64)[codes]


def has_fractions(column: Any) -> bool:
    """Whether a column holds numbers with fractions, which are no categories."""
    return any(_is_fraction(one) and np.isfinite(one) for one in _distinct(_own_order(column)[0])[0])


def level_name(value: Any) -> str:
    """What a level is called: whole numbers without a point, "missing" for None and NaN."""
    if _is_missing(value):
        return MISSING
    if _is_real(value) and not isinstance(value, bool | np.bool_) and float(value).is_integer():
        return str(int(value))
    return printable(str(value))


def codes_in(levels: Sequence[str], column: Any) -> np.ndarray:
    """(n,) position of each row's level among those known; −1 for others."""
    names, codes = named_levels(column)
    known = {one: i for i, one in enumerate(levels)}
    return np.array([known.get(one, -1) for one in names], np.int64)[codes]


def numbers_of(name: str, column: Any) -> np.ndarray:
    """(n,) finite numbers of a column.

    Raises:
        TypeError, ValueError: it holds others.
    """
    values = real_array(np.asarray(column) if not hasattr(column, "detach") else column, f"column {name!r}")
    values = values.astype(float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"column {name!r} must hold finite numbers: leave rows without one out, or fill them")
    return values


def _own_order(column: Any) -> tuple[Any, list[Any] | None]:
    """A column, and the order that it brings of its levels."""
    dtype: Any = getattr(column, "dtype", None)
    has_order = getattr(dtype, "ordered", False) or type(dtype).__name__ == "Enum"
    return column, list(dtype.categories) if has_order and hasattr(dtype, "categories") else None


def _values(column: Any) -> np.ndarray:
    for method in ("to_list", "to_pylist", "tolist"):
        if hasattr(column, method) and not isinstance(column, np.ndarray):
            column = getattr(column, method)()
            break
    if isinstance(column, list | tuple) and any(isinstance(one, list | tuple | np.ndarray) for one in column):
        # Values that have several parts are one each.
        array = np.empty(len(column), dtype=object)
        array[:] = [tuple(one) if isinstance(one, list | np.ndarray) else one for one in column]
        return array
    array = np.asarray(column)
    if array.dtype.kind in "fc" and np.isnan(array).any() or (array.dtype.kind in "US" and isinstance(column, list)):
        # Lists of several types would become text.
        array = np.array(column, dtype=object) if isinstance(column, list) else array.astype(object)
    return array


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # of pandas.NA
        return True


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not _is_missing(value)


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and _is_real(value) and not value.is_integer()


def _sort_key(name: str, value: Any) -> tuple[int, float, str]:
    if name == MISSING and _is_missing(value):
        return 2, 0.0, name
    return (0, float(value), name) if _is_real(value) else (1, 0.0, name)
