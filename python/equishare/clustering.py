"""Least-squares clustering of numbers: exact, as the best groups are contiguous among the sorted numbers."""

from __future__ import annotations

import numpy as np

from equishare import reference
from equishare._native import core

__all__ = ["least_squares_groups", "segmentation_path"]

# More different numbers than that are clustered as the means of so many bins first. The bins lie by rank and by value
# half and half: so they are narrow where there are many numbers, and in the tails.
_MOST_BINS = 1 << 14
# Lloyd's steps afterwards; each takes microseconds.
_MOST_STEPS = 1000


def segmentation_path(value: np.ndarray, weight: np.ndarray, max_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Best segmentations of ``value`` into 1, …, G contiguous groups of the sorted values.

    The partition into g groups that minimises ``Σ_k w_k (x_k − x̄_group)²`` is contiguous in the sorted x. So these are
    the best of all partitions, not only of contiguous ones.

    Args:
        value: (K,) numbers in any order.
        weight: (K,) positive weights.
        max_groups: G, at most K.

    Returns:
        (G, K) labels in the order of ``value``, groups numbered by ascending value, and the (G,) least costs.
    """
    order = np.argsort(value, kind="stable")
    x, w = np.ascontiguousarray(value[order]), np.ascontiguousarray(weight[order])
    starts, cost = _starts(x, w, max_groups)
    opens = np.zeros((max_groups, len(x)), np.int32)
    row, column = np.tril_indices(max_groups)
    opens[row, starts[row, column]] = 1
    labels = np.empty_like(opens)
    labels[:, order] = np.cumsum(opens, axis=1) - 1
    return labels, cost


def least_squares_groups(value: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The groups and means that minimise ``Σ_k (x_k − mean of its group)²``: k-means of numbers, without a start.

    Up to 16,384 different numbers: exactly. Of more, the means of so many bins are clustered exactly, and Lloyd's steps
    over all numbers follow until none moves.

    Args:
        value: (K,) finite numbers in any order, K at least 1.
        num_groups: G.

    Returns:
        (K,) labels, and the (G,) means in ascending order; fewer groups where there are fewer different numbers.
    """
    order = np.argsort(value, kind="stable")
    # In units of the largest, about the mean: no square leaves the range, and differences keep their digits.
    unit = _size(value)
    x = value[order].astype(np.float64) / unit
    centre = x.mean()
    x -= centre
    spread = _size(x)
    x /= spread
    new = np.append(True, x[1:] > x[:-1])
    is_exact = new.sum() <= _MOST_BINS
    if not is_exact:
        place = np.arange(len(x)) / len(x) + (x - x[0]) / (x[-1] - x[0])
        bins = np.floor(place * (_MOST_BINS // 2 - 1))
        new &= np.append(True, bins[1:] > bins[:-1])
    begins = np.flatnonzero(new)
    count = np.diff(np.append(begins, len(x))).astype(np.float64)
    num_groups = min(num_groups, len(begins))
    starts, _ = _starts(np.add.reduceat(x, begins) / count, count, num_groups)
    cuts = begins[starts[num_groups - 1]]
    if not is_exact:
        cuts = _settled(x, cuts)
    size = np.diff(np.append(cuts, len(x)))
    labels = np.empty(len(x), np.int64)
    labels[order] = np.repeat(np.arange(num_groups), size)
    return labels, (np.add.reduceat(x, cuts) / size * spread + centre) * unit


def _settled(x: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Lloyd's steps until none moves: each number to the nearest mean."""
    total = np.append(0.0, np.cumsum(x))
    for _ in range(_MOST_STEPS):
        bounds = np.append(cuts, len(x))
        means = np.diff(total[bounds]) / np.diff(bounds)
        moved = np.append(0, np.searchsorted(x, (means[1:] + means[:-1]) / 2, side="right"))
        if np.array_equal(moved, cuts) or (np.diff(np.append(moved, len(x))) < 1).any():
            break
        cuts = moved
    return cuts


def _size(x: np.ndarray) -> float:
    return float(np.abs(x).max()) or 1.0


def _starts(x: np.ndarray, weight: np.ndarray, max_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the best 1, …, G segments of sorted numbers begin, (G, G), and the (G,) least costs."""
    if core is None:
        return reference.segmentation_path(x, weight, max_groups)
    starts, cost = np.zeros((max_groups, max_groups), np.int32), np.empty(max_groups)
    core.segmentation_path(len(x), max_groups, x.ctypes.data, weight.ctypes.data, starts.ctypes.data, cost.ctypes.data)
    return starts, cost
