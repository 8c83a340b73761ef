"""Kernels and derivatives of soft_gather and soft_scatter.

Here all tensors share their leading dimensions; values and entries have columns, (…, G, C) and (…, K, C),
exactly when they have as many dimensions as the logits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equishare._native import kernels
from equishare.ops._checks import full_precision
from equishare.ops._rule import Rule


def kernel_shape(logits: Tensor, columns: int) -> tuple[int, int, int, int, int]:
    *batch, rows, groups = logits.shape
    count = 1
    for size in batch:
        count *= size
    return count, rows, groups, columns, torch.get_num_threads()


def _gather(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    logits, values = logits.contiguous(), values.contiguous()
    theta, stats = _gather_fake(logits, values)
    columns = values.shape[-1] if values.dim() == logits.dim() else 1
    kernels(logits).soft_gather(
        *kernel_shape(logits, columns),
        logits.data_ptr(),
        values.data_ptr(),
        theta.data_ptr(),
        stats.data_ptr(),
    )
    return theta, stats


def _gather_fake(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    rows = logits.shape[:-1]
    has_columns = values.dim() == logits.dim()
    theta = logits.new_empty((*rows, values.shape[-1]) if has_columns else rows)
    return theta, logits.new_empty((*rows, 2))


def _gather_save(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])


def _gather_backward(ctx: Any, u: Tensor | None, _: None) -> tuple[Tensor | None, Tensor | None]:
    logits, values, theta, stats = ctx.saved_tensors
    need_logits, need_values = ctx.needs_input_grad
    if u is None:
        return None, None
    if not need_logits:
        return None, soft_scatter.within_backward(logits, u)
    if torch.is_grad_enabled():
        return gather_grad(logits, values, u, theta, stats)
    if need_values:
        return gather_grad.raw(logits, values, u, theta, stats)
    return logit_grad.raw(logits, values, u, theta, stats), None


def _run_grad(
    with_values: bool, logits: Tensor, values: Tensor, u: Tensor, theta: Tensor, stats: Tensor
) -> tuple[Tensor, Tensor | None]:
    logits, values, u = logits.contiguous(), values.contiguous(), u.contiguous()
    theta, stats = theta.contiguous(), stats.contiguous()
    grad_logits = torch.empty_like(logits)
    grad_values = torch.empty_like(values) if with_values else None
    columns = values.shape[-1] if values.dim() == logits.dim() else 1
    kernels(logits).soft_gather_backward(
        *kernel_shape(logits, columns),
        logits.data_ptr(),
        values.data_ptr(),
        u.data_ptr(),
        theta.data_ptr(),
        stats.data_ptr(),
        grad_logits.data_ptr(),
        0 if grad_values is None else grad_values.data_ptr(),
    )
    return grad_logits, grad_values


def _contiguous_like(tensor: Tensor) -> Tensor:
    return tensor.new_empty(tensor.shape)


def _grad_save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3])


def _grad_backward(ctx: Any, v: Tensor | None, w: Tensor | None) -> tuple[Tensor | None, ...]:
    """Derivative of ⟨v, dΛ⟩ + ⟨w, p⟩, dΛ = A (uψ − rowsum(A uψ)), p = uᵀA, in plain PyTorch."""
    logits, values, u = ctx.saved_tensors
    if v is None and w is None:
        return None, None, None, None, None
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
    return grad_logits, grad_values, grad_u, None, None


def _scatter(logits: Tensor, x: Tensor) -> Tensor:
    logits, x = logits.contiguous(), x.contiguous()
    out = _scatter_fake(logits, x)
    columns = x.shape[-1] if x.dim() == logits.dim() else 1
    kernels(logits).soft_scatter(*kernel_shape(logits, columns), logits.data_ptr(), x.data_ptr(), out.data_ptr())
    return out


def _scatter_fake(logits: Tensor, x: Tensor) -> Tensor:
    columns = x.shape[-1:] if x.dim() == logits.dim() else ()
    return logits.new_empty((*logits.shape[:-2], logits.shape[-1], *columns))


def _scatter_save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _scatter_backward(ctx: Any, w: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    logits, x = ctx.saved_tensors
    if w is None:
        return None, None
    need_logits, _ = ctx.needs_input_grad
    if torch.is_grad_enabled():
        theta, stats = soft_gather(logits, w)
        return gather_grad(logits, w, x, theta, stats)[0] if need_logits else None, theta
    theta, stats = soft_gather.raw(logits, w)
    return logit_grad.raw(logits, w, x, theta, stats) if need_logits else None, theta


soft_gather = Rule(
    "soft_gather(Tensor logits, Tensor values) -> (Tensor, Tensor)",
    _gather,
    _gather_fake,
    _gather_save,
    _gather_backward,
)
gather_grad = Rule(
    "soft_gather_backward(Tensor logits, Tensor values, Tensor u, Tensor theta, Tensor stats) -> (Tensor, Tensor)",
    lambda *inputs: _run_grad(True, *inputs),
    lambda logits, values, *_: (_contiguous_like(logits), _contiguous_like(values)),
    _grad_save,
    _grad_backward,
)
logit_grad = Rule(
    "logit_grad(Tensor logits, Tensor values, Tensor u, Tensor theta, Tensor stats) -> Tensor",
    lambda *inputs: _run_grad(False, *inputs)[0],
    lambda logits, *_: _contiguous_like(logits),
)
soft_scatter = Rule(
    "soft_scatter(Tensor logits, Tensor x) -> Tensor",
    _scatter,
    _scatter_fake,
    _scatter_save,
    _scatter_backward,
)
