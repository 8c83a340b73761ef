"""A linear map whose weights are shared: a few values and a matrix of small integer labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equishare import reference
from equishare._native import reads_packed_labels
from equishare.ops._checks import check_labels, full_precision, same_floating
from equishare.ops._rule import STORAGE_DTYPES, Rule, has_kernel, in_transform
from equishare.ops.hard import are_few, gather_few, hard_gather, hard_scatter, launch_checked, require_label_range
from equishare.ops.packing import unpack_labels

# The gradients of codebooks of fewer weights are not worth a call each.
_WORTH_A_CALL = 1 << 16


def shared_linear(
    x: Tensor,
    labels: Tensor,
    values: Tensor,
    bias: Tensor | None = None,
    packed: bool = False,
    block: int | None = None,
) -> Tensor:
    """``y = x Wᵀ + b`` with ``W[o,i] = ψ[label[o,i]]``; neither W nor its gradient is ever stored.

    With ``block`` each so many outputs have a codebook of their own, ``W[o,i] = ψ[o // block, label[o,i]]``. Then W is
    stored on CUDA devices, and for the gradients of codebooks with fewer than 65,536 labels.

    Args:
        x: (..., I).
        labels: (O, I) uint8, int16, int32 or int64 in 0..G−1.
        values: (G,), or (⌈O/block⌉, G).
        bias: (O,) or None.
        packed: the labels are uint8 (O, ⌈I/2⌉), two a byte as :func:`pack_labels` makes them.
        block: outputs that share a codebook; None: all share one.

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
    if packed and labels.dtype != torch.uint8:
        raise TypeError(f"packed labels must be uint8, two a byte (equishare.ops.pack_labels), got {labels.dtype}")
    shape = labels.shape
    if len(shape) != 2 or x.dim() < 1 or shape[1] != ((x.shape[-1] + 1) // 2 if packed else x.shape[-1]):
        form = "(O, ⌈I/2⌉), packed," if packed else "(O, I)"
        raise ValueError(
            f"labels must have shape {form} and x (..., I), got labels {tuple(shape)} and x {tuple(x.shape)}"
        )
    codebooks = None
    if block is not None:
        if not isinstance(block, int) or isinstance(block, bool):
            raise TypeError(f"block must be an integer, got {block!r}")
        if block < 1:
            raise ValueError(f"block must be at least 1, got {block}")
        codebooks = -(-shape[0] // block)
    if values.dim() < 1 or values.shape[:-1] != (() if codebooks is None else (codebooks,)):
        form = "(G,)" if codebooks is None else f"(⌈O/block⌉, G), here ({codebooks}, G)"
        raise ValueError(f"values must have shape {form}, got {tuple(values.shape)}")
    if codebooks == 1:
        block, values = None, values[0]
    if bias is not None and bias.shape != shape[:1]:
        raise ValueError(f"bias must have shape ({shape[0]},), got {tuple(bias.shape)}")
    few = are_few(shape[0] * x.shape[-1], x, labels, values)
    served = has_kernel(x, STORAGE_DTYPES)
    direct = served and not few and (torch.compiler.is_compiling() or not in_transform())
    direct = direct and (block is None or x.is_cpu)
    if packed and not direct:
        labels, packed = unpack_labels(labels, x.shape[-1]), False
    if block is not None and not direct:
        with full_precision(x):
            require_label_range(labels, values.shape[1])
            return reference.shared_linear(x, labels, values, bias, block=block)
    if few and not torch.is_autocast_enabled("cpu"):
        return torch.nn.functional.linear(x, gather_few(labels, values, False), bias)
    if direct:
        if x.dim() == 2:
            return linear(x, labels, values, bias, packed, block or 0)
        flat = x.reshape(x.shape[:-1].numel(), x.shape[-1])
        return linear(flat, labels, values, bias, packed, block or 0).view(*x.shape[:-1], shape[0])
    with full_precision(x):
        if served:
            return torch.nn.functional.linear(x, hard_gather(labels, values), bias)
        require_label_range(labels, values.shape[0])
        return reference.shared_linear(x, labels, values, bias)


def entries_of(labels: Tensor, values: Tensor, block: int) -> Tensor:
    """Where the entries of W (O, I) stand in all codebooks (⌈O/block⌉, G), one after the other."""
    codebook = torch.arange(labels.shape[0], device=labels.device, dtype=torch.int32) // block
    return labels + (codebook * values.shape[1])[:, None]


def _launch(
    kernel: str, x: Tensor, labels: Tensor, values: Tensor, packed: bool, block: int, others: tuple[Any, ...]
) -> None:
    inputs, groups = x.shape[1], values.shape[-1]
    if packed and not reads_packed_labels(x):
        labels, packed = unpack_labels(labels, inputs).contiguous(), False
    arguments = (labels, 0 if packed else labels.itemsize, block, x, values, *others)
    sizes = (x.shape[0], labels.shape[0], inputs, groups)
    launch_checked(kernel, x, sizes, labels, groups, arguments, inputs if packed else None)


def _linear(x: Tensor, labels: Tensor, values: Tensor, bias: Tensor | None, packed: bool, block: int) -> Tensor:
    x, labels, values = x.contiguous(), labels.contiguous(), values.contiguous()
    bias = None if bias is None else bias.contiguous()
    y = _linear_fake(x, labels, values, bias, packed, block)
    _launch("shared_linear", x, labels, values, packed, block, (bias, y))
    return y


def _linear_fake(x: Tensor, labels: Tensor, values: Tensor, bias: Tensor | None, packed: bool, block: int) -> Tensor:
    return x.new_empty((x.shape[0], labels.shape[0]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, labels, values, _, ctx.packed, ctx.block = inputs
    ctx.save_for_backward(x, labels, values)


def _backward(ctx: Any, u: Tensor | None) -> tuple[Tensor | None, ...]:
    x, labels, values = ctx.saved_tensors
    if u is None:
        return (None,) * 6
    grad_bias = u.sum(0) if ctx.needs_input_grad[3] else None
    if not torch.is_grad_enabled() and (not ctx.block or ctx.block * x.shape[1] >= _WORTH_A_CALL):
        need_x, _, need_values = ctx.needs_input_grad[:3]
        if not (need_x or need_values):
            return None, None, None, grad_bias, None, None
        if ctx.block:
            parts = zip(labels.split(ctx.block), values, u.split(ctx.block, 1), strict=True)
            each = [linear_grad.raw(x, *part, need_x, need_values, ctx.packed) for part in parts]
            grad_x, grad_values = (torch.stack(own) for own in zip(*each, strict=True))
            grad_x = grad_x.sum(0)
        else:
            grad_x, grad_values = linear_grad.raw(x, labels, values, u, need_x, need_values, ctx.packed)
        return grad_x if need_x else None, None, grad_values if need_values else None, grad_bias, None, None
    if ctx.packed:
        labels = unpack_labels(labels, x.shape[1])
    if ctx.block:
        labels = entries_of(labels, values, ctx.block)
    wide = torch.promote_types(x.dtype, torch.float32)  # sums of halves may be no halves
    found: list[Tensor | None] = [None, None]
    with full_precision(x):
        if ctx.needs_input_grad[0]:
            found[0] = (u.to(wide) @ hard_gather(labels, values.flatten().to(wide))).to(x.dtype)
        if ctx.needs_input_grad[2]:
            outer = (u.mT.to(wide) @ x.to(wide)).flatten()
            found[1] = hard_scatter(labels.flatten(), outer, values.numel()).view(values.shape).to(values.dtype)
    return found[0], None, found[1], grad_bias, None, None


def _linear_grad(
    x: Tensor, labels: Tensor, values: Tensor, u: Tensor, need_x: bool, need_values: bool, packed: bool
) -> tuple[Tensor, Tensor]:
    x, labels, values, u = x.contiguous(), labels.contiguous(), values.contiguous(), u.contiguous()
    grad_x, grad_values = _linear_grad_fake(x, labels, values, u, need_x, need_values, packed)
    gradients = (grad_x if need_x else None, grad_values if need_values else None)
    _launch("shared_linear_backward", x, labels, values, packed, 0, (u, *gradients))
    return grad_x, grad_values


def _linear_grad_fake(
    x: Tensor, labels: Tensor, values: Tensor, u: Tensor, need_x: bool, need_values: bool, packed: bool
) -> tuple[Tensor, Tensor]:
    # A gradient that nobody needs is empty.
    return x.new_empty(x.shape if need_x else (0,)), values.new_empty(values.shape if need_values else (0,))


linear = Rule(
    "shared_linear(Tensor x, Tensor labels, Tensor values, Tensor? bias, bool packed, int block) -> Tensor",
    _linear,
    _linear_fake,
    _save,
    _backward,
)
linear_grad = Rule(
    "shared_linear_backward(Tensor x, Tensor labels, Tensor values, Tensor u, bool need_x, bool need_values, "
    "bool packed) -> (Tensor, Tensor)",
    _linear_grad,
    _linear_grad_fake,
)
