"""The coloured graph whose automorphisms are those of a pattern of labels (docs/symmetry.md).

Labels are written in binary, one layer of the graph for each bit: every row and every column has a vertex in each
layer, joined to the one in the layer before, and a row and a column are joined in the layers of the bits that the label
of their cell has. (Edge colours by layers: McKay and Piperno, "nauty and Traces User's Guide", section 14.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.int64]


def coloured_graph(
    codes: NDArray[np.int64], grid: Sequence[int], same_action: bool
) -> tuple[list[Edges], NDArray[np.int64]]:
    """Edges and the colour of each vertex. The first vertices are the outputs, the inputs and the taps.

    The rows of the layers are the outputs and their columns the inputs. Those of a kernel are pairs of an output and an
    input, joined to both, and the taps, joined to their neighbours on the grid.

    Args:
        codes: (O, I, T) label of each cell, from 0; cells that have label 0 have no edges.
        grid: sizes of the grid of taps.
        same_action: join output i and input i, in a layer of their own.
    """
    out, in_, taps = (
        np.arange(size) + start
        for size, start in zip(codes.shape, np.cumsum([0, *codes.shape[:2]]).tolist(), strict=True)
    )
    axes = [out, in_, taps]
    edges, colours = [taps[_grid_edges(grid)]], [np.repeat(np.arange(3), codes.shape)]
    rows, columns, matrix = out, in_, codes.reshape(len(out), -1)
    if len(taps) > 1:
        pairs = sum(map(len, axes)) + np.arange(len(out) * len(in_))
        edges += [np.column_stack([pairs, np.repeat(out, len(in_))]), np.column_stack([pairs, np.tile(in_, len(out))])]
        colours.append(np.full(len(pairs), 3))
        rows, columns, matrix = pairs, taps, codes.reshape(-1, len(taps))
    planes = [np.nonzero(matrix >> bit & 1) for bit in range(int(codes.max()).bit_length())]
    if same_action:
        if len(taps) > 1:
            edges.append(np.column_stack([out, in_]))
        else:
            planes.append((np.arange(len(out)), np.arange(len(out))))
    for number, (o, i) in enumerate(planes):
        if number:
            ids = sum(map(len, colours)) + np.arange(len(rows) + len(columns))
            edges.append(np.column_stack([np.concatenate([rows, columns]), ids]))
            colours.append(np.repeat([2 * number + 2, 2 * number + 3], [len(rows), len(columns)]))
            rows, columns = ids[: len(rows)], ids[len(rows) :]
        edges.append(np.column_stack([rows[o], columns[i]]))
    return edges, np.concatenate(colours)


def _grid_edges(shape: Sequence[int]) -> Edges:
    """Pairs of neighbours of a grid; the automorphisms of this graph are the isometries of the grid."""
    index = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(tuple(shape))
    pairs = [np.empty((0, 2), np.int64)]
    for axis in range(index.ndim):
        rows = np.moveaxis(index, axis, 0)
        pairs.append(np.column_stack([rows[:-1].reshape(-1), rows[1:].reshape(-1)]))
    return np.concatenate(pairs)
