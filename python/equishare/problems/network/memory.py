"""How many replicas fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

# Part of the free memory that a batch of replicas may take.
_SHARE = 0.5
# On a CPU a batch of more bytes is no faster than one replica after another: each is then busy with its own numbers.
_MOST_ON_CPU = 1 << 26
# Parameters, gradients, two moments of Adam, the best state so far, and one more of each in passing.
_COPIES = 7
# Free memory that is assumed where the system does not state it.
_UNKNOWN = 4 << 30


def replicas_at_once(
    run: Callable[[], Tensor], state_bytes: int, device: torch.device, free_bytes: int | None = None
) -> int:
    """Replicas whose state and activations fit into half of the free memory, on a CPU into 64 MiB; at least 1.

    Args:
        run: loss of one replica, with gradients recorded.
        state_bytes: of the parameters of one replica.
        device: where they are.
        free_bytes: of memory; None: what the system states.
    """
    saved = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        run()
    needed = max(1, _COPIES * state_bytes + 2 * saved)
    free_bytes = _free_bytes(device) if free_bytes is None else free_bytes
    most = int(_SHARE * free_bytes)
    return max(1, (min(most, _MOST_ON_CPU) if device.type == "cpu" else most) // needed)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return _UNKNOWN  # not Linux
    try:
        # A container may have less than the machine.
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        return max(0, min(free, limit - used))
    except (OSError, ValueError):
        return free
