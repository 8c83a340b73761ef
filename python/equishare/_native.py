"""Loads the compiled kernels, and calls those of a tensor's device. Without them the plain twins serve.

torch comes first: its OpenMP runtime is then already in the process when the extension asks for one, so
there is a single pool of threads.
"""

from __future__ import annotations

import os
import re
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

try:
    import equishare._core as core
except ModuleNotFoundError:  # built without: EQUISHARE_KERNELS in CMakeLists.txt
    core = None
    warnings.warn(
        "equishare has no compiled kernels here: plain PyTorch takes their place, and is slow. To get them, install "
        "a C++ compiler and equishare again (EQUISHARE_KERNELS=ON pip install .)",
        RuntimeWarning,
        stacklevel=2,
    )
try:
    import equishare._cuda as cuda
except ModuleNotFoundError:  # built without: EQUISHARE_CUDA in CMakeLists.txt
    cuda = None

__all__ = [
    "core",
    "cuda",
    "cuda_status",
    "instruction_set",
    "instruction_sets",
    "kernels",
    "label_range",
    "launch",
    "serves",
]


def instruction_set() -> str:
    """Name of the instruction set in use; the environment variable ``EQUISHARE_ISA`` forces one."""
    return "none, plain PyTorch" if core is None else core.instruction_set()


def instruction_sets() -> list[str]:
    """Names of the instruction sets that this machine can run, the plainest first."""
    return [] if core is None else core.instruction_sets()


def cuda_status() -> str:
    """In words: for which CUDA architectures there are kernels, and which devices they serve, or why none."""
    if cuda is None:
        return f"not built ({'there are none for the processor either' if core is None else core.without_cuda()})"
    numbers = [one.split("-")[0] for one in cuda.architectures().split()]
    return f"built for sm_{', '.join(dict.fromkeys(numbers))}; {_devices()}"


def _devices() -> str:
    if torch.version.cuda is None:
        return f"not served: PyTorch {torch.__version__} is built without CUDA"
    if not torch.cuda.is_available():
        return "not served: PyTorch finds no GPU that it can use"
    said = []
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        name = f"{torch.cuda.get_device_name(index)} (sm_{capability[0]}{capability[1]})"
        is_served = has_code(cuda.architectures(), capability)
        said.append(f"{name} is served" if is_served else f"{name} is not in them, plain PyTorch serves it")
    return "; ".join(dict.fromkeys(said))


def has_code(architectures: str, capability: tuple[int, int]) -> bool:
    """Whether a device of this compute capability can run what was built for architectures, written as CMake does.

    Machine code (``80-real``) runs on devices of its major version and of no lesser minor version; PTX
    (``80-virtual``) on all that are not older; code for one device (``90a``) on that one alone. ``80`` is both.
    """
    for major, minor, alone, kind in re.findall(r"(\d+)(\d)([a-z]?)(?:-(real|virtual))?", architectures):
        built = int(major), int(minor)
        if capability == built:
            return True
        if alone or capability < built:
            continue
        if kind != "real" or capability[0] == built[0]:
            return True
    return False


_STORAGE = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.float16: "f16"}
_CPU = {} if core is None else {dtype: getattr(core, name) for dtype, name in _STORAGE.items()}


_is_served: dict[int, bool] = {}  # by the index of a CUDA device


def serves(tensor: Tensor) -> bool:
    """Whether there are kernels for the device of a tensor."""
    if tensor.is_cuda:
        return cuda is not None and _serves_device(tensor.get_device())
    return tensor.is_cpu and core is not None


def _serves_device(index: int) -> bool:
    if not torch.cuda.is_available():
        return True  # a tracer's tensor: its program is for another machine
    if index not in _is_served:
        _is_served[index] = has_code(cuda.architectures(), torch.cuda.get_device_capability(index))
    return _is_served[index]


# What torch.compiler.assume_constant_result sets, without loading the compiler.
_serves_device._dynamo_marked_constant = True  # type: ignore[attr-defined]


def kernels(tensor: Tensor) -> ModuleType:
    """The compiled kernels for the device and dtype of a tensor."""
    return getattr(cuda, _STORAGE[tensor.dtype]) if _on_cuda(tensor) else _CPU[tensor.dtype]


def launch(kernel: str, like: Tensor, sizes: tuple[int, ...], arguments: tuple[Tensor | float | None, ...]) -> Any:
    """Run a kernel for the device and dtype of ``like`` on contiguous arrays; None is a null pointer.

    Numbers pass as they are. On a CUDA device the kernel is queued on the current stream. Returns False if a
    CPU kernel met a label out of range. A CPU kernel runs on as many threads as torch does, in a forked child on one.
    """
    addresses = _addresses(arguments)
    if _on_cuda(like):
        return _queue(kernels(like), kernel, like, sizes, addresses)
    return getattr(_CPU[like.dtype], kernel)(*sizes, _threads(), *addresses)


_threads = torch.get_num_threads


def _stay_on_one_thread() -> None:
    global _threads
    _threads = lambda: 1  # noqa: E731


# A fork copies the thread that calls it and no other. OpenMP does not notice, and waits for the others for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stay_on_one_thread)


def checks_labels(labels: Tensor) -> bool:
    """Whether the kernels check labels as they read them; on a CUDA device that is left to the caller."""
    return not _on_cuda(labels)


def reads_packed_labels(labels: Tensor) -> bool:
    """Whether the kernels read labels of two a byte; on a CUDA device the caller unpacks them."""
    return not _on_cuda(labels)


def label_range(labels: Tensor) -> tuple[int, int]:
    """Least and greatest of contiguous labels, at least one."""
    if _on_cuda(labels):
        with torch._C._DisableFuncTorch():  # under a transform, scratch memory would come in a wrapper
            return _queue(cuda, "label_range", labels, (labels.numel(),), [labels.data_ptr(), labels.itemsize])
    return core.label_range(labels.data_ptr(), labels.itemsize, labels.numel())


def _addresses(arguments: tuple[Any, ...]) -> list[Any]:
    return [x.data_ptr() if isinstance(x, Tensor) else 0 if x is None else x for x in arguments]


def _queue(module: Any, kernel: str, like: Tensor, sizes: tuple[int, ...], addresses: list[Any]) -> Any:
    scratch = _scratch(getattr(module, f"{kernel}_workspace")(*sizes), like)
    return getattr(module, kernel)(*sizes, *_place(like), scratch.data_ptr(), *addresses)


# What a device is to the rest of this file. Tests put the emulation of the CUDA kernels on the CPU in
# the place of these three and of `cuda`.


def _on_cuda(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _place(tensor: Tensor) -> tuple[int, int]:
    """Device index and current stream."""
    return tensor.get_device(), torch.cuda.current_stream(tensor.device).cuda_stream


def _scratch(size: int, like: Tensor) -> Tensor:
    # The allocator hands it on within this stream alone, so that it may be freed before the kernel ends.
    return torch.empty(size, dtype=torch.uint8, device=like.device)
