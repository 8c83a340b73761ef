"""Hard sharing: gather and scatter through integer labels, which keep their dtype."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch._subclasses.fake_tensor import FakeTensor

from equishare import reference
from equishare._native import checks_labels, label_range, launch, serves
from equishare.ops._checks import check_floating, check_label_range, check_labels, common_batch, misfit
from equishare.ops._memory import output
from equishare.ops._rule import KERNEL_DTYPES, STORAGE_DTYPES, Rule, has_kernel, is_eager, is_lazy
from equishare.ops.packing import unpack_labels

# Up to so many entries torch's own gather takes less time than a kernel does, as its derivative needs no Python.
# Measured with the gradient: at 16 entries 26 us by take, 37 by index_select, 67 by the kernel; at 4,096 55, 41, 70.
_FEW_ENTRIES, _VERY_FEW = 4096, 1024
# Kernels narrow larger labels to 32 bits.
_MOST_GROUPS = 1 << 31


def hard_gather(labels: Tensor, values: Tensor) -> Tensor:
    """Entries from labels: ``θ[k] = ψ[label[k]]``.

    Args:
        labels: (..., K) uint8, int16, int32 or int64 in 0..G−1.
        values: (..., G, C) if it has more dimensions than the labels, else (..., G). Leading dimensions
            broadcast; so values (G,) serve labels of any shape.

    Returns:
        θ (..., K) or (..., K, C).

    Raises:
        TypeError: if the values are not floating or the labels no accepted integer.
        ValueError: if shapes do not fit or a label is out of range.
    """
    check_floating(values=values)
    check_labels(labels, 1, values.device)
    columns = values.dim() > labels.dim()
    if values.dim() == 0:
        raise ValueError("values must have shape (..., G) or (..., G, C), got ()")
    tail = -2 if columns else -1
    num_groups = values.shape[tail]
    slices = 1 if values.dim() == 1 else values.numel() // max(num_groups, 1)
    if are_few(labels.numel() * slices, labels, values):
        return gather_few(labels, values, columns)
    if not has_kernel(values, STORAGE_DTYPES):
        require_label_range(labels, num_groups)
        return reference.hard_gather(labels, values)
    if values.dim() == 1:
        return gather(labels.reshape(-1), values, False).view(labels.shape)
    labels, values = _align(labels, "values", values, tail)
    return gather(labels, values, columns)


def hard_scatter(labels: Tensor, x: Tensor, num_groups: int) -> Tensor:
    """Transpose of :func:`hard_gather`, a segment sum: ``p[g] = Σ_{k: label[k] = g} x[k]``.

    Args:
        labels: (..., K) uint8, int16, int32 or int64 in 0..num_groups−1.
        x: (..., K, C) if it has more dimensions than the labels, else (..., K). Leading dimensions
            broadcast.
        num_groups: G.

    Returns:
        p (..., G) or (..., G, C); sums are formed in float64.

    Raises:
        TypeError: if x is not floating or the labels no accepted integer.
        ValueError: if shapes do not fit, num_groups is negative, or a label is out of range.
    """
    check_floating(x=x)
    check_labels(labels, 1, x.device)
    if num_groups < 0:
        raise ValueError(f"num_groups must not be negative, got {num_groups}")
    columns = x.dim() > labels.dim()
    tail = -2 if columns else -1
    if x.dim() < 1 or x.shape[tail] != labels.shape[-1]:
        to, rule = f"labels of shape {tuple(labels.shape)}", "more dimensions than labels"
        raise misfit("x", x, "K", labels.shape[-1], to, columns, rule)
    if not has_kernel(x, STORAGE_DTYPES):
        require_label_range(labels, num_groups)
        return reference.hard_scatter(labels, x, num_groups)
    labels, x = _align(labels, "x", x, tail)
    return scatter(labels, x, num_groups, columns)


def are_few(count: int, *inputs: Tensor) -> bool:
    """Whether torch's own gather is to be taken for so many entries; it would sum halves as halves."""
    if count > _FEW_ENTRIES or inputs[-1].dtype not in KERNEL_DTYPES or not inputs[-1].is_cpu:
        return False
    return is_eager(inputs)


def gather_few(labels: Tensor, values: Tensor, columns: bool) -> Tensor:
    """Torch's own gather, with our error for a label out of range."""
    tail = -2 if columns else -1
    vector = values.dim() == 1
    if not vector and labels.dim() > 1:
        labels, values = _align(labels, "values", values, tail)
    try:
        if vector and labels.dtype is torch.uint8 and labels.numel() <= _VERY_FEW:
            return values.take(labels.long())  # which takes negative labels
        if labels.dim() == 1:
            return values.index_select(tail, labels.long())
        if vector:
            return values.index_select(0, labels.reshape(-1).long()).view(*labels.shape)
        return reference.hard_gather(labels, values)
    except (IndexError, RuntimeError):
        require_label_range(labels, values.shape[tail])
        raise


