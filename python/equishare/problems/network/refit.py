"""The final fits: with and without sharing on the training samples, and the refit on all samples."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from equishare.problems.base import Refit, partitions_of
from equishare.problems.network.fit import Fit, Start, gained
from equishare.problems.network.patterns import Pattern, all_free, hard_state
from equishare.problems.network.replicas import Replicas, State, joined, psi, stacked, taken
from equishare.problems.network.trainer import Trainer
from equishare.sharing import impose

# A fit that is best after this part of its steps is repeated with twice as many, while it gains.
_LATE = 0.9
# A fit from the model's own start is stuck where its loss is above that of the search by more than this part of it.
_STUCK = 0.1


@dataclass(frozen=True)
class FinalFits:
    """The last fits of each problem, after its pattern has been selected.

    The model is fitted from its own initial parameters. Where this ends at a loss clearly above that of the search, it
    is stuck, and the fit starts from the parameters that the search found.

    Args:
        trainer: fits the replicas.
        patterns: the selected pattern of each problem.
        searched: fits of these patterns that the search has made; None where there was no search.
    """

    trainer: Trainer
    patterns: Sequence[Pattern]
    searched: Sequence[Fit] | None

    @property
    def _replicas(self) -> Replicas:
        return self.trainer.replicas

    def run(self) -> tuple[Fit, np.ndarray, np.ndarray, np.ndarray]:
        """Make all final fits.

        Returns:
            Four things, for N problems: the fit on training and validation samples together; the validation losses
            (N,) of the fits on the training samples alone, with the pattern and without sharing; and whether the
            loss with the pattern (N,) had stopped falling.
        """
        problems, final = np.arange(len(self.patterns)), self.trainer.training.final
        fitted, lengths, settled = self._until_done(self.patterns, "final")
        stuck = self._stuck(fitted)
        if stuck.any():
            part = problems[stuck]
            lengths[part] = final.steps
            found = self._fit("final, on", part, self.patterns, final.steps, on=True)
            fitted = fitted.replaced(part, found)
        unshared, _, _ = self._until_done([all_free(self._replicas)] * len(problems), "final, no sharing")
        refitted = fitted
        for steps in np.unique(lengths):
            for on in (False, True):
                rows = np.flatnonzero((lengths == steps) & (stuck == on))
                if len(rows):
                    refitted = refitted.replaced(rows, self._refit(rows, int(steps), fitted, on))
        losses = [fit.loss.double().cpu().numpy() for fit in (fitted, unshared)]
        return refitted, losses[0], losses[1], settled

    def _until_done(self, patterns: Sequence[Pattern], stage: str) -> tuple[Fit, np.ndarray, np.ndarray]:
        """Fits on the training samples from the model's own start, the steps of each, and whether they were enough."""
        problems, final = np.arange(len(patterns)), self.trainer.training.final
        lengths = np.full(len(problems), final.steps)
        fitted = self._fit(stage, problems, patterns, final.steps)
        waiting = problems[_is_late(fitted, lengths)] if final.doublings else problems[:0]
        for turn in range(final.doublings):
            if not len(waiting):
                break
            steps = final.steps * 2 ** (turn + 1)
            longer = self._fit(f"{stage}, {steps} steps", waiting, patterns, steps)
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
        """Fits on training and validation samples together.

        Each takes as many steps as were best on the training samples alone, or the ``stop`` samples end it.
        """
        until = fitted.step[problems] if self._replicas.problems[0].stop is None else None
        sets = ("pooled", None if until is not None else "stop")
        stage = f"refit, {steps} steps{', on' if on else ''}"
        return self._fit(stage, problems, self.patterns, steps, on, sets=sets, until=until)

    def _fit(
        self,
        stage: str,
        problems: np.ndarray,
        patterns: Sequence[Pattern],
        steps: int,
        on: bool = False,
        **plan: Any,
    ) -> Fit:
        """Fits of some problems; ``on``: from what the search found, else from the model's own start."""
        replicas = self._replicas
        # Filled up to the most groups of all problems, so that fits of some can take the place of others.
        lower, upper = hard_state(replicas, patterns, stacked(replicas.start, len(patterns)), mean=False)
        lower, upper, buffers = taken(lower, problems), taken(upper, problems), stacked(replicas.buffers, len(problems))
        if on:
            assert self.searched is not None
            ones = [self.searched[p] for p in problems]
            buffers = joined([one.buffers for one in ones])
            lower = joined([_like(one.lower, taken(lower, [i])) for i, one in enumerate(ones)])
        return self.trainer.fit(stage, Start(problems.tolist(), lower, upper, buffers), steps, **plan)


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


def refitted(problem: Any, replicas: Replicas, pattern: Pattern, fitted: Fit, **about: Any) -> Refit:
    """The answer to one problem, from its pattern and its fit (one replica).

    Args:
        problem: with the model.
        replicas: of it.
        pattern: that was selected.
        fitted: parameters and buffers.
        about: further fields of :class:`Refit`.
    """
    model = copy.deepcopy(problem.model)
    impose(model, partitions_of(replicas.slots, pattern.labels))
    _load(model, fitted, replicas, pattern)
    model.eval()
    names = [name for slot in replicas.slots for name in slot.names]
    return Refit(values=group_values(model, names), model=model, **about)


def group_values(model: nn.Module, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The shared values ψ of hardened parameters by name, (G,), or (G, …) for slices."""
    return {name: psi(model, name).detach().double().cpu().numpy().copy() for name in names}


def _load(model: nn.Module, fitted: Fit, replicas: Replicas, pattern: Pattern) -> None:
    groups = {name: g for slot, g in zip(replicas.slots, pattern.num_groups, strict=True) for name in slot.names}
    named = model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    tensors = {name: tensor for pairs in named for name, tensor in pairs}
    with torch.no_grad():
        for name, value in {**taken(fitted.lower, 0), **taken(fitted.buffers, 0)}.items():
            if name in groups:
                psi(model, name).copy_(value[: groups[name]])
            else:
                tensors[name].copy_(value)
