"""Kernels and derivatives of soft_gather and soft_scatter.

Here all tensors share their leading dimensions; values and entries have columns, (…, G, C) and (…, K, C),
exactly when they have as many dimensions as the logits.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from equishare._native import launch
from equishare.ops._checks import full_precision
from equishare.ops._memory import output, output_like
from equishare.ops._rule import KERNEL_DTYPES, Rule, is_eager


def sizes(logits: Tensor, other: Tensor | None = None) -> tuple[int, int, int, int]:
    """Batch, rows, groups and columns, those of ``other``: values or entries, or None for one."""
    shape = logits.shape
    columns = 1 if other is None or other.dim() < len(shape) else other.shape[-1]
    if len(shape) == 2:
        return 1, shape[0], shape[1], columns
    *batch, rows, groups = shape
    return math.prod(batch), rows, groups, columns


def _gather(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    logits, values = logits.contiguous(), values.contiguous()
    theta, stats = _gather_fake(logits, values)
    launch("soft_gather", logits, sizes(logits, values), (logits, values, theta, stats))
    return theta, stats


def _gather_fake(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    *rows, _ = logits.shape
    has_columns = values.dim() == logits.dim()
    theta = output(logits, (*rows, values.shape[-1])) if has_columns else logits.new_empty(*rows)
    return theta, _new_stats(logits, *rows, 2)


def _new_stats(logits: Tensor, *shape: int) -> Tensor:
    # Halves are stored, and computed with in float32. (An argument for the dtype costs a microsecond.)
    if logits.dtype in KERNEL_DTYPES:
        return logits.new_empty(*shape)
    return logits.new_empty(shape, dtype=torch.float32)


def _gather_save(ctx: Any, inputs: tuple[Tensor, Tensor], results: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *results)


def _gather_backward(ctx: Any, u: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    logits, values, theta, stats = ctx.saved_tensors
    need_logits, need_values = ctx.needs_input_grad
    if u is None:
        return None, None
    if not need_logits:
        return None, soft_scatter.within_backward(logits, u)
    if torch.is_grad_enabled():
        return gather_grad(logits, values, u, theta, stats)
    if need_values:
        if is_eager((u, logits, values)):
            return _gather_grad(logits, values, u, theta, stats)
        return gather_grad.raw(logits, values, u, theta, stats)
    return logit_grad.raw(logits, values, u, theta, stats), None


def _gather_grad(logits: Tensor, values: Tensor, u: Tensor, theta: Tensor, stats: Tensor) -> tuple[Tensor, Tensor]:
    grad_values = output_like(values)
    return _logit_grad(logits, values, u, theta, stats, grad_values), grad_values


def _logit_grad(
    logits: Tensor, values: Tensor, u: Tensor, theta: Tensor, stats: Tensor, grad_values: Tensor | None = None
) -> Tensor:
    logits, values, u = logits.contiguous(), values.contiguous(), u.contiguous()
    grad_logits = output_like(logits)
    arrays = (logits, values, u, theta.contiguous(), stats.contiguous(), grad_logits, grad_values)
    launch("soft_gather_backward", logits, sizes(logits, values), arrays)
    return grad_logits


def _contiguous_like(tensor: Tensor) -> Tensor:
    return tensor.new_empty(tensor.shape)


def _grad_save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3])


def _grad_backward(ctx: Any, v: Tensor | None, w: Tensor | None) -> tuple[Tensor | None, ...]:
    logits, values, u = ctx.saved_tensors
    if v is None and w is None:
        return None, None, None, None, None
    return *second_derivative(logits, values, u, v, w), None, None


def second_derivative(
    logits: Tensor, values: Tensor, u: Tensor, v: Tensor | None, w: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivative of ⟨v, dΛ⟩ + ⟨w, p⟩ in Λ, ψ and u, dΛ = A (uψ − rowsum(A uψ)), p = Aᵀu, in plain PyTorch."""
    with full_precision(logits):
        vector = values.dim() < logits.dim()
        if vector:
            values, u = values.unsqueeze(-1), u.unsqueeze(-1)
            w = None if w is None else w.unsqueeze(-1)
        a = torch.softmax(logits, -1)
        grad_a = torch.zeros_like(a)
        grad_values = torch.zeros_like(values)
        grad_u = torch.zeros_like(u)
        if v is not None:
            t = u @ values.mT
            mean = (a * v).sum(-1, keepdim=True)
            grad_a = grad_a + v * (t - (a * t).sum(-1, keepdim=True)) - mean * t
            grad_t = a * (v - mean)
            grad_values = grad_values + grad_t.mT @ u
            grad_u = grad_u + grad_t @ values
        if w is not None:
            grad_a = grad_a + u @ w.mT
            grad_u = grad_u + a @ w
        grad_logits = a * (grad_a - (a * grad_a).sum(-1, keepdim=True))
        if vector:
            grad_values, grad_u = grad_values.squeeze(-1), grad_u.squeeze(-1)
    return grad_logits, grad_values, grad_u


def _scatter(logits: Tensor, x: Tensor) -> Tensor:
    logits, x = logits.contiguous(), x.contiguous()
    out = _scatter_fake(logits, x)
    launch("soft_scatter", logits, sizes(logits, x), (logits, x, out))
    return out


def _scatter_fake(logits: Tensor, x: Tensor) -> Tensor:
    columns = x.shape[-1:] if x.dim() == logits.dim() else ()
    return output(logits, (*logits.shape[:-2], logits.shape[-1], *columns))


def _scatter_save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _scatter_backward(ctx: Any, w: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    logits, x = ctx.saved_tensors
    if w is None:
        return None, None
    need_logits, _ = ctx.needs_input_grad
    if torch.is_grad_enabled():
        return _scatter_slope(logits, x, w) if need_logits else None, soft_gather(logits, w)
    theta, stats = soft_gather.raw(logits, w)
    return logit_grad.raw(logits, w, x, theta, stats) if need_logits else None, theta


def _scatter_slope(logits: Tensor, x: Tensor, w: Tensor) -> Tensor:
    """Gradient of ⟨w, Aᵀx⟩ in the logits, in plain PyTorch, for derivatives of it."""
    with full_precision(logits):
        a = torch.softmax(logits, -1)
        grad_a = x @ w.mT if x.dim() == logits.dim() else x.unsqueeze(-1) * w.unsqueeze(-2)
        return a * (grad_a - (a * grad_a).sum(-1, keepdim=True))


soft_gather = Rule(
    "soft_gather(Tensor logits, Tensor values) -> (Tensor, Tensor)",
    _gather,
    _gather_fake,
    _gather_save,
    _gather_backward,
    outputs=1,
)
gather_grad = Rule(
    "soft_gather_backward(Tensor logits, Tensor values, Tensor u, Tensor theta, Tensor stats) -> (Tensor, Tensor)",
    _gather_grad,
    lambda logits, values, *_: (_contiguous_like(logits), _contiguous_like(values)),
    _grad_save,
    _grad_backward,
)
logit_grad = Rule(
    "logit_grad(Tensor logits, Tensor values, Tensor u, Tensor theta, Tensor stats) -> Tensor",
    _logit_grad,
    lambda logits, *_: _contiguous_like(logits),
)
soft_scatter = Rule(
    "soft_scatter(Tensor logits, Tensor x) -> Tensor",
    _scatter,
    _scatter_fake,
    _scatter_save,
    _scatter_backward,
)
