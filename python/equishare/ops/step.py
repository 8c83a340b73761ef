"""θ, both penalties and all their gradients on reused buffers, without autograd.

For a loop that owns its buffers: the logits are read once forward, and read and their gradient written once
backward, into memory that is already there. Tensors are contiguous float32 or float64 on the CPU, or on a
CUDA device for which there are kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equishare import reference
from equishare._native import serves
from equishare.ops import _penalty_rules as rules
from equishare.ops._checks import check_apart, check_buffers
from equishare.ops._memory import output_like


@dataclass(frozen=True)
class SoftStep:
    """Results of :func:`soft_step_forward`, and what :func:`soft_step_backward` reads of it."""

    theta: Tensor  # (..., K)
    entropy: Tensor  # (...) in nats
    column_norm: Tensor  # (...)
    stats: Tensor  # (..., K, 3)
    norms: Tensor  # (..., G)


def soft_step_forward(logits: Tensor, values: Tensor, out: SoftStep | None = None) -> SoftStep:
    """As :func:`equishare.ops.soft_gather_penalties`.

    Args:
        logits: (..., K, G).
        values: (..., G).
        out: result of an earlier call of the same shape and dtype, to be overwritten; in memory of its own.

    Raises:
        ValueError: if a shape, dtype, device or layout does not fit, or memory that is written is another argument's.
    """
    check_buffers("...", logits, values=values)
    if out is None:
        *batch, rows, groups = logits.shape
        shapes = ((*batch, rows), batch, batch, (*batch, rows, 3), (*batch, groups))
        out = SoftStep(*(logits.new_empty(shape) for shape in shapes))
    else:
        check_buffers("...", logits, **vars(out))
        check_apart(vars(out), {"logits": logits, "values": values})
    if serves(logits):
        rules.forward(logits, values, out.theta, (out.entropy, out.column_norm, out.stats, out.norms))
    else:
        with torch.no_grad():
            for into, result in zip(vars(out).values(), reference.soft_gather_penalties(logits, values), strict=False):
                into.copy_(result)
    return out


def soft_step_backward(
    logits: Tensor,
    values: Tensor,
    step: SoftStep,
    u: Tensor,
    entropy_weight: Tensor,
    column_norm_weight: Tensor,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Gradients in logits and values of ``⟨u, θ⟩ + entropy_weight · entropy + column_norm_weight · column_norm``.

    Args:
        logits: (..., K, G), as :func:`soft_step_forward` had them.
        values: (..., G), as :func:`soft_step_forward` had them.
        step: its result.
        u: (..., K).
        entropy_weight: (...).
        column_norm_weight: (...).
        out: the two gradients, (..., K, G) and (..., G), overwritten; None allocates them. In memory of their own:
            arguments are read again after gradients have been written.

    Raises:
        ValueError: if a shape, dtype, device or layout does not fit, or memory that is written is another argument's.
    """
    if out is None:
        out = output_like(logits), torch.empty_like(values)
    grad_logits, grad_values = out
    weights = {"entropy_weight": entropy_weight, "column_norm_weight": column_norm_weight}
    gradients = {"grad_logits": grad_logits, "grad_values": grad_values}
    read = {"values": values, "u": u, **weights, **vars(step)}
    check_buffers("...", logits, **gradients, **read)
    check_apart(gradients, {"logits": logits, **read})
    state = (step.stats, step.norms, entropy_weight, column_norm_weight)
    if serves(logits):
        rules.backward(logits, (values, u, step.theta), state, grad_logits, grad_values)
    else:
        plain = reference.pullback(
            reference.soft_gather_penalties, (logits, values), (u, entropy_weight, column_norm_weight)
        )
        for into, gradient in zip(out, plain, strict=True):
            into.copy_(gradient)
    return out
