"""The final fits: of the selected pattern on the training samples, and its refit on all samples."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from equishare.problems.base import Refit, partitions_of
from equishare.problems.network.fit import Fit, Start
from equishare.problems.network.patterns import Pattern, hard_state
from equishare.problems.network.replicas import Replicas, State, joined, psi, stacked, taken
from equishare.problems.network.trainer import Trainer
from equishare.problems.network.well import Well, around, train_well
from equishare.sharing import impose

# A fit from the model's own start is stuck where its loss is above that from the search by more than this part of it.
_STUCK = 0.1


@dataclass(frozen=True)
class FinalFits:
    """The last fits of each problem, after its pattern has been selected.

    The model is fitted from its own initial parameters, with several rates around the one that was best without
    sharing. Where this ends at a loss clearly above that of a fit from what the search found, it is stuck, and that one
    counts. The better one says how the last fit, on training and validation samples together, is made.

    Args:
        trainer: fits the replicas.
        patterns: the selected pattern of each problem.
        searched: fits of these patterns that the search has made; None where there was no search.
        unshared: the fits without sharing.
    """

    trainer: Trainer
    patterns: Sequence[Pattern]
    searched: Sequence[Fit] | None
    unshared: Well

    @property
    def _replicas(self) -> Replicas:
        return self.trainer.replicas

    def run(self) -> tuple[Fit, Well]:
        """The fits of N problems on training and validation samples together, and those on the training samples."""
        count = len(self.patterns)
        rates = around(self.unshared.rates, self.trainer.training.rates)
        starts = self._starts()
        rows = np.repeat(np.arange(len(starts.owner)), rates.shape[1])
        every = rates[torch.tensor(starts.owner)].ravel()
        handicap = np.where(rows < count, 0.0, _STUCK)
        well = train_well(self.trainer, starts[rows], every, "final", handicap, moved=True)
        refitted = well.fit
        for steps in np.unique(well.lengths):
            some = np.flatnonzero(well.lengths == steps)
            refitted = refitted.replaced(some, self._refit(starts[rows][well.rows[some]], well, some))
        return refitted, well

    def _refit(self, start: Start, well: Well, problems: np.ndarray) -> Fit:
        """Fits on training and validation samples together.

        Each takes as many steps as were best on the training samples alone, or the ``stop`` samples end it.
        """
        steps = int(well.lengths[problems[0]])
        until = well.fit.step[problems] if self._replicas.problems[0].stop is None else None
        sets = ("pooled", None if until is not None else "stop")
        return self.trainer.fit(f"refit, {steps} steps", start, steps, well.rates[problems], sets=sets, until=until)

    def _starts(self) -> Start:
        """For each problem the model's own start, and what the search found."""
        replicas, count = self._replicas, len(self.patterns)
        # Filled up to the most groups of all problems, so that fits of some can take the place of others.
        lower, upper = hard_state(replicas, self.patterns, stacked(replicas.start, count), mean=False)
        own = Start(range(count), lower, upper, stacked(replicas.buffers, count))
        if self.searched is None:
            return own
        found = joined([_like(one.lower, taken(lower, [p])) for p, one in enumerate(self.searched)])
        buffers = joined([one.buffers for one in self.searched])
        both = [joined(list(pair)) for pair in ((lower, found), (upper, upper), (own.buffers, buffers))]
        return Start([*range(count), *range(count)], *both)


def _like(state: State, shapes: State) -> State:
    """The state with its ψ cut, or filled up with zeros, to the shapes of another."""
    out = {}
    for name, t in state.items():
        out[name] = torch.zeros_like(shapes[name])
        groups = (slice(None), slice(min(t.shape[1], shapes[name].shape[1]))) if t.dim() > 1 else ()
        out[name][groups] = t[groups]
    return out


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
