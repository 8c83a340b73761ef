"""Patterns whose shift structure a boundary cuts off."""

from __future__ import annotations

import numpy as np
import pytest
from symmetry_cases import example

import equishare as es
from equishare.symmetry.boundary import _num_offsets, offsets


def valid_plane(height: int, width: int, taps: int) -> np.ndarray:
    """A valid convolution of an image with taps × taps different weights; one label for the rest."""
    rows, cols = height - taps + 1, width - taps + 1
    labels = np.zeros((rows, cols, height, width), dtype=int)
    for y, x, dy, dx in np.ndindex(rows, cols, taps, taps):
        labels[y, x, y + dy, x + dx] = 1 + dy * taps + dx
    return labels.reshape(rows * cols, height * width)


@pytest.mark.parametrize(
    ("labels", "ring"),
    [
        (example.toeplitz(8, 3), "C_10"),
        (example.toeplitz(62, 3), "C_64"),
        # A full convolution, with zeros at both ends.
        (example.toeplitz(8, 3).T, "C_10"),
        # Zero padding: a tap sticks out at each end, so one more position has to be put between.
        (np.maximum(example.toeplitz(12, 3)[:, 1:13], 0), "C_13"),
        # Toeplitz with a label for each diagonal: nothing can be joined.
        (np.arange(6)[:, None] - np.arange(5) + 4, "C_10"),
        (valid_plane(6, 7, 3), "C_6 × C_7"),
    ],
)
def test_closed_to_a_ring_the_pattern_has_a_group(labels, ring):
    group = es.symmetry_group(labels)
    assert group.is_trivial
    assert group.closure_gap > 0
    assert "Shift structure up to the boundary" in group.explanation
    assert group.extension is not None
    assert group.extension.name == ring
    assert f"it has group {ring}." in group.explanation


def test_a_closed_ring_with_a_label_for_each_shift_has_no_gap():
    labels = np.arange(6)[:, None] - np.arange(5) + 4
    assert es.symmetry_group(labels).extension.closure_gap == 0


def test_reflected_border_is_dropped():
    labels = example.toeplitz(14, 3)[:, 1:15]
    labels[0, 1], labels[-1, -2] = 4, 5
    group = es.symmetry_group(labels)
    assert group.is_trivial
    assert "without the outer 1 rows and columns" in group.explanation
    assert group.extension.name == "C_13"


@pytest.mark.parametrize(("num_out", "num_in", "stride"), [(4, 6, 1), (6, 4, 2), (3, 5, 5), (3, 2, 4), (1, 3, 2)])
def test_number_of_offsets(num_out, num_in, stride):
    found = offsets((num_out, 2), (num_in, 3), stride)
    assert _num_offsets((num_out, 2), (num_in, 3), stride) == len({tuple(cell) for cell in found.reshape(2, -1).T})


def test_strided_convolution():
    group = es.symmetry_group(example.toeplitz(6, 3, stride=2))
    assert "Shift structure up to the boundary" in group.explanation
    assert group.extension.order >= 13


@pytest.mark.parametrize(
    "labels",
    [
        example.circulant(8),
        example.dihedral(8),
        np.eye(7, dtype=int),
        np.zeros((5, 5), int),
        example.grid(example.circulant(4), example.circulant(3)),
        np.zeros((1, 6), int),
        *(np.random.default_rng(seed).integers(0, 3, (8, 8)) for seed in range(5)),
    ],
)
@pytest.mark.parametrize("same_action", [False, True])
def test_no_boundary_is_claimed_where_there_is_none(labels, same_action):
    if same_action and labels.shape[0] != labels.shape[1]:
        return
    group = es.symmetry_group(labels, same_action=same_action)
    assert group.extension is None
    assert "boundary" not in group.explanation
