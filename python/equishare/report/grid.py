"""The layout of a pattern: a weight matrix as it is, a vector wrapped into rows."""

from __future__ import annotations

import numpy as np

# Marks the cells after the last entry of a wrapped vector.
NO_GROUP = -1


def wrapped(labels: np.ndarray, width: int) -> np.ndarray:
    """Labels as a matrix: (O, I) unchanged, (K,) in rows of `width`, filled up with NO_GROUP."""
    if labels.ndim == 2:
        return labels
    width = max(1, min(width, labels.size))
    filler = np.full(-labels.size % width, NO_GROUP)
    return np.concatenate([labels, filler]).reshape(-1, width)


def round_width(count: int) -> int:
    """A round number of entries a row, some four times as many as there are rows."""
    return max(20, 10 * int(np.ceil(np.sqrt(4 * count) / 10)))
