"""SLOPE: the sorted L1 penalty, which ties entries of equal size, by its exact proximal map."""

from __future__ import annotations

from dataclasses import dataclass

from equishare.checks import below_one, count, option, positive
from equishare.methods.weight_sharing import patterns_of_path
from equishare.problems.base import Proposal, Session
from equishare.relax.proximal import SortedL1

NEEDS_ESTIMATE = True


@dataclass(frozen=True)
class Options:
    """Entries are pulled to zero by ``Σ_i λ_i |w|_(i)``, the largest most, which ties those of equal size.

    One fit of means or of a linear map is made for each strength of the penalty; entries that end equal form a group,
    those of the two signs apart. The groups are fitted without the penalty, and the validation loss selects.

    Attributes:
        strengths: of the penalty, evenly spaced on a logarithmic scale, from the least that makes all entries zero.
        smallest: the last strength, as a part of the first.
        q: ``λ_i = Φ⁻¹(1 − i q / 2K)``.

    Source: Bogdan et al. 2015; that it ties: Figueiredo and Nowak 2016.
    """

    strengths: int = option(50, count)
    smallest: float = option(1e-3, positive)
    q: float = option(0.1, below_one)


def propose(session: Session, options: Options) -> list[Proposal]:
    """One pattern for each strength."""
    penalty = SortedL1(options.q)
    return session.each(
        lambda problem: patterns_of_path(session, problem, penalty, options.strengths, options.smallest)
    )
