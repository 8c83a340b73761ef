"""The path of merges and, for matrices, merges of the orbits of a symmetry that is found in the estimates."""

from __future__ import annotations

from dataclasses import dataclass

from equishare.problems.base import Proposal, Session
from equishare.search.by_evidence import propose_by_evidence

NEEDS_ESTIMATE = True


@dataclass(frozen=True)
class Options:
    """The path of merges of entries, and of the orbits of a symmetry; the evidence selects.

    A symmetry of the weight is searched in the unshared estimates (:func:`equishare.search.orbits.find_symmetries`).
    Merges of its orbits are judged beside the merges of single entries. ``auto`` also polishes the merges of entries.
    """


def propose(session: Session, options: Options) -> list[Proposal]:
    """The best candidate for each problem."""
    return session.each(lambda problem: propose_by_evidence(problem, polished=False))
