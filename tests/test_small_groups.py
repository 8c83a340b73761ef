"""Small groups, each acting on itself: all of order up to 15, dicyclic and Frobenius groups, and groups like them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from symmetry_cases import example
from test_symmetry import shuffled

import equishare as es
from equishare.symmetry.names import recognise
from equishare.symmetry.names.explanation import phrase
from equishare.symmetry.permutation_group import PermutationGroup

grid, ring, regular = example.grid, example.circulant, example.regular


def metacyclic(m: int, k: int, u: int, square: int = 0) -> np.ndarray:
    """Cayley table of ⟨r, s | rᵐ = 1, sᵏ = r^square, s r s⁻¹ = rᵘ⟩, elements rⁱ sʲ."""
    i, j = np.divmod(np.arange(m * k), k)
    power = np.array([pow(u, int(exponent), m) for exponent in range(k)])
    total = j[:, None] + j
    product = (i[:, None] + power[j][:, None] * i + square * (total // k)) % m * k + total % k
    return product[np.argmin(product, axis=1)]


def alternating_four() -> np.ndarray:
    return regular([p for p in permutations(range(4)) if np.linalg.det(np.eye(4)[list(p)]) > 0])


# The number of groups of each order.
COUNTS = [1, 1, 1, 2, 1, 2, 1, 5, 2, 2, 1, 5, 1, 2, 1]
UP_TO_FIFTEEN = {
    "trivial": ring(1),
    **{f"C_{n}": ring(n) for n in range(2, 16)},
    "C_2 × C_2": grid(ring(2), ring(2)),
    "C_2 × C_4": grid(ring(2), ring(4)),
    "C_2 × C_2 × C_2": grid(*[ring(2)] * 3),
    "C_3 × C_3": grid(ring(3), ring(3)),
    "C_2 × C_6": grid(ring(2), ring(6)),
    "S_3": metacyclic(3, 2, -1),
    **{f"D_{n}": metacyclic(n, 2, -1) for n in (4, 5, 6, 7)},
    "Q_8": metacyclic(4, 2, -1, square=2),
    "Dic_3": metacyclic(6, 2, -1, square=3),
    "A_4": alternating_four(),
}
LARGER = {
    "Q_16": metacyclic(8, 2, -1, square=4),
    "Q_32": metacyclic(16, 2, -1, square=8),
    "Dic_5": metacyclic(10, 2, -1, square=5),
    "Dic_9": metacyclic(9, 4, -1),
    "Dic_12": metacyclic(24, 2, -1, square=12),
    "C_5 ⋊ C_4": metacyclic(5, 4, 2),
    "C_7 ⋊ C_3": metacyclic(7, 3, 2),
    "C_7 ⋊ C_6": metacyclic(7, 6, 3),
    "C_13 ⋊ C_3": metacyclic(13, 3, 3),
    "C_13 ⋊ C_4": metacyclic(13, 4, 5),
    "C_2 × Q_16": grid(metacyclic(8, 2, -1, square=4), ring(2)),
    "C_3 × Q_8": grid(ring(3), metacyclic(4, 2, -1, square=2)),
    "C_3 × Dic_3": grid(ring(3), metacyclic(6, 2, -1, square=3)),
    "Q_8 × Dic_3": grid(metacyclic(6, 2, -1, square=3), metacyclic(4, 2, -1, square=2)),
    "C_2 × (C_5 ⋊ C_4)": grid(metacyclic(5, 4, 2), ring(2)),
    "S_3 × (C_7 ⋊ C_3)": grid(metacyclic(7, 3, 2), metacyclic(3, 2, -1)),
}
# Groups of the orders of those above, with much the same relations.
OTHERS = {
    "semidihedral": metacyclic(8, 2, 3),
    "modular": metacyclic(8, 2, 5),
    "C_4 acting on C_4": metacyclic(4, 4, -1),
    "C_8 acting on C_3": metacyclic(3, 8, -1),
    "C_8 acting on C_5 as C_4": metacyclic(5, 8, 2),
    "C_9 acting on C_7 as C_3": metacyclic(7, 9, 2),
    "C_8 acting on C_9 as C_2": metacyclic(9, 8, -1),
    "C_6 acting on C_9": metacyclic(9, 6, 2),
}


def as_permutations(labels: np.ndarray) -> list[np.ndarray]:
    """The left multiplications, which keep the labels."""
    return [np.argsort(labels[g])[labels[0]] for g in range(len(labels))]


def test_there_are_all_groups_of_order_up_to_fifteen():
    orders = [len(table) for table in UP_TO_FIFTEEN.values()]
    assert np.bincount(orders)[1:].tolist() == COUNTS


@pytest.mark.parametrize("title", [*UP_TO_FIFTEEN, *LARGER])
@pytest.mark.parametrize("place", [np.asarray, shuffled], ids=["in order", "out of order"])
def test_names(title, place):
    labels = {**UP_TO_FIFTEEN, **LARGER}[title]
    group = es.symmetry_group(place(labels))
    assert (group.name, group.order, group.closure_gap) == (title, len(labels), 0)


@pytest.mark.parametrize("title", OTHERS)
def test_groups_like_them_have_no_such_name(title):
    for labels in (OTHERS[title], shuffled(OTHERS[title])):
        group = es.symmetry_group(labels)
        assert group.order == len(labels)
        assert group.name == f"order {len(labels)}, 2 generators"
        assert "a group without a short name" in group.explanation


@pytest.mark.parametrize("title", [*UP_TO_FIFTEEN, *LARGER, *OTHERS])
def test_the_tables_are_those_of_groups(title):
    labels = {**UP_TO_FIFTEEN, **LARGER, **OTHERS}[title]
    known = {p.tobytes() for p in as_permutations(labels)}
    assert len(known) == len(labels)
    for p in as_permutations(labels):
        np.testing.assert_array_equal(labels[p][:, p], labels)
        assert all(p[q].tobytes() in known for q in as_permutations(labels))


@pytest.mark.parametrize(("p", "k"), [(13, 3), (13, 4), (29, 7), (31, 5), (37, 4)])
def test_residues(p, k):
    """Differences modulo p up to k-th roots of unity: the ring may be shifted, and multiplied by the roots."""
    root = next(u for u in range(2, p) if pow(u, k, p) == 1 and all(pow(u, d, p) != 1 for d in range(1, k)))
    label = np.zeros(p, dtype=int)
    for x in range(1, p):
        label[x] = min(x * pow(root, d, p) % p for d in range(k))
    group = es.symmetry_group(shuffled(label[ring(p)], same_action=True), same_action=True)
    assert (group.name, group.order) == (f"C_{p} ⋊ C_{k}", p * k)
    assert f"shifts of a ring of {p}, and multiplications" in group.explanation


def test_explanations():
    assert "quaternions ±1, ±i, ±j, ±k (order 8)" in str(es.symmetry_group(UP_TO_FIFTEEN["Q_8"]))
    assert "rotations of order 6, and elements that reverse them" in str(es.symmetry_group(UP_TO_FIFTEEN["Dic_3"]))


def wreath(base: int, top: list[list[int]]) -> list[np.ndarray]:
    """Generators of C_base ≀ P on blocks of equal size, P generated by permutations of the blocks."""
    blocks = np.arange(base * len(top[0])).reshape(-1, base)
    shift = blocks.copy()
    shift[0] = np.roll(shift[0], 1)
    return [shift.ravel(), *(blocks[p].ravel() for p in top)]


SHIFTED = [1, 2, 0, 5, 3, 4], [3, 4, 5, 0, 1, 2]  # S_3 acting on itself
TURNED = [1, 2, 3, 0, 5, 6, 7, 4], [4, 7, 6, 5, 0, 3, 2, 1]  # D_4 acting on itself


@pytest.mark.parametrize(
    ("base", "top", "name", "order", "words"),
    [
        (3, [[1, 2, 0], [1, 0, 2]], "C_3 ≀ S_3", 162, "all permutations of 3 blocks, and cyclic shifts within each"),
        (3, SHIFTED, "C_3 ≀ S_3 (6 blocks)", 4374, "S_3 on 6 blocks, and cyclic shifts within each"),
        (3, TURNED, "C_3 ≀ D_4 (8 blocks)", 52488, "D_4 on 8 blocks, and cyclic shifts within each"),
        (
            3,
            [[1, 0, 3, 2], [2, 3, 0, 1]],
            "C_3 ≀ (C_2 × C_2)",
            324,
            "2 exchanges, each with or without the others, on 4 blocks, and cyclic shifts within each",
        ),
    ],
)
def test_wreath_products_tell_how_the_top_acts(base, top, name, order, words):
    generators = wreath(base, top)
    group = PermutationGroup(len(generators[0]), generators, order)
    structure = recognise(group)
    assert str(structure) == name
    assert phrase(structure) == words


def test_a4_on_six_points():
    # Turns of the three axes of space, and half turns about one: points x, y, z, −x, −y, −z.
    group = PermutationGroup(6, [np.array([1, 2, 0, 4, 5, 3]), np.array([3, 4, 2, 0, 1, 5])], 12)
    assert str(recognise(group)) == "A_4"


def test_dihedral_group_that_acts_on_itself_is_no_ring_of_its_points():
    table = metacyclic(4, 2, -1)
    group = es.symmetry_group(es.Partition(table), shape=(8, 8))
    assert "a ring of 4, acting on the outputs and the inputs" in str(group.explanation)
