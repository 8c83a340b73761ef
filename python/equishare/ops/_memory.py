"""Memory of large outputs: that of a tensor which died goes to the next of its size.

A training step frees the gradient of the step before and asks for one again. From the system that is fresh
memory each time, every page of which must be mapped and cleared, which takes several times as long as the
kernel that fills it. So outputs of 1 MiB and more on the CPU come from a pool, which keeps what is free, 256 MiB
at most; :func:`empty_cache` returns it to the system. Such a tensor is as any other, but its storage cannot be
resized.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.dlpack import from_dlpack

from equishare._native import core

# Blocks are whole pages of 2 MiB. Sizes above the largest are for torch, whose error says more.
_WORTH_A_BLOCK = 1 << 20
_LARGEST_BLOCK = 1 << 40
_FORMAT = (
    {}
    if core is None
    else {
        torch.float32: (core.pool.floating, 32),
        torch.float64: (core.pool.floating, 64),
        torch.float16: (core.pool.floating, 16),
        torch.bfloat16: (core.pool.brain_floating, 16),
    }
)


def output(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Uninitialised memory of a shape, of the dtype and device of a tensor; of a fake tensor, a fake one."""
    kind = type(like)
    if core is not None and (kind is Tensor or kind is Parameter) and like.is_cpu:
        if _WORTH_A_BLOCK <= math.prod(shape) * like.itemsize <= _LARGEST_BLOCK:
            return from_dlpack(core.pool.take(shape, *_FORMAT[like.dtype]))
    return like.new_empty(shape)


def output_like(tensor: Tensor) -> Tensor:
    """The same, of the tensor's own shape."""
    kind = type(tensor)
    if (kind is Tensor or kind is Parameter) and tensor.nbytes < _WORTH_A_BLOCK and tensor.is_contiguous():
        return torch.empty_like(tensor)  # takes half the time of new_empty(shape)
    return output(tensor, tensor.shape)


def empty_cache() -> None:
    """Return to the system the memory that large outputs on the CPU left behind, 256 MiB at most.

    It would serve the next outputs of the same sizes, most often the gradients of a training loop.
    """
    if core is not None:
        core.pool.empty()
