"""Weight-sharing regularisation: a penalty on the differences of all pairs of entries, by its exact proximal map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equishare.checks import TRAINED, count, option, positive
from equishare.problems.base import Problem, Proposal, Session
from equishare.problems.least_squares import LeastSquares
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.training import SEARCH_FITS, SearchOptions
from equishare.relax.proximal import PairwiseDifferences, Penalty, penalised_path
from equishare.relax.proximal_training import penalised_fits


@dataclass(frozen=True)
class Options(SearchOptions):
    """Entries are pulled together by ``1/(K − 1) Σ_{i<j} |w_i − w_j|``, whose proximal map ties them exactly.

    Means and linear maps are fitted by accelerated proximal gradient steps, networks by such steps with momentum, of
    the length that Adam would take. One fit is made for each strength of the penalty; entries that end equal form a
    group. The groups are fitted without the penalty, and the validation loss selects.

    Attributes:
        strengths: of the penalty, evenly spaced on a logarithmic scale, from the least that ties all entries.
        smallest: the last strength, as a part of the first.
        steps: of a fit of a network.

    Source: Shakerinava et al. 2024, Weight-sharing regularization.
    """

    strengths: int = option(50, count, trained=10)
    smallest: float = option(1e-3, positive)
    steps: int = option(200, count, only=TRAINED)

    @property
    def fit_length(self) -> int:
        """Steps of a fit without sharing."""
        return self.steps

    @property
    def search_length(self) -> int:
        """Training steps of a search, about."""
        return SEARCH_FITS * self.steps


def propose(session: Session, options: Options) -> list[Proposal]:
    """One pattern for each strength."""
    if isinstance(session, NetworkSession):
        return _of_networks(session, options)
    return session.each(
        lambda problem: patterns_of_path(session, problem, PairwiseDifferences(), options.strengths, options.smallest)
    )


def patterns_of_path(session: Session, problem: Problem, penalty: Penalty, count: int, smallest: float) -> Proposal:
    """The patterns of equal entries along the path of a penalty.

    Raises:
        TypeError: the problem is no least-squares problem.
    """
    if not isinstance(problem, LeastSquares):
        takes = "means and linear maps" if session.method == "slope" else "means, linear maps and networks"
        raise TypeError(f"method {session.method!r} takes {takes}, got a {type(problem).__name__}")
    return Proposal(
        distinct([_groups(w).reshape(problem.shape) for w in penalised_path(problem, penalty, count, smallest)])
    )


def _groups(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].reshape(values.shape)


def distinct(patterns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each pattern once."""
    return list({Pattern([one]): one for one in patterns}.values())


def _of_networks(session: NetworkSession, options: Options) -> list[Proposal]:
    sliced = [slot.key for slot in session.replicas.slots if slot.is_sliced]
    if sliced:
        raise ValueError(
            f"method {session.method!r} ties single entries, got slices of {', '.join(sliced)}: share without dim="
        )

    def run() -> None:
        owner, entries, buffers = penalised_fits(session, PairwiseDifferences(), options.strengths, options.smallest)
        names = [slot.key for slot in session.replicas.slots]
        patterns = [Pattern([_groups(entries[name][r].cpu().numpy()) for name in names]) for r in range(len(owner))]
        most = [slot.max_groups for slot in session.replicas.slots]
        rows = [r for r, one in enumerate(patterns) if all(g <= m for g, m in zip(one.num_groups, most, strict=True))]
        kept = [patterns[r] for r in rows]
        session.try_patterns([owner[r] for r in rows], kept, entries, buffers, "penalised", of=rows)

    session.until_interrupted(run)
    return [found.proposal() for found in session.found]
