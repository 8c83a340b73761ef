"""The default: candidates from paths of merges. The evidence selects, or held-out loss where patterns are trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

from equishare.checks import TRAINED, count, option
from equishare.problems.base import Problem, Proposal, Session
from equishare.problems.covariance import CovarianceProblem
from equishare.problems.factors import FactorProblem
from equishare.problems.generalized import GeneralizedLinearProblem
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.training import SEARCH_FITS, SEARCH_STEPS, SearchOptions
from equishare.search.by_block import propose_by_block
from equishare.search.by_evidence import propose_by_evidence
from equishare.search.by_factor import propose_by_factor
from equishare.search.by_likelihood import propose_by_likelihood
from equishare.search.by_training import search_from_tied
from equishare.search.covariance.propose import propose_covariance
from equishare.search.structures import left_out

KEEPS_WITHIN = True


@dataclass(frozen=True)
class Options(SearchOptions):
    """Candidates from paths of merges of the unshared estimates, the best of them improved.

    *Means and linear maps*: candidates come from all samples, and :class:`equishare.search.evidence.Evidence` selects.
    No sample is held back for the selection: the evidence charges each candidate for the number of partitions instead.
    For matrices the candidates of ``closure`` are among them.

    *Generalised linear maps*: the same candidates, from quadratics of the log likelihood about the best fits; each is
    fitted by its own likelihood, and judged by that (:mod:`equishare.search.by_likelihood`).

    *Factors*: the levels of one factor after another are partitioned exactly given all others, from several starts
    (:mod:`equishare.search.by_factor`). The evidence selects, and the effects are averaged over partitions too.

    *Covariances*: candidates are the orbits of groups of permutations of the variables
    (:mod:`equishare.search.covariance`), a few patterns of other kinds, and no ties; the exact likelihood selects.

    *Networks*: the network is fitted with all entries tied, then with all entries free. The entries are merged along a
    path from where they went (:func:`equishare.search.by_training.search_from_tied`). The loss on the validation
    samples selects.

    Attributes:
        restarts: starts besides the fit with everything tied.
        steps: AdamW steps of a fit without sharing in the search; a fit of a pattern takes half as many. None: half as
            many as the network takes without sharing until its validation loss does not fall any more.
    """

    restarts: int = option(3, count, only=TRAINED)
    steps: int | None = option(None, count, only=TRAINED)

    @property
    def fit_length(self) -> int | None:
        """Steps of a fit without sharing."""
        return self.steps

    @property
    def search_length(self) -> int:
        """Training steps of a search, about."""
        return SEARCH_FITS * (self.steps or SEARCH_STEPS)


def propose(session: Session, options: Options) -> list[Proposal]:
    """Candidates for each problem."""
    if isinstance(session, NetworkSession):
        session.until_interrupted(lambda: search_from_tied(session, options.restarts))
        notes = left_out(session.replicas.slots)
        return [replace(found.proposal(), notes=notes) for found in session.found]
    return session.each(lambda problem: _propose(problem, session.seed))


def _propose(problem: Problem, seed: int) -> Proposal:
    if isinstance(problem, CovarianceProblem):
        return propose_covariance(problem)
    if isinstance(problem, FactorProblem):
        return propose_by_factor(problem, seed)
    within = getattr(problem, "within", None)
    if within is not None:
        return propose_by_block(problem, within)
    if isinstance(problem, GeneralizedLinearProblem):
        return propose_by_likelihood(problem)
    return propose_by_evidence(problem, polished=True)
