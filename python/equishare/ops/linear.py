"""A linear map whose weights are shared: a few values and a matrix of small integer labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equishare import reference
from equishare.ops._checks import check_labels, full_precision, same_floating
from equishare.ops._rule import STORAGE_DTYPES, Rule, has_kernel, in_transform
from equishare.ops.hard import are_few, gather_few, hard_gather, hard_scatter, launch_checked, require_label_range


def shared_linear(x: Tensor, labels: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y = x Wᵀ + b`` with ``W[o,i] = ψ[label[o,i]]``; neither W nor its gradient is ever stored.

    Args:
        x: (..., I).
        labels: (O, I) uint8, int16, int32 or int64 in 0..G−1.
        values: (G,).
        bias: (O,) or None.

    Returns:
        y (..., O).

    Raises:
        TypeError: if a floating dtype differs or the labels are no accepted integer.
        ValueError: if shapes do not fit or a label is out of range.
    """
    if bias is None:
        x, values = same_floating(x=x, values=values)
    else:
        x, values, bias = same_floating(x=x, values=values, bias=bias)
    check_labels(labels, 2, x.device)
    shape = labels.shape
    if len(shape) != 2 or x.dim() < 1 or x.shape[-1] != shape[1]:
        raise ValueError(
            f"labels must have shape (O, I) and x (..., I), got labels {tuple(shape)} and x {tuple(x.shape)}"
        )
    if values.dim() != 1:
        raise ValueError(f"values must have shape (G,), got {tuple(values.shape)}")
    if bias is not None and bias.shape != shape[:1]:
        raise ValueError(f"bias must have shape ({shape[0]},), got {tuple(bias.shape)}")
    few = are_few(labels.numel(), x, labels, values)
    if few and not torch.is_autocast_enabled("cpu"):
        return torch.nn.functional.linear(x, gather_few(labels, values, False), bias)
    served = has_kernel(x, STORAGE_DTYPES)
    if served and not few:
        if torch.compiler.is_compiling() or not in_transform():
            if x.dim() == 2:
                return linear(x, labels, values, bias)
            flat = x.reshape(x.shape[:-1].numel(), shape[1])
            return linear(flat, labels, values, bias).view(*x.shape[:-1], shape[0])
    with full_precision(x):
        if served:
            return torch.nn.functional.linear(x, hard_gather(labels, values), bias)
        require_label_range(labels, values.shape[0])
        return reference.shared_linear(x, labels, values, bias)


def _linear(x: Tensor, labels: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    x, labels, values = x.contiguous(), labels.contiguous(), values.contiguous()
    bias = None if bias is None else bias.contiguous()
    y = _linear_fake(x, labels, values, bias)
    sizes = (x.shape[0], *labels.shape, values.shape[0])
    arguments = (labels, labels.itemsize, 0, x, values, bias, y)
    launch_checked("shared_linear", x, sizes, labels, values.shape[0], arguments)
    return y


def _linear_fake(x: Tensor, labels: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty((x.shape[0], labels.shape[0]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, labels, values, _ = inputs
    ctx.save_for_backward(x, labels, values)


def _backward(ctx: Any, u: Tensor | None) -> tuple[Tensor | None, ...]:
    x, labels, values = ctx.saved_tensors
    if u is None:
        return None, None, None, None
    grad_bias = u.sum(0) if ctx.needs_input_grad[3] else None
    if not torch.is_grad_enabled():
        need_x, _, need_values, _ = ctx.needs_input_grad
        if not (need_x or need_values):
            return None, None, None, grad_bias
        grad_x, grad_values = linear_grad.raw(x, labels, values, u, need_x, need_values)
        return grad_x if need_x else None, None, grad_values if need_values else None, grad_bias
    with full_precision(x):
        grad_x = u @ hard_gather(labels, values)
        outer = (u.mT @ x).flatten()
    return grad_x, None, hard_scatter(labels.flatten(), outer, values.shape[0]), grad_bias


def _linear_grad(
    x: Tensor, labels: Tensor, values: Tensor, u: Tensor, need_x: bool, need_values: bool
) -> tuple[Tensor, Tensor]:
    x, labels, values, u = x.contiguous(), labels.contiguous(), values.contiguous(), u.contiguous()
    grad_x, grad_values = _linear_grad_fake(x, labels, values, u, need_x, need_values)
    sizes = (x.shape[0], *labels.shape, values.shape[0])
    gradients = (grad_x if need_x else None, grad_values if need_values else None)
    arguments = (labels, labels.itemsize, 0, x, values, u, *gradients)
    launch_checked("shared_linear_backward", x, sizes, labels, values.shape[0], arguments)
    return grad_x, grad_values


def _linear_grad_fake(
    x: Tensor, labels: Tensor, values: Tensor, u: Tensor, need_x: bool, need_values: bool
) -> tuple[Tensor, Tensor]:
    # A gradient that nobody needs is empty.
    return x.new_empty(x.shape if need_x else (0,)), values.new_empty(values.shape if need_values else (0,))


linear = Rule(
    "shared_linear(Tensor x, Tensor labels, Tensor values, Tensor? bias) -> Tensor",
    _linear,
    _linear_fake,
    _save,
    _backward,
)
linear_grad = Rule(
    "shared_linear_backward(Tensor x, Tensor labels, Tensor values, Tensor u, bool need_x, bool need_values)"
    " -> (Tensor, Tensor)",
    _linear_grad,
    _linear_grad_fake,
)
