"""How many replicas fit into memory."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

# Part of the free memory that a batch of replicas may take.
_SHARE = 0.5
# Parameters, gradients, two moments of Adam, the best state so far, and one more of each in passing.
_COPIES = 7


def replicas_at_once(run: Callable[[], Tensor], state_bytes: int, device: torch.device) -> int:
    """Replicas whose state and activations fit into half of the free memory, at least 1.

    Args:
        run: loss of one replica, with gradients recorded.
        state_bytes: of the parameters of one replica.
        device: where they are.
    """
    saved = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        run()
    needed = max(1, _COPIES * state_bytes + 2 * saved)
    return max(1, int(_SHARE * _free_bytes(device)) // needed)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
