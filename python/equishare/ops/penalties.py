"""Penalties that push soft assignments toward few, decided groups."""

from __future__ import annotations

from torch import Tensor

from equishare import reference
from equishare.ops import _penalty_rules as rules
from equishare.ops._checks import check_floating, full_precision
from equishare.ops._rule import has_kernel
from equishare.ops.soft import prepare


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
    return rules.penalties(logits)


def soft_gather_penalties(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`soft_gather` of one column and :func:`assignment_penalties` in the same passes.

    The logits are read once forward, and read and their gradient written once backward, where the two
    functions apart do both twice and add the gradients.

    Args:
        logits: (..., K, G) assignment logits.
        values: (..., G), with fewer dimensions than the logits. Leading dimensions broadcast.

    Returns:
        θ (..., K), entropy (...) in nats and column_norm (...).

    Raises:
        TypeError: if a dtype is not floating or the two differ.
        ValueError: if shapes do not fit, or the values have columns.
    """
    logits, values, columns = prepare(logits, "values", values, axis=-1)
    if columns:
        raise ValueError(
            f"values must have fewer dimensions than logits {tuple(logits.shape)}, got {tuple(values.shape)}"
        )
    if not has_kernel(logits):
        with full_precision(logits):
            return reference.soft_gather_penalties(logits, values)
    return rules.joint(logits, values)
