"""Search over patterns: candidates are fitted as one batch, compared on the validation samples, and proposed anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from equishare.search.held_out import STANDARD_ERRORS, Candidate, as_good, levels, near
from equishare.problems.network.checkpoint import Checkpoint
from equishare.problems.network.fisher import entry_weights, flat_entries
from equishare.problems.network.batches import Held
from equishare.problems.network.fit import Fit, Training, fit, gained
from equishare.problems.network.patterns import Pattern, all_free, free_state, hard_state
from equishare.problems.network.replicas import Stack, State, joined, taken
from equishare.search.ward import ward_path

# Up to so many groups, all pairs of them are tried as merges.
_PAIRED_GROUPS = 6
_ROUNDS = 5
# A fit that is best after this part of its steps goes on, so often, while it gains.
_LATE = 0.8
_EXTENSIONS = 6
# Candidates whose loss is above the least by no more than this part may become the best once they are done; the
# coarsest of them go on.
_CONTENDING = 1.0
_MOST_CONTENDERS = 6


@dataclass
class Search:
    """What is known of each problem; all problems advance together.

    Attributes:
        stack: the model.
        training, seed: of every fit.
        steps: of a fit without sharing; one of a pattern, which starts from there, takes half as many.
        checkpoint: keeps the fits that are done.
        tick: called with the number of training steps done.
        standard_errors: by which the losses of patterns must differ to be told apart.
        settles: whether candidates that are not done are trained on.
        found: the candidates of each problem by pattern, in order of appearance.
    """

    stack: Stack
    training: Training
    steps: int
    seed: int
    checkpoint: Checkpoint
    tick: Callable[[int], None]
    standard_errors: float = STANDARD_ERRORS
    settles: bool = True
    found: list[dict[Pattern, Candidate]] = field(init=False)

    def __post_init__(self) -> None:
        self.found = [{} for _ in self.stack.problems]

    def generators(self) -> list[torch.Generator]:
        """For each problem one that its starts are drawn with."""
        seeds = [problem.restart_seed for problem in self.stack.problems]
        return [torch.Generator().manual_seed(self.seed if seed is None else seed) for seed in seeds]

    def fit_free(self, owner: Sequence[int], lower: State, buffers: State, stage: str) -> Fit:
        """Fits without sharing, from states with free entries: where these go, even if it does not help."""
        _, upper = hard_state(self.stack, [all_free(self.stack)] * len(owner), lower, mean=True)
        fitted = self._fit(owner, lower, upper, buffers, self.steps, stage, moved=True)
        # Entries are compared where they end, so a fit goes on while its end is still on the way down.
        rows = np.flatnonzero(self._is_late(fitted))
        for more in range(_EXTENSIONS):
            if not len(rows):
                break
            before = fitted[rows]
            state = before.lower, taken(upper, rows), before.buffers
            longer = self._fit([owner[int(r)] for r in rows], *state, self.steps, f"{stage}, {more + 1}")
            fitted = fitted.replaced(rows, longer)
            rows = rows[self._is_late(longer) & gained(before.loss, longer.loss).cpu().numpy()]
        return fitted

    def _is_late(self, fitted: Fit) -> np.ndarray:
        return fitted.step.cpu().numpy() > _LATE * self.steps

    def try_patterns(
        self,
        owner: Sequence[int],
        patterns: Sequence[Pattern],
        lower: State,
        buffers: State,
        stage: str,
        mean: bool = True,
    ) -> None:
        """Fit patterns from states with free entries (see ``hard_state``).

        Of a pattern that was fitted before, the better fit is kept: a start from which others do better may be the
        better one for it too. The best so far is not fitted again.
        """
        best = [self.best(problem) if found else None for problem, found in enumerate(self.found)]
        new: dict[tuple[int, Pattern], int] = {}
        for r, (problem, pattern) in enumerate(zip(owner, patterns, strict=True)):
            leader = best[problem]
            if leader is None or leader.pattern != pattern:
                new.setdefault((problem, pattern), r)
        if not new:
            return
        rows = list(new.values())
        owner, patterns = [owner[r] for r in rows], [patterns[r] for r in rows]
        start, upper = hard_state(self.stack, patterns, taken(lower, rows), mean)
        steps = max(1, self.steps // 2) if mean else self.steps
        fitted = self._fit(owner, start, upper, taken(buffers, rows), steps, stage)
        self._note(owner, patterns, fitted, upper, fitted.step <= _LATE * steps)
        self._settle(stage)

    def _settle(self, stage: str) -> None:
        """Train on, where the candidates that may be best are not done: half-trained models cannot be compared."""
        for more in range(_EXTENSIONS if self.settles else 0):
            waiting = [
                (problem, candidate)
                for problem in range(len(self.found))
                for candidate in self._contenders(problem)
                if not candidate.settled
            ]
            if not waiting:
                break
            owner = [problem for problem, _ in waiting]
            candidates = [candidate for _, candidate in waiting]
            state = [self._padded(candidates), joined([c.fit.buffers for c in candidates])]
            upper = joined([self._labels(c.pattern) for c in candidates])
            fitted = self._fit(owner, state[0], upper, state[1], self.steps, f"{stage}, more {more + 1}")
            before = torch.cat([c.fit.loss for c in candidates])
            late = (fitted.step > _LATE * self.steps) & gained(before, fitted.loss)
            self._note(owner, [c.pattern for c in candidates], fitted, upper, ~late, replace=True)

    def _contenders(self, problem: int) -> list[Candidate]:
        """The coarsest candidates of about the least loss."""
        candidates = sorted(self.found[problem].values(), key=lambda c: (sum(c.pattern.num_groups), c.loss))
        if not candidates:
            return []
        least = min(candidates, key=lambda c: c.loss)
        most = least.loss + _CONTENDING * abs(least.loss)
        close = [c for c in candidates if c.loss <= most or as_good(c, least, self.standard_errors)]
        return [*(c for c in close[:_MOST_CONTENDERS] if c is not least), least]

    def _note(
        self,
        owner: Sequence[int],
        patterns: Sequence[Pattern],
        fitted: Fit,
        upper: State,
        settled: Tensor,
        replace: bool = False,
    ) -> None:
        losses, sizes = self._blocks(owner, fitted, upper)
        for i, (problem, pattern) in enumerate(zip(owner, patterns, strict=True)):
            # A copy: a view would keep the fits of all candidates of the batch.
            candidate = Candidate(pattern, fitted[i : i + 1].copy(), losses[i], sizes, bool(settled[i]))
            known = self.found[problem].get(pattern)
            if known is None or replace or candidate.loss < known.loss:
                self.found[problem][pattern] = candidate

    def _padded(self, candidates: Sequence[Candidate]) -> State:
        """States of fits with different numbers of groups as one, filled up with zeros."""
        states = [dict(c.fit.lower) for c in candidates]
        for site in self.stack.sites:
            for name in site.names:
                groups = max(len(state[name][0]) for state in states)
                for state in states:
                    values = state[name]
                    filler = values.new_zeros(1, groups - values.shape[1], *values.shape[2:])
                    state[name] = torch.cat([values, filler], 1)
        return joined(states)

    def best(self, problem: int) -> Candidate:
        """The coarsest candidate that the validation samples do not tell from the best."""
        candidates = sorted(self.found[problem].values(), key=lambda c: (sum(c.pattern.num_groups), c.loss))
        least = min(candidates, key=lambda c: c.loss)
        if not math.isfinite(least.loss):
            raise FloatingPointError(f"the fits of problem {problem} have all diverged: lower lr, or clip")
        return next(c for c in candidates if as_good(c, least, self.standard_errors))

    def try_paths(self, owner: Sequence[int], free: Fit, totals: Sequence[Sequence[int]], stage: str) -> None:
        """Cluster the entries of fits without sharing, and try the patterns with these numbers of groups."""
        rows: list[int] = []
        patterns: list[Pattern] = []
        for r, problem in enumerate(owner):
            path = self._path(free, r, problem, totals[r])
            rows += [r] * len(path)
            patterns += path
        owner = [owner[r] for r in rows]
        self.try_patterns(owner, patterns, taken(free.lower, rows), taken(free.buffers, rows), stage)

    def improve(self, wide: bool = False) -> None:
        """Release the entries of the best patterns, see where they go, and propose anew, while that helps.

        Args:
            wide: whether the first round tries all numbers of groups, and not only those around the best.
        """
        active = list(range(len(self.found)))
        for turn in range(_ROUNDS):
            before = [self.best(problem) for problem in active]
            free = self._released(before, active, f"free {turn + 1}")
            every = levels(self.stack) if wide and turn == 0 else []
            # Where releasing the entries does not help, they have nowhere to go.
            moved = [i for i, candidate in enumerate(before) if every or float(free.loss[i]) < candidate.loss]
            owner = [active[i] for i in moved]
            totals = [sorted({*every, *near(sum(before[i].pattern.num_groups), self.stack)}) for i in moved]
            self.try_paths(owner, free[moved], totals, f"path {turn + 1}")
            self._try_merges(active, f"merges {turn + 1}")
            active = [p for p, c in zip(active, before, strict=True) if self.best(p).pattern != c.pattern]
            if not active:
                break

    def _released(self, candidates: Sequence[Candidate], owner: Sequence[int], stage: str) -> Fit:
        states = []
        for candidate in candidates:
            upper = self._labels(candidate.pattern)
            states.append(free_state(self.stack, candidate.fit.lower, upper))
        buffers = joined([c.fit.buffers for c in candidates])
        return self.fit_free(owner, joined(states), buffers, stage)

    def _try_merges(self, owner: Sequence[int], stage: str) -> None:
        """Every pair of groups of the best patterns as one, where these are few."""
        owners, patterns, states, buffers = [], [], [], []
        for problem in owner:
            best = self.best(problem)
            upper = self._labels(best.pattern)
            state = free_state(self.stack, best.fit.lower, upper)
            for s, groups in enumerate(best.pattern.num_groups):
                for a, b in combinations(range(groups), 2) if groups <= _PAIRED_GROUPS else ():
                    labels = list(best.pattern.labels)
                    labels[s] = np.where(labels[s] == b, a, labels[s])
                    owners.append(problem)
                    patterns.append(Pattern(labels))
                    states.append(state)
                    buffers.append(best.fit.buffers)
        if patterns:
            self.try_patterns(owners, patterns, joined(states), joined(buffers), stage)

    def _labels(self, pattern: Pattern) -> State:
        return {
            site.key: torch.from_numpy(labels.copy())[None].to(self.stack.device)
            for site, labels in zip(self.stack.sites, pattern.labels, strict=True)
        }

    def _path(self, free: Fit, r: int, problem: int, totals: Sequence[int]) -> list[Pattern]:
        lower, buffers = taken(free.lower, r), taken(free.buffers, r)
        batch = self.stack.problems[problem].train.first()
        weights = entry_weights(self.stack, lower, buffers, batch)
        path = ward_path(flat_entries(self.stack, lower), weights, totals, [s.max_groups for s in self.stack.sites])
        return [Pattern(labels) for labels in path.values()]

    def _blocks(self, owner: Sequence[int], fitted: Fit, upper: State) -> tuple[np.ndarray, np.ndarray]:
        self.stack.twin.eval()
        at_once = self.stack.at_once()
        parts = []
        with torch.no_grad():
            for i in range(0, len(owner), at_once):
                part = slice(i, i + at_once)
                held = Held(self.stack.problems, "val", owner[part], self.training.batch_size)
                lower, buffers = taken(fitted.lower, part), taken(fitted.buffers, part)
                parts.append(self.stack.block_losses(lower, taken(upper, part), buffers, held))
        return np.concatenate([losses for losses, _ in parts]), parts[0][1]

    def _fit(
        self,
        owner: Sequence[int],
        lower: State,
        upper: State,
        buffers: State,
        steps: int,
        stage: str,
        moved: bool = False,
    ) -> Fit:
        def run() -> Fit:
            sets = ("train", "val")
            state = lower, upper, buffers
            return fit(self.stack, *state, owner, sets, self.training, steps, self.seed, self.tick, moved=moved)

        return self.checkpoint.stage(stage, run)
