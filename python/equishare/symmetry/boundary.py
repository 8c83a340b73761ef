"""Shift structure that a boundary cuts off: a Toeplitz pattern becomes a circulant one on a larger ring.

In a valid convolution, a label depends only on where the input stands relative to the output. Yet no permutation of its
rows and columns keeps the pattern, because shifts run into the boundary. With more rows and columns (or without those
at the border) the positions close to a ring, or to a torus in two dimensions, and the shifts are a group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from equishare.partition import Partition

#: What a sentence about such a pattern begins with.
SHIFTS = "Shift structure up to the boundary"


@dataclass(frozen=True)
class Extension:
    """A pattern with shift structure up to its boundary.

    Attributes:
        labels: (N, N) the pattern on a closed ring or torus of N positions.
        ring: positions along each axis of the torus, of product N.
        dropped: rows and columns left out at each border before the rest could be closed.
    """

    labels: NDArray[np.int64]
    ring: tuple[int, ...]
    dropped: int

    def sentence(self, name: str) -> str:
        """What was found, with the name of the group of the closed pattern."""
        ring = " × ".join(str(size) for size in self.ring)
        shape = "ring" if len(self.ring) == 1 else "torus"
        without = f" without the outer {self.dropped} rows and columns," if self.dropped else ""
        return f"{SHIFTS}:{without} closed to a {shape} of {ring} positions it has group {name}."


def extension(cells: Partition, orbits: Partition) -> Extension | None:
    """Close a pattern to a ring or torus, if shifts tie cells that the orbits of its own group do not.

    Args:
        cells: (O, I) pattern.
        orbits: (O, I) orbits of its automorphism group on cells.

    Returns:
        None if cells that a shift leads to each other do not share a label, if the orbits tie them already, or if all
        cells are tied.
    """
    num_out, num_in = cells.shape
    if cells.num_groups == 1:
        return None
    for dropped in range(min(num_out, num_in) // 4 + 1):
        inner = slice(dropped, num_out - dropped), slice(dropped, num_in - dropped)
        labels = cells.labels[inner]
        for grid_out, grid_in, stride in grids(*labels.shape):
            if not _shifts_keep(labels.reshape(grid_out + grid_in), stride):
                continue
            # In a pattern of few labels a few ties along the shifts can agree by chance.
            if labels.size - _num_offsets(grid_out, grid_in, stride) < max(3, labels.size // 4):
                continue
            if _shifts_keep(orbits.labels[inner].reshape(grid_out + grid_in), stride):
                continue
            smallest = [max(i, stride * (o - 1) + 1) for o, i in zip(grid_out, grid_in, strict=True)]
            return _closed(labels, offsets(grid_out, grid_in, stride), smallest, dropped)
    return None


def grids(num_out: int, num_in: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Grids that the outputs and inputs may stand for, with the stride: lines first, then planes in C order."""
    for stride in range(1, max(2, num_in // num_out + 2)):
        yield (num_out,), (num_in,), stride
    rows = ([rows for rows in range(2, num // 2 + 1) if num % rows == 0] for num in (num_out, num_in))
    for rows_out, rows_in in product(*rows):
        yield (rows_out, num_out // rows_out), (rows_in, num_in // rows_in), 1


def _shifts_keep(labels: NDArray[np.int64], stride: int) -> bool:
    """Whether one step of the output and ``stride`` steps of the input along any axis lead to an equal label."""
    num_axes = labels.ndim // 2
    for axis in range(num_axes):
        to, start = [slice(None)] * labels.ndim, [slice(None)] * labels.ndim
        to[axis], start[axis] = slice(1, None), slice(-1)
        to[num_axes + axis], start[num_axes + axis] = slice(stride, None), slice(-stride)
        # Row by row: almost every grid is told apart by the first, and there are thousands.
        pairs = zip(labels[tuple(to)], labels[tuple(start)], strict=True)
        if not all(np.array_equal(a, b) for a, b in pairs):
            return False
    return True


def _num_offsets(grid_out: tuple[int, ...], grid_in: tuple[int, ...], stride: int) -> int:
    """How many offsets there are. Steps of :func:`_shifts_keep` lead from a cell to the others of its offset."""
    return math.prod(min(o * i, i + stride * (o - 1)) for o, i in zip(grid_out, grid_in, strict=True))


def offsets(grid_out: tuple[int, ...], grid_in: tuple[int, ...], stride: int) -> NDArray[np.int64]:
    """(axes, O, I) position of the input minus that of the output, from 0."""
    outputs = np.indices(grid_out).reshape(len(grid_out), -1)
    inputs = np.indices(grid_in).reshape(len(grid_in), -1)
    found = inputs[:, None, :] - stride * outputs[:, :, None]
    return found - found.min(axis=(1, 2), keepdims=True)


def _closed(labels: NDArray[np.int64], offset: NDArray[np.int64], smallest: list[int], dropped: int) -> Extension:
    """The pattern on the smallest ring or torus on which cells at the same offset have the same label."""
    spans = offset.max(axis=(1, 2)) + 1
    rings = product(*(range(low, span + 1) for low, span in zip(smallest, spans.tolist(), strict=True)))
    for ring in sorted(rings, key=math.prod):
        residues = np.ravel_multi_index(tuple(offset), ring, mode="wrap")
        label_at = np.zeros(math.prod(ring), dtype=np.int64)
        label_at[residues] = labels
        if (label_at[residues] == labels).all():
            break
    position = np.indices(ring).reshape(len(ring), -1)
    difference = position[:, None, :] - position[:, :, None]
    return Extension(label_at[np.ravel_multi_index(tuple(difference), ring, mode="wrap")], ring, dropped)
