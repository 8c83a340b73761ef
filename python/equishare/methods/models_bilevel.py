"""The paper's method for models: relaxed assignments, restarts as one batch, harden, refine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from equishare import ops
from equishare.problems.network.patterns import Pattern
from equishare.relax.alternation import Descent, Relaxation, relax
from equishare.search.trained import Search
from equishare.problems.network.replicas import Stack, State, joined, reordered, stacked

_INITIAL_STD = 0.1


@dataclass(frozen=True)
class Relaxed:
    """What the relaxed search leaves: replicas in the order problem, restart.

    Attributes:
        patterns: hardened.
        entries: state (R, ...) with θ in place of ψ: every entry free.
        buffers: (R, ...).
        history: of each replica.
        complete: whether the search ran to its end.
    """

    patterns: list[Pattern]
    entries: State
    buffers: State
    history: list[dict[str, np.ndarray]]
    complete: bool

    def finite(self) -> list[int]:
        """The replicas that have not diverged."""
        rows = torch.stack([torch.isfinite(t).flatten(1).all(1) for t in self.entries.values()]).all(0)
        return torch.nonzero(rows)[:, 0].tolist()


def relaxed_search(search: Search, restarts: int, relaxation: Relaxation, tick: Callable[[int], None]) -> Relaxed:
    """The relaxed search from several starts for each problem.

    The first start is that of the model; the others have its initial numbers in another order, tensor by
    tensor, and logits drawn anew from N(0, 0.1²).
    """
    soft = search.stack
    owner = [problem for problem in range(len(soft.problems)) for _ in range(restarts)]
    starts = [_start(soft, generator, first=i == 0) for generator in search.generators() for i in range(restarts)]
    lower, upper = (joined([s[i] for s in starts]) for i in range(2))
    buffers = stacked(soft.buffers, len(owner))
    descents, complete = relax(
        soft, lower, upper, buffers, owner, search.training, relaxation, search.seed, search.checkpoint, tick
    )
    logits = joined([d.upper_state() for d in descents])
    entries = {name: t.detach() for name, t in joined([d.lower for d in descents]).items()}
    labels = []
    for site in soft.sites:
        labels.append(logits[site.key].argmax(-1))
        for name in site.names:
            entries[name] = ops.hard_gather(labels[-1], entries[name])
    patterns = [Pattern([one[r].cpu().numpy() for one in labels]) for r in range(len(owner))]
    history = [_history(d, r) for d in descents for r in range(len(d.owner))]
    return Relaxed(patterns, entries, joined([d.buffers for d in descents]), history, complete)


def _start(soft: Stack, generator: torch.Generator, first: bool) -> tuple[State, State]:
    upper = stacked(soft.logits, 1)
    if first:
        return stacked(soft.soft_start, 1), upper
    lower = stacked(reordered(soft.soft_start, generator), 1)
    drawn = {n: _INITIAL_STD * torch.randn(t.shape, generator=generator).to(t) for n, t in upper.items()}
    return lower, drawn


def _history(descent: Descent, r: int) -> dict[str, np.ndarray]:
    if not descent.records:
        return {}
    columns = {name: torch.stack([record[name] for record in descent.records]) for name in descent.records[0]}
    return {
        "step": columns["step"].numpy(),
        "validation_loss": columns["loss"][:, r].double().cpu().numpy(),
        "entropy": columns["entropy"][:, r].double().cpu().numpy(),
        "column_norm": columns["column_norm"][:, r].double().cpu().numpy(),
    }
