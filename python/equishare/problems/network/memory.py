"""How many replicas are trained as one batch, and the memory that training leaves behind."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from equishare import ops, ranks

# Parameters, gradients, two moments of Adam, the best state so far, and one more of each in passing.
_COPIES = 7
# A step of a batch of replicas costs milliseconds of Python, whatever their number. A CPU moves so many bytes in ten
# times that time: larger batches gain nothing, and parts of this size leave work for other processes.
_BATCH = 32 << 20
# A GPU moves that much faster; and so much of its free memory may be taken, by parts of up to twice this size.
_BATCH_GPU = 16 << 30
_SHARE_GPU = 0.25
# Parameters of so many bytes are worth returning to the system what their training has freed.
_LARGE = 1 << 20


def replicas_at_once(run: Callable[[], Tensor], state_bytes: int, budget: int) -> int:
    """Replicas whose state and activations take so many bytes, at least 1.

    Args:
        run: loss of one replica, with gradients recorded.
        state_bytes: of the parameters of one replica.
        budget: bytes.
    """
    saved = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        run()
    return max(1, budget // max(1, _COPIES * state_bytes + 2 * saved))


def batch_bytes(device: torch.device) -> int:
    """Bytes of a batch of replicas that keep a device busy and, on a GPU, fit into its memory."""
    if device.type != "cuda":
        return _BATCH
    return ranks.from_first(lambda: min(_BATCH_GPU, int(_SHARE_GPU * torch.cuda.mem_get_info(device)[0])))


def release(start: Iterable[Tensor]) -> None:
    """Return freed memory to the system, if the parameters of one replica are large and on the CPU.

    The C library keeps what is freed for what comes next. Tensors of a few MiB are freed at every step, and what is
    allocated between them leaves gaps: for one weight of 1024 × 1024 they grew to several times what is in use.
    """
    if sum(t.nbytes for t in start if t.is_cpu) >= _LARGE:
        ops.empty_cache()
        if _TRIM is not None:
            _TRIM(0)


# glibc has this function, other C libraries do not.
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
