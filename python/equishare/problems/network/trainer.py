"""What all fits of a search share: the replicas, how they are trained, and the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    """

    replicas: Replicas
    training: Training
    seed: int
    checkpoint: Checkpoint
    tick: Callable[[int], None]

    def fit(self, stage: str, start: Start, steps: int, **plan: Any) -> Fit:
        """One stage: from the checkpoint, or fitted and kept; ``plan`` has further fields of :class:`Plan`."""

        def run() -> Fit:
            return fit(self.replicas, start, Plan(self.training, steps, self.seed, **plan), self.tick)

        return self.checkpoint.stage(stage, run)
