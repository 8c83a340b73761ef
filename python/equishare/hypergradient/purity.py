"""Losses that draw random numbers or write into buffers, made functions of their parameters alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from equishare.modes import restore


def replayed(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """The function with the same random numbers in every call: those that it would draw now.

    A loss is evaluated several times, on the way forth and back. Dropout drawn anew each time would make it another
    loss. The generators end as after one call.
    """
    state = torch.get_rng_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def run(*arguments: Any) -> Any:
        torch.set_rng_state(state)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)
        return function(*arguments)

    return run


@contextmanager
def kept_buffers() -> Iterator[None]:
    """Buffers of all modules that run inside the block are afterwards as they were, those of BatchNorm say."""
    before: dict[int, tuple[Tensor, Tensor]] = {}

    def remember(module: nn.Module, _: Any) -> None:
        for buffer in module._buffers.values():
            if buffer is None or id(buffer) in before or torch._C._functorch.is_functorch_wrapped_tensor(buffer):
                continue
            before[id(buffer)] = buffer, buffer.detach().clone()

    hook = register_module_forward_pre_hook(remember)
    try:
        yield
    finally:
        hook.remove()
        restore(before.values())
