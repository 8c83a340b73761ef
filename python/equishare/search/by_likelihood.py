"""The search for generalised linear maps: quadratics guide it, the likelihood of each candidate's own fit decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from equishare.partition import Partition
from equishare.problems.base import Proposal
from equishare.problems.estimates import BlockEstimate, fit_estimate
from equishare.problems.generalized import GeneralizedLinearProblem
from equishare.search.by_evidence import candidates, propose_by_evidence
from equishare.search.evidence import Evidence, Fit, Score
from equishare.search.path import merge_path
from equishare.search.polish import misfit
from equishare.search.posterior import Posterior

# The quadratic is taken anew about the best fit so often, at most.
_MAX_ROUNDS = 5
# So many of the best candidates of each quadratic are fitted by their own likelihood.
_FINALISTS = 16
# The quadratic of the average is taken about the last average.
_AVERAGINGS = 4
# Rows of the history.
_SHOWN = 16
# What a group of averaged entries costs, in nats of the loss that tying makes, where no single pattern is probable.
_LOSS = 0.25
# So many nats more may the pattern of the best evidence lose.
_KEPT = 2.0


class LikelihoodEvidence(Evidence):
    """The evidence with the likelihood ratio to the unshared fit as misfit, and the information at the fit itself."""

    def __init__(self, problem: GeneralizedLinearProblem) -> None:
        super().__init__(problem.estimate())
        self._problem = problem

    @cached_property
    def _free(self) -> float:
        return self._problem.likelihood(np.arange(self._problem.num_entries).reshape(self._problem.shape))[2]

    def fitted(self, labels: np.ndarray, num_groups: int) -> Fit:
        """Values of maximum likelihood, their information, and twice the log likelihood that tying costs."""
        values, information, likelihood = self._problem.likelihood(labels)
        return Fit(values, information, max(2 * (self._free - likelihood), 0.0))

    def fits(self, partitions: Iterable[Partition]) -> Iterator[Fit]:
        """One after another: the likelihood is no quadratic, so that no fit follows from that of a finer partition."""
        return (self.fitted(one.labels, one.num_groups) for one in partitions)


def propose_by_likelihood(problem: GeneralizedLinearProblem) -> Proposal:
    """The pattern of the best evidence, and the weights averaged over patterns."""
    evidence = LikelihoodEvidence(problem)
    scores: dict[Partition, Score] = {}

    def judge(partitions: list[Partition]) -> Partition:
        for one in partitions:
            if one not in scores:
                scores[one] = evidence.score(one.labels)
        return min(scores, key=scores.__getitem__)

    free = Partition(np.arange(problem.num_entries).reshape(problem.shape))
    judge([free, Partition(np.zeros(problem.shape, np.int64))])
    by_quadratic = None
    if min(problem.shape) > 1:
        by_quadratic = propose_by_evidence(problem, polished=True)
        judge([Partition(by_quadratic.labels(0)[0])])
    guide, about = problem.estimate(), None
    for _ in range(_MAX_ROUNDS):
        best = judge(candidates(Evidence(guide), polished=True).ranked()[:_FINALISTS])
        if best == about:
            break
        about, guide = best, problem.estimate_about(problem.likelihood(best.labels)[0][best.labels])
    best = min(scores, key=scores.__getitem__)
    if by_quadratic is not None and best == Partition(by_quadratic.labels(0)[0]):
        return by_quadratic
    first: dict[int, Partition] = {}
    for one in sorted(scores, key=scores.__getitem__):
        first.setdefault(one.num_groups, one)
    rows = [first[count] for count in sorted(sorted(first, key=lambda count: scores[first[count]])[:_SHOWN])]
    history = {
        "num_groups": np.array([one.num_groups for one in rows]),
        "validation_loss": problem.evaluate([(one.labels,) for one in rows]),
        "evidence": np.array([-scores[one][1] for one in rows]),
        "rejected": np.array([scores[one][0] for one in rows]),
    }
    weight, ranked = problem.likelihood(best.labels)[0][best.labels], sorted(scores, key=scores.__getitem__)
    for _ in range(_AVERAGINGS):
        guide = problem.estimate_about(weight)
        posterior = Posterior(guide, symmetric=False)
        posterior.judge(ranked[:_FINALISTS], 0.0)
        posterior.judge_spreads()
        _, belief = posterior.answer(best)
        weight = belief.posterior_mean
    chosen = best
    if belief.continuum_log_odds > 0:
        chosen = projected(guide, belief.posterior_mean, best)
    notes = () if by_quadratic is None else by_quadratic.notes
    return Proposal([chosen.labels], history=history, belief=belief, notes=notes)


def projected(estimate: BlockEstimate, mean: np.ndarray, best: Partition) -> Partition:
    """The pattern that loses least of averaged weights, ``½ (θ̄ − Aψ)ᵀ Ω (θ̄ − Aψ) + λ G``, on their path of merges.

    That of the best evidence is kept where it loses little more: where weights are few and samples do not tell much,
    a continuum is likelier than any single pattern, even of few values.
    """
    averaged = replace(estimate, values=mean)

    def cost(partition: Partition) -> float:
        values, _ = fit_estimate(averaged, partition.labels, partition.num_groups)
        return 0.5 * misfit(averaged, partition.labels, values) + _LOSS * partition.num_groups

    found = min(map(Partition, merge_path(averaged, mean.size)), key=cost)
    return best if cost(best) - _KEPT <= cost(found) else found
