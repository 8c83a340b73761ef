"""A group in the words of other programs: sympy, GAP, sparse matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.symmetry.axes import Element
from equishare.symmetry.extra import load_extra
from equishare.symmetry.permutations import Permutation, cycles


def sympy_group(generators: Sequence[Permutation], degree: int) -> Any:
    """A ``sympy.combinatorics.PermutationGroup`` of so many points; the identity alone if there are no generators."""
    combinatorics = load_extra("sympy.combinatorics")
    points = [p.tolist() for p in generators] or [list(range(degree))]
    return combinatorics.PermutationGroup([combinatorics.Permutation(p) for p in points])


def gap_group(generators: Sequence[Permutation]) -> str:
    """``Group((1,2,3)(4,5,6), …)``; GAP numbers points from 1."""
    words = ["".join(f"({','.join(str(x + 1) for x in cycle)})" for cycle in cycles(p)) for p in generators]
    return f"Group({', '.join(words) or '()'})"


def matrices(element: Element) -> tuple[scipy.sparse.csr_array, ...]:
    """P with ``P @ x = x[p]``, for each permutation p of an element."""
    return tuple(
        scipy.sparse.csr_array((np.ones(len(p)), p, np.arange(len(p) + 1)), shape=(len(p), len(p))) for p in element
    )


def orthonormal_indicators(cells: Partition) -> scipy.sparse.csr_array:
    """(groups, entries) a row for each group: 1 / √(its size) at its entries, zero elsewhere."""
    sizes, labels = cells.group_sizes, cells.labels.reshape(-1)
    entries = np.argsort(labels, kind="stable")
    values = 1 / np.sqrt(sizes[labels[entries]])
    return scipy.sparse.csr_array(
        (values, entries, np.concatenate([[0], np.cumsum(sizes)])), shape=(len(sizes), len(labels))
    )
