"""Patterns of linear maps with a symmetry: the labels (O, I) of tied weights, and the group of each."""

from __future__ import annotations

import numpy as np


def circulant(n: int) -> np.ndarray:
    """One label for each difference of output and input, modulo n: the group C_n."""
    index = np.arange(n)
    return (index - index[:, None]) % n


def dihedral(n: int) -> np.ndarray:
    """One label for each distance on a ring of n: the group D_n."""
    return np.minimum(circulant(n), circulant(n).T)


def line(n: int) -> np.ndarray:
    """One label for each offset of output and input: shifts up to the boundary (Toeplitz)."""
    return np.arange(n)[:, None] - np.arange(n) + n - 1


def torus(rows: int, columns: int) -> np.ndarray:
    """One label for each shift of a torus: C_rows × C_columns."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    return (row - row[:, None]) % rows * columns + (column - column[:, None]) % columns


def exchangeable(rows: int, columns: int) -> np.ndarray:
    """Same entry, same row, same column or neither: S_rows × S_columns."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    return 2 * (row != row[:, None]) + (column != column[:, None])


def permutations(n: int) -> np.ndarray:
    """a I + b 11ᵀ: all permutations, of outputs and inputs alike."""
    return 1 - np.eye(n, dtype=np.int64)


def blocks(size: int, count: int) -> np.ndarray:
    """Same entry, same block or neither: S_size ≀ S_count."""
    return permutations(size * count) + np.kron(permutations(count), np.ones((size, size), np.int64))


def side_by_side(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two patterns on blocks of their own, one label for all entries between them: the product of their groups."""
    size = len(first) + len(second)
    labels = np.zeros((size, size), np.int64)
    labels[: len(first), : len(first)] = 1 + first
    labels[len(first) :, len(first) :] = 2 + first.max() + second
    return labels


def repeated_rows(times: int, kinds: int, inputs: int) -> np.ndarray:
    """Each of ``kinds`` rows with ``inputs`` labels of its own, so many times: its copies may be permuted."""
    return np.repeat(np.arange(kinds * inputs).reshape(kinds, inputs), times, axis=0)


def shuffled(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same pattern with its rows and its columns in another order."""
    outputs, inputs = labels.shape
    return labels[rng.permutation(outputs)][:, rng.permutation(inputs)]
