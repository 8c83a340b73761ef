"""Where a benchmark ran: processor, threads, versions, and how fast this memory is."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from equishare._native import instruction_set

__all__ = ["describe_machine"]


def describe_machine() -> dict[str, Any]:
    """Processor, cores, threads, instruction set and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instruction_set": instruction_set(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "equishare": version("equishare"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
