"""Fits of patterns as good as they can be made, and refits of the selected ones on all samples."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from equishare.problems.answers import Refit
from equishare.problems.base import partitions_of
from equishare.problems.network.fit import Fit, Start, block_losses, fitted_loss
from equishare.problems.network.patterns import Pattern, hard_state
from equishare.problems.network.replicas import Replicas, State, copied, joined, psi, stacked, taken
from equishare.problems.network.trainer import Trainer
from equishare.problems.network.well import Well, around, train_well
from equishare.sharing import impose

#: A fit is stuck where its loss is above that of another by more than this part of it.
STUCK = 0.1
#: Parts of the validation samples that patterns are compared with no sharing on.
FOLDS = 4


@dataclass(frozen=True)
class Trained:
    """A pattern that is fitted well to the training samples.

    Attributes:
        pattern: the partitions.
        start: the fit from which this one started; None: the model's own initial parameters.
        last: whether it took the initial parameters of the last slice of a group, not of the first.
        well: the one fit.
    """

    pattern: Pattern
    start: Fit | None
    last: bool
    well: Well


def train_patterns(
    trainer: Trainer,
    owner: Sequence[int],
    patterns: Sequence[Pattern],
    searched: Sequence[Fit] | None,
    unshared: Well,
    stage: str,
) -> list[Trained]:
    """Fit N patterns well to the training samples.

    Each is fitted from the model's own initial parameters, with several rates around the one that was best without
    sharing; where slices are tied, from those of the first slice of each group and from those of the last, which are
    two draws. Where this ends at a loss clearly above that of a fit from what the search found, it is stuck, and that
    one counts.

    Args:
        trainer: fits the replicas.
        owner: problem of each pattern.
        patterns: N of them.
        searched: fits of these patterns that the search has made; None where there was no search.
        unshared: the fits of the problems without sharing.
        stage: name for the checkpoint.
    """
    slots = trainer.replicas.slots
    tried: list[tuple[int, Fit | None, bool]] = []
    for i, pattern in enumerate(patterns):
        ties = zip(slots, pattern.num_groups, strict=True)
        tried.append((i, None, False))
        if any(slot.is_sliced and groups < slot.num_entries for slot, groups in ties):
            tried.append((i, None, True))
        if searched is not None:
            tried.append((i, searched[i], False))
    contests, fits, last = zip(*tried, strict=True)
    starts = _starts(trainer.replicas, [owner[i] for i in contests], [patterns[i] for i in contests], fits, last)
    rates = around(unshared.rates, trainer.training.rates)[starts.owner]
    rows = np.repeat(np.arange(len(rates)), rates.shape[1])
    handicap = np.array([0.0 if fit is None else STUCK for fit in fits])[rows]
    well = train_well(trainer, starts[rows], rates.ravel(), stage, np.array(contests)[rows], handicap, moved=True)
    return [Trained(patterns[i], fits[row], last[row], well[i]) for i, row in enumerate(rows[well.rows].tolist())]


def refit_trained(trainer: Trainer, trained: Sequence[Trained]) -> list[Fit]:
    """Fits of the pattern of each problem on training and validation samples together (:func:`_trained_again`)."""
    problems = list(range(len(trained)))
    fits: dict[int, Fit] = {}
    for rows, fitted, _ in _trained_again(trainer, problems, trained, "refit", "pooled"):
        fits |= {r: fitted[i : i + 1] for i, r in enumerate(rows)}
    return [fits[p] for p in problems]


def cross_validated(
    trainer: Trainer, owner: Sequence[int], trained: Sequence[Trained], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (N, B) of N patterns on blocks of the validation samples, each fourth held out of a fit to all others.

    Each fit is like that of :func:`refit_trained`. Training samples are not held out: the pattern was formed from fits
    to them, so that they are no judges of it.

    Args:
        trainer: of the problems, which hold tensors.
        owner: problem of each pattern.
        trained: the patterns.
        seed: of the parts.

    Returns:
        Losses (N, B), and the number of samples (B,) in each block.
    """
    replicas, generator = trainer.replicas, torch.Generator().manual_seed(seed)
    parts, asked = [], sorted(set(owner))
    for problem in [replicas.problems[p] for p in asked]:
        for rest, held in problem.val.folds(FOLDS, generator):
            part = copy.copy(problem)
            part.train, part.val = problem.train.joined(rest), held
            parts.append(part)
    own = replace(trainer, replicas=Replicas(parts, replicas.batch_size, replicas.at_once()))
    owners = [asked.index(p) * FOLDS + i for p in owner for i in range(FOLDS)]
    every = [one for one in trained for _ in range(FOLDS)]
    losses: dict[int, np.ndarray] = {}
    for rows, fitted, upper in _trained_again(own, owners, every, "held out", "train"):
        blocks, sizes = block_losses(own.replicas, [owners[r] for r in rows], fitted, upper, cautious=False)
        losses |= dict(zip(rows, blocks, strict=True))
    return np.stack([losses[r] for r in range(len(every))]).reshape(len(trained), -1), np.tile(sizes, FOLDS)


def _trained_again(
    trainer: Trainer, owner: Sequence[int], trained: Sequence[Trained], stage: str, which: str
) -> Iterator[tuple[list[int], Fit, State]]:
    """Patterns fitted to another set of samples, from where their fits started.

    They take as many steps as were best there, or the ``stop`` samples end them. Other samples can lead a pattern into
    a poor minimum. So where its loss on its own samples is clearly above that of the first fit on samples held out, the
    first fit is taken.

    Yields:
        For each length of schedule the numbers of the patterns, their fits, and the groups of these.
    """
    replicas = trainer.replicas
    sets = which, None if replicas.problems[0].stop is None else "stop"
    lengths = np.array([int(one.well.lengths[0]) for one in trained])
    for steps in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == steps).tolist()
        some, own = [trained[r] for r in rows], [owner[r] for r in rows]
        columns = ([getattr(one, name) for one in some] for name in ("pattern", "start", "last"))
        start = _starts(replicas, own, *columns)
        rates = np.concatenate([one.well.rates for one in some])
        until = torch.cat([one.well.fit.step for one in some]) if sets[1] is None else None
        fitted = trainer.fit(f"{stage}, {steps} steps", start, steps, rates, sets=sets, until=until)
        losses = fitted_loss(replicas, own, fitted, start.upper, which)
        most = np.array([float(one.well.losses[0]) for one in some])
        stuck = np.flatnonzero(~(losses <= most + STUCK * np.abs(most)))
        if len(stuck):
            firsts = [some[i].well.fit for i in stuck]
            states = [
                replace(one, lower=_like(one.lower, taken(start.lower, [i])))
                for one, i in zip(firsts, stuck, strict=True)
            ]
            fitted = fitted.replaced(stuck, Fit.joined(states))
        yield rows, fitted, start.upper


def _starts(
    replicas: Replicas,
    owner: Sequence[int],
    patterns: Sequence[Pattern],
    fits: Sequence[Fit | None],
    last: Sequence[bool],
) -> Start:
    """Patterns as fits of them left them; None: with the model's own initial parameters, of groups' first or last."""
    lower, upper = hard_state(replicas, patterns, stacked(replicas.start, len(patterns)), mean=False, last=last)
    states = [taken(lower, [i]) for i in range(len(patterns))]
    states = [one if fit is None else _like(fit.lower, one) for one, fit in zip(states, fits, strict=True)]
    buffers = joined([stacked(replicas.buffers, 1) if fit is None else fit.buffers for fit in fits])
    return Start(list(owner), joined(states), upper, buffers)


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
    model = copied(problem.model)
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
