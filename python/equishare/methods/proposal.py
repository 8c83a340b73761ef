"""What every method hands to selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Called with the work done and the work in total.
Progress = Callable[[int, int], None]


def part_of(progress: Progress, before: int, count: int, total: int) -> Progress:
    """Progress of ``count`` of ``total`` pieces of work, ``before`` of which are done."""
    return lambda done, whole: progress(before + round(count * done / whole), total)


@dataclass(frozen=True)
class Proposal:
    """Candidate partitions of one problem.

    Attributes:
        labels: candidates, each (O, I) integer labels.
        scores: what to select by, lower is better; None: the validation loss.
        losses: validation loss of each candidate where the method has it already.
        history: columns of equal length that tell how the candidates came about; None: one row a
            candidate, its number of groups and validation loss.
    """

    labels: list[np.ndarray]
    scores: np.ndarray | None = None
    losses: np.ndarray | None = None
    history: dict[str, np.ndarray] | None = None
