"""No sharing: every entry has a value of its own."""

from __future__ import annotations

from dataclasses import dataclass

from equishare.problems.base import Proposal, Session
from equishare.problems.network.training import FitOptions

KEEPS_WITHIN = True


@dataclass(frozen=True)
class Options(FitOptions):
    """Every entry in a group of its own."""


def propose(session: Session, options: Options) -> list[Proposal]:
    """One pattern for each problem."""
    return [Proposal([tuple(slot.unshared for slot in problem.slots)]) for problem in session.problems]