def require_label_range(labels: Tensor, num_groups: int) -> None:
    """ValueError if a label is out of range.

    Tensors without data pass. While a compiler traces, the check is left to the operation that reads the
    labels: every kernel checks them as it reads, and so do torch's gather and scatter_add.
    """
    if torch.compiler.is_compiling():
        return
    labels = labels.contiguous()  # inside of a transform, this would wrap it again
    while _functorch.is_functorch_wrapped_tensor(labels):
        labels = _functorch.get_unwrapped(labels).contiguous()  # of all samples of a vmap
    if labels.numel() == 0 or labels.is_meta or isinstance(labels, FakeTensor):
        return
    if serves(labels) and not is_lazy(labels):
        least, greatest = label_range(labels)
    else:
        least, greatest = (int(x) for x in torch.aminmax(labels))
    check_label_range(least, greatest, num_groups)


def launch_checked(
    kernel: str,
    like: Tensor,
    sizes: tuple[int, ...],
    labels: Tensor,
    num_groups: int,
    arguments: tuple[Any, ...],
    inputs: int | None = None,
) -> None:
    """Run a kernel that reads labels; ValueError if one is out of range, or there are more groups than it can tell.

    Labels of two a byte have so many ``inputs`` a row.
    """

    def require() -> None:
        require_label_range(labels if inputs is None else unpack_labels(labels, inputs), num_groups)

    if num_groups > _MOST_GROUPS:
        raise ValueError(f"there may be at most 2^31 groups, got {num_groups}")
    # Where there is nothing to compute, kernels read no labels.
    if not checks_labels(labels) or like.numel() == 0:
        require()
    if launch(kernel, like, sizes, arguments) is False:
        require()


def _align(labels: Tensor, name: str, other: Tensor, tail: int) -> tuple[Tensor, Tensor]:
    # Equal leading dimensions, except that labels (K,) stay as they are and serve the whole batch.
    batch = labels.shape[:-1]
    if batch != other.shape[:tail]:
        batch = common_batch("labels", batch, name, other.shape[:tail])
        other = other.expand(*batch, *other.shape[tail:])
        if labels.dim() > 1:
            labels = labels.expand(*batch, -1)
    return labels, other


def _run(kernel: str, labels: Tensor, source: Tensor, out: Tensor, num_groups: int, columns: bool) -> Tensor:
    labels, source = labels.contiguous(), source.contiguous()
    rows = labels.shape[-1]
    batch = 1
    for size in source.shape[: -2 if columns else -1]:
        batch *= size
    sizes = (batch, rows, num_groups, source.shape[-1] if columns else 1)
    arguments = (labels, labels.itemsize, rows if labels.dim() > 1 else 0, source, out)
    launch_checked(kernel, source, sizes, labels, num_groups, arguments)
    return out


def _gather(labels: Tensor, values: Tensor, columns: bool) -> Tensor:
    out = _gather_fake(labels, values, columns)
    return _run("hard_gather", labels, values, out, values.shape[-2 if columns else -1], columns)


def _gather_fake(labels: Tensor, values: Tensor, columns: bool) -> Tensor:
    tail = -2 if columns else -1
    *batch, _ = values.shape[: values.dim() + tail + 1]
    last = values.shape[-1:] if columns else ()
    return output(values, (*batch, labels.shape[-1], *last))


def _gather_save(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
    labels, values, ctx.columns = inputs
    ctx.num_groups = values.shape[-2 if ctx.columns else -1]
    ctx.save_for_backward(labels)


def _gather_backward(ctx: Any, u: Tensor | None) -> tuple[None, Tensor | None, None]:
    (labels,) = ctx.saved_tensors
    return None, None if u is None else scatter.within_backward(labels, u, ctx.num_groups, ctx.columns), None


def _scatter(labels: Tensor, x: Tensor, num_groups: int, columns: bool) -> Tensor:
    out = _scatter_fake(labels, x, num_groups, columns)
    return _run("hard_scatter", labels, x, out, num_groups, columns)


def _scatter_fake(labels: Tensor, x: Tensor, num_groups: int, columns: bool) -> Tensor:
    *batch, _ = x.shape[:-1] if columns else x.shape
    last = x.shape[-1:] if columns else ()
    return output(x, (*batch, num_groups, *last))


def _scatter_save(ctx: Any, inputs: tuple[Tensor, Tensor, int, bool], output: Tensor) -> None:
    labels, _, _, ctx.columns = inputs
    ctx.save_for_backward(labels)


def _scatter_backward(ctx: Any, w: Tensor | None) -> tuple[None, Tensor | None, None, None]:
    (labels,) = ctx.saved_tensors
    return None, None if w is None else gather.within_backward(labels, w, ctx.columns), None, None


gather = Rule(
    "hard_gather(Tensor labels, Tensor values, bool columns) -> Tensor",
    _gather,
    _gather_fake,
    _gather_save,
    _gather_backward,
)
scatter = Rule(
    "hard_scatter(Tensor labels, Tensor x, SymInt num_groups, bool columns) -> Tensor",
    _scatter,
    _scatter_fake,
    _scatter_save,
    _scatter_backward,
)
