"""The final fits: with and without sharing for the report, and the refit on all samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from equishare.problems.network.checkpoint import Checkpoint
from equishare.problems.network.fit import Fit, Training, fit, gained
from equishare.problems.network.patterns import Pattern, all_free, hard_state
from equishare.result.models_result import ModelDiscovery
from equishare.methods.options import check_count
from equishare.problems.network.replicas import Stack, State, joined, psi, stacked, taken
from equishare.problems.network.problem import ModelProblem
from equishare.partition import Partition
from equishare.sharing import impose, shared_parameters

# A fit that is best after this part of its steps is repeated with twice as many, so often, while it gains.
_LATE = 0.9
_DOUBLINGS = 2
# A fit from the model's own start whose loss is above that of the search by more than this part is stuck.
_STUCK = 0.1


@dataclass(frozen=True)
class FinalSteps:
    """How long the final fits are.

    Attributes:
        steps: of each, to begin with.
        doublings: how often it may be twice as many.
    """

    steps: int
    doublings: int

    @classmethod
    def of(cls, asked: int | None, usual: int, name: str) -> FinalSteps:
        """As many as asked for under a name, or from the usual number on as many as it takes.

        Raises:
            ValueError: the number is not a positive integer.
        """
        if asked is None:
            return cls(usual, _DOUBLINGS)
        check_count(**{name: asked})
        return cls(asked, 0)


@dataclass(frozen=True)
class FinalFits:
    """Fits of the model with the pattern of each problem, from its own start.

    Where these get stuck at a loss that the search was clearly below, they start from what the search found.

    Args:
        stack, training, seed, checkpoint, tick: as for :class:`equishare.search.trained.Search`.
        patterns: one for each problem.
        searched: the fits of these patterns in the search, if there was one.
        final: how long the fits are.
    """

    stack: Stack
    patterns: Sequence[Pattern]
    searched: Sequence[Fit] | None
    training: Training
    final: FinalSteps
    seed: int
    checkpoint: Checkpoint
    tick: Callable[[int], None]

    def run(self) -> tuple[Fit, np.ndarray, np.ndarray, np.ndarray]:
        """All fits.

        Returns:
            The fit on training and validation samples together, the (N,) validation losses of the fits on the
            training samples alone with the pattern and without sharing, and whether the former (N,) were done.
        """
        problems = np.arange(len(self.patterns))
        fitted, lengths, settled = self._until_done(self.patterns, "final")
        stuck = self._stuck(fitted)
        if stuck.any():
            part = problems[stuck]
            lengths[part] = self.final.steps
            found = self._fit(part, self.patterns, self.final.steps, ("train", "val"), "final, on", on=True)
            fitted = fitted.replaced(part, found)
        unshared, _, _ = self._until_done([all_free(self.stack)] * len(problems), "final, no sharing")
        refitted = fitted
        for steps in np.unique(lengths):
            for on in (False, True):
                rows = np.flatnonzero((lengths == steps) & (stuck == on))
                if len(rows):
                    refitted = refitted.replaced(rows, self._refit(rows, int(steps), fitted, on))
        losses = [fit.loss.double().cpu().numpy() for fit in (fitted, unshared)]
        return refitted, losses[0], losses[1], settled

    def _until_done(self, patterns: Sequence[Pattern], stage: str) -> tuple[Fit, np.ndarray, np.ndarray]:
        """Fits on the training samples from the model's own start; the length of each, and whether it was enough."""
        problems = np.arange(len(patterns))
        lengths = np.full(len(problems), self.final.steps)
        fitted = self._fit(problems, patterns, self.final.steps, ("train", "val"), stage)
        waiting = problems[_is_late(fitted, lengths)] if self.final.doublings else problems[:0]
        for turn in range(self.final.doublings):
            if not len(waiting):
                break
            steps = self.final.steps * 2 ** (turn + 1)
            longer = self._fit(waiting, patterns, steps, ("train", "val"), f"{stage}, {steps} steps")
            before = fitted.loss[waiting]
            better = (longer.loss < before).cpu().numpy()
            goes_on = _is_late(longer, steps) & gained(before, longer.loss).cpu().numpy()
            fitted = fitted.replaced(waiting[better], longer[np.flatnonzero(better)])
            lengths[waiting[better]] = steps
            waiting = waiting[goes_on]
        return fitted, lengths, ~np.isin(problems, waiting)

    def _stuck(self, fitted: Fit) -> np.ndarray:
        if self.searched is None:
            return np.zeros(len(self.patterns), bool)
        searched = torch.cat([one.loss for one in self.searched])
        return (fitted.loss - searched > _STUCK * fitted.loss.abs()).cpu().numpy()

    def _refit(self, problems: np.ndarray, steps: int, fitted: Fit, on: bool) -> Fit:
        """On training and validation samples together, as long as was best without the latter, or until ``stop``."""
        until = fitted.step[problems] if self.stack.problems[0].stop is None else None
        sets = ("pooled", None if until is not None else "stop")
        stage = f"refit, {steps} steps{', on' if on else ''}"
        return self._fit(problems, self.patterns, steps, sets, stage, until, on)

    def _fit(
        self,
        problems: np.ndarray,
        patterns: Sequence[Pattern],
        steps: int,
        sets: tuple[str, str | None],
        stage: str,
        until: Tensor | None = None,
        on: bool = False,
    ) -> Fit:
        stack = self.stack
        # Filled up to the most groups of all problems, so that fits of some can take the place of others.
        lower, upper = hard_state(stack, patterns, stacked(stack.start, len(patterns)), mean=False)
        lower, upper, buffers = taken(lower, problems), taken(upper, problems), stacked(stack.buffers, len(problems))
        if on:
            assert self.searched is not None
            ones = [self.searched[p] for p in problems]
            buffers = joined([one.buffers for one in ones])
            lower = joined([_like(one.lower, taken(lower, [i])) for i, one in enumerate(ones)])
        state = lower, upper, buffers

        def run() -> Fit:
            return fit(stack, *state, problems.tolist(), sets, self.training, steps, self.seed, self.tick, until)

        return self.checkpoint.stage(stage, run)


