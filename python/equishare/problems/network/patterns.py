"""Patterns: one partition for each assignment of a model, and the states they start from."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from equishare import ops
from equishare.nn import smallest_label_dtype
from equishare.partition import Partition
from equishare.problems.network.replicas import Replicas, State

# Up to so many labels are int64, which torch takes as an index; the ops take labels of any size.
_FEW = 1 << 14


class Pattern:
    """Labels (K,) of each assignment, groups numbered by first appearance; equal patterns tie the same entries."""

    __slots__ = ("_key", "labels")

    def __init__(self, labels: Sequence[np.ndarray]) -> None:
        # Many patterns are kept at a time: many labels are as small as they can be.
        self.labels = tuple(_small(Partition(np.ravel(one))) for one in labels)
        self._key = tuple(blake2b(one.tobytes()).digest() for one in self.labels)

    @property
    def num_groups(self) -> tuple[int, ...]:
        """Number of groups of each assignment."""
        return tuple(int(one.max()) + 1 for one in self.labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _small(partition: Partition) -> np.ndarray:
    if len(partition) <= _FEW:
        return partition.labels
    name = str(smallest_label_dtype(partition.num_groups)).removeprefix("torch.")
    return partition.labels.astype(name)


def all_tied(replicas: Replicas) -> Pattern:
    """One group for each assignment."""
    return Pattern([np.zeros(slot.num_entries, np.int64) for slot in replicas.slots])


def all_free(replicas: Replicas) -> Pattern:
    """A group for each entry: no sharing."""
    return Pattern([np.arange(slot.num_entries) for slot in replicas.slots])


def hard_state(
    replicas: Replicas,
    patterns: Sequence[Pattern],
    lower: State,
    mean: bool,
    of: Sequence[int] | None = None,
    last: Sequence[bool] | None = None,
) -> tuple[State, State]:
    """State of one replica a pattern.

    Args:
        replicas: of the model.
        patterns: R of them.
        lower: state of so many replicas with every entry in a group of its own.
        mean: whether ψ is the mean of the entries of its group; else the first of them, so that initial
            values keep their spread.
        of: which replica of ``lower`` each pattern starts from; None: as many as patterns, in their order.
        last: which patterns take the last entry of a group in place of the first; None: none.

    Returns:
        lower and upper (R, ...), ψ filled up with zeros to the largest number of groups. Where no pattern ties any
        entries of an assignment, upper has no groups for it, and lower holds θ.
    """
    tied = {name for slot in replicas.slots for name in slot.names}
    rows = range(len(patterns)) if of is None else of
    lower = {name: t if of is None or name in tied else t[list(rows)] for name, t in lower.items()}
    upper: State = {}
    for s, slot in enumerate(replicas.slots):
        groups = max(p.num_groups[s] for p in patterns)
        if all(p.num_groups[s] == slot.num_entries for p in patterns):
            for name in slot.names if of is not None else ():
                lower[name] = lower[name][list(rows)]
            continue
        labels = torch.from_numpy(np.stack([p.labels[s] for p in patterns])).to(replicas.device)
        upper[slot.key] = labels
        for name in slot.names:
            # One after another: all entries of all replicas would take much memory.
            entries, found = lower[name], []
            for own, r, end in zip(labels, rows, last or [False] * len(rows), strict=True):
                # From behind, the first of a group is the last.
                own, one = (t.flip(0) if end else t for t in (own, entries[r]))
                found.append(_grouped(own[None], one[None], groups, mean))
            lower[name] = torch.cat(found)
    return lower, upper


def free_state(replicas: Replicas, lower: State, upper: State) -> State:
    """The same replicas with every entry in a group of its own: θ in place of ψ."""
    free = dict(lower)
    for slot in replicas.slots:
        labels = upper.get(slot.key)
        for name in slot.names:
            free[name] = lower[name].detach() if labels is None else ops.hard_gather(labels, lower[name].detach())
    return free


def _grouped(labels: Tensor, entries: Tensor, groups: int, mean: bool) -> Tensor:
    extra = (1,) * (entries.dim() - 2)
    if mean:
        ones = torch.ones_like(labels, dtype=entries.dtype)
        count = ops.hard_scatter(labels, ones, groups).clamp_min(1)
        return ops.hard_scatter(labels, entries.contiguous(), groups) / count.view(*count.shape, *extra)
    out = entries.new_zeros((len(entries), groups, *entries.shape[2:]))
    for r, row in enumerate(labels.cpu().numpy()):
        names, first = np.unique(row, return_index=True)
        out[r, torch.from_numpy(names.astype(np.int64))] = entries[r, torch.from_numpy(first)]
    return out
