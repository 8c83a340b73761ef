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
    if given.shape != shape and given.shape != tuple(n for n in shape if n > 1) and given.size != np.prod(shape):
        raise ValueError(f"within must have the shape of the entries, {shape}, got {given.shape}")
    blocks = np.unique(given.reshape(shape), return_inverse=True)[1].reshape(shape)
    return None if not blocks.any() else blocks
