"""Loads the compiled kernels, and tells which instruction set they use.

torch comes first: its OpenMP runtime is then already in the process when the extension asks for one, so
there is a single pool of threads.
"""

from __future__ import annotations

from types import ModuleType

import torch

import equishare._core as core

__all__ = ["core", "instruction_set", "instruction_sets", "kernels"]


def instruction_set() -> str:
    """Name of the instruction set in use; the environment variable ``EQUISHARE_ISA`` forces one."""
    return core.instruction_set()


def instruction_sets() -> list[str]:
    """Names of the instruction sets that this machine can run, the plainest first."""
    return core.instruction_sets()


_CPU = {torch.float32: core.f32, torch.float64: core.f64, torch.bfloat16: core.bf16, torch.float16: core.f16}


def kernels(tensor: torch.Tensor) -> ModuleType:
    """The compiled kernels for the dtype of a tensor."""
    return _CPU[tensor.dtype]


def launch(kernel: str, like: torch.Tensor, sizes: tuple[int, ...], arrays: tuple[torch.Tensor | None, ...]) -> None:
    """Run a kernel for the dtype of ``like`` on contiguous arrays; None is a null pointer."""
    addresses = [0 if array is None else array.data_ptr() for array in arrays]
    getattr(_CPU[like.dtype], kernel)(*sizes, torch.get_num_threads(), *addresses)
