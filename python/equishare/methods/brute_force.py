"""All partitions, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from equishare.problems.base import Problem, Proposal, Session

NEEDS_ESTIMATE = True
MAX_ENTRIES = 10


@dataclass(frozen=True)
class Options:
    """The partition with the least validation loss among all Bell(K), for up to 10 entries."""


@lru_cache(maxsize=2)
def all_partitions(num_entries: int) -> np.ndarray:
    """Every partition of K entries once, as restricted growth strings (Bell(K), K)."""
    strings = np.zeros((1, 1), np.int8)
    for _ in range(1, num_entries):
        choices = strings.max(1) + 2
        strings = np.repeat(strings, choices, axis=0)
        last = np.arange(len(strings)) - np.repeat(np.cumsum(choices) - choices, choices)
        strings = np.concatenate([strings, last[:, None].astype(np.int8)], axis=1)
    return strings


def propose(session: Session, options: Options) -> list[Proposal]:
    """The best partition for each problem.

    Raises:
        ValueError: more than 10 entries (115,975 partitions), or several parameters.
    """
    slots = session.problems[0].slots
    num_entries = sum(slot.num_entries for slot in slots)
    if num_entries > MAX_ENTRIES:
        raise ValueError(f"method 'brute_force' takes at most {MAX_ENTRIES} entries, got {num_entries}")
    if len(slots) > 1:
        raise ValueError(f"method 'brute_force' takes one parameter, got {', '.join(slot.key for slot in slots)}")
    patterns = [(labels,) for labels in all_partitions(num_entries).astype(np.int64)]

    def best(problem: Problem) -> Proposal:
        losses = np.asarray(problem.evaluate(patterns))
        i = int(losses.argmin())
        return Proposal([patterns[i]], losses[[i]])

    return session.each(best)
