"""Kernels and derivatives of the penalties, alone and joined to soft_gather of one column.

Here all tensors share their leading dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equishare._native import launch
from equishare.ops._checks import full_precision
from equishare.ops._memory import output_like
from equishare.ops._rule import Rule
from equishare.ops._soft_rules import second_derivative, sizes


def _penalties(logits: Tensor) -> tuple[Tensor, ...]:
    logits = logits.contiguous()
    results = _penalties_fake(logits)
    forward(logits, None, None, results)
    return results


def _penalties_fake(logits: Tensor) -> tuple[Tensor, ...]:
    *batch, rows, groups = logits.shape
    shapes = (batch, batch, (*batch, rows, 3), (*batch, groups))
    return tuple(logits.new_empty(shape) for shape in shapes)


def forward(logits: Tensor, values: Tensor | None, theta: Tensor | None, results: tuple[Tensor, ...]) -> None:
    """Fill θ and entropy, column norm, statistics, norms; all tensors contiguous."""
    launch("penalties", logits, sizes(logits), (logits, values, theta, *results))


def backward(
    logits: Tensor,
    values_u_theta: tuple[Tensor | None, Tensor | None, Tensor | None],
    state: tuple[Tensor, Tensor, Tensor, Tensor],
    grad_logits: Tensor,
    grad_values: Tensor | None,
) -> None:
    """Fill the gradients; ``state`` is statistics, norms and the weights of both penalties; all contiguous."""
    arrays = (logits, *values_u_theta, *state, grad_logits, grad_values)
    launch("penalties_backward", logits, sizes(logits), arrays)


def _save(ctx: Any, inputs: tuple[Tensor], results: tuple[Tensor, ...]) -> None:
    _, _, stats, norms = results
    ctx.save_for_backward(*inputs, stats, norms)


def _backward(ctx: Any, entropy: Tensor | None, column_norm: Tensor | None) -> Any:
    logits, stats, norms = ctx.saved_tensors
    if entropy is None and column_norm is None:
        return None
    return penalties_grad.within_backward(logits, stats, norms, *_weights(norms, entropy, column_norm))


def _weights(norms: Tensor, entropy: Tensor | None, column_norm: Tensor | None) -> tuple[Tensor, Tensor]:
    zero = norms.new_zeros(norms.shape[:-1]) if entropy is None or column_norm is None else norms
    return zero if entropy is None else entropy, zero if column_norm is None else column_norm


def _penalties_grad(logits: Tensor, *state: Tensor) -> Tensor:
    logits = logits.contiguous()
    gradient = output_like(logits)
    stats, norms, entropy, column_norm = (x.contiguous() for x in state)
    backward(logits, (None, None, None), (stats, norms, entropy, column_norm), gradient, None)
    return gradient


def _grad_save(ctx: Any, inputs: tuple[Tensor, ...], results: Tensor) -> None:
    logits, _, _, entropy, column_norm = inputs
    ctx.save_for_backward(logits, entropy, column_norm)


def _grad_backward(ctx: Any, v: Tensor | None) -> tuple[Tensor | None, ...]:
    logits, entropy, column_norm = ctx.saved_tensors
    if v is None:
        return None, None, None, None, None
    grad_logits, grad_entropy, grad_column_norm = _hessian_product(logits, entropy, column_norm, v)
    return grad_logits, None, None, grad_entropy, grad_column_norm


def _hessian_product(logits: Tensor, entropy: Tensor, column_norm: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Product of v with the Hessian of both penalties, in plain PyTorch.

    A dot marks the derivative along v: Ȧ = A (v − rowsum(A v)). With L = log A, H the row entropies,
    n the column norms and B = A / n, the gradients −A (L + H) / K and A (B − rowsum(A B)) change by
    −(Ȧ (L + H + 1) + A Ḣ) / K, Ḣ = −rowsum(Ȧ L), and Ȧ (B − rowsum(A B)) + A (Ḃ − rowsum(A B)˙).
    """
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
    return grad_logits, grad_entropy, grad_column_norm


def _joint(logits: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    logits, values = logits.contiguous(), values.contiguous()
    theta, *results = _joint_fake(logits, values)
    forward(logits, values, theta, tuple(results))
    return theta, *results


def _joint_fake(logits: Tensor, values: Tensor) -> tuple[Tensor, ...]:
    return logits.new_empty(logits.shape[:-1]), *_penalties_fake(logits)


def _joint_save(ctx: Any, inputs: tuple[Tensor, Tensor], results: tuple[Tensor, ...]) -> None:
    theta, _, _, stats, norms = results
    ctx.save_for_backward(*inputs, theta, stats, norms)


def _joint_backward(ctx: Any, u: Tensor | None, entropy: Tensor | None, column_norm: Tensor | None) -> Any:
    logits, values, theta, stats, norms = ctx.saved_tensors
    if u is None and entropy is None and column_norm is None:
        return None, None
    u = torch.zeros_like(theta) if u is None else u
    weights = _weights(norms, entropy, column_norm)
    return joint_grad.within_backward(logits, values, u, theta, stats, norms, *weights)


def _joint_grad(logits: Tensor, values: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
    logits, values = logits.contiguous(), values.contiguous()
    gradients = output_like(logits), torch.empty_like(values)
    u, theta, stats, norms, entropy, column_norm = (x.contiguous() for x in others)
    backward(logits, (values, u, theta), (stats, norms, entropy, column_norm), *gradients)
    return gradients


def _joint_grad_save(ctx: Any, inputs: tuple[Tensor, ...], results: tuple[Tensor, Tensor]) -> None:
    logits, values, u, _, _, _, entropy, column_norm = inputs
    ctx.save_for_backward(logits, values, u, entropy, column_norm)


def _joint_grad_backward(ctx: Any, v: Tensor | None, w: Tensor | None) -> tuple[Tensor | None, ...]:
    logits, values, u, entropy, column_norm = ctx.saved_tensors
    if v is None and w is None:
        return (None,) * 8
    grad_logits, grad_values, grad_u = second_derivative(logits, values, u, v, w)
    if v is None:
        return grad_logits, grad_values, grad_u, None, None, None, None, None
    of_penalties, grad_entropy, grad_column_norm = _hessian_product(logits, entropy, column_norm, v)
    return grad_logits + of_penalties, grad_values, grad_u, None, None, None, grad_entropy, grad_column_norm


penalties = Rule(
    "assignment_penalties(Tensor logits) -> (Tensor, Tensor, Tensor, Tensor)",
    _penalties,
    _penalties_fake,
    _save,
    _backward,
    outputs=2,
)
penalties_grad = Rule(
    "assignment_penalties_backward(Tensor logits, Tensor stats, Tensor norms, Tensor entropy,"
    " Tensor column_norm) -> Tensor",
    _penalties_grad,
    lambda logits, *_: logits.new_empty(logits.shape),
    _grad_save,
    _grad_backward,
)
joint = Rule(
    "soft_gather_penalties(Tensor logits, Tensor values) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _joint,
    _joint_fake,
    _joint_save,
    _joint_backward,
    outputs=3,
)
joint_grad = Rule(
    "soft_gather_penalties_backward(Tensor logits, Tensor values, Tensor u, Tensor theta, Tensor stats,"
    " Tensor norms, Tensor entropy, Tensor column_norm) -> (Tensor, Tensor)",
    _joint_grad,
    lambda logits, values, *_: (logits.new_empty(logits.shape), values.new_empty(values.shape)),
    _joint_grad_save,
    _joint_grad_backward,
)
