"""The default: candidates from paths of merges. The evidence selects, or held-out loss where patterns are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from equishare.checks import TRAINED, count, option
from equishare.problems.base import Proposal, Session
from equishare.problems.covariance import CovarianceProblem
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.training import SEARCH_FITS, SearchOptions
from equishare.search.by_evidence import propose_by_evidence
from equishare.search.by_training import search_from_tied
from equishare.search.covariance.propose import propose_covariance
from equishare.search.ward import check_entries


@dataclass(frozen=True)
class Options(SearchOptions):
    """Candidates from paths of merges of the unshared estimates, the best of them improved.

    *Means and linear maps*: candidates come from all samples, and :class:`equishare.search.evidence.Evidence` selects.
    No sample is held back for the selection: the evidence charges each candidate for the number of partitions instead.
    For matrices the candidates of ``closure`` are among them.

    *Covariances*: candidates are the orbits of groups of permutations of the variables
    (:mod:`equishare.search.covariance`), a few patterns of other kinds, and no ties; the exact likelihood selects.

    *Networks*: the network is fitted with all entries tied, then with all entries free. The entries are merged along a
    path from where they went (:func:`equishare.search.by_training.search_from_tied`). The loss on the validation
    samples selects.

    Attributes:
        restarts: starts besides the fit with everything tied.
        steps: AdamW steps of a fit without sharing; a fit of a pattern takes half as many.
    """

    restarts: int = option(3, count, only=TRAINED)
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
    """Candidates for each problem."""
    if isinstance(session, NetworkSession):
        for slot in session.replicas.slots:
            check_entries(slot.key, slot.num_entries)
        session.until_interrupted(lambda: search_from_tied(session, options.restarts))
        return [session.proposal(problem) for problem in range(len(session.problems))]
    return session.each(_propose)


def _propose(problem: Any) -> Proposal:
    if isinstance(problem, CovarianceProblem):
        return propose_covariance(problem)
    return propose_by_evidence(problem, polished=True)
