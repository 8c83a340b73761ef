"""Patterns: one partition for each assignment of a model, and the states they start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from equishare import ops
from equishare.partition import Partition
from equishare.problems.network.replicas import Replicas, State


class Pattern:
    """Labels (K,) of each assignment, groups numbered by first appearance; equal patterns tie the same entries."""

    __slots__ = ("_key", "labels")

    def __init__(self, labels: Sequence[np.ndarray]) -> None:
        self.labels = tuple(Partition(np.ravel(one)).labels for one in labels)
        self._key = tuple(one.tobytes() for one in self.labels)

    @property
    def num_groups(self) -> tuple[int, ...]:
        """Number of groups of each assignment."""
        return tuple(int(one.max()) + 1 for one in self.labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def all_tied(replicas: Replicas) -> Pattern:
    """One group for each assignment."""
    return Pattern([np.zeros(slot.num_entries, np.int64) for slot in replicas.slots])


def all_free(replicas: Replicas) -> Pattern:
    """A group for each entry: no sharing."""
    return Pattern([np.arange(slot.num_entries) for slot in replicas.slots])


def hard_state(replicas: Replicas, patterns: Sequence[Pattern], lower: State, mean: bool) -> tuple[State, State]:
    """State of one replica a pattern.

    Args:
        replicas: of the model.
        patterns: R of them.
        lower: (R, ...) state with every entry in a group of its own.
        mean: whether ψ is the mean of the entries of its group; else the first of them, so that initial
            values keep their spread.

    Returns:
        lower and upper (R, ...), ψ filled up with zeros to the largest number of groups.
    """
    lower, upper = dict(lower), {}
    for s, slot in enumerate(replicas.slots):
        labels = torch.from_numpy(np.stack([p.labels[s] for p in patterns]))
        groups = int(labels.max()) + 1
        labels = labels.to(replicas.device)
        upper[slot.key] = labels
        for name in slot.names:
            lower[name] = _grouped(labels, lower[name], groups, mean)
    return lower, upper


def free_state(replicas: Replicas, lower: State, upper: State) -> State:
    """The same replicas with every entry in a group of its own: θ in place of ψ."""
    free = dict(lower)
    for slot in replicas.slots:
        labels = upper[slot.key]
        for name in slot.names:
            free[name] = ops.hard_gather(labels, lower[name].detach())
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
        out[r, torch.from_numpy(names)] = entries[r, torch.from_numpy(first)]
    return out
