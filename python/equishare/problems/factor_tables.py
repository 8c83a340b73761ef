"""Tables of a factor problem: which columns are numbers, which factors have an order; predictions for new rows."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from equishare.checks import did_you_mean
from equishare.problems.answers import Predictor
from equishare.problems.base import Slot
from equishare.problems.families import Family
from equishare.problems.levels import codes_in, columns_of, numbers_of
from equishare.problems.split import sample_vector


def is_named(numeric: Any) -> bool:
    """Whether ``numeric`` names columns of the table, and is no array of its own."""
    return isinstance(numeric, str) or (
        isinstance(numeric, list | tuple) and all(isinstance(one, str) for one in numeric)
    )


def numeric_columns(numeric: Any, columns: dict[str, Any], count: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the columns that are never tied, and their numbers (n, P).

    Raises:
        TypeError, ValueError: columns that the table lacks, names that repeat, other lengths, no finite numbers.
    """
    if numeric is None:
        return (), np.empty((count, 0))
    if is_named(numeric):
        names = [numeric] if isinstance(numeric, str) else list(numeric)
        unknown = [one for one in names if one not in columns]
        if unknown:
            near = did_you_mean(unknown[0], list(columns))
            raise ValueError(f"numeric must name columns of the table, and {unknown[0]!r} is none{near}")
        if len(set(names)) < len(names):
            raise ValueError(f"numeric must name each column once, got {', '.join(names)}")
        return tuple(names), np.stack([numbers_of(one, columns[one]) for one in names], 1) if names else np.empty(
            (count, 0)
        )
    own = numeric_apart(numeric, columns, count)
    return tuple(own), np.stack([numbers_of(one, column) for one, column in own.items()], 1)


def numeric_apart(numeric: Any, factors: Collection[str], count: int) -> dict[str, Any]:
    """Numeric columns that are given apart from the table of the factors, by name."""
    own = {f"numeric {one}" if one in factors else one: column for one, column in columns_of(numeric).items()}
    length = len(next(iter(own.values())))
    if length != count:
        raise ValueError(f"numeric must have a row for each of {count} samples, got {length}")
    return own


def orders(ordered: Any, names: Sequence[str]) -> dict[str, Any]:
    """The levels in their order, or True, of each factor that ``ordered`` names.

    Raises:
        TypeError, ValueError: something else, or no factors of the table.
    """
    if ordered is None:
        return {}
    if isinstance(ordered, str):
        ordered = [ordered]
    if not isinstance(ordered, Mapping | Sequence) or not all(isinstance(one, Hashable) for one in ordered):
        raise TypeError(f"ordered must be names of factors, or a dict of their levels in order, got {ordered!r}")
    found = dict(ordered) if isinstance(ordered, Mapping) else dict.fromkeys(ordered, True)
    unknown = [one for one in found if one not in names]
    if unknown:
        near = did_you_mean(str(unknown[0]), names)
        raise ValueError(f"ordered must name factors of the table, and {unknown[0]!r} is none{near}")
    return found


def is_same(column: Any, y: Any) -> bool:
    """Whether a column holds the outcome."""
    try:
        return bool((np.asarray(column) == np.asarray(y)).all())
    except (TypeError, ValueError):
        return False


def predicted(
    slots: Sequence[Slot],
    effects: Mapping[str, np.ndarray],
    predictor: Predictor,
    table: Any,
    offset: Any = None,
    numeric: Any = None,
) -> np.ndarray:
    """(n,) means for the rows of a table.

    A level that was never seen has the effect ``predictor.unseen``, and a warning tells of it.

    Args:
        slots: the factors.
        effects: of their levels.
        predictor: all else.
        table: as that of the problem.
        offset: (n,) added to the linear predictor.
        numeric: (n, P) numeric columns, where they were given apart from the table.

    Raises:
        TypeError, ValueError: the table lacks a column.
    """
    columns, factors = columns_of(table), [slot.key for slot in slots]
    count = len(next(iter(columns.values())))
    if numeric is not None:
        own = numeric_apart(numeric, factors, count)
        if set(own) != set(predictor.numeric):
            raise ValueError(
                f"numeric must have the columns {', '.join(predictor.numeric) or 'of the data, which had none'}, "
                f"got {', '.join(own)}"
            )
        columns |= own
    missing = [one for one in (*factors, *predictor.numeric) if one not in columns]
    if missing:
        near = did_you_mean(missing[0], list(columns))
        apart = "" if set(missing) & set(factors) else ": predict(table, numeric=...) takes numbers as the problem did"
        raise ValueError(f"table must have the columns of the data, and lacks {', '.join(missing[:5])}{near}{apart}")
    eta = np.full(count, predictor.bias) + (0.0 if offset is None else sample_vector(offset, "offset", count))
    new = []
    for slot, unseen in zip(slots, predictor.unseen, strict=True):
        codes = codes_in(slot.labels[0], columns[slot.key])
        eta += np.where(codes < 0, unseen, effects[slot.key][codes])
        if (codes < 0).any():
            new.append(f"{slot.key} ({int((codes < 0).sum())} rows)")
    for name, own in zip(predictor.numeric, predictor.coefficients, strict=True):
        eta += own * numbers_of(name, columns[name])
    if new:
        warnings.warn(
            f"levels that were never seen have the effect that is expected of a new one: {', '.join(new)}",
            UserWarning,
            stacklevel=3,
        )
    return Family(predictor.family).expected(eta)
