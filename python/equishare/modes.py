"""Modes of modules and of torch for a while, and afterwards as they were."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """In evaluation mode; then with its modes and buffers as before, also those that a hook or a forward changes."""
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(part, dict(part._buffers)) for part in module.modules()]
    values = {id(b): (b, b.detach().clone()) for _, own in buffers for b in own.values() if b is not None}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
        for part, own in buffers:
            part._buffers.clear()
            part._buffers.update(own)
        restore(values.values())


def restore(before: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Give tensors the values that they had; those that have them stay untouched."""
    with torch.no_grad():
        for tensor, value in before:
            if not torch.equal(tensor, value):
                tensor.copy_(value)


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Attention by plain products, which have second derivatives and batching rules; without warnings of missing ones.

    The fused kernels of attention have neither, nor has its path for inference.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*batching rule.*")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
