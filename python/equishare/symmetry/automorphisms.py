"""Permutations of the axes of a label array that leave every label where it was.

The group is that of a coloured graph (:mod:`equishare.symmetry.graph`).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equishare.partition import Partition
from equishare.symmetry.arguments import checked_same_action
from equishare.symmetry.extra import load_extra
from equishare.symmetry.graph import coloured_graph
from equishare.symmetry.permutations import Permutation, moves

# The first graph tried has at most so many edges for each output, input and tap, each later one as many times more.
_FIRST_EDGES = 8
_MORE_EDGES = 8


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
    for codes in _coarser(cells):
        edges, colours = coloured_graph(codes, array.shape[2:], same_action)
        graph = load_extra("igraph").Graph(n=len(colours), edges=np.concatenate(edges))
        found = _generators(graph, colours, cells)
        if found is not None:
            break
    else:
        raise RuntimeError("igraph returned a permutation that is no automorphism of the pattern")
    with _numbers_of_any_length():
        return found, graph.count_automorphisms(color=colours.tolist())


def pattern_normaliser_order(labels: NDArray[np.int64], same_action: bool = False) -> int:
    """How many pairs of permutations take every group of a pattern (O, I) to a group, maybe another one.

    For the orbits of a group on the cells this is the order of its normaliser, if the group is that of all pairs which
    leave the orbits unchanged. The pairs are the automorphisms of a graph with a vertex for each output, input, cell
    and group, whose edges join a cell to the other three.

    Args:
        labels: (O, I) from 0 without holes.
        same_action: demand the same permutation of outputs and inputs, of a symmetric pattern. One vertex then stands
            for an output and the input of its number, and one for a cell and its mirror image.

    Raises:
        ImportError: igraph is not installed.
    """
    num_out, num_in = labels.shape
    points = num_out if same_action else num_out + num_in
    output, in_ = np.triu_indices(num_out) if same_action else np.divmod(np.arange(labels.size), num_in)
    own = labels[output, in_]
    cells = points + np.arange(len(own))
    ends = [output, in_ if same_action else num_out + in_, points + len(own) + own]
    kinds = [num_out, 0 if same_action else num_in, len(own), int(labels.max()) + 1]
    colours = np.repeat(np.arange(4), kinds)
    edges = np.concatenate([np.column_stack([cells, end]) for end in ends])
    if (
        same_action
    ):  # a cell of the diagonal has two edges to one vertex, which tell nothing but a colour of its own does
        colours[cells[output == in_]] = 4
        edges = np.unique(edges, axis=0)
    graph = load_extra("igraph").Graph(n=len(colours), edges=edges)
    with _numbers_of_any_length():
        order: int = graph.count_automorphisms(color=colours.tolist())
    return order


def transposition(labels: NDArray[np.int64]) -> tuple[Permutation, Permutation] | None:
    """Inputs that take the place of outputs, and outputs that of inputs, so that a square pattern stays as it is.

        labels[outputs[i], inputs[o]] = labels[o, i]    for all outputs o and inputs i

    They are the automorphism of a graph with a vertex for each output, input and cell, of the cell's label, whose edges
    join a cell to its output and its input; one that exchanges outputs and inputs.

    Returns:
        inputs (O,) and outputs (I,); None where there are none.

    Raises:
        ImportError: igraph is not installed.
    """
    side = len(labels)
    output, in_ = np.divmod(np.arange(labels.size), side)
    cells = 2 * side + np.arange(labels.size)
    edges = np.concatenate([np.column_stack([cells, output]), np.column_stack([cells, side + in_])])
    colours = np.concatenate([np.zeros(2 * side, np.int64), 1 + labels.ravel()])
    graph = load_extra("igraph").Graph(n=len(colours), edges=edges)
    for found in graph.automorphism_group(color=colours.tolist()):
        if found[0] >= side:
            inputs, outputs = np.array(found[:side]) - side, np.array(found[side : 2 * side])
            if not (labels[outputs[None, :], inputs[:, None]] == labels).all():
                raise RuntimeError("igraph returned a permutation that is no automorphism of the pattern")
            return inputs, outputs
    return None


def _coarser(cells: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Codes of the labels: first of a coarser pattern that tells few labels apart, at last of the pattern itself.

    A coarser pattern has every automorphism of the pattern. If the generators of its group keep all labels, it has no
    other ones, and its small graph is enough. A few labels of a circulant pattern, for example, show the whole group.
    """
    sizes = np.bincount(cells.reshape(-1))
    # Any labels of one size may do; at random, they are not all shifts along one axis of a torus.
    order = np.random.default_rng(0).permutation(len(sizes))
    order = order[np.argsort(sizes[order], kind="stable")]
    most = _FIRST_EDGES * sum(cells.shape)
    while True:
        # Cells of the most frequent label have no edges: that tells them from the others.
        told = order[:-1][np.cumsum(sizes[order[:-1]]) <= most]
        codes = np.zeros(len(sizes), dtype=np.int64)
        # Labels of many cells get codes of few ones.
        words = sorted(range(1, len(told) + 1), key=lambda word: (-word.bit_count(), word))
        codes[told] = words
        if len(told) or len(sizes) == 1:
            yield codes[cells]
        if len(told) == len(sizes) - 1:
            return
        most *= _MORE_EDGES


def _generators(
    graph: Any, colours: NDArray[np.int64], cells: NDArray[np.int64]
) -> list[tuple[Permutation, Permutation, Permutation]] | None:
    """Generators of the group of the graph, split by axis, without the identity; None if one changes a label."""
    found, starts = [], np.cumsum([0, *cells.shape])
    for vertices in graph.automorphism_group(color=colours.tolist()):
        points = np.array(vertices[: starts[-1]], dtype=np.int64)
        p_out, p_in, p_tap = (points[a:b] - a for a, b in itertools.pairwise(starts))
        if not _keeps(cells, p_out, p_in, p_tap):
            return None
        if moves(points).any():
            found.append((p_out, p_in, p_tap))
    return found


def _keeps(cells: NDArray[np.int64], p_out: Permutation, p_in: Permutation, p_tap: Permutation) -> bool:
    """Whether every cell keeps its label. Rows and columns that do not move are not compared with themselves."""
    if moves(p_tap).any():
        return np.array_equal(cells[np.ix_(p_out, p_in, p_tap)], cells)
    out, in_ = np.flatnonzero(moves(p_out)), np.flatnonzero(moves(p_in))
    return np.array_equal(cells[p_out[out]][:, p_in], cells[out]) and np.array_equal(
        cells[:, p_in[in_]][p_out], cells[:, in_]
    )


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


def _is_rigid(cells: NDArray[np.int64]) -> bool:
    """Whether colour refinement tells all outputs, inputs and taps apart: then the identity is the only automorphism.

    Two rows keep the same colour while they hold the same numbers of cells of each label in columns of each colour.
    This spares the graph of a large pattern without symmetry. Where it is False, there may be a symmetry or not.
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
