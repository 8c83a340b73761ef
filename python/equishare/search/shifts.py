"""Patterns of weights that depend on how far the input lies from the output, and on nothing else.

Rows and columns are taken in the order in which they come, as positions on a line or, row by row, in a plane. So there
are only a few such patterns. On a ring or torus shifts are permutations; else they run into the boundary, and no
permutation keeps the pattern.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from equishare.problems.estimates import MOST_GROUPS
from equishare.symmetry.boundary import grids

# A line of fewer outputs or inputs has few weights at one offset.
_LEAST_SIDE = 4
# Along each axis of a plane there are so many positions at least.
_LEAST_STEPS = 3
#: The most entries of a weight whose symmetries and shifts are searched.
MOST_ENTRIES = 1 << 20

Grid = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Shifts:
    """A pattern (O, I) whose labels depend on the offset of the input from the output; equal where its labels are.

    Attributes:
        grid_out, grid_in: positions of the outputs and of the inputs along each axis.
        names: label of each offset, along each axis from the least to the greatest.
        first: (G,) of each group the first entry, in C order.
    """

    grid_out: Grid
    grid_in: Grid
    names: np.ndarray
    first: np.ndarray
    _digest: bytes

    @classmethod
    def of(cls, grid_out: Grid, grid_in: Grid, names: np.ndarray) -> Shifts:
        """The pattern of offsets with these names, which may be any numbers."""
        groups, names = np.unique(names, return_inverse=True)
        names = names.reshape([o + i - 1 for o, i in zip(grid_out, grid_in, strict=True)])
        # The first entry of an offset is that of the first output that has it.
        offsets = np.indices(names.shape)
        outputs, inputs = [], []
        for offset, num_out in zip(offsets, grid_out, strict=True):
            outputs.append(np.maximum(num_out - 1 - offset, 0))
            inputs.append(np.maximum(offset - (num_out - 1), 0))
        entry = np.ravel_multi_index([*outputs, *inputs], grid_out + grid_in)
        first = np.full(len(groups), np.prod(grid_out + grid_in))
        np.minimum.at(first, names, entry)
        order = np.argsort(first)
        number = np.empty(len(groups), np.int64)
        number[order] = np.arange(len(groups))
        names = number[names]
        labels = _labels(grid_out, grid_in, names)
        return cls(grid_out, grid_in, names, first[order], hashlib.blake2b(labels.tobytes()).digest())

    @property
    def num_groups(self) -> int:
        """G."""
        return len(self.first)

    @property
    def labels(self) -> np.ndarray:
        """(O, I) labels, numbered by first appearance; made when they are asked for."""
        return _labels(self.grid_out, self.grid_in, self.names)

    def ties(self, labels: np.ndarray) -> bool:
        """Whether a partition (O, I) is a union of the groups of the pattern."""
        label_of = labels.ravel()[self.first]
        rows = _windows(self.grid_out, self.grid_in, label_of[self.names])
        # Nearly all patterns are told apart by the first rows.
        every = zip(np.ndindex(self.grid_out), labels, strict=True)
        return all((rows[output].ravel() == row).all() for output, row in every)

    def maps(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs of permutations that keep such patterns: steps along a ring, mirrored axes, all of them, two exchanged.

        Which of them keep this one is not told.
        """
        if self.grid_out != self.grid_in:
            return []
        points = np.arange(np.prod(self.grid_in)).reshape(self.grid_in)
        axes = range(points.ndim)
        moved = [np.roll(points, 1, axis) for axis in axes] + [np.flip(points, axis) for axis in axes]
        moved += [np.flip(points), points.T] if points.ndim > 1 else []
        return [(one.ravel(), one.ravel()) for one in moved if one.shape == points.shape]

    def __eq__(self, other: object) -> bool:
        return self._digest == other._digest if isinstance(other, Shifts) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._digest)


def _windows(grid_out: Grid, grid_in: Grid, names: np.ndarray) -> np.ndarray:
    """(*grid_out, *grid_in) the names of the offsets from each output to each input, not copied."""
    backwards = (slice(None, None, -1),) * len(grid_out)
    return np.lib.stride_tricks.sliding_window_view(names, grid_in)[backwards]


