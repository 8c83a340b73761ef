"""Checks of what the public functions on symmetry are given."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def checked_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of integers of at least 0.

    Raises:
        TypeError: something else than a sequence of integers.
        ValueError: a negative size.
    """
    try:
        sizes = None if isinstance(shape, str) else [None if isinstance(s, bool) else operator.index(s) for s in shape]
    except TypeError:
        sizes = None
    if sizes is None or None in sizes:
        raise TypeError(f"shape must be a tuple of integers, such as (O, I), got {shape!r}")
    checked = tuple(int(size) for size in sizes if size is not None)
    if any(size < 0 for size in checked):
        raise ValueError(f"shape must hold sizes of at least 0, got {checked}")
    return checked


def checked_same_action(same_action: Any) -> bool:
    """Whether outputs and inputs are to be permuted alike.

    Raises:
        TypeError: something else than True or False; a word such as "no" counts as true in Python.
    """
    if not isinstance(same_action, bool | np.bool_):
        raise TypeError(f"same_action must be True or False, got {same_action!r}")
    return bool(same_action)


def checked_tolerance(tolerance: Any) -> float:
    """A tolerance as a number of at least 0.

    Raises:
        TypeError: no number.
        ValueError: below 0, infinite or NaN; a comparison with NaN is never true.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float | np.integer | np.floating):
        raise TypeError(f"tolerance must be a number such as 1e-6, got {tolerance!r}")
    if not 0 <= tolerance < np.inf:
        raise ValueError(f"tolerance must be at least 0 and finite, got {tolerance!r}")
    return float(tolerance)
