"""Argument checks of the public operations: shapes, dtypes, devices, labels."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

LABEL_DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)


def all_floating(first: Tensor, *others: Tensor) -> bool:
    """Whether these are tensors of one floating dtype on one device."""
    if not isinstance(first, Tensor) or not first.dtype.is_floating_point:
        return False
    dtype, device = first.dtype, first.device
    for x in others:
        if not isinstance(x, Tensor) or x.dtype is not dtype or x.device != device:
            return False
    return True


def check_floating(**tensors: Tensor) -> None:
    """Tensors of one floating dtype on one device, else TypeError or ValueError."""
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
        if not tensor.dtype.is_floating_point:
            raise TypeError(f"{name} must have a floating dtype, got {tensor.dtype}")
        if tensor.dtype != first.dtype:
            raise TypeError(f"{name} must have the dtype of {first_name}, {first.dtype}, got {tensor.dtype}")
        if tensor.device != first.device:
            raise ValueError(f"{name} must be on the device of {first_name}, {first.device}, got {tensor.device}")


def same_floating(a_name: str, a: Tensor, b_name: str, b: Tensor) -> tuple[Tensor, Tensor]:
    """The two tensors, of one floating dtype on one device, else TypeError or ValueError."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype is b.dtype and a.device == b.device:
        if a.dtype.is_floating_point:
            return a, b
    a, b = promoted(a, b)
    check_floating(**{a_name: a, b_name: b})
    return a, b


def check_labels(labels: Tensor, least_dim: int, device: torch.device) -> None:
    """Labels of an accepted dtype, shape and device; their range is checked where they are read."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels must be a torch.Tensor, got {type(labels).__name__}")
    if labels.dtype not in LABEL_DTYPES:
        raise TypeError(f"labels must be uint8, int16, int32 or int64, got {labels.dtype}")
    if labels.dim() < least_dim:
        raise ValueError(f"labels must have at least {least_dim} dimension(s), got shape {tuple(labels.shape)}")
    if labels.device != device:
        raise ValueError(f"labels must be on {device}, got {labels.device}")


def check_label_range(least: int, greatest: int, num_groups: int) -> None:
    """Labels from 0 to num_groups - 1, else ValueError."""
    if least < 0 or greatest >= num_groups:
        raise ValueError(
            f"labels must lie in 0..{num_groups - 1} for {num_groups} group(s), got labels from {least} to {greatest}"
        )


def common_batch(a_name: str, a: torch.Size, b_name: str, b: torch.Size) -> torch.Size:
    """Leading dimensions that both broadcast to, else ValueError."""
    try:
        return torch.broadcast_shapes(a, b)
    except RuntimeError:
        raise ValueError(
            f"leading dimensions of {a_name} {tuple(a)} and {b_name} {tuple(b)} do not broadcast"
        ) from None


def promoted(first: Tensor, *others: Tensor) -> Any:
    """Under autocast, tensors of several dtypes become one, as autocast leaves them mixed."""
    tensors = (first, *others)
    if all(isinstance(t, Tensor) for t in tensors) and torch.is_autocast_enabled(first.device.type):
        dtype = first.dtype
        for other in others:
            dtype = torch.promote_types(dtype, other.dtype)
        return tuple(t.to(dtype) for t in tensors)
    return tensors


def full_precision(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Keeps autocast from lowering the precision of a composition of torch functions."""
    kind = tensor.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()
