"""torch.compile as a contender: where it does not work, the reason in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from equishare.lab.bench.case import Call, Contenders

__all__ = ["compiled", "compiled_call"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled for the shapes it meets."""
    return torch.compile(function, dynamic=False)


def compiled_call(contenders: Contenders) -> tuple[Call | None, str]:
    """The compiled baseline, compiled already; or None and the reason."""
    if contenders.compiled is None:
        return None, ""
    torch._dynamo.reset()  # Compilations of other rows count against a limit, beyond which it silently runs eager.
    try:
        call = contenders.compiled()
        call()
    except Exception as error:  # whatever the compiler, its C++ compiler or its cache raises
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        return None, f"torch.compile: {type(error).__name__}: {reason.strip()}"[:200]
    return call, ""
