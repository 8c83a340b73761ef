"""Which entries may be tied at all: blocks given by a person."""

from __future__ import annotations

from typing import Any

import numpy as np

from equishare.arrays import to_numpy


def checked_within(within: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Blocks 0 … B − 1 in the shape of the entries; None where there is one.

    Args:
        within: integers of the shape of the entries; a vector where all other axes have length 1; None.
        shape: of the entries.

    Raises:
        TypeError: no integers.
        ValueError: another shape.
    """
    if within is None:
        return None
    given = to_numpy(within, "within")
    if given.dtype.kind not in "iub":
        raise TypeError(f"within must hold integers, one a block of entries, got dtype {given.dtype}")
    size = int(np.prod(shape))
    vector = (size,) if size == max(shape) else shape
    if given.shape not in (shape, vector):
        raise ValueError(
            f"within must have the shape of the entries, {shape}{'' if vector == shape else f' or {vector}'}, "
            f"got {given.shape}"
        )
    blocks: np.ndarray = np.unique(given.reshape(shape), return_inverse=True)[1].reshape(shape)
    return None if not blocks.any() else blocks


def keeps_within(within: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each group of a pattern has entries of one block only, both of one shape."""
    pairs = np.unique(np.stack([labels.ravel(), within.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1]
