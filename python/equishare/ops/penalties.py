"""Penalties that push soft assignments toward few, decided groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equishare import reference
from equishare._native import kernels
from equishare.ops._checks import check_floating, full_precision
from equishare.ops._rule import Rule, has_kernel
from equishare.ops._soft_rules import kernel_shape


def assignment_penalties(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Row entropy and column norm of A = softmax(logits, -1), one pair per leading index.

    ``entropy = mean_k −Σ_g A[k,g] log A[k,g]``, ``column_norm = Σ_g ‖A[:,g]‖₂``; 0 log 0 = 0, and the norm
    of an unused column has gradient 0.

    Args:
        logits: (..., K, G) assignment logits.

    Returns:
        entropy (...) in nats and column_norm (...).

    Raises:
        TypeError: if the dtype is not floating.
        ValueError: if there are fewer than two dimensions, or no group.

    Source: Yeh et al. 2022; the column norm is what the authors' code computes as a trace.
    """
    check_floating(logits=logits)
    if logits.dim() < 2 or logits.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., K, G) with G at least 1, got {tuple(logits.shape)}")
    if not has_kernel(logits):
        with full_precision(logits):
            return reference.assignment_penalties(logits)
    entropy, column_norm, _, _ = penalties(logits)
    return entropy, column_norm


def _penalties(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logits = logits.contiguous()
    outputs = _penalties_fake(logits)
    batch, rows, groups, _, threads = kernel_shape(logits, 1)
    kernels(logits).penalties(batch, rows, groups, threads, logits.data_ptr(), 0, 0, *(x.data_ptr() for x in outputs))
    return outputs


def _penalties_fake(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *batch, rows, groups = logits.shape
    sizes = (batch, batch, (*batch, rows, 3), (*batch, groups))
    entropy, column_norm, stats, norms = (logits.new_empty(size) for size in sizes)
    return entropy, column_norm, stats, norms


def _save(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
    _, _, stats, norms = output
    ctx.save_for_backward(*inputs, stats, norms)
    ctx.mark_non_differentiable(stats, norms)


def _backward(ctx: Any, entropy: Tensor | None, column_norm: Tensor | None, *_: None) -> Any:
    logits, stats, norms = ctx.saved_tensors
    if entropy is None and column_norm is None:
        return None
    zero = norms.new_zeros(norms.shape[:-1])
    weights = (zero if w is None else w for w in (entropy, column_norm))
    return penalties_grad.within_backward(logits, stats, norms, *weights)


def _penalties_grad(logits: Tensor, stats: Tensor, norms: Tensor, entropy: Tensor, column_norm: Tensor) -> Tensor:
    inputs = [x.contiguous() for x in (logits, stats, norms, entropy, column_norm)]
    gradient = torch.empty_like(inputs[0])
    batch, rows, groups, _, threads = kernel_shape(logits, 1)
    z, *others = (x.data_ptr() for x in (*inputs, gradient))
    kernels(logits).penalties_backward(batch, rows, groups, threads, z, 0, 0, 0, *others, 0)
    return gradient


def _grad_save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    logits, _, _, entropy, column_norm = inputs
    ctx.save_for_backward(logits, entropy, column_norm)


def _grad_backward(ctx: Any, v: Tensor | None) -> tuple[Tensor | None, ...]:
    """Product of v with the Hessian of both penalties, in plain PyTorch.

    A dot marks the derivative along v: Ȧ = A (v − rowsum(A v)). With L = log A, H the row entropies,
    n the column norms and B = A / n, the gradients −A (L + H) / K and A (B − rowsum(A B)) change by
    −(Ȧ (L + H + 1) + A Ḣ) / K, Ḣ = −rowsum(Ȧ L), and Ȧ (B − rowsum(A B)) + A (Ḃ − rowsum(A B)˙).
    """
    logits, entropy, column_norm = ctx.saved_tensors
    if v is None:
        return None, None, None, None, None
    with full_precision(logits):
        a = torch.softmax(logits, -1)
        used = a > 0
        log_a = torch.where(used, torch.log(torch.where(used, a, 1.0)), 0.0)
        rows = logits.shape[-2]
        row_entropy = -(a * log_a).sum(-1, keepdim=True)
        square = (a * a).sum(-2, keepdim=True)
        norm = torch.where(square > 0, square, 1.0).sqrt()
        b = a / norm
        centre = (a * b).sum(-1, keepdim=True)
        grad_entropy = -(a * (log_a + row_entropy) * v).sum((-1, -2)) / rows
        grad_column_norm = (a * (b - centre) * v).sum((-1, -2))
        a_dot = a * (v - (a * v).sum(-1, keepdim=True))
        entropy_dot = -(a_dot * log_a).sum(-1, keepdim=True)
        b_dot = (a_dot - b * (b * a_dot).sum(-2, keepdim=True)) / norm
        centre_dot = (a_dot * b + a * b_dot).sum(-1, keepdim=True)
        from_entropy = -(a_dot * (log_a + row_entropy + 1) + a * entropy_dot) / rows
        from_norm = a_dot * (b - centre) + a * (b_dot - centre_dot)
        grad_logits = entropy[..., None, None] * from_entropy + column_norm[..., None, None] * from_norm
    return grad_logits, None, None, grad_entropy, grad_column_norm


penalties = Rule(
    "assignment_penalties(Tensor logits) -> (Tensor, Tensor, Tensor, Tensor)",
    _penalties,
    _penalties_fake,
    _save,
    _backward,
)
penalties_grad = Rule(
    "assignment_penalties_backward(Tensor logits, Tensor stats, Tensor norms, Tensor entropy,"
    " Tensor column_norm) -> Tensor",
    _penalties_grad,
    lambda logits, *_: logits.new_empty(logits.shape),
    _grad_save,
    _grad_backward,
)
