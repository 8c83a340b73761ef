"""Patterns of weights that depend on how far the input lies from the output, and on nothing else.

Rows and columns are taken in the order in which they come, as positions on a line or, row by row, in a plane. So there
are only a few such patterns. On a ring or torus shifts are permutations; else they run into the boundary, and no
permutation keeps the pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from equishare.partition import Partition
from equishare.symmetry.boundary import grids, offsets

# A line of fewer outputs or inputs has few weights at one offset.
_LEAST_SIDE = 4
# Along each axis of a plane there are so many positions at least.
_LEAST_STEPS = 3
# A pattern has so many groups at most: their merges take the cube of that.
_MOST_GROUPS = 512
#: The most entries of a weight whose shifts are searched.
MOST_ENTRIES = 1 << 17


@lru_cache(maxsize=8)
def shift_patterns(shape: tuple[int, ...]) -> tuple[Partition, ...]:
    """All patterns of a weight (O, I) that shifts tie, in the order of rows and columns; of up to 512 groups.

    A label depends on the offset of the input from the output. Where outputs and inputs are the same positions, the
    label may also be that of the opposite offset (the transposed weight), of the offset mirrored along each axis, and,
    on a square, of the one with its axes exchanged; and the positions may be those of a ring or torus. Of outputs and
    inputs in two grids, one is as much wider than the other as it is higher, like those of a convolution with a square
    kernel.
    """
    if len(shape) != 2 or min(shape) < _LEAST_SIDE or np.prod(shape) > MOST_ENTRIES:
        return ()
    found: dict[Partition, None] = {}
    for grid_out, grid_in, stride in grids(*shape):
        wider = {i - o for o, i in zip(grid_out, grid_in, strict=True)}
        if stride > 1 or len(wider) > 1 or min(*grid_out, *grid_in) < _LEAST_STEPS:
            continue
        offset = offsets(grid_out, grid_in, 1)
        ways = [_of(offset)]
        if grid_out == grid_in:
            ring = np.reshape(grid_out, (-1, 1, 1))
            line = offset - (ring - 1)
            around = line % ring
            ways += [*_ways(line, -line, grid_in), _of(around), *_ways(around, -around % ring, grid_in)]
        found |= dict.fromkeys(way for way in ways if way.num_groups <= _MOST_GROUPS)
    return tuple(found)


def _ways(offset: np.ndarray, opposite: np.ndarray, grid: tuple[int, ...]) -> list[Partition]:
    """Patterns in which opposite offsets are alike, mirrored ones too, and those with their axes exchanged."""
    is_first = np.zeros(offset.shape[1:], bool)
    for own, other in zip(offset[::-1], opposite[::-1], strict=True):
        is_first = (own < other) | ((own == other) & is_first)
    mirrored = np.minimum(abs(offset), abs(opposite))
    ways = [_of(np.where(is_first, offset, opposite)), _of(mirrored)]
    return ways if len(set(grid)) > 1 else [*ways, _of(np.sort(mirrored, axis=0))]


def _of(offset: np.ndarray) -> Partition:
    """Labels of the offsets (axes, O, I)."""
    least = offset.min(axis=(1, 2), keepdims=True)
    span = (offset - least).max(axis=(1, 2)) + 1
    return Partition(np.ravel_multi_index(tuple(offset - least), tuple(span)))


def shifts_of(labels: np.ndarray) -> tuple[Partition, ...]:
    """Those of the patterns that a partition is a union of."""
    every = zip(shift_patterns(labels.shape), _firsts(labels.shape), strict=True)
    return tuple(one for one, first in every if _is_union(labels, one.labels, first))


def coarsest_shift(shifts: Sequence[Partition]) -> Partition | None:
    """The pattern of the fewest groups; None where there is none."""
    return min(shifts, key=lambda one: one.num_groups, default=None)


@lru_cache(maxsize=8)
def _firsts(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Of each pattern the first entry of each group."""
    return tuple(np.unique(one.labels, return_index=True)[1] for one in shift_patterns(shape))


def _is_union(labels: np.ndarray, pattern: np.ndarray, first: np.ndarray) -> bool:
    label_of = labels.ravel()[first]
    # Nearly all patterns are told apart by the first rows.
    return all((label_of[own] == row).all() for own, row in zip(pattern, labels, strict=True))
