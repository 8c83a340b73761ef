"""The candidates of one problem: which of them is the best, and which may become it."""

from __future__ import annotations

import math

import numpy as np

from equishare.problems.base import Proposal
from equishare.problems.network.candidate import Candidate, as_good, gains_of
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.refit import STUCK

# A candidate may become the best once it is done if its loss is above the least by no more than this part of it. So
# many of these, the coarsest, are trained further.
_CONTENDING = 1.0
_MOST_CONTENDERS = 6
# So many patterns, at least as coarse as the best, are trained as well as it is before one is selected.
_MOST_RIVALS = 3


class Found(dict[Pattern, Candidate]):
    """The candidates of one problem by pattern, in order of appearance.

    Args:
        problem: its number, for messages.
        free: the pattern without sharing.
        counts: numbers of training and validation samples.
        standard_errors: that a coarser candidate may be worse by.
    """

    def __init__(self, problem: int, free: Pattern, counts: tuple[int, int], standard_errors: float) -> None:
        super().__init__()
        self.problem, self.free, self.counts, self.standard_errors = problem, free, counts, standard_errors
        self._least: dict[int, float] = {}
        #: losses that differ by no more are alike
        self.rounding = 0.0
        #: how many patterns were compared, those that were dropped too
        self.tried = 0
        #: the network without sharing, trained well from the model's own start
        self.unshared: Candidate | None = None
        #: whether the best pattern was not seen to predict as well as no sharing, so that the latter is the answer
        self.is_refused = False

    def add(self, candidate: Candidate, replace: bool = False) -> None:
        """Keep a candidate, in place of one of the same pattern if it is better or ``replace``.

        One that is trained well gives way only where it is stuck: a fit of the search that is a little better is lucky.
        """
        known = self.get(candidate.pattern)
        self.tried += known is None
        least = known.loss - STUCK * abs(known.loss) if known and known.trained else math.inf
        if known is None or replace or candidate.loss < min(known.loss, least):
            self[candidate.pattern] = candidate
        number = candidate.num_groups
        self._least[number] = min(self._least.get(number, math.inf), candidate.plain_loss)

    def drop_beaten(self) -> None:
        """Keep the candidates that are better than all with at most as many groups, and the one without sharing."""
        coarsest, *others = sorted(self.values(), key=lambda c: (c.num_groups, c.loss))
        least = coarsest.loss
        for one in others:
            if one.loss >= least and one.pattern != self.free:
                del self[one.pattern]
            least = min(least, one.loss)

    def proposal(self, history: dict[str, np.ndarray] | None = None) -> Proposal:
        """All candidates, scored by their losses on the validation samples.

        Args:
            history: of the search; None: the best loss for each number of groups, fewest first.

        Raises:
            FloatingPointError: all fits have diverged.
        """
        candidates = list(self.values())
        # Not what has no sharing now: that may have started from tied entries, and have them still.
        unshared = self.unshared or candidates[0]
        *gains, own = gains_of([*candidates, unshared], *self.counts)
        # The losses that are expected of refits on training and validation samples together.
        scores = np.array([c.loss for c in candidates]) - gains
        least = candidates[int(scores.argmin())]
        if not math.isfinite(least.loss):
            raise FloatingPointError(f"the fits of problem {self.problem} have all diverged: lower lr, or clip")
        good = as_good(candidates, least, self.standard_errors, self.rounding, np.array(gains))
        if self.unshared:
            # However uncertain the difference is, a pattern that predicts worse than no sharing is none.
            good &= scores <= unshared.loss - own + self.rounding
        if self.is_refused or not good.any():
            good = np.array([c.pattern == self.free for c in candidates])
        if history is None:
            numbers = sorted(self._least)
            losses = np.array([self._least[number] for number in numbers])
            history = {"num_groups": np.array(numbers), "validation_loss": losses}
        return Proposal([c.pattern.labels for c in candidates], scores, as_good=good, history=history)

    def best(self) -> Candidate:
        """The coarsest candidate that the validation samples cannot tell from the best."""
        return list(self.values())[self.proposal({}).best]

    def contenders(self) -> list[Candidate]:
        """The coarsest candidates of about the least loss."""
        candidates = sorted(self.values(), key=lambda c: (c.num_groups, c.loss))
        if not candidates:
            return []
        least = min(candidates, key=lambda c: c.loss)
        most = least.loss + _CONTENDING * abs(least.loss) + self.rounding
        good = as_good(candidates, least, self.standard_errors, self.rounding)
        close = [c for c, is_good in zip(candidates, good, strict=True) if c.loss <= most or is_good]
        return [*(c for c in close[:_MOST_CONTENDERS] if c is not least), least]

    def rivals(self, best: Candidate) -> list[Candidate]:
        """The candidates of least loss among those that have no more groups than the best one."""
        most = best.loss + _CONTENDING * abs(best.loss) + self.rounding
        others = [c for c in self.values() if c.pattern != best.pattern and c.num_groups <= best.num_groups]
        return sorted((c for c in others if c.loss <= most), key=lambda c: c.loss)[:_MOST_RIVALS]
