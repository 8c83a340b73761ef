"""What of a loss is rounding: of data without noise losses go down to such numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from equishare.problems.network.fit import Fit, fitted_loss
from equishare.problems.network.replicas import Replicas, State

# Training ends so many units of the last digit from a minimum, about.
_UNITS = 32
# Of halves that is no small move any more.
_MOST = 1e-4


def rounding_errors(replicas: Replicas, owner: Sequence[int], fitted: Fit, upper: State) -> np.ndarray:
    """By how much the validation losses (R,) of fits change with the last digits of the shared parameters.

    0 where a loss is larger than that, so that it is not all rounding.
    """
    generator, before = torch.Generator().manual_seed(0), fitted_loss(replicas, owner, fitted, upper)
    shared = [name for slot in replicas.slots for name in slot.names]
    moved = {name: _with_last_digits_moved(fitted.lower[name], generator) for name in shared}
    found = np.abs(fitted_loss(replicas, owner, replace(fitted, lower={**fitted.lower, **moved}), upper) - before)
    return np.where(np.abs(before) <= found, found, 0.0)


def _with_last_digits_moved(values: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(values.shape, generator=generator, dtype=torch.float32).to(values.device, values.dtype)
    return noise.mul_(min(_UNITS * torch.finfo(values.dtype).eps, _MOST)).add_(1).mul_(values)
