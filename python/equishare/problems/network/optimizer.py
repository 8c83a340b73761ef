"""AdamW for replicas, each with a learning rate of its own."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class ReplicaAdam:
    """AdamW of torch for tensors (R, ...), whose replicas have rates of their own.

    A step of AdamW is proportional to its rate. So the step of the greatest rate is taken, and the other replicas go
    their part of it.

    Args:
        parameters: tensors (R, ...).
        rates: (R,) learning rate of each replica.
        weight_decay: of all.
    """

    def __init__(self, parameters: Iterable[Tensor], rates: Tensor, weight_decay: float) -> None:
        self.parameters = list(parameters)
        self._greatest = float(rates.max())
        self._parts = None if bool((rates == rates[0]).all()) else rates / self._greatest
        self.adam = torch.optim.AdamW(self.parameters, self._greatest, weight_decay=weight_decay, fused=True)

    def step(self, decay: float) -> None:
        """One step, at this part of the rates."""
        self.adam.param_groups[0]["lr"] = self._greatest * decay
        before = None if self._parts is None else [p.detach().clone() for p in self.parameters]
        self.adam.step()
        if before is None:
            return
        for now, old in zip(self.parameters, before, strict=True):
            part = self._parts.to(now).view(-1, *(1,) * (now.dim() - 1))  # type: ignore[union-attr]
            now.detach().copy_(torch.lerp(old, now.detach(), part))
