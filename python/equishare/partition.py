"""Partitions of the entries of a parameter, and the distance between two of them.

A partition is what discovery returns and what it is scored by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from equishare._matching import MANY_EDGES, max_weight_matching
from equishare.arrays import real_array, to_numpy

__all__ = ["Partition", "partition_distance"]

# Up to this many cells the dense assignment solver is the faster one.
_DENSE_CELLS = 1 << 20
# Entries whose names are looked up at a time.
_PART = 1 << 16


class Partition:
    """A partition of the entries of an array into groups, up to the names of the groups.

    Two partitions are equal when they have the same shape and tie the same entries; equal
    partitions have equal hashes. The order on partitions of one shape is refinement:
    ``p.refines(q)`` reads p ≤ q, :meth:`meet` is the greatest lower bound and :meth:`join` the
    least upper bound.

    Args:
        labels: array of any shape (NumPy array, nested list, torch tensor) with one group name for
            each entry. Names are integers of any sign and size that fit 64 bits; booleans and
            floats that hold whole numbers are taken as integers.

    Attributes:
        labels: read-only int64 array of the given shape, groups numbered 0, 1, … by first
            appearance in C order.
        num_groups: number of groups; 0 for an array without entries.

    Raises:
        TypeError: labels are not numbers, or integers beyond 64 bits.
        ValueError: labels are ragged, NaN, infinite or not whole.
    """

    __slots__ = ("_hash", "labels", "num_groups")

    labels: NDArray[np.int64]
    num_groups: int
    _hash: int

    def __init__(self, labels: Any) -> None:
        array = _integer_array(labels)
        flat, num_groups = _renumber(array.reshape(-1))
        canonical = flat.reshape(array.shape)
        canonical.flags.writeable = False
        object.__setattr__(self, "labels", canonical)
        object.__setattr__(self, "num_groups", num_groups)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Partition is immutable: cannot set {name}")

    def __reduce__(self) -> tuple[type[Partition], tuple[NDArray[np.int64]]]:
        return Partition, (self.labels,)

    @classmethod
    def from_assignment(cls, assignment: Any) -> Partition:
        """Harden an assignment matrix: entry k joins the group of the largest element of row k.

        Args:
            assignment: (K, G) array or torch tensor, soft or one-hot; logits serve as well as
                probabilities. The first of equal largest elements wins.

        Returns:
            A partition of shape (K,).

        Raises:
            ValueError: assignment is not two-dimensional, has rows but no columns, or holds NaN.
        """
        array = real_array(assignment, "assignment")
        if array.ndim != 2:
            raise ValueError(f"assignment must be a (K, G) matrix, got shape {array.shape}")
        if array.shape[0] and not array.shape[1]:
            raise ValueError(f"assignment must have at least one column, got shape {array.shape}")
        if np.isnan(array).any():
            row = int(np.argwhere(np.isnan(array))[0, 0])
            raise ValueError(f"assignment must not hold NaN, got NaN in row {row}")
        if not array.shape[0]:
            return cls(np.empty(0, dtype=np.int64))
        return cls(array.argmax(axis=1))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return self.labels.shape

    @property
    def group_sizes(self) -> NDArray[np.int64]:
        """(num_groups,) number of entries in each group."""
        return np.bincount(self.labels.reshape(-1), minlength=self.num_groups)

    def to_assignment(self) -> NDArray[np.float64]:
        """(K, num_groups) one-hot matrix, K the number of entries in C order."""
        one_hot = np.zeros((len(self), self.num_groups))
        one_hot[np.arange(len(self)), self.labels.reshape(-1)] = 1.0
        return one_hot

    def refines(self, other: Partition) -> bool:
        """Whether every group lies inside one group of the other, as it does in an equal one."""
        a, b = _same_shape(self, other)
        label_of_group = np.zeros(self.num_groups, dtype=np.int64)
        label_of_group[a] = b
        return bool((label_of_group[a] == b).all())

    def meet(self, other: Partition) -> Partition:
        """The coarsest partition that refines both: entries stay tied where both tie them."""
        a, b = _same_shape(self, other)
        return Partition((a * other.num_groups + b).reshape(self.shape))

    def join(self, other: Partition) -> Partition:
        """The finest partition that both refine: ties of either, and chains of them, tie."""
        a, b = _same_shape(self, other)
        num_nodes = self.num_groups + other.num_groups
        links = scipy.sparse.coo_array((np.ones(len(a), bool), (a, self.num_groups + b)), shape=(num_nodes, num_nodes))
        component = scipy.sparse.csgraph.connected_components(links, directed=False)[1]
        return Partition(component[self.labels])

    def __len__(self) -> int:
        return self.labels.size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partition):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.labels, other.labels)

    def __hash__(self) -> int:
        if not hasattr(self, "_hash"):  # of a million entries it takes milliseconds
            object.__setattr__(self, "_hash", hash((self.shape, self.labels.tobytes())))
        return self._hash

    def __repr__(self) -> str:
        text = np.array2string(self.labels, separator=", ", threshold=60, edgeitems=3, prefix="Partition(")
        return f"Partition({text}, num_groups={self.num_groups})"


def partition_distance(p: Partition | ArrayLike, q: Partition | ArrayLike) -> int:
    """Fewest entries to move from one group to another to make two partitions of K entries equal.

        K − max over one-to-one pairings of groups of Σ |P_i ∩ Q_j|

    Exact, and a metric. The pairing is a maximum-weight matching of the contingency table |P_i ∩
    Q_j|, which has at most K nonzeros. Small tables go to a dense assignment solver; larger ones
    are decomposed into maximum-cardinality matchings, in time O(K √G) for G groups whatever the
    weights (Kao, Lam, Sung and Ting, "A decomposition theorem for maximum weight bipartite
    matchings", SIAM J. Comput. 31(1), 2001). The slowest inputs known are random groups of two with
    a few of three: their table is long sparse paths joined at random.

    Args:
        p: Partition or array of labels.
        q: Partition or array of labels of the same shape.

    Raises:
        ValueError: the shapes differ, or labels that :class:`Partition` refuses.
        TypeError: labels that :class:`Partition` refuses.
    """
    p = p if isinstance(p, Partition) else Partition(p)
    q = q if isinstance(q, Partition) else Partition(q)
    return moved_entries(p, q)


def moved_entries(p: Partition, q: Partition, dense_cells: int = _DENSE_CELLS, many_edges: int = MANY_EDGES) -> int:
    """The distance of two partitions of one shape.

    Args:
        p: Partition.
        q: Partition.
        dense_cells: up to so many cells the table goes to the dense assignment solver.
        many_edges: of :func:`equishare._matching.max_weight_matching`, which takes larger ones.
    """
    a, b = _same_shape(p, q)
    if not len(p):
        return 0
    num_cells = p.num_groups * q.num_groups
    codes = a * q.num_groups + b
    if num_cells <= dense_cells:
        table = np.bincount(codes, minlength=num_cells).reshape(p.num_groups, q.num_groups)
        rows, cols = scipy.optimize.linear_sum_assignment(table, maximize=True)
        return len(p) - int(table[rows, cols].sum())
    cells, counts = np.unique(codes, return_counts=True)
    rows, cols = np.divmod(cells, q.num_groups)
    return len(p) - max_weight_matching(rows, cols, counts, many_edges)


def _same_shape(p: Partition, q: Partition) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not isinstance(q, Partition):
        raise TypeError(f"expected a Partition, got {type(q).__name__}")
    if p.shape != q.shape:
        raise ValueError(f"partitions must have the same shape, got {p.shape} and {q.shape}")
    return p.labels.reshape(-1), q.labels.reshape(-1)


def _integer_array(labels: Any) -> NDArray[Any]:
    array = to_numpy(labels, "labels")
    if array.dtype.kind in "biu":
        return array.astype(np.uint8) if array.dtype.kind == "b" else array
    if array.dtype.kind != "f":
        raise TypeError(f"labels must be integers of at most 64 bits, got dtype {array.dtype}")
    wrong = ~(np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2.0**63))
    if wrong.any():
        position = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"labels must be integers, got {array[position]} at position {position}")
    return array.astype(np.int64)


def _renumber(labels: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Group numbers 0, 1, … by first appearance, and how many there are."""
    if not labels.size:
        return labels.astype(np.int64), 0
    low, high = int(labels.min()), int(labels.max())
    # Names from a short range index a table directly, which spares the sort.
    if high - low < 4 * labels.size:
        wide = labels if labels.dtype.itemsize == 8 or low == 0 else labels.astype(np.int64)
        codes = wide if low == 0 else wide - wide.dtype.type(low)
        num_names = high - low + 1
    else:
        names, codes = np.unique(labels, return_inverse=True)
        num_names = names.size
    first = np.full(num_names, labels.size)
    # Of entries that have one name the last that is written counts, so they are written backwards, a part at a time.
    for end in range(labels.size, 0, -_PART):
        at = np.arange(end - 1, max(0, end - _PART) - 1, -1)
        first[codes[at]] = at
    order = np.argsort(first)
    num_groups = int((first < labels.size).sum())
    number = np.empty(num_names, dtype=np.int64)
    number[order] = np.arange(num_names)
    # Codes of another dtype would be copied whole to index with them.
    renumbered = np.empty(labels.size, dtype=np.int64)
    for i in range(0, labels.size, _PART):
        renumbered[i : i + _PART] = number[codes[i : i + _PART]]
    return renumbered, num_groups
