"""Name the symmetry group of many patterns of tied weights, and print them as a table.

    python examples/symmetry_groups.py

Each pattern is an array of labels: entries that share a label are tied.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

import equishare as es


def circulant(n: int) -> np.ndarray:
    """One label for each shift of a ring of n."""
    return (np.arange(n) - np.arange(n)[:, None]) % n


def dihedral(n: int) -> np.ndarray:
    """One label for each distance on a ring of n."""
    return np.minimum(circulant(n), circulant(n).T)


def exchangeable(*sizes: int) -> np.ndarray:
    """One label for each set of coordinates in which two cells of an array agree."""
    cells = np.indices(sizes).reshape(len(sizes), -1)
    equal = cells[:, :, None] == cells[:, None, :]
    return np.tensordot(2 ** np.arange(len(sizes)), equal, axes=1)


def grid(*patterns: np.ndarray) -> np.ndarray:
    """A label for each tuple of labels: the pattern of an array with one pattern along each axis."""
    joint = np.zeros((1, 1), dtype=int)
    for pattern in patterns:
        labels = joint[:, None, :, None] * (pattern.max() + 1) + pattern[None, :, None, :]
        joint = labels.reshape(len(joint) * len(pattern), -1)
    return joint


def blocks(*patterns: np.ndarray) -> np.ndarray:
    """Patterns along the diagonal, each with labels of its own; one label for the rest."""
    shape = tuple(sum(p.shape[axis] for p in patterns) for axis in (0, 1))
    joint, o, i = np.zeros(shape, dtype=int), 0, 0
    for pattern in patterns:
        joint[o : o + len(pattern), i : i + pattern.shape[1]] = pattern + joint.max() + 1
        o, i = o + len(pattern), i + pattern.shape[1]
    return joint


def repeated(pattern: np.ndarray, count: int) -> np.ndarray:
    """The same pattern, with the same labels, in each block of the diagonal; one label for the rest."""
    return np.kron(np.eye(count, dtype=int), pattern + 1)


def hamming(values: int, coordinates: int) -> np.ndarray:
    """The number of coordinates in which two words differ."""
    words = np.indices((values,) * coordinates).reshape(coordinates, -1)
    return (words[:, :, None] != words[:, None, :]).sum(axis=0)


def toeplitz(num_out: int, taps: int, stride: int = 1) -> np.ndarray:
    """A valid convolution: one label for each tap, one for the rest."""
    offset = np.arange(stride * (num_out - 1) + taps) - stride * np.arange(num_out)[:, None]
    return np.where((offset >= 0) & (offset < taps), offset + 1, 0)


def regular(elements: list[tuple[int, ...]]) -> np.ndarray:
    """One label for each g⁻¹h: the pattern whose group is the given group of permutations."""
    index = {element: number for number, element in enumerate(elements)}
    return np.array([[index[tuple(np.array(h)[np.argsort(g)].tolist())] for h in elements] for g in elements])


def quaternions() -> list[tuple[int, ...]]:
    """The quaternion group as permutations of its elements 1, i, -1, -i, j, k, -j, -k."""
    i, j = np.array([1, 2, 3, 0, 7, 4, 5, 6]), np.array([4, 5, 6, 7, 2, 3, 0, 1])
    elements = [tuple(range(8))]
    for element in elements:
        images = [tuple(p[list(element)].tolist()) for p in (i, j)]
        elements += [image for image in dict.fromkeys(images) if image not in elements]
    return elements


def pairs_of_five() -> np.ndarray:
    """How many of their points two pairs of five points share."""
    pairs = [{a, b} for a in range(5) for b in range(a)]
    return np.array([[len(p & q) for q in pairs] for p in pairs])


def swapped_torus(n: int) -> np.ndarray:
    """The unordered pair of the distances along the two axes of a torus of n × n."""
    x, y = np.indices((n, n)).reshape(2, -1)
    along = [dihedral(n)[np.ix_(axis, axis)] for axis in (x, y)]
    return np.minimum(*along) * n + np.maximum(*along)


def turned_kernel() -> np.ndarray:
    """A 3 × 3 kernel in four directions, a quarter turn apart."""
    return np.stack([np.rot90(np.arange(9).reshape(3, 3), turns) for turns in range(4)])[:, None]


# A title, the labels, and whether outputs and inputs must be permuted alike.
PATTERNS: dict[str, tuple[np.ndarray, bool]] = {
    "circulant, 16": (circulant(16), False),
    "circulant, 64": (circulant(64), False),
    "circulant and symmetric, 8": (dihedral(8), False),
    "circulant and symmetric, 64": (dihedral(64), False),
    "all tied, 5 × 3": (np.zeros((5, 3), int), False),
    "all tied, 64 × 64": (np.zeros((64, 64), int), False),
    "a I + b 11ᵀ, 6, same action": (np.eye(6, dtype=int), True),
    "a I + b 11ᵀ, 64": (np.eye(64, dtype=int), False),
    "array of 4 × 5, rows and columns exchangeable": (exchangeable(4, 5), False),
    "array of 8 × 8, rows and columns exchangeable": (exchangeable(8, 8), False),
    "array of 3 × 4 × 5, exchangeable along each axis": (exchangeable(3, 4, 5), False),
    "shifts of a torus of 4 × 4": (grid(circulant(4), circulant(4)), False),
    "shifts of a torus of 4 × 6": (grid(circulant(4), circulant(6)), False),
    "shifts of a torus of 8 × 8": (grid(circulant(8), circulant(8)), False),
    "shifts and reflections of a torus of 5 × 8": (grid(dihedral(5), dihedral(8)), False),
    "the same and an exchange of the axes, 8 × 8": (swapped_torus(8), False),
    "ring of 5 along one axis, 4 exchangeable rows": (grid(circulant(5), np.eye(4, dtype=int)), False),
    "16 blocks of 4 × 4, all tied": (repeated(np.zeros((4, 4), int), 16), False),
    "4 blocks of 3 × 3, same action": (repeated(np.zeros((3, 3), int), 4), True),
    "16 blocks a I + b 11ᵀ of 4": (repeated(np.eye(4, dtype=int), 16), False),
    "8 circulant blocks of 4": (repeated(circulant(4), 8), False),
    "blocks of 3 × 3, all tied, in a ring of 4": (np.kron(circulant(4), np.ones((3, 3), int)), False),
    "pooling of 64 inputs by fours": (repeated(np.zeros((1, 4), int), 16), False),
    "a circulant block of 4, a block a I + b 11ᵀ of 3": (blocks(circulant(4), np.eye(3, dtype=int)), False),
    "a ring of 8 and an array of 4 × 5": (blocks(dihedral(8), exchangeable(4, 5)), False),
    "corners of a cube by distance": (hamming(2, 3), False),
    "corners of a cube of 6 dimensions": (hamming(2, 6), False),
    "words of 3 letters out of 4": (hamming(4, 3), False),
    "regular, even permutations of 4": (
        regular([p for p in permutations(range(4)) if np.linalg.det(np.eye(4)[list(p)]) > 0]),
        False,
    ),
    "regular, permutations of 4": (regular(list(permutations(range(4)))), False),
    "regular, quaternions": (regular(quaternions()), False),
    "pairs of five points": (pairs_of_five(), False),
    "valid convolution, 3 taps, 62 × 64": (toeplitz(62, 3), False),
    "convolution kernel, turned by quarters": (turned_kernel(), False),
    "means, groups of 3, 2 and 1": (np.array([0, 0, 0, 1, 1, 2]), False),
    "random labels, 64 × 64": (np.random.default_rng(0).integers(0, 3, (64, 64)), False),
}


HEAD = "| pattern | group | order | gap |\n|---|---|---|---|"


def row(title: str, name: str, order: int, gap: int) -> str:
    """One line of the table."""
    return f"| {title} | {name} | {order if order < 10**12 else f'{order:.2e}'} | {gap} |"


def main() -> None:
    print(HEAD)
    for title, (labels, same_action) in PATTERNS.items():
        group = es.symmetry_group(labels, same_action=same_action)
        print(row(title, group.name, group.order, group.closure_gap))


if __name__ == "__main__":
    main()
