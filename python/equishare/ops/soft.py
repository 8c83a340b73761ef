"""Soft sharing: gather, scatter and projection through A = softmax(logits, -1), which is never stored.

Values or entries have columns, (…, G, C) or (…, K, C), exactly when they have at least as many dimensions
as the logits (…, K, G); with fewer they are vectors, (…, G) or (…, K). The rule looks at the number of
dimensions alone, never at sizes. So for a batch of values and a single set of logits, write
``logits[None]`` or give the values a last axis of one column.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch.nn import Parameter

from equishare import reference
from equishare.ops import _soft_rules as rules
from equishare.ops._checks import common_batch, full_precision, misfit, same_floating
from equishare.ops._rule import KERNEL_DTYPES, STORAGE_DTYPES, has_kernel, is_direct

# Up to this many logits of a single problem an autograd Function in Python costs more than the kernel saves.
_PLAIN = 64 * 64


def soft_gather(logits: Tensor, values: Tensor) -> Tensor:
    """Entries from soft assignments: ``θ[k] = Σ_g A[k,g] ψ[g]``.

    Args:
        logits: (..., K, G) assignment logits, −inf allowed in some places of a row.
        values: (..., G) or (..., G, C), as the module says. Leading dimensions broadcast.

    Returns:
        θ (..., K) or (..., K, C).

    Raises:
        TypeError: if a dtype is not floating or the two differ.
        ValueError: if shapes do not fit.

    Gradients are fused, and reach any order. bfloat16 and float16 are stored as such and computed with in
    float32.
    """
    if _are_few(logits, values):
        try:
            return logits.softmax(-1).mv(values)
        except RuntimeError:
            pass  # They do not fit: what follows says how.
    if is_direct(logits, values) and logits.dim() == 2 and values.dim() == 1:
        if values.shape[0] == logits.shape[1] > 0:
            return rules.soft_gather.direct(logits, values)
    logits, values, _ = prepare(logits, "values", values, axis=-1)
    if not has_kernel(logits, STORAGE_DTYPES):
        with full_precision(logits):
            return reference.soft_gather(logits, values)
    return rules.soft_gather(logits, values)


def _are_few(logits: Any, values: Any) -> bool:
    # The least that must be known before the plain composition, on the way of every small call. What torch's own
    # functions check, or do as well under a mode or a transform, is left to them.
    return (
        not torch.compiler.is_compiling()
        and (type(logits) is Tensor or type(logits) is Parameter)
        and 0 < logits.numel() <= _PLAIN
        and (type(values) is Tensor or type(values) is Parameter)
        and logits.dim() == 2
        and values.dim() == 1
        and logits.is_cpu
        and logits.dtype in KERNEL_DTYPES
        and _functorch.peek_interpreter_stack() is None  # else this may be one of a batch
        and not torch._C._is_any_autocast_enabled()
    )


def soft_scatter(logits: Tensor, x: Tensor) -> Tensor:
    """Transpose of :func:`soft_gather`: ``p[g] = Σ_k A[k,g] x[k]``.

    Args:
        logits: (..., K, G) assignment logits.
        x: (..., K) or (..., K, C), as the module says. Leading dimensions broadcast.

    Returns:
        p (..., G) or (..., G, C).

    Raises:
        TypeError: if a dtype is not floating or the two differ.
        ValueError: if shapes do not fit.
    """
    logits, x, _ = prepare(logits, "x", x, axis=-2)
    if not has_kernel(logits, STORAGE_DTYPES):
        with full_precision(logits):
            return reference.soft_scatter(logits, x)
    return rules.soft_scatter(logits, x)


def soft_project(logits: Tensor, x: Tensor) -> Tensor:
    """Entries replaced by the means of their soft groups: ``θ = A diag(1 / colsum A) Aᵀ x``.

    The normalised lower level of the paper, ψ[g] = Σ_k A[k,g] x[k] / Σ_k A[k,g]; a group that no entry
    uses has ψ = 0.

    Args:
        logits: (..., K, G) assignment logits.
        x: (..., K) entries, with at least one dimension fewer than the logits.

    Returns:
        θ (..., K).

    Raises:
        TypeError: if a dtype is not floating or the two differ.
        ValueError: if shapes do not fit.
    """
    logits, x, columns = prepare(logits, "x", x, axis=-2)
    if columns:
        raise ValueError(f"x must have fewer dimensions than logits {tuple(logits.shape)}, got {tuple(x.shape)}")
    if not has_kernel(logits):
        with full_precision(logits):
            return reference.soft_project(logits, x)
    sums = rules.soft_scatter(logits, torch.stack((x, torch.ones_like(x)), -1))
    total, colsum = sums.unbind(-1)
    unused = colsum == 0
    values = torch.where(unused, 0.0, total / torch.where(unused, 1.0, colsum))
    return rules.soft_gather(logits, values)


def prepare(logits: Tensor, name: str, other: Tensor, axis: int) -> tuple[Tensor, Tensor, bool]:
    """Both, checked, of one dtype and with equal leading dimensions; and whether ``other`` has columns."""
    logits, other = same_floating(logits=logits, **{name: other})
    shape, other_shape = logits.shape, other.shape
    columns = len(other_shape) >= len(shape)
    tail = -2 if columns else -1
    if len(shape) < 2 or shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., K, G) with G at least 1, got {tuple(shape)}")
    if not other_shape or other_shape[tail] != shape[axis]:
        letter = "G" if axis == -1 else "K"
        to, rule = f"logits of shape {tuple(shape)}", "at least as many dimensions as logits"
        raise misfit(name, other, letter, shape[axis], to, columns, rule)
    if shape[:-2] != other_shape[:tail]:
        batch = common_batch("logits", shape[:-2], name, other_shape[:tail])
        logits = logits.expand(*batch, -1, -1)
        other = other.expand(*batch, *other_shape[tail:])
    return logits, other, columns
