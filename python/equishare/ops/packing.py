"""Labels of up to 16 groups, two a byte."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pack_labels", "unpack_labels"]

#: So many groups have labels of four bits.
MOST_PACKED_GROUPS = 16


def pack_labels(labels: Tensor) -> Tensor:
    """Two labels a byte: those of entries 2k and 2k + 1 in the low and the high half of byte k.

    Args:
        labels: (..., I) integers in 0..15.

    Returns:
        (..., ⌈I/2⌉) uint8; where I is odd, the last high half is 0.

    Raises:
        TypeError: if the labels are no integers.
        ValueError: if one is out of range, or labels have no dimension.
    """
    if not isinstance(labels, Tensor) or labels.dtype.is_floating_point or labels.dtype.is_complex:
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels must be a torch.Tensor of integers, got {kind}")
    if labels.dim() < 1:
        raise ValueError("labels must have shape (..., I), got ()")
    if labels.numel() and not labels.is_meta:
        least, greatest = (int(x) for x in torch.aminmax(labels))
        if least < 0 or greatest >= MOST_PACKED_GROUPS:
            raise ValueError(
                f"labels of two a byte must lie in 0..{MOST_PACKED_GROUPS - 1}, got labels from {least} to {greatest}; "
                f"with more groups leave them one a byte"
            )
    pairs = torch.nn.functional.pad(labels.to(torch.uint8), (0, labels.shape[-1] % 2)).unflatten(-1, (-1, 2))
    return pairs[..., 0] | pairs[..., 1] << 4


def unpack_labels(packed: Tensor, count: int) -> Tensor:
    """The (..., count) uint8 labels that :func:`pack_labels` made (..., ⌈count/2⌉) bytes of.

    Raises:
        TypeError: packed is no tensor of bytes.
        ValueError: it has another number of bytes in its last dimension.
    """
    if not isinstance(packed, Tensor) or packed.dtype != torch.uint8:
        kind = packed.dtype if isinstance(packed, Tensor) else type(packed).__name__
        raise TypeError(f"packed must be a torch.Tensor of uint8, as pack_labels gives it, got {kind}")
    if packed.dim() < 1 or packed.shape[-1] != (count + 1) // 2:
        form = f"(..., {(count + 1) // 2}) for {count} labels, two a byte"
        raise ValueError(f"packed must have shape {form}, got {tuple(packed.shape)}")
    return torch.stack((packed & 15, packed >> 4), -1).flatten(-2)[..., :count]
