"""Exact optimal segmentations of sorted numbers."""

from __future__ import annotations

import numpy as np

from equishare._native import core


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
    starts = np.zeros((max_groups, max_groups), np.int32)
    cost = np.empty(max_groups)
    core.segmentation_path(len(x), max_groups, x.ctypes.data, w.ctypes.data, starts.ctypes.data, cost.ctypes.data)
    opens = np.zeros((max_groups, len(x)), np.int32)
    row, column = np.tril_indices(max_groups)
    opens[row, starts[row, column]] = 1
    labels = np.empty_like(opens)
    labels[:, order] = np.cumsum(opens, axis=1) - 1
    return labels, cost
