"""Large patterns: named without long stabiliser chains; bounds, followers and chains that the names rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symmetry_cases import example
from test_symmetry import shuffled, unchanged

import equishare as es
from equishare.symmetry import cell_orbits
from equishare.symmetry.automorphisms import automorphism_group
from equishare.symmetry.bounds import bounded
from equishare.symmetry.chain import StabilizerChain
from equishare.symmetry.factors import direct_factors
from equishare.symmetry.followers import without_followers
from equishare.symmetry.permutation_group import PermutationGroup

f, eye = math.factorial, np.eye(200, dtype=int)
tied, repeated, ring, mirrored = np.zeros((200, 200), int), example.repeated, example.circulant, example.dihedral

# Pattern, name and order with outputs and inputs free, and with one action for both.
LARGE = {
    "a I + b 11ᵀ": (eye, ("S_200", f(200)), ("S_200", f(200))),
    "all tied": (tied, ("S_200 × S_200", f(200) ** 2), ("S_200", f(200))),
    "circulant": (ring(200), ("C_200", 200), ("C_200", 200)),
    "ring": (mirrored(200), ("D_200", 400), ("D_200", 400)),
    "torus": (example.grid(ring(10), ring(20)), ("C_10 × C_20", 200), ("C_10 × C_20", 200)),
    "mirrored torus": (example.grid(mirrored(10), mirrored(20)), ("D_10 × D_20", 800), ("D_10 × D_20", 800)),
    "array": (example.exchangeable(8, 25), ("S_8 × S_25", f(8) * f(25)), ("S_8 × S_25", f(8) * f(25))),
    "blocks": (
        repeated(tied[:8, :8], 25),
        ("(S_8 × S_8) ≀ S_25", f(8) ** 50 * f(25)),
        ("S_8 ≀ S_25", f(8) ** 25 * f(25)),
    ),
    "blocks a I + b 11ᵀ": (repeated(eye[:8, :8], 25), *[("S_8 ≀ S_25", f(8) ** 25 * f(25))] * 2),
    "two blocks a I + b 11ᵀ": (repeated(eye[:100, :100], 2), *[("S_100 ≀ C_2", f(100) ** 2 * 2)] * 2),
    "circulant blocks": (repeated(ring(8), 25), *[("C_8 ≀ S_25", 8**25 * f(25))] * 2),
    "a ring of blocks": (
        np.kron(ring(25), np.ones((8, 8), int)),
        ("(S_8 × S_8) ≀ C_25", f(8) ** 50 * 25),
        ("S_8 ≀ C_25", f(8) ** 25 * 25),
    ),
    "blocks of two kinds": (
        example.blocks(tied[:100, :100], eye[:100, :100]),
        ("S_100 × S_100 × S_100", f(100) ** 3),
        ("S_100 × S_100", f(100) ** 2),
    ),
    "words of 2 letters": (example.hamming(15, 2), *[("S_15 ≀ C_2", f(15) ** 2 * 2)] * 2),
    "words of 3 letters": (example.hamming(6, 3), *[("S_6 ≀ S_3", f(6) ** 3 * f(3))] * 2),
    "random": (np.random.default_rng(0).integers(0, 3, (200, 200)), ("trivial", 1), ("trivial", 1)),
    "valid convolution": (example.toeplitz(198, 3), ("trivial", 1), None),
}


@pytest.mark.parametrize(
    ("title", "same_action"),
    [(title, same) for title, (_, *answers) in LARGE.items() for same in (False, True) if answers[same]],
)
def test_large_patterns_need_no_long_chain(title, same_action, monkeypatch):
    lengths = []
    add_level = StabilizerChain._add_level

    def counting(self, point):
        add_level(self, point)
        lengths.append(len(self.base))

    monkeypatch.setattr(StabilizerChain, "_add_level", counting)
    labels, expected = LARGE[title][0], LARGE[title][1 + same_action]
    group = es.symmetry_group(shuffled(labels, same_action), same_action=same_action)
    if title.endswith("torus"):
        # Out of order, its sides are not told.
        assert group.order == expected[1]
    else:
        assert (group.name, group.order) == expected
    assert all(unchanged(group.partition.labels, generator) for generator in group.generators)
    assert max(lengths, default=0) <= 60


def generated(degree: int, generators: list[np.ndarray]) -> list[np.ndarray]:
    combinatorics = pytest.importorskip("sympy.combinatorics")
    return combinatorics.PermutationGroup([combinatorics.Permutation(p.tolist(), size=degree) for p in generators])


def bound(degree: int, generators: list[np.ndarray]) -> int:
    return bounded(PermutationGroup(degree, generators, 0)).order


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 10), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans())
def test_bounds_hold_and_closed_chains_are_complete(degree, count, seed, powers):
    rng = np.random.default_rng(seed)
    generators = [rng.permutation(degree) for _ in range(count)]
    if powers:
        generators = [p[p] for p in generators]
    order = generated(degree, generators).order()
    assert bound(degree, generators) == order
    chain = StabilizerChain(degree)
    for p in generators:
        chain.add(p)
    chain.close()
    assert chain.order == order


@pytest.mark.parametrize("count", [2, 5, 12])
def test_bounds_of_groups_with_long_chains(count):
    """All permutations, the even ones, and wreath products of them are bounded by their own order."""
    assert bound(30, [np.roll(np.arange(30), 1), np.r_[1, 0, 2:30]]) == f(30)
    labels = repeated(np.eye(30, dtype=int), count)
    pairs, order = automorphism_group(labels, same_action=True)
    assert order == f(30) ** count * f(count)
    assert bound(30 * count, [p for p, _, _ in pairs]) == order


def test_even_permutations_are_bounded_by_half():
    turns = [np.r_[:k, k + 1, k + 2, k, k + 3 : 30] for k in range(27)] + [np.r_[:27, 28, 29, 27]]
    assert bound(30, turns) == f(30) // 2


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_orbits_that_follow_are_left_out_and_come_back(size, count, seed):
    """Three copies of one action, out of order, one of them on blocks: one is kept."""
    rng = np.random.default_rng(seed)
    small = [rng.permutation(size) for _ in range(count)]
    places, halves = rng.permutation(5 * size), np.arange(2 * size).reshape(size, 2)
    generators = []
    for p in small:
        points = np.concatenate([p, p + size, 2 * size + p, 3 * size + halves[p].reshape(-1)])
        moved = np.empty_like(points)
        moved[places] = places[points]
        generators.append(moved)
    order = generated(size, small).order()
    reduction = without_followers(PermutationGroup(5 * size, generators, order))
    orbits = [orbit for orbit in PermutationGroup(size, small, order).orbits() if len(orbit) > 1]
    assert len(reduction.kept) <= sum(map(len, orbits))
    for p, q in zip(
        reduction.group.generators, [g for g in generators if (g != np.arange(5 * size)).any()], strict=True
    ):
        np.testing.assert_array_equal(reduction.lift(p), q)


def test_factors_of_two_linked_orbits_stay_together():
    """Blocks of outputs and of inputs that no generator alone shows to move together."""
    pairs, order = automorphism_group(np.kron(np.eye(3, dtype=int), np.ones((2, 4), int)))
    generators = [np.concatenate([out, in_ + 6]) for out, in_, _ in pairs]
    (factor,) = direct_factors(PermutationGroup(18, generators, order))
    assert factor.order == order == (2 * 24) ** 3 * 6


def test_cell_orbits_in_batches():
    rng = np.random.default_rng(0)
    generators = [
        (rng.permutation(6), rng.permutation(5)) if k % 3 else (np.r_[1, 0, 2:6], np.arange(5)) for k in range(9)
    ]
    generators = [(p, np.arange(5)) if k % 2 else (np.arange(6), q) for k, (p, q) in enumerate(generators)]
    for number in range(len(generators)):
        labels = cell_orbits(generators[:number], (6, 5))
        for p_out, p_in in generators[:number]:
            np.testing.assert_array_equal(labels[np.ix_(p_out, p_in)], labels)
        rows, cols = (
            es.Partition(cell_orbits([(g[a],) for g in generators[:number]], (n,))) for a, n in ((0, 6), (1, 5))
        )
        # Each generator moves one axis: the orbits are those of a product.
        assert labels.max() + 1 == rows.num_groups * cols.num_groups


def test_few_labels_do_not_make_the_group_too_large():
    """The few labels that the first graph tells apart have a larger group than the pattern: one cell differs."""
    labels = example.grid(ring(2), ring(64))
    labels[0, np.flatnonzero(labels[0] == np.bincount(labels.ravel()).argmax())] = labels.max() + 1
    assert automorphism_group(shuffled(labels)) == ([], 1)
    doubled = np.kron(ring(64), np.array([[0, 1], [1, 0]])) + 64 * np.kron(ring(64), np.ones((2, 2), int))
    generators, order = automorphism_group(shuffled(doubled))
    assert order == 128
    assert all(unchanged(shuffled(doubled), generator[:2]) for generator in generators)
