"""Permutations of the axes of a label array that leave every label where it was, and their orbits on cells.

The group is that of a coloured graph (docs/symmetry.md): one vertex for each output, input and tap, each axis in a
colour of its own, and one vertex for each cell, coloured by its label and joined to its output, its input and its tap.
"""

from __future__ import annotations

import importlib
import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from equishare.partition import Partition
from equishare.symmetry.arguments import checked_same_action, checked_shape

Permutation = NDArray[np.int64]

__all__ = ["Permutation", "automorphism_generators", "automorphism_group", "cell_orbits"]


def automorphism_generators(labels: ArrayLike, same_action: bool = False) -> list[tuple[Permutation, Permutation]]:
    """Generators of the group of pairs of permutations that leave a pattern of labels unchanged.

        label[p_out[o], p_in[i]] = label[o, i]    for all outputs o and inputs i

    Args:
        labels: (O, I) integer names of the groups.
        same_action: demand p_out = p_in; O = I.

    Returns:
        Pairs (p_out (O,), p_in (I,)), the identity left out; an empty list for the trivial group.

    Raises:
        ValueError: labels are not a matrix with at least one cell, or same_action with O ≠ I.
        TypeError: same_action is neither True nor False.
        ImportError: igraph is not installed.
    """
    array = Partition(labels).labels
    if array.ndim != 2 or not array.size:
        raise ValueError(f"labels must be a matrix with at least one cell, got shape {array.shape}")
    return [(p_out, p_in) for p_out, p_in, _ in automorphism_group(array, checked_same_action(same_action))[0]]


def automorphism_group(
    labels: ArrayLike, same_action: bool = False
) -> tuple[list[tuple[Permutation, Permutation, Permutation]], int]:
    """The group of a convolution kernel: permutations of its channels with an isometry of its tap grid.

        label[p_out[o], p_in[i], p_tap[t]] = label[o, i, t]

    Args:
        labels: (O, I, *taps) integer names of the groups; the taps may have any number of axes, none too.
        same_action: demand p_out = p_in; O = I.

    Returns:
        Generators, triples (p_out (O,), p_in (I,), p_tap (T,)) with the taps numbered in C order and the identity
        left out; and the exact order of the group.

    Raises:
        ValueError: labels have fewer than two axes or no cell, or same_action with O ≠ I.
        ImportError: igraph is not installed.
    """
    array = Partition(labels).labels
    if array.ndim < 2 or not array.size:
        raise ValueError(f"labels must have shape (O, I, *taps) with at least one cell, got shape {array.shape}")
    num_out, num_in = array.shape[:2]
    if same_action and num_out != num_in:
        raise ValueError(f"same_action needs as many outputs as inputs, got {num_out} outputs and {num_in} inputs")
    cells = array.reshape(num_out, num_in, -1)
    if _is_rigid(cells):
        return [], 1
    starts = np.cumsum([0, *cells.shape])
    edges, colors = _colored_graph(cells, starts)
    if same_action:
        edges.append(np.column_stack([np.arange(num_out), starts[1] + np.arange(num_in)]))
    edges.append(starts[2] + _grid_edges(array.shape[2:]))
    graph = load_extra("igraph").Graph(n=len(colors), edges=np.concatenate(edges))
    found = []
    for vertices in np.array(graph.automorphism_group(color=colors.tolist()), dtype=np.int64):
        p_out, p_in, p_tap = (vertices[a:b] - a for a, b in itertools.pairwise(starts))
        if not np.array_equal(cells[np.ix_(p_out, p_in, p_tap)], cells):
            raise RuntimeError("igraph returned a permutation that is no automorphism of the pattern")
        if any((p != np.arange(len(p))).any() for p in (p_out, p_in, p_tap)):
            found.append((p_out, p_in, p_tap))
    with _numbers_of_any_length():
        return found, graph.count_automorphisms(color=colors.tolist())


