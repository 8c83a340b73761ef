"""The default: a path of merges, polished, and orbits of a symmetry, all judged by the evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equishare.search.evidence import Evidence
from equishare.methods.merge import caps
from equishare.search.orbits import closures
from equishare.search.path import conditional_path, merge_path
from equishare.search.polish import polish
from equishare.methods.proposal import Progress, Proposal
from equishare.methods.select import validation_loss
from equishare.partition import Partition
from equishare.problems.linear import Problem

# How many of the best cuts of the path are polished.
_POLISHED = 10
_MAX_ROUNDS = 6


def auto(problems: Sequence[Problem], seed: int, progress: Progress) -> list[Proposal]:
    """Candidates from training and validation samples together, selected by :class:`Evidence`.

    For linear maps the candidates of :func:`closure` are among them. No sample is held back for the selection: the
    evidence pays for the number of partitions instead. The validation loss that is reported is that of the fit on the
    training samples, as for every method.
    """
    return _propose_all(problems, progress, polished=True)


def closure(problems: Sequence[Problem], seed: int, progress: Progress) -> list[Proposal]:
    """The path of merges, and for linear maps what a symmetry adds; selected by :class:`Evidence`.

    A symmetry of the weight is searched in the unshared estimates (:func:`equishare.search.orbits.closures`); its
    orbits, and merges of orbits, are judged beside the merges of single entries.
    """
    return _propose_all(problems, progress, polished=False)


def _propose_all(problems: Sequence[Problem], progress: Progress, polished: bool) -> list[Proposal]:
    proposals = []
    for done, problem in enumerate(problems):
        proposals.append(_propose(problem, polished))
        progress(done + 1, len(problems))
    return proposals


def judged_path(problem: Problem, evidence: Evidence) -> tuple[list[np.ndarray], list[tuple[bool, float]]]:
    """Cuts of the path of merges, fewest groups first, as far as the best one needs it, and their scores."""
    for cap in caps(problem):
        candidates = merge_path(evidence.estimate, cap)
        scores = [evidence.score(labels) for labels in candidates]
        if _best(scores) < cap / 2:
            break
    return candidates, scores


def _propose(problem: Problem, polished: bool) -> Proposal:
    evidence = Evidence(problem.estimate())
    candidates, scores = judged_path(problem, evidence)
    if problem.num_inputs > 1:
        if polished:
            _search(evidence, candidates, scores)
        for one in closures(evidence.estimate):
            for cap in caps(problem):
                merges = one.merges[:cap]
                merge_scores = [evidence.score(labels, one) for labels in merges]
                if _best(merge_scores) < cap / 2:
                    break
            candidates += merges
            scores += merge_scores
    best = _best(scores)
    return Proposal(
        [candidates[best]],
        losses=np.array([validation_loss(problem, candidates[best])]),
        history=_history(problem, candidates, scores),
    )


def _history(problem: Problem, candidates: list[np.ndarray], scores: list[tuple[bool, float]]) -> dict[str, np.ndarray]:
    """The best candidate for each number of groups, fewest first."""
    best: dict[int, int] = {}
    for i in sorted(range(len(scores)), key=scores.__getitem__):
        best.setdefault(int(candidates[i].max()) + 1, i)
    rows = [best[num_groups] for num_groups in sorted(best)]
    return {
        "num_groups": np.array(sorted(best)),
        "validation_loss": np.array([validation_loss(problem, candidates[i]) for i in rows]),
        "evidence": np.array([-scores[i][1] for i in rows]),
        "rejected": np.array([scores[i][0] for i in rows]),
    }


def _search(evidence: Evidence, candidates: list[np.ndarray], scores: list[tuple[bool, float]]) -> None:
    """Polish the best candidates, then propose anew around the best of all while that finds a better one."""
    start = 0
    seen: set[Partition] = set()
    for _ in range(_MAX_ROUNDS):
        before = min(scores[:start], default=(True, np.inf))
        for i in sorted(range(start, len(scores)), key=scores.__getitem__)[:_POLISHED]:
            polished = polish(evidence.estimate, candidates[i])
            if Partition(polished) not in seen:
                seen.add(Partition(polished))
                candidates.append(polished)
                scores.append(evidence.score(polished))
        best = _best(scores)
        if not scores[best] < before:
            return
        start = len(candidates)
        around = conditional_path(evidence.estimate, candidates[best], 2 * int(candidates[best].max()) + 8)
        candidates += around
        scores += [evidence.score(labels) for labels in around]


def _best(scores: list[tuple[bool, float]]) -> int:
    return min(range(len(scores)), key=scores.__getitem__)
