"""Loads the compiled kernels, and calls those of a tensor's device.

torch comes first: its OpenMP runtime is then already in the process when the extension asks for one, so
there is a single pool of threads.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import equishare._core as core

try:
    import equishare._cuda as cuda
except ModuleNotFoundError:  # built without: EQUISHARE_CUDA in CMakeLists.txt
    cuda = None

__all__ = [
    "core",
    "cuda",
    "cuda_status",
    "has_device_kernels",
    "instruction_set",
    "instruction_sets",
    "kernels",
    "label_range",
    "run",
]

_STORAGE = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.float16: "f16"}


def instruction_set() -> str:
    """Name of the instruction set in use; the environment variable ``EQUISHARE_ISA`` forces one."""
    return core.instruction_set()


def instruction_sets() -> list[str]:
    """Names of the instruction sets that this machine can run, the plainest first."""
    return core.instruction_sets()


def cuda_status() -> str:
    """In words: for which CUDA architectures there are kernels, and whether a device can run them."""
    if cuda is None:
        return "not built"
    place = f"device: {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "not run: no device"
    return f"built for sm_{cuda.architectures()} ({place})"


def has_device_kernels(tensor: Tensor) -> bool:
    """Whether there are kernels for the device of the tensor."""
    return tensor.is_cpu or (cuda is not None and tensor.is_cuda)


def kernels(tensor: Tensor) -> ModuleType:
    """The compiled kernels for the tensor's device and dtype."""
    module = cuda if _takes_cuda(tensor) else core
    if module is None:
        raise RuntimeError("equishare was built without CUDA kernels; see EQUISHARE_CUDA in docs/cuda.md")
    return getattr(module, _STORAGE[tensor.dtype])


def run(name: str, tensor: Tensor, sizes: tuple[int, ...], *arguments: Any) -> None:
    """Call a kernel of the tensor's device and dtype.

    ``arguments`` are tensors, None and numbers, in the order of ``csrc/args.h``; the kernels get addresses.
    On a CUDA device it is queued on the current stream, with scratch memory from torch's allocator.
    """
    _call(kernels(tensor), name, tensor, sizes, arguments)


def label_range(labels: Tensor) -> tuple[int, int]:
    """Least and greatest label of a contiguous tensor, which must not be empty."""
    if not _takes_cuda(labels):
        return core.label_range(labels.data_ptr(), labels.itemsize, labels.numel())
    return _call(cuda, "label_range", labels, (labels.numel(),), (labels, labels.itemsize))


def _call(module: Any, name: str, tensor: Tensor, sizes: tuple[int, ...], arguments: tuple[Any, ...]) -> Any:
    addresses = [0 if x is None else x.data_ptr() if isinstance(x, Tensor) else x for x in arguments]
    if not _takes_cuda(tensor):
        return getattr(module, name)(*sizes, torch.get_num_threads(), *addresses)
    scratch_bytes = getattr(module, f"{name}_workspace")(*sizes)
    # Freed when this returns: the allocator gives it to later work of this stream only.
    scratch = torch.empty(scratch_bytes, dtype=torch.uint8, device=tensor.device)
    return getattr(module, name)(*sizes, *_place(tensor), scratch.data_ptr(), *addresses)


# The two below are all that tells a tensor on a device from one in memory; tests put the CPU emulation
# of the CUDA kernels in their place.


def _takes_cuda(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _place(tensor: Tensor) -> tuple[int, int]:
    return tensor.get_device(), torch.cuda.current_stream(tensor.device).cuda_stream
