"""symmetry_group: names, orders and gaps of known patterns; copies with rows and columns out of order; results."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symmetry_cases import EXPECTED, example
from test_automorphisms import all_automorphisms, closure

import equishare as es
from equishare.symmetry import cell_orbits

circulant, dihedral, exchangeable, grid = example.circulant, example.dihedral, example.exchangeable, example.grid
blocks, repeated, toeplitz, regular = example.blocks, example.repeated, example.toeplitz, example.regular


def shuffled(labels: np.ndarray, same_action: bool = False, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(labels.shape[0])
    return labels[rows][:, rows if same_action else rng.permutation(labels.shape[1])]


def unchanged(labels: np.ndarray, permutations: tuple[np.ndarray, ...]) -> bool:
    cells = labels.reshape([len(p) for p in permutations])
    return np.array_equal(cells[np.ix_(*permutations)], cells)


def test_every_pattern_of_the_table_has_an_answer():
    assert len(EXPECTED) >= 25
    assert EXPECTED.keys() == example.PATTERNS.keys()


@pytest.mark.parametrize("title", EXPECTED)
def test_name_order_and_gap(title):
    labels, same_action = example.PATTERNS[title]
    group = es.symmetry_group(labels, same_action=same_action)
    assert (group.name, group.order, group.closure_gap) == EXPECTED[title]
    assert all(unchanged(labels, generator) for generator in group.generators)
    np.testing.assert_array_equal(cell_orbits(group.generators, labels.shape), group.orbits.cells.labels)
    assert group.closure_gap == es.partition_distance(group.orbits.cells, es.Partition(labels))
    assert group.name in str(group)


@pytest.mark.parametrize("title", [title for title in EXPECTED if example.PATTERNS[title][0].size <= 1000])
def test_the_generators_generate_a_group_of_the_order(title):
    combinatorics = pytest.importorskip("sympy.combinatorics")
    labels, same_action = example.PATTERNS[title]
    group = es.symmetry_group(labels, same_action=same_action)
    if not group.generators:
        assert group.order == 1
        return
    points = []
    for generator in group.generators:
        starts = np.cumsum([0, *(len(p) for p in generator)])
        points.append(np.concatenate([p + start for p, start in zip(generator, starts, strict=False)]).tolist())
    assert combinatorics.PermutationGroup([combinatorics.Permutation(p) for p in points]).order() == group.order


@pytest.mark.parametrize("title", [title for title in EXPECTED if example.PATTERNS[title][0].ndim == 2])
def test_the_name_does_not_depend_on_the_order_of_rows_and_columns(title):
    labels, same_action = example.PATTERNS[title]
    group = es.symmetry_group(shuffled(labels, same_action), same_action=same_action)
    assert (group.name, group.order, group.closure_gap) == EXPECTED[title]


@pytest.mark.parametrize("n", range(3, 33))
def test_rings(n):
    assert es.symmetry_group(circulant(n)).name == f"C_{n}"
    assert es.symmetry_group(shuffled(circulant(n))).name == f"C_{n}"
    turned = es.symmetry_group(dihedral(n))
    assert turned.name == f"D_{n}"
    assert turned.order == 2 * n
    assert turned.closure_gap == 0
    # With one action for both, three points that move freely are called S_3.
    assert es.symmetry_group(dihedral(n), same_action=True).name == (f"D_{n}" if n > 3 else "S_3")


def test_generators_of_a_ring_are_the_shift_by_one_and_the_reflection_that_keeps_the_first_point():
    shift, reflection = es.symmetry_group(dihedral(8)).generators
    for p in shift:
        np.testing.assert_array_equal(p, (np.arange(8) + 1) % 8)
    for p in reflection:
        np.testing.assert_array_equal(p, -np.arange(8) % 8)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (2, 5), (3, 3), (3, 7), (5, 4), (6, 6), (2, 32)])
def test_exchangeable_arrays(n, m):
    group = es.symmetry_group(exchangeable(n, m))
    low, high = sorted((n, m))
    expected = f"S_{low} × S_{high}"
    assert (group.name, group.order) == (expected, math.factorial(n) * math.factorial(m))
    assert es.symmetry_group(shuffled(exchangeable(n, m))).name == expected


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 4), (3, 3), (3, 4), (3, 5), (2, 12), (4, 6), (6, 6), (5, 7), (7, 8)])
def test_torus_shifts(n, m):
    group = es.symmetry_group(grid(circulant(n), circulant(m)))
    assert (group.name, group.order, group.closure_gap) == (f"C_{n} × C_{m}", n * m, 0)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((3, 4), "C_12"), ((2, 3), "C_6"), ((2, 12), "C_4 × C_6"), ((4, 6), "C_4 × C_6"), ((2, 2, 4), "C_2 × C_2 × C_4")],
)
def test_torus_out_of_order(sizes, expected):
    """Isomorphic tori cannot be told apart without the order of the rows and columns: one name serves."""
    labels = shuffled(grid(*(circulant(n) for n in sizes)), seed=1)
    assert es.symmetry_group(labels).name == expected


@pytest.mark.parametrize(("n", "m"), [(4, 5), (6, 5), (4, 7)])
def test_torus_shifts_and_reflections(n, m):
    low, high = sorted((n, m))
    group = es.symmetry_group(shuffled(grid(dihedral(n), dihedral(m))))
    assert (group.name, group.order) == (f"D_{low} × D_{high}", 4 * n * m)


def dicyclic(n: int) -> list[tuple[int, ...]]:
    """Elements aʲxᵏ with a of order 2n, x² = aⁿ, x a x⁻¹ = a⁻¹, as permutations by left multiplication."""
    names = [(j, k) for k in (0, 1) for j in range(2 * n)]
    times_a = [names.index(((j + 1) % (2 * n), k)) for j, k in names]
    times_x = [names.index(((-j + n * k) % (2 * n), 1 - k)) for j, k in names]
    return sorted(p for (p,) in closure([(np.array(times_a),), (np.array(times_x),)], (4 * n,)))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_group_of_the_order_of_a_dihedral_one_is_not_called_dihedral(n):
    group = es.symmetry_group(regular(dicyclic(n)))
    assert (group.order, group.name) == (4 * n, {2: "Q_8", 4: "Q_16"}.get(n, f"Dic_{n}"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (blocks(circulant(4), circulant(4), np.eye(5, dtype=int)), "C_4 × C_4 × S_5"),
        (blocks(*[np.zeros((1, 2), int)] * 5), "C_2^5"),
        (blocks(regular(dicyclic(2)), circulant(4)), "C_4 × Q_8"),
        (repeated(dihedral(5), 3), "D_5 ≀ S_3"),
        (np.kron(circulant(5), np.ones((1, 3), int)), "S_3 ≀ C_5"),
        (blocks(repeated(np.zeros((1, 3), int), 2), repeated(np.zeros((1, 4), int), 5)), "S_3 ≀ C_2 × S_4 ≀ S_5"),
        (np.zeros((1, 7), int), "S_7"),
        (np.zeros((7, 1), int), "S_7"),
        (np.zeros((1, 1), int), "trivial"),
    ],
)
def test_other_patterns(labels, expected):
    expected = expected.replace("S_3 ≀ C_2 × S_4 ≀ S_5", "(S_3 ≀ C_2) × (S_4 ≀ S_5)")
    assert es.symmetry_group(labels).name == expected
    assert es.symmetry_group(shuffled(labels)).name == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1), st.booleans())
def test_small_patterns_against_all_pairs_of_permutations(num_out, num_in, num_labels, seed, same_action):
    num_in = num_out if same_action else num_in
    labels = np.random.default_rng(seed).integers(0, num_labels, (num_out, num_in))
    group = es.symmetry_group(labels, same_action=same_action)
    expected = set(all_automorphisms(labels, same_action))
    assert group.order == group.structure.order == len(expected)
    assert closure(group.generators, labels.shape) == expected
    assert group.orbits.cells.refines(group.partition)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_orbits_of_a_group_have_no_gap(num_out, num_in, num_generators, seed):
    rng = np.random.default_rng(seed)
    generators = [(rng.permutation(num_out), rng.permutation(num_in)) for _ in range(num_generators)]
    orbits = es.Partition(cell_orbits(generators, (num_out, num_in)))
    group = es.symmetry_group(orbits)
    assert group.closure_gap == 0
    assert group.orbits.cells == orbits
    assert group.order == group.structure.order


def test_random_elements_are_uniform():
    rng = np.random.default_rng(0)
    for labels, order in [(np.zeros((2, 3), int), 12), (np.array([0, 0, 0, 1, 1]), 12)]:
        group = es.symmetry_group(labels)
        drawn = [tuple(tuple(p.tolist()) for p in group.random_element(rng)) for _ in range(600)]
        counts = [drawn.count(element) for element in set(drawn)]
        assert len(counts) == order
        assert sum((count - 50) ** 2 / 50 for count in counts) < 11 + 5 * np.sqrt(22)


def test_orbits_on_outputs_and_inputs():
    group = es.symmetry_group(blocks(circulant(3), np.zeros((1, 2), int)))
    np.testing.assert_array_equal(group.orbits.outputs.labels, [0, 0, 0, 1])
    np.testing.assert_array_equal(group.orbits.inputs.labels, [0, 0, 0, 1, 1])
    assert group.orbits.taps is None


def test_kernel():
    laplace = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]])
    group = es.symmetry_group(np.broadcast_to(laplace, (2, 3, 3, 3)))
    assert (group.name, group.order) == ("C_2 × D_4 × S_3", 2 * 8 * 6)
    assert [len(p) for p in group.generators[0]] == [2, 3, 9]
    np.testing.assert_array_equal(group.orbits.taps.labels, laplace)
    assert group.closure_gap == 0
    assert unchanged(group.partition.labels, group.random_element(np.random.default_rng(0)))


def test_shape_of_a_flat_partition():
    flat = es.Partition(circulant(6).ravel())
    assert es.symmetry_group(flat, shape=(6, 6)).name == "C_6"
    assert es.symmetry_group(flat).generators[0][0].shape == (36,)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        (
            np.zeros((2, 3), int),
            {"shape": (2, 4)},
            r"with the 6 entries of the partition and at least one, got \(2, 4\)",
        ),
        (np.zeros((0, 3), int), {}, r"at least one, got \(0, 3\)"),
        (np.array(1), {}, r"got \(\)"),
        (np.zeros(3, int), {"same_action": True}, "got a vector"),
        (np.zeros((2, 3), int), {"same_action": True}, "got 2 outputs and 3 inputs"),
    ],
)
def test_wrong_input(labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        es.symmetry_group(labels, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": (2.0, 3)}, TypeError, r"shape must be a tuple of integers, such as \(O, I\), got \(2.0, 3\)"),
        ({"shape": "ab"}, TypeError, "shape must be a tuple of integers, .* got 'ab'"),
        ({"shape": 6}, TypeError, "shape must be a tuple of integers, .* got 6"),
        ({"shape": (True, 6)}, TypeError, r"shape must be a tuple of integers, .* got \(True, 6\)"),
        ({"shape": (-2, -3)}, ValueError, r"shape must hold sizes of at least 0, got \(-2, -3\)"),
        ({"same_action": "no"}, TypeError, "same_action must be True or False, got 'no'"),
        ({"same_action": 1}, TypeError, "same_action must be True or False, got 1"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        es.symmetry_group(np.zeros((2, 3), int), **arguments)


def test_sizes_and_truth_values_of_numpy():
    assert es.symmetry_group(np.zeros(4, int), shape=np.array([2, 2]), same_action=np.True_).name == "C_2"


def test_explanations():
    assert str(es.symmetry_group(dihedral(8))).startswith("D_8: rotations and reflections of the ring (order 16).")
    assert "rows and of the columns of an array of 4 × 5" in str(es.symmetry_group(exchangeable(4, 5)))
    assert "No two cells are tied" in str(es.symmetry_group(np.arange(6).reshape(2, 3)))
    assert "order about 1.61e178" in str(es.symmetry_group(np.zeros((64, 64), int)))
    assert repr(es.symmetry_group(circulant(4))) == (
        "SymmetryGroup(C_4, order=4, shape=(4, 4), same_action=False, generators=1, closure_gap=0)"
    )


def test_the_table_in_the_docs_is_the_printed_one():
    table = "\n".join([example.HEAD, *(example.row(title, *expected) for title, expected in EXPECTED.items())])
    assert table in (Path(__file__).parents[1] / "docs" / "symmetry.md").read_text(encoding="utf-8")


def test_orders_of_thousands_of_digits():
    everything = es.symmetry_group(np.zeros((1500, 1400), int))
    assert everything.order == math.factorial(1500) * math.factorial(1400)
    assert everything.name == "S_1500 × S_1400"
    assert f"order={math.factorial(7)}," in repr(es.symmetry_group(np.zeros(7, int)))
    assert len(repr(es.symmetry_group(np.zeros(2000, int)))) > 5000


def test_exchanges_of_many_points_need_no_chain():
    group = es.symmetry_group(np.zeros((200, 300), int))
    assert (group.name, group.order) == ("S_200 × S_300", math.factorial(200) * math.factorial(300))
    assert len(group.generators) == 4
