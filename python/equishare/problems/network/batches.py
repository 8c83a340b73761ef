"""Samples for replicas: all replicas of a problem get the same samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from equishare.problems.network.samples import Batch, Stream, TensorSamples, num_batches

# Samples of a forward pass without gradients.
_CHUNK = 8192
# The loss of a set is compared in about so many blocks, each of at least so many samples.
_BLOCKS = 32
_LEAST_BLOCK = 4


class HeldOut:
    """Held-out samples for replicas: all samples, in chunks.

    Args:
        problems: that hold the samples.
        which: name of the set, ``train``, ``val``, ``stop`` or ``pooled``.
        owner: problem of each replica.
        batch_size: that of training; a chunk has at most four times as many samples.
        chunk: the most samples of a chunk.
    """

    def __init__(
        self,
        problems: Sequence[Any],
        which: str,
        owner: Sequence[int],
        batch_size: int | None = None,
        chunk: int = _CHUNK,
    ) -> None:
        self.chunk = chunk if batch_size is None else min(chunk, 4 * batch_size)
        self.sets = [getattr(problem, which) for problem in problems]
        self.owner = list(owner)
        first = self.sets[0]
        self.count = len(first) if isinstance(first, TensorSamples) else 0
        self._chunks: list[tuple[Batch, bool]] | None = None

    @property
    def has_classes(self) -> bool:
        """Whether the labels are classes: integers, or numbers that are 0 or 1."""
        y = self.sets[0].first()[1]
        return not y.dtype.is_floating_point or bool(((y == 0) | (y == 1)).all())

    def block_size(self, count: int) -> int:
        """Samples of a block of a batch of so many."""
        batches = 1 if self.count else num_batches(self.sets[0])
        return max(_LEAST_BLOCK, -(-(self.count or batches * count) // _BLOCKS))

    def __iter__(self) -> Iterator[tuple[Batch, bool]]:
        if not isinstance(self.sets[0], TensorSamples):
            yield from ((batch, False) for batch in self.sets[0])
            return
        if self._chunks is None:
            starts = range(0, self.count, self.chunk)
            self._chunks = [_own(self.sets, self.owner, slice(i, i + self.chunk)) for i in starts]
        yield from self._chunks


class Batches:
    """Training batches for replicas: the same samples of each problem for all of its replicas.

    Args:
        problems, which, owner: as for :class:`HeldOut`.
        batch_size, seed, drawn: as for :class:`equishare.problems.network.samples.Stream`.
    """

    def __init__(
        self,
        problems: Sequence[Any],
        which: str,
        owner: Sequence[int],
        batch_size: int | None,
        seed: int,
        drawn: int = 0,
    ) -> None:
        self.sets = [getattr(problem, which) for problem in problems]
        self.owner = list(owner)
        self.stream = Stream(self.sets[0], batch_size, seed, drawn)
        self._whole: tuple[Batch, bool] | None = None

    def next(self) -> tuple[Batch, bool]:
        """The next batch, and whether its tensors have a leading axis R."""
        if not isinstance(self.sets[0], TensorSamples):
            return self.stream.next_batch(), False
        index = self.stream.next_index()
        if index is not None:
            return _own(self.sets, self.owner, index)
        if self._whole is None:
            self._whole = _own(self.sets, self.owner, slice(None))
        return self._whole


def _own(sets: Sequence[TensorSamples], owner: list[int], index: Any) -> tuple[Batch, bool]:
    batches = [samples.take(index) for samples in sets]
    if len(batches) == 1:
        return batches[0], False
    x = tuple(torch.stack([batches[i][0][j] for i in owner]) for j in range(len(batches[0][0])))
    return (x, torch.stack([batches[i][1] for i in owner])), True