def _labels(grid_out: Grid, grid_in: Grid, names: np.ndarray) -> np.ndarray:
    return _windows(grid_out, grid_in, names).reshape(int(np.prod(grid_out)), -1)


def shift_patterns(shape: tuple[int, ...]) -> tuple[Shifts, ...]:
    """All patterns of a weight (O, I) that shifts tie, in the order of rows and columns; of up to 4,096 groups.

    A label depends on the offset of the input from the output. Where outputs and inputs are the same positions, the
    label may also be that of the opposite offset (the transposed weight), of the offset mirrored along each axis, and,
    on a square, of the one with its axes exchanged; and the positions may be those of a ring or torus. Of outputs and
    inputs in two grids, one is as much wider than the other as it is higher, like those of a convolution with a square
    kernel.
    """
    return _patterns(shape)[0]


@lru_cache(maxsize=8)
def _patterns(shape: tuple[int, ...]) -> tuple[tuple[Shifts, ...], int]:
    """The patterns, and how many were left out as they have too many groups."""
    if len(shape) != 2 or min(shape) < _LEAST_SIDE or np.prod(shape) > MOST_ENTRIES:
        return (), 0
    found: dict[Shifts, None] = {}
    left_out = 0
    for grid_out, grid_in, stride in grids(*shape):
        wider = {i - o for o, i in zip(grid_out, grid_in, strict=True)}
        if stride > 1 or len(wider) > 1 or min(*grid_out, *grid_in) < _LEAST_STEPS:
            continue
        offset = np.indices([o + i - 1 for o, i in zip(grid_out, grid_in, strict=True)])
        ways = [_numbered(offset)]
        if grid_out == grid_in:
            ring = np.reshape(grid_out, (-1, *[1] * len(grid_out)))
            line = offset - (ring - 1)
            around = line % ring
            ways += [*_ways(line, -line, grid_in), _numbered(around), *_ways(around, -around % ring, grid_in)]
        for names in ways:
            if len(np.unique(names)) <= MOST_GROUPS:
                found[Shifts.of(grid_out, grid_in, names)] = None
            else:
                left_out += 1
    return tuple(found), left_out


def unsearched(shape: tuple[int, ...], most: int = MOST_ENTRIES) -> str | None:
    """What to say of a matrix some of whose patterns of shifts are not looked for, all of them beyond ``most`` entries.

    None where all are.
    """
    if np.prod(shape) > most:
        return (
            f"Shifts of rows and columns in the order in which they come were not looked for among "
            f"{' × '.join(map(str, shape))} weights: that takes up to {most:,}."
        )
    left_out = _patterns(shape)[1]
    if not left_out:
        return None
    return (
        f"Of the patterns of shifts of rows and columns in the order in which they come, {left_out} were not looked "
        f"for: they have more than {MOST_GROUPS:,} different weights."
    )


def _ways(offset: np.ndarray, opposite: np.ndarray, grid: Grid) -> list[np.ndarray]:
    """Names where opposite offsets are alike, where mirrored ones are too, and where exchanged ones are."""
    is_first = np.zeros(offset.shape[1:], bool)
    for own, other in zip(offset[::-1], opposite[::-1], strict=True):
        is_first = (own < other) | ((own == other) & is_first)
    mirrored = np.minimum(abs(offset), abs(opposite))
    ways = [_numbered(np.where(is_first, offset, opposite)), _numbered(mirrored)]
    return ways if len(set(grid)) > 1 else [*ways, _numbered(np.sort(mirrored, axis=0))]


def _numbered(offset: np.ndarray) -> np.ndarray:
    """A number for each of the offsets (axes, …)."""
    own = offset.reshape(len(offset), -1)
    least = own.min(1, keepdims=True)
    return np.ravel_multi_index(tuple(own - least), tuple(np.ptp(own, axis=1) + 1)).reshape(offset.shape[1:])


def shifts_of(labels: np.ndarray) -> tuple[Shifts, ...]:
    """Those of the patterns that a partition is a union of."""
    return tuple(one for one in shift_patterns(labels.shape) if one.ties(labels))


def coarsest_shift(shifts: Sequence[Shifts]) -> Shifts | None:
    """The pattern of the fewest groups; None where there is none."""
    return min(shifts, key=lambda one: one.num_groups, default=None)