@contextmanager
def _numbers_of_any_length() -> Iterator[None]:
    """igraph gives the order as text, and Python refuses to read more than 4,300 digits."""
    limit = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else None
    try:
        if limit is not None:
            sys.set_int_max_str_digits(0)
        yield
    finally:
        if limit is not None:
            sys.set_int_max_str_digits(limit)


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
    index = np.arange(num_cells)
    images = [index.reshape([len(p) for p in generator])[np.ix_(*generator)].reshape(-1) for generator in generators]
    targets = np.concatenate(images) if images else np.empty(0, np.int64)
    links = coo_array(
        (np.ones(len(targets), bool), (np.tile(index, len(images)), targets)), shape=(num_cells, num_cells)
    )
    component = connected_components(links, directed=False)[1]
    return Partition(component.reshape(shape)).labels


def _check_permutes(generator: Sequence[Permutation], shape: tuple[int, ...]) -> None:
    if not 1 <= len(generator) <= len(shape):
        raise ValueError(f"generators must hold 1 to {len(shape)} permutations, one an axis, got {len(generator)}")
    last = len(generator) - 1
    sizes = [*shape[:last], math.prod(shape[last:])]
    for axis, (p, size) in enumerate(zip(generator, sizes, strict=True)):
        if not np.array_equal(np.sort(p), np.arange(size)):
            raise ValueError(f"generators must hold a permutation of 0..{size - 1} at place {axis}, got {p}")


def _is_rigid(cells: NDArray[np.int64]) -> bool:
    """Whether colours alone tell all outputs, inputs and taps apart, so that no permutation but the identity is left.

    Colour refinement: two rows stay alike if they hold as many cells of each label and colours of the other axes. That
    spares the graph of a large pattern without symmetry. False says nothing.
    """
    colours = [np.zeros(size, dtype=np.int64) for size in cells.shape]
    while True:
        before = sum(int(colour.max()) for colour in colours)
        for axis in range(cells.ndim):
            key = cells
            for other in set(range(cells.ndim)) - {axis}:
                at = np.expand_dims(colours[other], [a for a in range(cells.ndim) if a != other])
                key = key * (colours[other].max() + 1) + at
            rows = np.sort(np.moveaxis(key, axis, 0).reshape(cells.shape[axis], -1), axis=1)
            names: dict[tuple[int, bytes], int] = {}
            pairs = zip(colours[axis].tolist(), rows, strict=True)
            colours[axis] = np.array([names.setdefault((c, row.tobytes()), len(names)) for c, row in pairs])
        after = sum(int(colour.max()) for colour in colours)
        if after == sum(cells.shape) - cells.ndim:
            return True
        if after == before:
            return False


def _colored_graph(
    cells: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Edges from cells to their axes, and the colour of each vertex."""
    axis_colors = np.repeat(np.arange(cells.ndim), cells.shape)
    labels = cells.reshape(-1)
    # The cells of one label need no vertices: they are those that no vertex stands for.
    shown = np.flatnonzero(labels != np.bincount(labels).argmax())
    vertices = starts[-1] + np.arange(len(shown))
    ends = np.unravel_index(shown, cells.shape)
    edges = [np.column_stack([vertices, starts[axis] + end]) for axis, end in enumerate(ends)]
    return edges, np.concatenate([axis_colors, cells.ndim + labels[shown]])


def _grid_edges(shape: Sequence[int]) -> NDArray[np.int64]:
    """Pairs of neighbours of a grid; the automorphisms of this graph are the isometries of the grid."""
    index = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(tuple(shape))
    pairs = [np.empty((0, 2), np.int64)]
    for axis in range(index.ndim):
        rows = np.moveaxis(index, axis, 0)
        pairs.append(np.column_stack([rows[:-1].reshape(-1), rows[1:].reshape(-1)]))
    return np.concatenate(pairs)


def load_extra(name: str) -> Any:
    """A module of the extra ``symmetry``, loaded only when it is needed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ImportError(f'symmetry groups need {package}: pip install "equishare[symmetry]"') from None
