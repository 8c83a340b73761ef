"""Weight of the maximum-weight matching of a sparse bipartite graph with whole positive weights.

The theorem of Kao, Lam, Sung and Ting (SIAM J. Comput. 31(1), 2001): let N be the largest weight,
let h ≤ N be such that no weight lies strictly between N − h and N, let M be a maximum-cardinality
matching of the edges of weight N and C a minimum vertex cover of them. Then

    mwm(w) = h |M| + mwm(max(w − h (C[u] + C[v]), 0))

and the largest weight on the right is at most N − h. Repeating it down to zero takes one unweighted
matching a level. An edge of weight w is looked at in at most w levels, so all levels together look
at Σ w edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

#: From this many edges on, a good order of the vertices saves more than finding it costs.
MANY_EDGES = 20_000

Index = NDArray[np.integer[Any]]


def max_weight_matching(rows: Index, cols: Index, weights: Index, many_edges: int = MANY_EDGES) -> int:
    """Largest total weight of edges no two of which share a row or a column.

    Args:
        rows: (E,) row of each edge; no edge comes twice.
        cols: (E,) column of each edge.
        weights: (E,) positive integers.
        many_edges: from so many edges on the vertices are put in a local order, which changes the time alone.
    """
    if not len(weights):
        return 0
    order = np.argsort(-weights, kind="stable")
    rows, cols, weights = rows[order], cols[order], weights[order].astype(np.int64)
    ascending = -weights
    row_price = np.zeros(int(rows.max()) + 1, dtype=np.int64)
    col_price = np.zeros(int(cols.max()) + 1, dtype=np.int64)
    level, total = int(weights[0]), 0
    while level > 0:
        # Prices only lower a weight: edges that began below this level cannot be on it.
        end = int(np.searchsorted(ascending, -level, side="right"))
        r, c = rows[:end], cols[:end]
        left = weights[:end] - row_price[r] - col_price[c]
        top = left == level
        below = max(int(left[~top].max(initial=0)), int(weights[end]) if end < len(weights) else 0)
        if top.any():
            size, covered_rows, covered_cols = _matching_and_cover(r[top], c[top], many_edges)
            row_price[covered_rows] += level - below
            col_price[covered_cols] += level - below
            total += (level - below) * size
        level = below
    return total


def _matching_and_cover(rows: Index, cols: Index, many_edges: int) -> tuple[int, Index, Index]:
    """Size of a maximum matching; rows and columns of a minimum vertex cover (König)."""
    row_names, r = np.unique(rows, return_inverse=True)
    col_names, c = np.unique(cols, return_inverse=True)
    num_rows = len(row_names)
    if len(r) >= many_edges:
        row_order, col_order = _local_order(r, c, num_rows, len(col_names))
        row_names, r = row_names[row_order], np.argsort(row_order)[r]
        col_names, c = col_names[col_order], np.argsort(col_order)[c]
    graph = scipy.sparse.csr_array((np.ones(len(r), np.int8), (r, c)), shape=(num_rows, len(col_names)))
    col_of_row = scipy.sparse.csgraph.maximum_bipartite_matching(graph, perm_type="column")
    matched = np.flatnonzero(col_of_row >= 0)
    row_of_col = np.full(len(col_names), num_rows, dtype=graph.indices.dtype)
    row_of_col[col_of_row[matched]] = matched
    # Walk from the unmatched rows to a column by any edge and back to a row by a matched one; the
    # extra last node leads to all unmatched rows. An unmatched column is never met, or the matching
    # could grow.
    starts = np.flatnonzero(col_of_row < 0)
    targets = np.concatenate([row_of_col[graph.indices], starts.astype(graph.indices.dtype)])
    pointers = np.append(graph.indptr, len(targets)).astype(graph.indptr.dtype)
    walk = scipy.sparse.csr_array((np.ones(len(targets)), targets, pointers), shape=(num_rows + 1, num_rows + 1))
    reached = np.zeros(num_rows + 1, dtype=bool)
    reached[scipy.sparse.csgraph.breadth_first_order(walk, num_rows, return_predecessors=False)] = True
    reached = reached[:num_rows]
    return len(matched), row_names[~reached], np.unique(cols[reached[r]])


def _local_order(r: Index, c: Index, num_rows: int, num_cols: int) -> tuple[Index, Index]:
    """Orders of the rows and of the columns in which neighbours stand close together.

    The matching starts greedily in the order of the rows; along long paths and cycles that start is
    almost complete in this order, and leaves thousands of augmenting paths in a random one.
    """
    num_nodes = num_rows + num_cols
    ends = np.concatenate([r, c + num_rows]), np.concatenate([c + num_rows, r])
    graph = scipy.sparse.csr_array((np.ones(2 * len(r), np.int8), ends), shape=(num_nodes, num_nodes))
    order = scipy.sparse.csgraph.reverse_cuthill_mckee(graph, symmetric_mode=True)
    return order[order < num_rows], order[order >= num_rows] - num_rows
