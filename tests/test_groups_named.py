"""Groups by name, and the pattern that a group ties, compared with sympy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from symmetry_cases import EXPECTED
from test_small_groups import LARGER, UP_TO_FIFTEEN

import equishare as es
from equishare.symmetry.names import recognise
from equishare.symmetry.permutation_group import PermutationGroup

combinatorics = pytest.importorskip("sympy.combinatorics")
SPECIAL = pytest.importorskip("sympy.combinatorics.named_groups")

# Name: points, order, orbits on pairs of points.
NAMED = {
    "C_8": (8, 8, 8),
    "D_6": (6, 12, 4),
    "S_3 × S_4": (12, 144, 4),
    "S_3 + S_4": (7, 144, 6),
    "A_5": (5, 60, 2),
    "A_6": (6, 360, 2),
    "C_4 × C_4": (16, 16, 16),
    "C_2 ≀ C_4": (8, 64, 5),
    "Q_8": (8, 8, 8),
    "Dic_3": (12, 12, 12),
    "C_7 ⋊ C_3": (7, 21, 3),
    "C_2^5": (32, 32, 32),
    "C_3 ≀ S_3 (6 blocks)": (18, 4374, 8),
    "D_4 ≀ (C_2 × C_2)": (16, 8**4 * 4, 6),
    "C_2 × (C_5 ⋊ C_4)": (10, 40, 4),
    "(S_3 + C_2) ≀ S_2": (10, 288, 10),
    "trivial": (1, 1, 1),
}


@pytest.mark.parametrize("name", NAMED)
def test_points_order_and_orbits(name):
    points, order, orbits = NAMED[name]
    group = es.named_group(name)
    assert group.partition.shape == (points, points)
    assert (group.order, group.to_sympy().order()) == (order, order)
    assert group.partition.num_groups == orbits
    assert group.partition == group.orbits.cells == es.pattern(name)
    assert (group.same_action, group.closure_gap) == (True, 0)
    for p_out, p_in in [*group.generators, group.random_element(np.random.default_rng(0))]:
        np.testing.assert_array_equal(p_out, p_in)
        np.testing.assert_array_equal(group.partition.labels[np.ix_(p_out, p_in)], group.partition.labels)


@pytest.mark.parametrize("name", sorted({name for name, *_ in EXPECTED.values()} | {*UP_TO_FIFTEEN, *LARGER}))
def test_names_that_the_library_prints_are_read(name):
    group = es.named_group(name)
    assert group.name == name
    known = {name: order for name, order, _ in EXPECTED.values()}
    assert group.order == known.get(name, group.order)
    if group.order < 10**5 and group.partition.shape[0] <= 200:
        exported = group.to_sympy()
        assert exported.order() == group.order
        if group.generators and " × " not in name and "≀" not in name:
            points = [p for p, _ in group.generators]
            assert str(recognise(PermutationGroup(len(points[0]), points, group.order))) == name


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("S_3 x S_4", "S_3 × S_4"),
        ("S_3×S_4", "S_3 × S_4"),
        ("S_2 wr C_4", "C_2 ≀ C_4"),
        (" ( C_4 ) ", "C_4"),
        ("C_4 x (C_3 x C_5)", "C_4 × C_3 × C_5"),
        ("A_3", "C_3"),
        ("S_1 × C_5", "C_5"),
        ("S_3 ≀ S_2 ≀ C_3", "(S_3 ≀ C_2) ≀ C_3"),
        ("C_2 ≀ S_3 (3 coordinates)", "C_2 ≀ S_3"),
        ("trivial ≀ S_3", "S_3"),
        ("C_2 ≀ (trivial + trivial)", "C_2 × C_2"),
    ],
)
def test_other_spellings(name, printed):
    group = es.named_group(name)
    assert group.name == printed
    assert group.to_sympy().order() == group.order


def test_a_named_group_need_not_be_the_group_of_its_pattern():
    assert es.named_group("A_5").order == 60
    assert es.symmetry_group(es.pattern("A_5"), same_action=True).name == "S_5"
    assert "even permutations (order 60)" in str(es.named_group("A_5"))
    assert "all permutations of 3 outputs and 3 inputs; cyclic" in str(es.named_group("S_3 + C_4"))


def test_large_names():
    assert es.named_group("S_700 + S_800").order == math.factorial(700) * math.factorial(800)
    torus = es.named_group("S_30 × S_40")
    p, _ = torus.random_element(np.random.default_rng(0))
    rows, cols = np.divmod(p.reshape(30, 40), 40)
    assert (rows == rows[:, :1]).all() and (cols == cols[0]).all()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (8, TypeError, 'name must be a text such as "C_8", got 8'),
        ("", ValueError, 'a group is missing at its end. Accepted: "C_8"'),
        ("C_", ValueError, "cannot read 'C_'"),
        ("E_8", ValueError, "a group is missing before 'E'"),
        ("C_4 C_3", ValueError, "'C' is not expected there"),
        ("C_4 ×", ValueError, "a group is missing at its end"),
        ("(C_4", ValueError, "a bracket is not closed"),
        ("D_2", ValueError, "D_n needs n ≥ 3"),
        ("Q_12", ValueError, "Q_n needs n ≥ 8, a power of two"),
        ("C_9 ⋊ C_3", ValueError, "p prime"),
        ("S_3 ⋊ C_3", ValueError, "⋊ is for C_p ⋊ C_k"),
        ("C_2 ≀ S_4 (6 blocks)", ValueError, "it does not tell how S_4 acts on 6 blocks"),
        ("C_2 ≀ S_4 (4 blocks", ValueError, "a bracket is not closed"),
        ("order 60, 2 generators", ValueError, "An order alone does not tell a group"),
        ("S_1500 × S_1400", ValueError, "on at most 4096 points, .* which has at least 2100000. G \\+ H acts"),
        ("S_1000000000", ValueError, "which has at least 1000000000"),
        ("Dic_4000", ValueError, "which has at least 16000"),
        ("C_2^13", ValueError, "which has at least 8192"),
        ("C_2^5000", ValueError, "a power must be from 1 to 4096"),
        ("prism vertices", ValueError, "cannot read 'prism vertices'"),
        ("cube corners", ValueError, "cannot read 'cube corners'"),
    ],
)
def test_names_that_are_none(name, error, message):
    with pytest.raises(error, match=message):
        es.named_group(name)


@pytest.mark.parametrize(
    "group",
    [
        "D_5",
        es.named_group("D_5"),
        SPECIAL.DihedralGroup(5),
        [[1, 2, 3, 4, 0], [0, 4, 3, 2, 1]],
        [(np.roll(np.arange(5), -1),) * 2, (-np.arange(5) % 5,) * 2],
        np.array([[1, 2, 3, 4, 0], [0, 4, 3, 2, 1]]),
        [combinatorics.Permutation([1, 2, 3, 4, 0]), combinatorics.Permutation([0, 4, 3, 2, 1])],
    ],
    ids=["name", "group", "sympy", "lists", "pairs", "array", "sympy permutations"],
)
def test_patterns_of_whatever_is_a_group(group):
    ring = np.arange(5)
    distance = np.minimum((ring - ring[:, None]) % 5, (ring[:, None] - ring) % 5)
    assert es.pattern(group) == es.Partition(distance)
    x = np.random.default_rng(0).standard_normal((30, 5))
    circulant = np.array([0.5, 2.0, 1.0])[distance]
    assert es.equivariance_error(lambda x: x @ circulant, group, x).errors.max() < 1e-12
    assert es.equivalence_test(lambda x: x @ circulant, group, x, 1e-6).holds


def test_patterns_of_other_shapes_and_a_layer():
    assert es.pattern([([1, 0], [1, 2, 0])]).shape == (2, 3)
    assert es.pattern(es.symmetry_group([0, 0, 1])).shape == (3,)
    tied = es.pattern("S_3 × S_4")
    layer = es.nn.SharedLinear(12, 12, tied, bias=False)
    assert (layer.num_groups, layer.partition) == (4, tied)
    x = torch.randn(20, 12)
    assert es.equivariance_error(layer, "S_3 × S_4", x).errors.max() < 1e-6


@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        (3, TypeError, "group must be a SymmetryGroup, a name such as 'D_6', .* got int"),
        ([], ValueError, "give the identity"),
        ([3, 1], ValueError, "group must hold permutations, .* got 3"),
        ([[0, 2]], ValueError, r"group must hold permutations, .* got \[0, 2\]"),
        ([[0.0, 1.0]], ValueError, "group must hold permutations"),
        ([[1, 0], [0, 1, 2]], ValueError, r"one number of points, got \[\(2, 2\), \(3, 3\)\]"),
        ([[1, 0, 2], ([1, 0, 2], [1, 0])], ValueError, "either single permutations or pairs"),
    ],
)
def test_bad_groups(group, error, message):
    with pytest.raises(error, match=message):
        es.pattern(group)
