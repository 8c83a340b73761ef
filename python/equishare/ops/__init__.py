"""Fused, differentiable, batched operations on soft and hard parameter sharing.

Each has a plain PyTorch twin of the same name in :mod:`equishare.reference`. Compiled kernels serve tensors on the CPU,
and on a CUDA device where they are built for it: float32 and float64, and for gathering, scattering and the linear map
bfloat16 and float16 too. Other devices and dtypes use the twin.
"""

from equishare.ops._memory import empty_cache
from equishare.ops.hard import hard_gather, hard_scatter
from equishare.ops.linear import shared_linear
from equishare.ops.packing import pack_labels, unpack_labels
from equishare.ops.penalties import assignment_penalties, soft_gather_penalties
from equishare.ops.relax import (
    Relaxation,
    relax_adam_step,
    relax_backward,
    relax_forward,
    relax_moments,
)
from equishare.ops.soft import soft_gather, soft_project, soft_scatter
from equishare.ops.step import SoftStep, soft_step_backward, soft_step_forward

__all__ = [
    "Relaxation",
    "SoftStep",
    "assignment_penalties",
    "empty_cache",
    "hard_gather",
    "hard_scatter",
    "pack_labels",
    "relax_adam_step",
    "relax_backward",
    "relax_forward",
    "relax_moments",
    "shared_linear",
    "soft_gather",
    "soft_gather_penalties",
    "soft_project",
    "soft_scatter",
    "soft_step_backward",
    "soft_step_forward",
    "unpack_labels",
]
