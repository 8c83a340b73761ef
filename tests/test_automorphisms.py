"""Automorphisms of a pattern: against all permutations, on small patterns of every kind; orbits; errors."""

from __future__ import annotations

import sys
from itertools import permutations, product

import numpy as np
import pytest

from equishare.symmetry import automorphism_generators, cell_orbits, symmetry_group
from equishare.symmetry.automorphisms import automorphism_group, transposition


def all_automorphisms(labels: np.ndarray, same_action: bool = False):
    """The definition, tried on every pair of permutations."""
    num_out, num_in = labels.shape
    for p_out, p_in in product(permutations(range(num_out)), permutations(range(num_in))):
        if (not same_action or p_out == p_in) and (labels[np.ix_(p_out, p_in)] == labels).all():
            yield p_out, p_in


def closure(generators: list[tuple[np.ndarray, ...]], sizes: tuple[int, ...]) -> set[tuple[tuple[int, ...], ...]]:
    """Every product of the generators."""
    identity = tuple(tuple(range(n)) for n in sizes)
    found, new = {identity}, [identity]
    while new:
        images = [
            tuple(tuple(int(g[x]) for x in p) for g, p in zip(generator, element, strict=True))
            for element in new
            for generator in generators
        ]
        new = [e for e in dict.fromkeys(images) if e not in found]
        found.update(new)
    return found


def random_patterns():
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (1, 4), (4, 1), (2, 2), (2, 3), (3, 3), (3, 4), (4, 4), (5, 3)]:
        for num_labels in (1, 2, 3):
            yield rng.integers(0, num_labels, shape)


@pytest.mark.parametrize("labels", list(random_patterns()), ids=lambda labels: f"{labels.shape}-{labels.max() + 1}")
def test_the_group_is_that_of_all_pairs_that_fix_the_labels(labels):
    for same_action in [False, True] if labels.shape[0] == labels.shape[1] else [False]:
        generators = automorphism_generators(labels, same_action)
        expected = set(all_automorphisms(labels, same_action))
        assert closure(generators, labels.shape) == expected
        orbits = cell_orbits(generators, labels.shape)
        for o, i in np.ndindex(labels.shape):
            orbit = {(p_out[o], p_in[i]) for p_out, p_in in expected}
            assert orbit == set(zip(*np.nonzero(orbits == orbits[o, i]), strict=True))


def test_taps_move_by_isometries_of_their_grid():
    for shape, order in [((3, 3), 8), ((2, 3), 4), ((4,), 2), ((1, 1), 1), ((2, 2, 2), 48)]:
        labels = np.zeros((1, 1, *shape), dtype=int)
        generators, counted = automorphism_group(labels)
        assert counted == len(closure(generators, (1, 1, int(np.prod(shape))))) == order


def test_channels_and_taps_move_together():
    labels = np.arange(9).reshape(3, 3)
    turned = np.stack([np.rot90(labels, turns) for turns in range(4)])[:, None]
    generators, counted = automorphism_group(turned)
    assert counted == len(closure(generators, (4, 1, 9))) == 4
    orbits = cell_orbits(generators, turned.shape)
    assert orbits.shape == turned.shape
    assert orbits.max() == 8


def test_no_generator_means_that_every_cell_is_alone():
    np.testing.assert_array_equal(cell_orbits([], (2, 3)), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("labels", [np.zeros(3, int), np.zeros((0, 3), int), np.zeros((1, 2, 3), int)])
def test_labels_that_are_no_matrix(labels):
    with pytest.raises(ValueError, match=r"labels must be a matrix with at least one cell, got shape"):
        automorphism_generators(labels)


def test_same_action_needs_a_square_pattern():
    with pytest.raises(ValueError, match="as many outputs as inputs, got 2 outputs and 3 inputs"):
        automorphism_generators(np.zeros((2, 3), int), same_action=True)


def test_same_action_is_true_or_false():
    with pytest.raises(TypeError, match="same_action must be True or False, got 'no'"):
        automorphism_generators(np.zeros((2, 2), int), same_action="no")


@pytest.mark.parametrize(
    ("generator", "shape", "error", "message"),
    [
        (([0, 1, 2], [0, 1]), (2, 3), ValueError, r"a permutation of 0..1 at place 0, got \[0 1 2\]"),
        (([1, 0], [0, 0, 1]), (2, 3), ValueError, r"a permutation of 0..2 at place 1, got \[0 0 1\]"),
        (([1, 0], [0, 1, 2]), (2, 3, 2), ValueError, r"a permutation of 0..5 at place 1"),
        (([1, 0], [0, 1, 2]), (6,), ValueError, "1 to 1 permutations, one an axis, got 2"),
        (([1, 0],), 2, TypeError, "shape must be a tuple of integers"),
    ],
)
def test_orbits_need_permutations_of_the_axes(generator, shape, error, message):
    with pytest.raises(error, match=message):
        cell_orbits([tuple(np.array(p) for p in generator)], shape)


def test_without_igraph(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"need igraph: pip install .*\[symmetry\]"):
        automorphism_generators(np.zeros((2, 3), int))


def test_a_large_pattern_without_symmetry_needs_no_graph(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    labels = np.random.default_rng(0).integers(0, 2, (300, 200))
    assert automorphism_group(labels) == ([], 1)


def test_without_sympy(monkeypatch):
    monkeypatch.setitem(sys.modules, "sympy.combinatorics", None)
    x, y = np.divmod(np.arange(8), 4)
    torus = (x[:, None] ^ x) * 4 + (y - y[:, None]) % 4
    # The invariants are needed where the order of the points does not show the torus.
    assert symmetry_group(torus).name == "C_2 × C_4"
    with pytest.raises(ImportError, match=r"need sympy: pip install .*\[symmetry\]"):
        symmetry_group(torus[[0, 5, 1, 4, 6, 3, 2, 7]])


@pytest.mark.parametrize("seed", range(40))
def test_a_pattern_is_transposed_onto_itself_where_brute_force_finds_a_way(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (3, 3))
    if seed % 2:  # symmetric, but for the order of rows and columns
        labels = np.minimum(labels, labels.T)[rng.permutation(3)][:, rng.permutation(3)]
    every = [np.array(p) for p in permutations(range(3))]
    ways = [(p, q) for p in every for q in every if (labels[q[None, :], p[:, None]] == labels).all()]
    found = transposition(labels)
    assert (found is not None) == bool(ways)
    assert found is None or any((found[0] == p).all() and (found[1] == q).all() for p, q in ways)
    assert found is not None or not seed % 2
