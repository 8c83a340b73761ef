"""The search where there is an estimate: paths of merges and symmetries propose, the evidence scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from equishare.partition import Partition
from equishare.problems.base import Problem, Proposal
from equishare.problems.estimates import MOST_GROUPS, BlockEstimate, blocks_of
from equishare.search import price, shifts
from equishare.search.alignment import Permutations
from equishare.search.evidence import LARGE, Evidence, Score
from equishare.search.orbits import find_symmetries, merges_of
from equishare.search.path import conditional_path, greedy_merges, merge_path, shortest_path, thinned
from equishare.search.polish import polish
from equishare.search.posterior import Posterior
from equishare.search.segmentation import probable_segmentations
from equishare.search.shifts import Shifts, shift_patterns

# How many of the best cuts of the path are polished.
_POLISHED = 10
# So many in a row that come out no better than the best end the polishing; of large parameters the first.
_PATIENCE = 3
# Of so many entries and more, merges that a structure has beaten are not improved, which takes long.
_LONG = 1 << 10
# Of the history of a large parameter so many rows are kept.
_SHOWN = 24
_MAX_ROUNDS = 6
# Merges of so many patterns of shifts are scored; of large parameters so many patterns, the likely ones by their
# entries' own variances.
_SHIFTS = 4
_SCORED_SHIFTS = 12
# So many of the best candidates of each source are judged with what their symmetry is worth.
_FINALISTS = 12


@dataclass
class Candidates:
    """Partitions of one problem and their scores by the evidence, lower is better.

    Attributes:
        evidence: judges them.
        scores: score of each partition.
    """

    evidence: Evidence
    scores: dict[Partition, Score] = field(default_factory=dict)

    def ranked(self) -> list[Partition]:
        """The partitions, best first."""
        return sorted(self.scores, key=self.scores.__getitem__)

    def add(self, labels: Iterable[np.ndarray]) -> None:
        """Score partitions and keep them; of many means the best, as each takes as much memory as the means."""
        if self._is_long:
            for one in map(Partition, labels):
                if one not in self.scores:
                    self.scores[one] = self.evidence.score(one.labels)
                if len(self.scores) > _FINALISTS:
                    del self.scores[self.ranked()[-1]]
            return
        fresh = [one for one in dict.fromkeys(map(Partition, labels)) if one not in self.scores]
        for one, fit in zip(fresh, self.evidence.fits(fresh), strict=True):
            self.scores[one] = self.evidence.score(one.labels, fit=fit)

    @property
    def _is_long(self) -> bool:
        """Whether there are so many estimates, none of which covary, that even a list of candidates is large."""
        return self.evidence.estimate.is_diagonal and self.evidence.estimate.values.size >= LARGE

    def add_path(self) -> None:
        """Add probable segmentations, and the path of merges so far that the best of it lies in its lower half.

        Where there are very many groups the path takes long: it goes on as long as it finds better ones. Of many means
        the segmentations alone are tried, and no ties.
        """
        estimate = self.evidence.estimate
        values, precision = estimate.values.ravel(), 1 / estimate.variance.ravel()
        some = probable_segmentations(values, precision, self.evidence.width)
        self.add(labels.reshape(estimate.values.shape) for labels in some)
        if self._is_long:
            self.add([np.arange(values.size).reshape(estimate.values.shape)])
            return

        def score(path: Sequence[np.ndarray]) -> list[Score]:
            self.add(path)
            return [self.scores[Partition(one)] for one in path]

        shortest_path(
            estimate, lambda cap: merge_path(estimate, cap), score, lambda own: min(own) == min(self.scores.values())
        )

    def improve(self) -> None:
        """Polish the best candidates, propose new ones around the best of all, and repeat while the best improves."""
        estimate = self.evidence.estimate
        patience = 1 if estimate.values.size >= LARGE else _PATIENCE
        tried: set[Partition] = set()
        for _ in range(_MAX_ROUNDS):
            before, failed = min(self.scores.values()), 0
            for partition in [one for one in self.ranked() if one not in tried][:_POLISHED]:
                tried.add(partition)
                least = min(self.scores.values())
                is_large = estimate.values.size >= LARGE
                # Alternation decides about whole rows, which of many entries takes minutes; merges mend most of it.
                polished = partition.labels if is_large else polish(estimate, partition.labels)
                self.add(thinned(greedy_merges(estimate, polished, frequencies=True)))
                failed = 0 if min(self.scores.values()) < least else failed + 1
                if failed == patience:
                    break
            self.add(conditional_path(estimate, self.ranked()[0].labels, self.evidence.width))
            if not min(self.scores.values()) < before:
                return

    def is_beaten_by(self, other: Score) -> bool:
        """Whether a score is better than the best of these if that fitted exactly, which is all that improving does."""
        best = self.ranked()[0]
        cost = self.evidence.cost_of_misfit(self.evidence.fitted(best.labels, best.num_groups))
        return other < (False, self.scores[best][1] - cost)


def candidates(evidence: Evidence, polished: bool, known: Score | None = None) -> Candidates:
    """Merges of entries.

    Args:
        evidence: of the problem.
        polished: whether they are improved; see :meth:`Candidates.improve`.
        known: score of a partition that is no merge, where there is one. Where it beats what many entries can come to,
            they are not improved.
    """
    found = Candidates(evidence)
    found.add_path()
    if polished and not evidence.estimate.is_diagonal:
        is_long = evidence.estimate.values.size >= _LONG
        if not (is_long and known is not None and found.is_beaten_by(known)):
            found.improve()
    return found


def propose_by_evidence(problem: Problem, polished: bool, symmetric: bool = True) -> Proposal:
    """The partition of the best evidence among merges of entries and, for matrices, what a symmetry adds.

    Where weights that are only nearly equal explain the estimates better than equal ones, the search is repeated with
    the covariance that they have then, for several spreads.

    Args:
        problem: with an estimate.
        polished: whether the merges of entries are improved; see :meth:`Candidates.improve`.
        symmetric: whether a symmetry is searched.
    """
    estimate = blocks_of(problem)
    posterior = Posterior(estimate, symmetric)
    notes: list[str] = []
    exact = _search(posterior, 0.0, polished, notes)
    posterior.judge_spreads()
    if posterior.is_scattered:
        for spread in posterior.likely_spreads():
            _search(posterior, spread, polished, notes)
        posterior.judge_spreads()
    posterior.judge_subgroups()
    partition, belief = posterior.answer(exact.ranked()[0])
    notes += _left_out(posterior, exact, partition)
    history = _history(problem, exact, posterior)
    return Proposal([partition.labels], history=history, belief=belief, notes=tuple(dict.fromkeys(notes)))


def _left_out(posterior: Posterior, exact: Candidates, partition: Partition) -> list[str]:
    """What was not searched of a parameter as large as this one, a sentence each."""
    shape = exact.evidence.estimate.values.shape
    size, found = math.prod(shape), []
    if posterior.is_matrix and not posterior.is_symmetric:
        found.append(price.unsearched(shape))
    if posterior.is_matrix and (missing := shifts.unsearched(shape)) is not None:
        found.append(missing)
    if posterior.left_out and posterior.has_symmetry(partition):
        found.append(
            f"Parts of the symmetry of the pattern were not weighed against it: they leave {posterior.left_out:,} and "
            f"more different weights, and up to {MOST_GROUPS:,} are."
        )
    if not posterior.has_spreads:
        found.append(
            f"Whether {size:,} entries are only nearly equal was not asked: the precisions of all rows would take too "
            "much memory."
        )
    if not exact.evidence.estimate.is_diagonal and MOST_GROUPS <= exact.ranked()[0].num_groups < size:
        found.append(f"More groups than {MOST_GROUPS:,} were not tried, but for no ties at all.")
    return found


def _search(posterior: Posterior, spread: float, polished: bool, notes: list[str]) -> Candidates:
    """Search with entries that scatter by ``spread``; the best partitions are judged."""
    evidence = posterior.evidence(spread)
    finalists: list[Partition] = []
    maps: list[Permutations] = []
    for symmetry in find_symmetries(evidence.estimate, notes) if posterior.is_symmetric else ():
        finalists += _best_of(evidence, symmetry.orbits, symmetry.merges)
        maps += symmetry.maps
    for pattern, (rejected, _) in likely_shifts(evidence) if posterior.is_matrix else ():
        # Where a pattern does not fit, hardly a union of its groups does. It may with another spread.
        merges = () if rejected else merges_of(evidence.estimate, pattern.labels)
        finalists += _best_of(evidence, pattern.labels, merges)
        maps += pattern.maps()
    posterior.judge(finalists, spread, maps)
    known = min((posterior.scores[one, spread] for one in finalists), default=None)
    found = candidates(evidence, polished, known)
    posterior.judge(found.ranked()[:_FINALISTS], spread)
    return found


def likely_shifts(evidence: Evidence) -> list[tuple[Shifts, Score]]:
    """The patterns of shifts with the best scores, best first."""
    estimate = evidence.estimate

    def ranked(patterns: Iterable[Shifts], by: Evidence) -> list[tuple[Shifts, Score]]:
        scored = [(one, by.score(one.labels, price.Structure(None, (one,)))) for one in patterns]
        return sorted(scored, key=lambda pair: pair[1])

    patterns: Iterable[Shifts] = shift_patterns(estimate.values.shape)
    if estimate.values.size >= LARGE:
        alone = BlockEstimate.diagonal(estimate.values, estimate.variance, estimate.freedom)
        patterns = [one for one, _ in ranked(patterns, Evidence(alone))[:_SCORED_SHIFTS]]
    return ranked(patterns, evidence)[:_SHIFTS]


def _best_of(evidence: Evidence, orbits: np.ndarray, merges: Sequence[np.ndarray]) -> list[Partition]:
    """Orbits, and the best of the partitions that merge them."""
    found = Candidates(evidence)
    found.add(merges)
    return [Partition(orbits), *found.ranked()[:_FINALISTS]]


def _history(problem: Problem, exact: Candidates, posterior: Posterior) -> dict[str, np.ndarray]:
    """The best candidate for each number of groups, fewest first, of those whose entries are equal."""
    scores = exact.scores | posterior.exact_scores
    best: dict[int, Partition] = {}
    for one in sorted(scores, key=scores.__getitem__):
        best.setdefault(one.num_groups, one)
    counts = np.array(sorted(best))
    if problem.slots[0].num_entries >= LARGE and len(counts) > _SHOWN:
        shown = np.unique(np.geomspace(1, len(counts), _SHOWN).astype(int) - 1)
        counts = counts[shown]
    rows = [best[int(num_groups)] for num_groups in counts]
    return {
        "num_groups": counts,
        "validation_loss": np.asarray(problem.evaluate([(one.labels,) for one in rows])),
        "evidence": np.array([-scores[one][1] for one in rows]),
        "rejected": np.array([scores[one][0] for one in rows]),
    }
