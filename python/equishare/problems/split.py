"""Training and validation samples: one is drawn from the other, or both were given and must fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from equishare.arrays import Names, column_names, real_array
from equishare.checks import flag, natural

# Squares of larger weights, or of the inverse of it, are no numbers beside others.
_MOST_WEIGHT = 1e50


def halves(count: int, seed: int, name: str, train_fraction: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows to validate, drawn without replacement; at least one each.

    Args:
        count: number of samples.
        seed: of the draw.
        name: what an error calls the samples.
        train_fraction: share of the samples used to fit, between 0 and 1 exclusive.

    Raises:
        ValueError: less than two samples, or a seed that is not a natural number.
    """
    check_split(seed, train_fraction)
    if count < 2:
        raise ValueError(f"{name} must hold at least two samples (rows), to fit and to validate, got {count}")
    order = np.random.default_rng(int(seed)).permutation(count)
    num_train = min(max(round(train_fraction * count), 1), count - 1)
    return order[:num_train], order[num_train:]


def check_split(seed: int, train_fraction: float) -> None:
    """ValueError unless the seed is a natural number and the share lies between 0 and 1."""
    natural("seed", seed)
    if not 0 < train_fraction < 1:
        raise ValueError(f"train_fraction must lie between 0 and 1 (exclusive), got {train_fraction}")


def check_varies(name: str, low: np.ndarray, high: np.ndarray, has_origin: bool) -> None:
    """ValueError where data are constant, with these least and greatest numbers of each column.

    Where nothing takes their origin a constant tells something, unless it is 0.
    """
    if (low == high).all() and (has_origin or not high.any()):
        raise ValueError(f"{name} holds constant data: no column varies")


def weighted_halves(weights: np.ndarray, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """:func:`halves` of the rows whose weights (n,) are above 0."""
    rows = np.flatnonzero(weights > 0)
    train, val = halves(len(rows), seed, name)
    return rows[train], rows[val]


def sample_weights(weights: Any, count: int) -> np.ndarray:
    """(n,) weights of samples; None: all 1.

    Raises:
        TypeError: no numbers.
        ValueError: another shape, not finite, negative, too small or large for float64, or less than two above 0.
    """
    if weights is None:
        return np.ones(count)
    found = sample_vector(weights, "weights", count)
    if (found < 0).any():
        raise ValueError(f"weights must not be negative, got {found.min():g}: 0 leaves a sample out")
    extreme = found[(found > 0) & ((found < 1 / _MOST_WEIGHT) | (found > _MOST_WEIGHT))]
    if len(extreme):
        raise ValueError(
            f"weights must be 0 or lie between {1 / _MOST_WEIGHT:g} and {_MOST_WEIGHT:g}, got {extreme[0]:g}: divide "
            "them by their mean where only their ratios count"
        )
    if count > 1 and np.count_nonzero(found) < 2:
        raise ValueError(
            f"weights must be above 0 for at least two samples, to fit and to validate, got {np.count_nonzero(found)}: "
            "None weighs all alike"
        )
    return found


def sample_vector(value: Any, name: str, count: int) -> np.ndarray:
    """(n,) finite numbers, one a sample.

    Raises:
        TypeError, ValueError: they are not.
    """
    found = real_array(np.asarray(value) if hasattr(value, "to_numpy") else value, name).astype(float)
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.shape != (count,):
        raise ValueError(f"{name} must be {count} finite numbers, one a sample, got shape {found.shape}")
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise ValueError(f"{name} must be finite, got {found[row]} in row {row}: leave such rows out, or fill them")
    return found


def check_map_call(problem: str, more: tuple[Any, ...], bias: Any, x_val: Any, y_val: Any) -> None:
    """TypeError where a problem of a map got samples for validation by position, or one half of them, or no bias."""
    if more:
        raise TypeError(
            f"validation samples must be given by name, got {2 + len(more)} arguments by position: "
            f"{problem}(x_train, y_train, x_val=x_val, y_val=y_val), or {problem}(x, y), which splits the "
            "samples itself (scikit-learn's train_test_split gives x_train, x_val, y_train, y_val in this order)"
        )
    flag("bias", bias)
    if (x_val is None) != (y_val is None):
        raise TypeError(f"x_val and y_val must be given together, got only {'y' if x_val is None else 'x'}_val")


def check_validation(
    tables: tuple[Any, Any],
    arrays: tuple[np.ndarray, np.ndarray],
    names: tuple[Names, Names],
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    """ValueError unless samples for validation fit those to fit.

    Args:
        tables: x_val and y_val as they were given.
        arrays: the same as arrays.
        names: of the columns of x and y.
        data: x and y.
    """
    for table, own, name in zip(tables, names, ("x", "y"), strict=True):
        same_columns(table, own, (name, f"{name}_val"))
    check_rows(arrays, ("x_val", "y_val"))
    for one, other, name in zip(data, arrays, ("x", "y"), strict=True):
        check_columns(one, other, (name, f"{name}_val"))


def check_rows(arrays: tuple[np.ndarray, np.ndarray], names: tuple[str, str]) -> None:
    """ValueError unless two arrays have as many rows as each other."""
    a, b = arrays
    if len(a) != len(b):
        raise ValueError(
            f"{names[0]} and {names[1]} must have as many rows as each other, got shapes {a.shape} and {b.shape}"
        )


def check_order(x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> None:
    """ValueError where two tables of pandas have other row labels, or have them in another order."""
    own: Any = getattr(x, "index", None)
    other: Any = getattr(y, "index", None)
    if hasattr(own, "equals") and hasattr(other, "equals") and not own.equals(other):
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same rows in the same order, got tables of different indices: "
            f"{names[1]} = {names[1]}.loc[{names[0]}.index], or {names[1]}.to_numpy() where the rows belong together "
            "as they are"
        )


def check_columns(a: np.ndarray, b: np.ndarray, names: tuple[str, str]) -> None:
    """ValueError unless two arrays have as many columns as each other."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of columns, got shapes {a.shape} and {b.shape}"
        )


def same_columns(table: Any, columns: Names, names: tuple[str, str]) -> None:
    """ValueError where a table has other columns than one before it, or has them in another order."""
    own = column_names(table, names[1])
    if own and columns and own != columns:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same columns in the same order, got "
            f"{', '.join(columns[:5])} and {', '.join(own[:5])}"
        )
