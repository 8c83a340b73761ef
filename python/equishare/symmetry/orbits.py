"""Orbits of a group on the cells of an array, from permutations of its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equishare.partition import Partition
from equishare.symmetry.arguments import checked_shape
from equishare.symmetry.permutations import Permutation, joined, moves


def cell_orbits(generators: Sequence[Sequence[Permutation]], shape: Sequence[int]) -> NDArray[np.int64]:
    """Orbits of a group on the cells of an array: cells that some element maps to each other share a label.

    Args:
        generators: tuples of permutations, one for each axis; the last one may act on all axes that are left, numbered
            in C order (the taps of a kernel).
        shape: shape of the array.

    Returns:
        Labels 0, 1, … of the given shape, by first appearance; all different if there are no generators.

    Raises:
        ValueError: a generator is no tuple of permutations of the axes.
        TypeError: shape is no tuple of integers.
    """
    shape = checked_shape(shape)
    num_cells = math.prod(shape)
    for generator in generators:
        _check_permutes(generator, shape)
    labels = np.arange(num_cells)
    links, waiting = [np.empty((0, 2), np.int64)], 0
    for generator in generators:
        cells = labels.reshape([len(p) for p in generator])
        fixed: list[Permutation] = []
        for axis, p in enumerate(generator):
            # Cells are linked to their images along the first axis on which they move; others link to themselves.
            moved = np.flatnonzero(moves(p))
            images = cells[np.ix_(*fixed, p[moved], *generator[axis + 1 :])]
            links.append(np.column_stack([cells[np.ix_(*fixed, moved)].ravel(), images.ravel()]))
            fixed.append(np.flatnonzero(~moves(p)))
        waiting += sum(map(len, links[-len(generator) :]))
        if waiting > num_cells:
            labels, links, waiting = joined(labels, links), links[:1], 0
    return Partition(joined(labels, links).reshape(shape)).labels


def _check_permutes(generator: Sequence[Permutation], shape: tuple[int, ...]) -> None:
    if not 1 <= len(generator) <= len(shape):
        raise ValueError(f"generators must hold 1 to {len(shape)} permutations, one an axis, got {len(generator)}")
    last = len(generator) - 1
    sizes = [*shape[:last], math.prod(shape[last:])]
    for axis, (p, size) in enumerate(zip(generator, sizes, strict=True)):
        if not np.array_equal(np.sort(p), np.arange(size)):
            raise ValueError(f"generators must hold a permutation of 0..{size - 1} at place {axis}, got {p}")
