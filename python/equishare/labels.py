"""Labels as layers store them: group numbers from 0, in few bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from equishare.partition import Partition

__all__ = ["group_numbers", "smallest_label_dtype"]


def smallest_label_dtype(num_groups: int) -> torch.dtype:
    """The smallest dtype for labels of so many groups: uint8 up to 256, int16 up to 32,768, else int32."""
    if num_groups <= 256:
        return torch.uint8
    return torch.int16 if num_groups <= 32_768 else torch.int32


def group_numbers(labels: Any, shape: tuple[int, ...], form: str) -> Tensor:
    """Labels of a weight, int64 on the CPU.

    Args:
        labels: group numbers from 0, an array, a tensor or a Partition.
        shape: of the weight.
        form: the shape in words, for the error.

    Raises:
        TypeError: labels are no integers.
        ValueError: they have another shape, or one is not from 0 to one less than the number of weights.
    """
    partition = labels if isinstance(labels, Partition) else Partition(labels)
    if partition.shape != shape:
        raise ValueError(f"labels must have shape {form} = {shape}, got {partition.shape}")
    if isinstance(labels, Partition):
        labels = partition.labels
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().long()
    numbers = np.asarray(labels)
    least, greatest = int(numbers.min()), int(numbers.max())
    if least < 0 or greatest >= len(partition):
        raise ValueError(
            f"labels must be group numbers from 0 to {len(partition) - 1} for {len(partition)} weights, "
            f"got labels from {least} to {greatest}"
        )
    return torch.from_numpy(numbers.astype(np.int64))
