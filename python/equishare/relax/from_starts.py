"""The relaxed search for networks from several starts, all as one batch, and its result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from equishare import ops
from equishare.problems.network.fit import Start
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.replicas import Replicas, State, joined, reordered, stacked
from equishare.problems.network.session import NetworkSession
from equishare.relax.alternation import Alternation, Relaxation, alternate

_INITIAL_STD = 0.1


@dataclass(frozen=True)
class Relaxed:
    """The result of the relaxed search. Replicas are ordered by problem, then by restart.

    Attributes:
        patterns: hardened pattern of each replica.
        entries: state (R, ...) with θ in place of ψ: every entry is free.
        buffers: buffers (R, ...) of the replicas.
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


def relaxed_search(session: NetworkSession, restarts: int, relaxation: Relaxation) -> Relaxed:
    """The relaxed search from several starts for each problem.

    The first start is the model itself. The others have the initial numbers of each tensor in another order, and new
    logits from N(0, 0.1²).
    """
    replicas = session.replicas
    owner = [problem for problem in range(len(session.problems)) for _ in range(restarts)]
    starts = [_start(replicas, generator, first=i == 0) for generator in session.generators() for i in range(restarts)]
    lower, upper = (joined([s[i] for s in starts]) for i in range(2))
    start = Start(owner, lower, upper, stacked(replicas.buffers, len(owner)))
    parts, complete = alternate(session.trainer, start, relaxation)
    logits = joined([part.upper_state() for part in parts])
    entries = {name: t.detach() for name, t in joined([part.lower for part in parts]).items()}
    labels = []
    for slot in replicas.slots:
        labels.append(relaxation.assignment.harden(logits[slot.key]))
        for name in slot.names:
            entries[name] = ops.hard_gather(labels[-1], entries[name])
    patterns = [Pattern([one[r].cpu().numpy() for one in labels]) for r in range(len(owner))]
    history = [_history(part, r) for part in parts for r in range(len(part.owner))]
    return Relaxed(patterns, entries, joined([part.buffers for part in parts]), history, complete)


def _start(replicas: Replicas, generator: torch.Generator, first: bool) -> tuple[State, State]:
    upper = stacked(replicas.logits, 1)
    if first:
        return stacked(replicas.soft_start, 1), upper
    lower = stacked(reordered(replicas.soft_start, generator), 1)
    drawn = {n: _INITIAL_STD * torch.randn(t.shape, generator=generator).to(t) for n, t in upper.items()}
    return lower, drawn


def _history(part: Alternation, r: int) -> dict[str, np.ndarray]:
    if not part.records:
        return {}
    columns = {name: torch.stack([record[name] for record in part.records]) for name in part.records[0]}
    return {
        "step": columns["step"].numpy(),
        "validation_loss": columns["loss"][:, r].double().cpu().numpy(),
        "entropy": columns["entropy"][:, r].double().cpu().numpy(),
        "column_norm": columns["column_norm"][:, r].double().cpu().numpy(),
    }
