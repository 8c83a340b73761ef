"""What people give as arrays: numbers, sequences, NumPy arrays, tensors; read in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def to_numpy(value: Any, name: str) -> NDArray[Any]:
    """Numbers, an array or a tensor as an array; bfloat16, which NumPy lacks, as float32.

    Args:
        value: what was given.
        name: what an error calls it.

    Raises:
        TypeError: a masked array, or a tensor that is sparse or holds no numbers.
        ValueError: rows of different lengths.
    """
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_meta:
            kind = "on the meta device" if value.is_meta else "sparse"
            raise TypeError(f"{name} must be a dense tensor, got one that is {kind}")
        value = value.detach().cpu()
        return np.asarray((value.float() if value.dtype == torch.bfloat16 else value).numpy())
    rows = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(row, np.ma.MaskedArray) for row in rows):
        raise TypeError(f"{name} must not be a masked array: drop or fill what is masked")
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None


def real_array(value: Any, name: str) -> NDArray[Any]:
    """As :func:`to_numpy`; real numbers, in a precision that both NumPy and torch have.

    Raises:
        TypeError: no real numbers.
    """
    array = to_numpy(value, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def sample_matrix(value: Any, name: str) -> NDArray[Any]:
    """As :func:`real_array`; a finite matrix of float32 or float64 with at least one row and one column.

    Raises:
        ValueError: another shape, or numbers that are not finite.
    """
    array = real_array(value, name)
    if array.ndim != 2:
        raise ValueError(
            f"{name} must be a two-dimensional matrix, one row a sample and one column an entry, "
            f"got shape {array.shape}"
        )
    if 0 in array.shape:
        raise ValueError(f"{name} must hold at least one sample and one entry, got shape {array.shape}")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name} must be finite, got {array[row, column]} at row {row}, column {column} counted from 0 "
            f"({(~finite).sum()} such values)"
        )
    return array
