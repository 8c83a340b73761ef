"""No sharing: every entry has a value of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equishare.checks import TRAINED, count, option
from equishare.problems.base import Proposal, Session
from equishare.problems.network.training import FinalSteps, Training


@dataclass(frozen=True)
class Options(Training):
    """Every entry in a group of its own.

    Attributes:
        steps: of each of the final fits of a network; None: 600, doubled while the loss is still falling.
    """

    steps: int | None = option(None, count, only=TRAINED)

    @property
    def final(self) -> FinalSteps:
        """How long the final fits are."""
        return FinalSteps.of(self.steps)


def propose(session: Session, options: Options) -> list[Proposal]:
    """One pattern for each problem."""
    shapes = [[slot.shape_of(slot.key) for slot in problem.slots] for problem in session.problems]
    return [Proposal([tuple(np.arange(np.prod(s)).reshape(s) for s in own)]) for own in shapes]
