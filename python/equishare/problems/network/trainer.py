"""What all fits of a search share: the replicas, how they are trained, and the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equishare.problems.network.checkpoint import Checkpoint
from equishare.problems.network.fit import Fit, Plan, Start, fit
from equishare.problems.network.replicas import Replicas
from equishare.problems.network.training import Training


@dataclass
class Trainer:
    """Fits replicas, stage after stage.

    Attributes:
        replicas: of the model.
        training: options of every fit.
        seed: of every fit.
        checkpoint: keeps the fits that are done.
        tick: called with the number of training steps done since the last call.
        rates: gives the (N,) learning rate of each problem, which takes training when it is asked for first.
    """

    replicas: Replicas
    training: Training
    seed: int
    checkpoint: Checkpoint
    tick: Callable[[int], None]
    rates: Callable[[], np.ndarray]

    def rates_of(self, start: Start) -> Tensor:
        """(R,) learning rates of replicas, those of their problems."""
        return torch.from_numpy(self.rates()[list(start.owner)])

    def fit(self, stage: str, start: Start, steps: int, rates: np.ndarray | None = None, **plan: Any) -> Fit:
        """One stage: from the checkpoint, or fitted and kept.

        Args:
            stage: its name.
            start: of the replicas.
            steps: where the schedule ends.
            rates: (R,) learning rates; None: those of their problems.
            plan: further fields of :class:`Plan`.
        """
        own = self.rates_of(start) if rates is None else torch.from_numpy(rates)

        def run() -> Fit:
            return fit(self.replicas, start, Plan(self.training, steps, own, self.seed, **plan), self.tick)

        return self.checkpoint.stage(stage, run)