def _like(state: State, shapes: State) -> State:
    """The state with its ψ cut, or filled up with zeros, to the shapes of another."""
    out = {}
    for name, t in state.items():
        out[name] = torch.zeros_like(shapes[name])
        groups = (slice(None), slice(min(t.shape[1], shapes[name].shape[1]))) if t.dim() > 1 else ()
        out[name][groups] = t[groups]
    return out


def _is_late(fitted: Fit, steps: int | np.ndarray) -> np.ndarray:
    return fitted.step.cpu().numpy() > _LATE * np.asarray(steps)


def discovery(
    problem: ModelProblem,
    stack: Stack,
    pattern: Pattern,
    fitted: Fit,
    **report: object,
) -> ModelDiscovery:
    """The answer to one problem, from its pattern and its fit (one replica)."""
    model = copy.deepcopy(problem.model)
    partitions = as_partitions(model, stack, pattern)
    impose(model, partitions)
    _load(model, fitted, stack, pattern)
    return ModelDiscovery(partitions=partitions, model=model, **report)  # type: ignore[arg-type]


def as_partitions(model: nn.Module, stack: Stack, pattern: Pattern) -> dict[str, Partition]:
    """Partition of each shared parameter by its qualified name."""
    shared = shared_parameters(model)
    partitions = {}
    for site, labels in zip(stack.sites, pattern.labels, strict=True):
        for name in site.names:
            one = shared[name]
            partitions[name] = Partition(labels.reshape(one.shape) if one.dim is None else labels)
    return partitions


def _load(model: nn.Module, fitted: Fit, stack: Stack, pattern: Pattern) -> None:
    groups = {name: g for site, g in zip(stack.sites, pattern.num_groups, strict=True) for name in site.names}
    named = model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    tensors = {name: tensor for pairs in named for name, tensor in pairs}
    with torch.no_grad():
        for name, value in {**taken(fitted.lower, 0), **taken(fitted.buffers, 0)}.items():
            if name in groups:
                psi(model, name).copy_(value[: groups[name]])
            else:
                tensors[name].copy_(value)
