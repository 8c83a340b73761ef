"""Argument checks of the public operations: shapes, dtypes, devices, labels."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from equishare.ops._rule import KERNEL_DTYPES, is_lazy, is_tracing

LABEL_DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)


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


def same_floating(**tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, of one floating dtype on one device, else TypeError or ValueError."""
    given = tuple(tensors.values())
    first = given[0]
    if isinstance(first, Tensor) and first.dtype.is_floating_point:
        dtype, device = first.dtype, first.device
        if all(isinstance(x, Tensor) and x.dtype is dtype and x.device == device for x in given):
            return given
    given = promoted(*given)
    check_floating(**dict(zip(tensors, given, strict=True)))
    return given


_LAST_DIMENSIONS = {
    **dict.fromkeys(("logits", "grad_logits", "out"), "KG"),
    **dict.fromkeys(("theta", "u", "x"), "K"),
    **dict.fromkeys(("values", "norms", "grad_values", "psi", "colsum"), "G"),
    "stats": "K3",
}


def check_buffers(form: str, logits: Tensor, **others: Tensor) -> None:
    """Contiguous tensors that kernels take as they are, each of the shape that its name has, else ValueError.

    ``form`` is that of the leading dimensions, which all share: ``...``, or ``B`` for a single one.
    """
    if is_tracing():
        raise RuntimeError(
            "torch.jit.trace cannot record an operation that writes into buffers: trace equishare.ops."
            "soft_gather_penalties, soft_project and assignment_penalties, which return their results"
        )
    if (
        logits.dim() < 2
        or (form == "B" and logits.dim() != 3)
        or logits.dtype not in KERNEL_DTYPES
        or not (logits.is_cpu or logits.is_cuda)
    ):
        raise ValueError(
            f"logits must be a float32 or float64 CPU or CUDA tensor of shape ({form}, K, G), "
            f"got {logits.dtype} {tuple(logits.shape)} on {logits.device}"
        )
    *batch, rows, groups = logits.shape
    size_of = {"K": rows, "G": groups, "3": 3}
    for name, tensor in (("logits", logits), *others.items()):
        shape = (*batch, *(size_of[letter] for letter in _LAST_DIMENSIONS.get(name, "")))
        fits = tensor.shape == shape and tensor.dtype == logits.dtype and tensor.device == logits.device
        if not fits or not tensor.is_contiguous():
            raise ValueError(
                f"{name} must be a contiguous {logits.dtype} tensor of shape {shape} on {logits.device}, got "
                f"{tensor.dtype} {tuple(tensor.shape)} with strides {tensor.stride()} on {tensor.device}"
            )
        if is_lazy(tensor):
            raise ValueError(f"{name} must hold its own numbers, got a negated view or lazy zeros; give {name} + 0")


def check_apart(written: dict[str, Tensor], read: dict[str, Tensor]) -> None:
    """Contiguous tensors that are written lie in memory of their own, else ValueError: all are read to the end."""
    spans = [(name, x.data_ptr(), x.nbytes) for name, x in (*written.items(), *read.items())]
    for i, (name, begin, size) in enumerate(spans[: len(written)]):
        for other, other_begin, other_size in spans[i + 1 :]:
            if size and other_size and begin < other_begin + other_size and other_begin < begin + size:
                raise ValueError(
                    f"{name} is overwritten and must not share memory with {other}; give a tensor of its own"
                )


def misfit(name: str, other: Tensor, letter: str, size: int, to: str, columns: bool, rule: str) -> ValueError:
    """The error for values or entries whose G or K is not that of the logits or labels."""
    form = f"(..., {letter}, C)" if columns else f"(..., {letter})"
    return ValueError(
        f"{name} must have shape {form} with {letter} = {size} for {to}, got {tuple(other.shape)}; "
        f"it has columns exactly when it has {rule}"
    )


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
