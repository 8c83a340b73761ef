"""The search where there is an estimate: paths of merges and symmetries propose, the evidence scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from equishare.partition import Partition
from equishare.problems.base import Problem, Proposal
from equishare.problems.estimates import blocks_of
from equishare.search.evidence import Evidence
from equishare.search.orbits import Symmetry, find_symmetries
from equishare.search.path import conditional_path, merge_path, shortest_path
from equishare.search.polish import polish

# How many of the best cuts of the path are polished.
_POLISHED = 10
_MAX_ROUNDS = 6

Score = tuple[bool, float]


@dataclass
class Candidates:
    """Partitions of one problem and their scores by the evidence.

    Attributes:
        evidence: judges them.
        labels: the partitions.
        scores: score of each, lower is better.
    """

    evidence: Evidence
    labels: list[np.ndarray] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Position of the best one, the first of equals."""
        return min(range(len(self.scores)), key=self.scores.__getitem__)

    def add(self, labels: list[np.ndarray]) -> None:
        """Score partitions and keep them."""
        self.labels += labels
        self.scores += [self.evidence.score(one) for one in labels]

    def add_path(self) -> None:
        """Add the path of merges, so far that the best of it lies in its lower half."""
        self._add_shortest(lambda cap: merge_path(self.evidence.estimate, cap), None)

    def add_symmetry(self, symmetry: Symmetry) -> None:
        """Add merges of the orbits of a symmetry, likewise."""
        self._add_shortest(lambda cap: symmetry.merges[:cap], symmetry)

    def _add_shortest(self, path_to: Callable[[int], list[np.ndarray]], symmetry: Symmetry | None) -> None:
        def score(path: list[np.ndarray]) -> list[Score]:
            return [self.evidence.score(one, symmetry) for one in path]

        path, scores = shortest_path(self.evidence.estimate, path_to, score)
        self.labels += path
        self.scores += scores

    def improve(self) -> None:
        """Polish the best candidates, propose new ones around the best of all, and repeat while the best improves."""
        start = 0
        seen: set[Partition] = set()
        for _ in range(_MAX_ROUNDS):
            before = min(self.scores[:start], default=(True, np.inf))
            for i in sorted(range(start, len(self.scores)), key=self.scores.__getitem__)[:_POLISHED]:
                polished = polish(self.evidence.estimate, self.labels[i])
                if Partition(polished) not in seen:
                    seen.add(Partition(polished))
                    self.add([polished])
            best = self.best
            if not self.scores[best] < before:
                return
            start = len(self.labels)
            num_groups = int(self.labels[best].max()) + 1
            self.add(conditional_path(self.evidence.estimate, self.labels[best], 2 * num_groups + 6))


def propose_by_evidence(problem: Problem, polished: bool, symmetric: bool = True) -> Proposal:
    """The partition of the best evidence among merges of entries and, for matrices, what a symmetry adds.

    Args:
        problem: with an estimate.
        polished: whether the merges of entries are improved; see :meth:`Candidates.improve`.
        symmetric: whether a symmetry is searched.
    """
    found = Candidates(Evidence(blocks_of(problem)))
    found.add_path()
    if polished and not found.evidence.estimate.is_diagonal:
        found.improve()
    for symmetry in find_symmetries(found.evidence.estimate) if symmetric else ():
        found.add_symmetry(symmetry)
    return Proposal([found.labels[found.best]], history=_history(problem, found))


def _history(problem: Problem, found: Candidates) -> dict[str, np.ndarray]:
    """The best candidate for each number of groups, fewest first."""
    best: dict[int, int] = {}
    for i in sorted(range(len(found.scores)), key=found.scores.__getitem__):
        best.setdefault(int(found.labels[i].max()) + 1, i)
    rows = [best[num_groups] for num_groups in sorted(best)]
    return {
        "num_groups": np.array(sorted(best)),
        "validation_loss": np.asarray(problem.evaluate([(found.labels[i],) for i in rows])),
        "evidence": np.array([-found.scores[i][1] for i in rows]),
        "rejected": np.array([found.scores[i][0] for i in rows]),
    }
