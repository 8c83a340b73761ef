"""A batch of networks while a method works on them: patterns are fitted as replicas, compared, and refitted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from equishare.problems.answers import Quality, Refit
from equishare.problems.base import Labels, Session
from equishare.problems.network.candidate import Candidate
from equishare.problems.network.checkpoint import Checkpoint, fingerprint
from equishare.problems.network.dependence import dependence
from equishare.problems.network.fit import (
    Fit,
    Start,
    block_losses,
    fitted_loss,
    gained,
    has_classes,
    loss_errors,
    mean_and_error,
)
from equishare.problems.network.found import Found
from equishare.problems.network.memory import release
from equishare.problems.network.patterns import Pattern, all_free, hard_state
from equishare.problems.network.refit import STUCK, Trained, refit_trained, refitted, train_patterns
from equishare.problems.network.replicas import Replicas, State, joined, stacked, taken
from equishare.problems.network.rounding import rounding_errors
from equishare.problems.network.samples import LoaderSamples, TensorSamples, num_samples
from equishare.problems.network.trainer import Trainer
from equishare.problems.network.training import FINAL_FITS, STANDARD_ERRORS, Training
from equishare.problems.network.well import Well, train_unshared

# A fit whose best state comes after this part of its steps is not done. It goes on, at most so often, while it gains.
_LATE = 0.8
_EXTENSIONS = 3
# A rate that was best from the model's own start can throw a pattern away from a good one, not to return. So one that
# predicts clearly worse than no sharing is fitted again with this part of the rate.
_LOWER_RATE = 0.2
# Labels of patterns that are held beside those of the candidates.
_LABELS_AT_A_TIME = 1 << 22
# Of more labels than these in all, candidates are dropped that others beat.
_MANY_LABELS = 1 << 16


class NetworkSession(Session):
    """A batch of networks in a search: the patterns fitted so far, and their losses. All problems advance together.

    Attributes:
        training: options of all fits, those of the method.
        trainer: fits the replicas.
        replicas: of the model.
        found: the candidates of each problem by pattern, in order of appearance.
        settles: whether candidates whose loss is still falling are trained further.
        at_once: replicas that are worth a batch of their own; None: as the model has it.
    """

    is_trained: ClassVar[bool] = True
    at_once: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        training = self.options if isinstance(self.options, Training) else Training()
        samples = self.problems[0].train
        self.training = training.for_samples(len(samples) if isinstance(samples, TensorSamples) else None)
        path = getattr(self.options, "checkpoint", None)
        about = "" if path is None else self.fingerprint()
        checkpoint = Checkpoint(path, about)
        # A kept state holds parts of the replicas that the search began with, so it must go on with such parts.
        kept = checkpoint.get("at once")
        self.replicas = Replicas(self.problems, self.training.batch_size, kept or self.at_once)
        if path is not None and kept is None:
            checkpoint.keep("at once", self.replicas.at_once())
        self.trainer = Trainer(
            self.replicas, self.training, self.seed, checkpoint, self.tick, lambda: self.unshared.rates
        )
        free, errors = all_free(self.replicas), getattr(self.options, "standard_errors", STANDARD_ERRORS)
        self._free = free
        self.found = [
            Found(i, free, (num_samples(one.train), num_samples(one.val)), errors)
            for i, one in enumerate(self.problems)
        ]
        self.settles = True
        self._unshared: Well | None = None
        self._evaluations = 0
        self._done, self._total = 0, self.training.search_length + FINAL_FITS * self.training.final.steps

    def fingerprint(self) -> str:
        """A digest of all that decides the course of the search."""
        known = hasattr(self.options, "checkpoint")
        options = replace(self.options, checkpoint=None) if known else self.options
        return fingerprint(self.problems, self.method, self.seed, options)

    @staticmethod
    def check(problems: Sequence[Any]) -> None:
        """ValueError where the problems cannot be trained as one batch."""
        first = problems[0]
        for other in problems[1:]:
            if other.loss is not first.loss:
                raise ValueError("problems of one list must have the same loss function")
            for name in ("train", "val", "stop"):
                a, b = getattr(first, name), getattr(other, name)
                if isinstance(a, LoaderSamples) or isinstance(b, LoaderSamples):
                    raise ValueError("problems of one list must hold tensors, not DataLoaders: solve them one by one")
                if (None if a is None else a.kinds) != (None if b is None else b.kinds):
                    raise ValueError(f"problems of one list must have {name} data of the same shapes and dtypes")
            if not _same_model(other.model, first.model):
                raise ValueError("problems of one list must have the same model, with the same initial parameters")

    def tick(self, steps: int) -> None:
        """Count training steps done; how many there will be is not known beforehand."""
        self._done += steps
        self.progress(min(self._done, self._total - 1), self._total)

    def generators(self) -> list[torch.Generator]:
        """For each problem one that its starts are drawn with."""
        seeds = [problem.restart_seed for problem in self.problems]
        return [torch.Generator().manual_seed(self.seed if seed is None else seed) for seed in seeds]

    def until_interrupted(self, run: Callable[[], None]) -> None:
        """Run a search. Ctrl-C ends it, and the best so far is the answer, if every problem has a candidate by then."""
        try:
            run()
        except KeyboardInterrupt:
            if not all(self.found):
                raise
            self.interrupted = True

    @property
    def unshared(self) -> Well:
        """The network of each problem trained well without sharing, which chooses the learning rates.

        It is a candidate, so that no pattern is selected that the validation samples show to be worse.
        """
        if self._unshared is None:
            count = len(self.problems)
            well = train_unshared(self.trainer, count)
            self._unshared = well
            errors = rounding_errors(self.replicas, range(count), well.fit, {})
            for found, own in zip(self.found, errors.tolist(), strict=True):
                found.rounding = own if found.standard_errors else 0.0
            if all(slot.max_groups >= slot.num_entries for slot in self.replicas.slots):
                settled = np.ones(count, bool)
                self._note(range(count), [self._free] * count, well.fit, {}, settled)
                for found in self.found:
                    found.unshared = found[self._free]
        return self._unshared

    @property
    def fit_length(self) -> int:
        """Steps of a fit without sharing in the search."""
        return self.training.fit_length or int(self.unshared.lengths.max()) // 2

    def fit_free(self, owner: Sequence[int], lower: State, buffers: State, stage: str) -> Fit:
        """Fit without sharing, from states with free entries, to see where they go, even if the loss does not fall."""
        steps = self.fit_length
        _, upper = hard_state(self.replicas, [self._free] * len(owner), lower, mean=True)
        fitted = self.trainer.fit(stage, Start(owner, lower, upper, buffers), steps, moved=True)
        # Entries are compared where they end, so a fit goes on while its end is still on the way down.
        rows = np.flatnonzero(self._is_late(fitted))
        for more in range(_EXTENSIONS):
            if not len(rows):
                break
            before = fitted[rows]
            start = Start([owner[int(r)] for r in rows], before.lower, taken(upper, rows), before.buffers)
            longer = self.trainer.fit(f"{stage}, {more + 1}", start, steps)
            fitted = fitted.replaced(rows, longer)
            error = loss_errors(self.replicas, start.owner, longer, start.upper)
            rows = rows[self._is_late(longer) & gained(before.loss, longer.loss, error)]
        return fitted

    def _is_late(self, fitted: Fit) -> np.ndarray:
        return fitted.step.cpu().numpy() > _LATE * self.fit_length

    def try_patterns(
        self,
        owner: Sequence[int],
        patterns: Sequence[Pattern],
        lower: State,
        buffers: State,
        stage: str,
        mean: bool = True,
        of: Sequence[int] | None = None,
    ) -> None:
        """Fit patterns from states with free entries (see ``hard_state``), and keep them as candidates.

        ``of`` names the replica of the states that each pattern starts from; None: the i-th from the i-th.

        A pattern that was fitted before is fitted again, because the new start may be better; the better fit is kept.
        Only the best candidate so far is not fitted again.
        """
        best = [self.best(problem) if found else None for problem, found in enumerate(self.found)]
        new: dict[tuple[int, Pattern], int] = {}
        for r, (problem, pattern) in enumerate(zip(owner, patterns, strict=True)):
            leader = best[problem]
            if leader is None or leader.pattern != pattern:
                new.setdefault((problem, pattern), r)
        if not new:
            return
        release(self.replicas.start.values())
        steps = max(1, self.fit_length // 2) if mean else self.fit_length
        rows, size = list(new.values()), max(1, _LABELS_AT_A_TIME // sum(s.num_entries for s in self.replicas.slots))
        for i in range(0, len(rows), size):
            part = rows[i : i + size]
            own, some = [owner[r] for r in part], [patterns[r] for r in part]
            which = [r if of is None else of[r] for r in part]
            start, upper = hard_state(self.replicas, some, lower, mean, which)
            name = f"{stage}, from {i}" if i else stage
            one = Start(own, start, upper, taken(buffers, which))
            fitted = self.trainer.fit(name, one, steps)
            least = self.unshared.fit.loss[own]
            thrown = np.flatnonzero((fitted.loss > least + STUCK * least.abs()).cpu().numpy())
            if len(thrown) and len(self.training.rates) > 1:
                rates = self.trainer.rates_of(one).numpy()[thrown] * _LOWER_RATE
                again = self.trainer.fit(f"{name}, lower rates", one[thrown], steps, rates)
                better = np.flatnonzero((again.loss < fitted.loss[thrown]).cpu().numpy())
                fitted = fitted.replaced(thrown[better], again[better])
            self._note(own, some, fitted, upper, (fitted.step <= _LATE * steps).cpu().numpy())
        self._settle(stage)

    def _settle(self, stage: str) -> None:
        """Train candidates that may be best until they are done: half-trained models cannot be compared."""
        steps = self.fit_length
        for more in range(_EXTENSIONS if self.settles else 0):
            waiting = [
                (problem, candidate)
                for problem in range(len(self.found))
                for candidate in self.found[problem].contenders()
                if not candidate.settled
            ]
            if not waiting:
                break
            owner = [problem for problem, _ in waiting]
            candidates = [candidate for _, candidate in waiting]
            lower, buffers = self._padded(candidates), joined([c.fit.buffers for c in candidates])
            upper = joined([self.labels(c.pattern) for c in candidates])
            fitted = self.trainer.fit(f"{stage}, more {more + 1}", Start(owner, lower, upper, buffers), steps)
            before = torch.cat([c.fit.loss for c in candidates])
            error = loss_errors(self.replicas, owner, fitted, upper)
            late = (fitted.step > _LATE * steps).cpu().numpy() & gained(before, fitted.loss, error)
            self._note(owner, [c.pattern for c in candidates], fitted, upper, ~late, replace=True)

    def contest(self, problems: Sequence[int], stage: str) -> list[int]:
        """Train the best candidates, and others of no more groups, as well as final fits are.

        The others had one rate, the best without sharing, and can have ended in a poor minimum with it.

        Args:
            problems: whose candidates.
            stage: name for the checkpoint.

        Returns:
            The problems that have another best candidate by it.
        """
        before = [self.best(problem) for problem in problems]
        pairs = [
            (problem, one)
            for problem, best in zip(problems, before, strict=True)
            for one in (best, *self.found[problem].rivals(best))
            if one.trained is None
        ]
        if not pairs:
            return []
        owner, patterns = [problem for problem, _ in pairs], [one.pattern for _, one in pairs]
        fits = [one.fit for _, one in pairs]
        trained = train_patterns(self.trainer, owner, patterns, fits, self.unshared, stage)
        upper = joined([self.labels(pattern) for pattern in patterns])
        well = Fit.joined([one.well.fit for one in trained])
        # The answer is refitted from these fits, so it is they that are compared.
        self._note(owner, patterns, well, upper, np.ones(len(owner), bool), trained, replace=True)
        return [p for p, best in zip(problems, before, strict=True) if self.best(p).pattern != best.pattern]

    def _note(
        self,
        owner: Sequence[int],
        patterns: Sequence[Pattern],
        fitted: Fit,
        upper: State,
        settled: np.ndarray,
        wells: Sequence[Trained] | None = None,
        replace: bool = False,
    ) -> None:
        losses, sizes = block_losses(self.replicas, owner, fitted, upper)

        is_plain = not has_classes(self.replicas)
        plain = mean_and_error(losses, sizes)[0] if is_plain else fitted_loss(self.replicas, owner, fitted, upper)
        trained = fitted_loss(self.replicas, owner, fitted, upper, "train")
        for i, (problem, pattern) in enumerate(zip(owner, patterns, strict=True)):
            # A copy: a view would keep the fits of all candidates of the batch.
            own = fitted[i : i + 1].copy() if len(patterns) > 1 else fitted
            facts = bool(settled[i]), float(plain[i]), float(trained[i]), wells[i] if wells else None
            self.found[problem].add(Candidate(pattern, own, losses[i], sizes, *facts), replace)

    def drop_beaten(self) -> None:
        """Of large layers keep no candidates that others beat: the labels of many take much memory, as does garbage."""
        if sum(slot.num_entries for slot in self.replicas.slots) > _MANY_LABELS:
            for found in self.found:
                found.drop_beaten()
        release(self.replicas.start.values())

    def _padded(self, candidates: Sequence[Candidate]) -> State:
        """States of fits with different numbers of groups as one, filled up with zeros."""
        states = [dict(c.fit.lower) for c in candidates]
        for slot in self.replicas.slots:
            for name in slot.names:
                groups = max(len(state[name][0]) for state in states)
                for state in states:
                    values = state[name]
                    filler = values.new_zeros(1, groups - values.shape[1], *values.shape[2:])
                    state[name] = torch.cat([values, filler], 1)
        return joined(states)

    def labels(self, pattern: Pattern) -> State:
        """The groups of a pattern as the state of one replica."""
        return {
            slot.key: torch.from_numpy(labels.copy())[None].to(self.replicas.device)
            for slot, labels in zip(self.replicas.slots, pattern.labels, strict=True)
        }

    def best(self, problem: int) -> Candidate:
        """The coarsest candidate that the validation samples cannot tell from the best."""
        return self.found[problem].best()

    def evaluate(self, patterns: Sequence[Sequence[Labels]]) -> list[np.ndarray]:
        """Validation losses of patterns, a list of them for each problem, all trained as one batch."""
        own = [[Pattern(labels) for labels in several] for several in patterns]
        fresh = [(i, one) for i, several in enumerate(own) for one in several if one not in self.found[i]]
        if fresh:
            lower, buffers = (stacked(s, len(fresh)) for s in (self.replicas.start, self.replicas.buffers))
            self._evaluations += 1
            owner, flat = [i for i, _ in fresh], [one for _, one in fresh]
            self.try_patterns(owner, flat, lower, buffers, f"evaluate {self._evaluations}", mean=False)
        return [np.array([self.found[i][one].loss for one in several]) for i, several in enumerate(own)]

    def refit(self, patterns: Sequence[Labels]) -> list[Refit]:
        """The model trained with the pattern of each problem; after Ctrl-C, the model as the search left it."""
        chosen = [Pattern(labels) for labels in patterns]
        known = [found[one] for found, one in zip(self.found, chosen, strict=True) if one in found]
        if not self.interrupted:
            try:
                trained = self._trained(chosen)
                fits = refit_trained(self.trainer, trained)
                release(self.replicas.start.values())
                self.progress(self._total, self._total)
                wells = [one.well for one in trained]
                facts = [self._facts(i, well) for i, well in enumerate(wells)]
                losses, settled = [float(well.losses[0]) for well in wells], [bool(well.settled[0]) for well in wells]
                told = [self._quality(i, one) for i, one in enumerate(trained)]
                return self._refitted(chosen, fits, losses, settled, facts, told, complete=True)
            except KeyboardInterrupt:
                if len(known) < len(chosen):
                    raise
                self.interrupted = True
        losses, count = [candidate.plain_loss for candidate in known], len(chosen)
        columns = losses, [True] * count, [()] * count, [Quality()] * count
        return self._refitted(chosen, [one.fit for one in known], *columns, complete=False)

    def _trained(self, chosen: Sequence[Pattern]) -> list[Trained]:
        """The selected pattern of each problem, fitted well."""
        known = [found.get(one) for found, one in zip(self.found, chosen, strict=True)]
        searched = [one.fit for one in known if one is not None]
        trained = {p: one.trained for p, one in enumerate(known) if one is not None and one.trained is not None}
        rest = [p for p in range(len(chosen)) if p not in trained]
        if rest:
            patterns = [chosen[p] for p in rest]
            fits = [searched[p] for p in rest] if len(searched) == len(chosen) else None
            more = train_patterns(self.trainer, rest, patterns, fits, self.unshared, "final")
            trained |= dict(zip(rest, more, strict=True))
        return [trained[p] for p in range(len(chosen))]

    def _facts(self, problem: int, well: Well) -> tuple[tuple[str, str], ...]:
        """How a network was trained, in words."""
        unshared, size = self.unshared, self.training.batch_size
        told = [
            ("learning rate", f"{well.rates[0]:.2g}; without sharing {unshared.rates[problem]:.2g}"),
            ("training steps", f"{well.lengths[0]}; without sharing {unshared.lengths[problem]}"),
        ]
        return (*told, ("samples a step", str(size))) if size is not None else tuple(told)

    def _quality(self, problem: int, one: Trained) -> Quality:
        fitted = Start([problem], one.well.fit.lower, self.labels(one.pattern), one.well.fit.buffers)
        tried = max(1, self.found[problem].tried)
        return Quality(dependence=dependence(self.replicas, self.problems[problem], fitted, tried))

    def _refitted(self, patterns: Sequence[Pattern], fits: Sequence[Fit], *columns: Any, complete: bool) -> list[Refit]:
        names = ("validation_loss", "settled", "facts", "quality", "no_sharing_loss")
        unshared = [math.nan] * len(patterns) if self._unshared is None else self._unshared.losses.tolist()
        rows = zip(self.problems, patterns, fits, zip(*columns, unshared, strict=True), strict=True)
        return [
            refitted(problem, self.replicas, one, fit, complete=complete, **dict(zip(names, row, strict=True)))
            for problem, one, fit, row in rows
        ]


def _same_model(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    if str(one) != str(other) or a.keys() != b.keys():
        return False
    return all(
        t.dtype == b[name].dtype and t.device == b[name].device and torch.equal(t, b[name]) for name, t in a.items()
    )
