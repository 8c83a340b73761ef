"""Partition and partition_distance: contract, lattice, metric, matching against brute force."""

from __future__ import annotations

import copy
import pickle
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from equishare._matching import max_weight_matching
from equishare.partition import Partition, moved_entries, partition_distance


def label_lists(count: int, max_entries: int = 8):
    """Lists of labels of one common length, `count` of them."""
    return st.integers(0, max_entries).flatmap(
        lambda k: st.tuples(*[st.lists(st.integers(0, k), min_size=k, max_size=k)] * count)
    )


def moves_by_brute_force(a: list[int], b: list[int]) -> int:
    """The definition: rename the groups of b in every way and count the entries that differ."""
    names = range(max([*a, *b], default=0) + 1)
    return min(sum(x != renaming[y] for x, y in zip(a, b, strict=True)) for renaming in permutations(names))


class TestPartition:
    @pytest.mark.parametrize(
        ("labels", "expected", "num_groups"),
        [
            ([7, 7, 3], [0, 0, 1], 2),
            ([[5, 1], [1, 5]], [[0, 1], [1, 0]], 2),
            (np.array([3, -1, 3], dtype=np.int8), [0, 1, 0], 2),
            (np.array([255, 0, 255], dtype=np.uint8), [0, 1, 0], 2),
            (np.array([-128, 127, 0, 127], dtype=np.int8), [0, 1, 2, 1], 3),
            (np.array([2**64 - 1, 0], dtype=np.uint64), [0, 1], 2),
            ([2**62, -(2**62), 2**62], [0, 1, 0], 2),
            ([True, False, True], [0, 1, 0], 2),
            ([2.0, -0.0, 0.0], [0, 1, 1], 2),
            (torch.tensor([[4, 4], [2, 4]]), [[0, 0], [1, 0]], 2),
            (torch.tensor([1.0, 3.0], dtype=torch.bfloat16, requires_grad=True), [0, 1], 2),
            (np.arange(12).reshape(3, 4).T[::2, ::-1], [[0, 1, 2], [3, 4, 5]], 6),
            (9, 0, 1),
            ([], [], 0),
            (np.empty((0, 3), dtype=np.int32), np.empty((0, 3)), 0),
        ],
    )
    def test_labels_are_renumbered_by_first_appearance(self, labels, expected, num_groups):
        p = Partition(labels)
        np.testing.assert_array_equal(p.labels, expected)
        assert p.labels.dtype == np.int64
        assert p.shape == np.shape(expected)
        assert p.num_groups == num_groups
        assert len(p) == np.size(expected)

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            ([0.5, 1.0], ValueError, r"labels must be integers, got 0.5 at position \(0,\)"),
            ([[1.0, 2.0], [np.nan, 0.0]], ValueError, r"got nan at position \(1, 0\)"),
            ([0.0, np.inf], ValueError, "got inf"),
            ([1e300], ValueError, "got 1e\\+300"),
            ([[0, 1], [2]], ValueError, "labels must be a rectangular array"),
            ([2**70], TypeError, "at most 64 bits"),
            (["a", "b"], TypeError, "labels must be integers"),
            ([1j], TypeError, "complex"),
            (None, TypeError, "labels must be integers"),
        ],
    )
    def test_bad_labels(self, labels, error, message):
        with pytest.raises(error, match=message):
            Partition(labels)

    @pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint64, np.float32])
    def test_names_over_the_whole_range_of_a_type(self, dtype):
        values = np.arange(256) - (128 if np.issubdtype(dtype, np.signedinteger) else 0)
        p = Partition(np.concatenate([values, values[::-1]]).astype(dtype))
        np.testing.assert_array_equal(p.labels, [*range(256), *range(255, -1, -1)])

    def test_does_not_alias_or_change(self):
        labels = np.array([0, 1, 1])
        p = Partition(labels)
        labels[0] = 1
        assert p == Partition([0, 1, 1])
        with pytest.raises(ValueError, match="read-only"):
            p.labels[0] = 1
        with pytest.raises(AttributeError, match="immutable"):
            p.num_groups = 5

    @pytest.mark.parametrize("again", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
    def test_copies(self, again):
        p = Partition([[1, 0], [1, 2]])
        assert again(p) == p
        assert not again(p).labels.flags.writeable

    @pytest.mark.parametrize(
        ("left", "right", "equal"),
        [
            ([0, 0, 1], [5, 5, 2], True),
            ([0, 0, 1], [0, 1, 1], False),
            ([[0, 1]], [[0], [1]], False),
            ([], [], True),
        ],
    )
    def test_equality_and_hash(self, left, right, equal):
        assert (Partition(left) == Partition(right)) is equal
        assert len({Partition(left), Partition(right)}) == (1 if equal else 2)

    def test_not_equal_to_an_array(self):
        assert Partition([0]) != [0]

    def test_repr(self):
        p = Partition([[0, 1], [1, 0]])
        text = repr(p)
        assert text == "Partition([[0, 1],\n           [1, 0]], num_groups=2)"
        assert "..." in repr(Partition(np.arange(1000)))

    @pytest.mark.parametrize("module", [np.array, torch.tensor])
    def test_from_assignment(self, module):
        soft = module([[0.2, 0.8, 0.0], [0.1, 0.0, 0.9], [0.0, 0.5, 0.5]])
        assert Partition.from_assignment(soft) == Partition([0, 1, 0])

    @pytest.mark.parametrize("shape", [(0, 3), (0, 0)])
    def test_from_assignment_without_rows(self, shape):
        assert Partition.from_assignment(np.empty(shape)) == Partition([])

    @pytest.mark.parametrize(
        ("assignment", "error", "message"),
        [
            (np.ones(3), ValueError, r"\(K, G\) matrix, got shape \(3,\)"),
            (np.ones((2, 0)), ValueError, "at least one column"),
            (np.array([[0.0, 1.0], [np.nan, 0.0]]), ValueError, "NaN in row 1"),
            (np.array([["a"]]), TypeError, "real numbers"),
        ],
    )
    def test_bad_assignment(self, assignment, error, message):
        with pytest.raises(error, match=message):
            Partition.from_assignment(assignment)

    @given(label_lists(1))
    def test_assignment_round_trip(self, lists):
        p = Partition(lists[0])
        one_hot = p.to_assignment()
        assert one_hot.shape == (len(p), p.num_groups)
        assert one_hot.dtype == np.float64
        assert Partition.from_assignment(one_hot) == p
        np.testing.assert_array_equal(one_hot.sum(0), p.group_sizes)


class TestLattice:
    @pytest.mark.parametrize(
        ("p", "q", "meet", "join"),
        [
            ([0, 0, 1, 1], [0, 1, 1, 2], [0, 1, 2, 3], [0, 0, 0, 0]),
            ([0, 0, 1, 1, 2], [0, 0, 0, 0, 1], [0, 0, 1, 1, 2], [0, 0, 0, 0, 1]),
            ([[0, 1], [2, 0]], [[0, 0], [1, 2]], [[0, 1], [2, 3]], [[0, 0], [1, 0]]),
        ],
    )
    def test_examples(self, p, q, meet, join):
        assert Partition(p).meet(Partition(q)) == Partition(meet)
        assert Partition(p).join(Partition(q)) == Partition(join)

    @pytest.mark.parametrize("repeats", [1, 256])
    def test_join_of_repeated_ties(self, repeats):
        p, q = Partition([0, 0, 1, 1] * repeats), Partition([0, 1, 1, 2] * repeats)
        assert p.join(q).num_groups == 1

    @given(label_lists(3))
    def test_laws(self, lists):
        p, q, r = map(Partition, lists)
        assert p.meet(q) == q.meet(p)
        assert p.join(q) == q.join(p)
        assert p.meet(q.meet(r)) == p.meet(q).meet(r)
        assert p.join(q.join(r)) == p.join(q).join(r)
        assert p.meet(p.join(q)) == p == p.join(p.meet(q))
        assert p.meet(p) == p == p.join(p)

    @given(label_lists(3))
    def test_bounds(self, lists):
        p, q, r = map(Partition, lists)
        assert p.meet(q).refines(p)
        assert p.meet(q).refines(q)
        assert p.refines(p.join(q))
        assert q.refines(p.join(q))
        if r.refines(p) and r.refines(q):
            assert r.refines(p.meet(q))
        if p.refines(r) and q.refines(r):
            assert p.join(q).refines(r)

    @given(label_lists(2))
    def test_refinement_is_the_order(self, lists):
        p, q = map(Partition, lists)
        a, b = lists
        pairs = [(i, j) for i in range(len(a)) for j in range(i)]
        assert p.refines(q) == all(b[i] == b[j] for i, j in pairs if a[i] == a[j])
        assert p.refines(q) == (p.meet(q) == p) == (p.join(q) == q)
        assert (p.refines(q) and q.refines(p)) == (p == q)

    @pytest.mark.parametrize("operation", ["refines", "meet", "join"])
    def test_bad_operand(self, operation):
        p = Partition([[0, 1]])
        with pytest.raises(ValueError, match=r"same shape, got \(1, 2\) and \(2,\)"):
            getattr(p, operation)(Partition([0, 1]))
        with pytest.raises(TypeError, match="expected a Partition, got list"):
            getattr(p, operation)([[0, 1]])


# Each way to solve the matching, whatever the size of the table.
SOLVERS = {
    "dense": {},
    "sparse": {"dense_cells": 0},
    "sparse in local order": {"dense_cells": 0, "many_edges": 0},
}
solvers = pytest.mark.parametrize("solver", SOLVERS)


def distance_by(solver, p, q):
    return moved_entries(Partition(p), Partition(q), **SOLVERS[solver])


class TestDistance:
    @pytest.mark.parametrize(
        ("p", "q", "distance"),
        [
            ([0, 0, 1, 1], [0, 1, 1, 1], 1),
            ([0, 0, 0], [0, 1, 2], 2),
            ([0, 1, 2, 3], [3, 2, 1, 0], 0),
            ([[0, 0], [1, 1]], [[0, 1], [0, 1]], 2),
            ([0], [7], 0),
            ([], [], 0),
            (np.zeros((0, 2), int), np.zeros((0, 2), int), 0),
        ],
    )
    @solvers
    def test_examples(self, p, q, distance, solver):
        for result in (
            distance_by(solver, p, q),
            partition_distance(p, q),
            partition_distance(Partition(p), torch.as_tensor(q)),
        ):
            assert result == distance
            assert type(result) is int

    @solvers
    @given(lists=label_lists(2, max_entries=5))
    def test_against_the_definition(self, solver, lists):
        a, b = lists
        assert distance_by(solver, a, b) == partition_distance(a, b) == moves_by_brute_force(a, b)

    @solvers
    @given(lists=label_lists(3, max_entries=12))
    def test_metric(self, solver, lists):
        p, q, r = lists
        assert distance_by(solver, p, q) == distance_by(solver, q, p)
        assert distance_by(solver, p, r) <= distance_by(solver, p, q) + distance_by(solver, q, r)
        assert (distance_by(solver, p, q) == 0) == (Partition(p) == Partition(q))

    @solvers
    @given(lists=label_lists(2, max_entries=12), random=st.randoms(use_true_random=False))
    def test_renaming(self, solver, lists, random):
        a, b = lists
        names = random.sample(range(-1000, 1000), len(a) + 1)
        assert distance_by(solver, [names[i] for i in a], b) == distance_by(solver, a, b)

    @pytest.mark.parametrize(
        ("num_entries", "groups"),
        [(3000, (7, 9)), (3000, (200, 150)), (2000, (1500, 1500)), (2000, (1, 700))],
    )
    @solvers
    def test_against_dense_assignment(self, num_entries, groups, solver):
        rng = np.random.default_rng(0)
        a, b = (rng.integers(0, g, num_entries) for g in groups)
        table = np.zeros(groups, dtype=np.int64)
        np.add.at(table, (a, b), 1)
        matched = table[linear_sum_assignment(table, maximize=True)].sum()
        assert distance_by(solver, a, b) == num_entries - matched

    @pytest.mark.parametrize("max_weight", [1, 3, 50, 5000])
    @pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
    def test_matching_of_any_weights(self, max_weight, density):
        rng = np.random.default_rng(1)
        for many_edges in (0, 10**9):
            table = rng.integers(1, max_weight + 1, (40, 30)) * (rng.random((40, 30)) < density)
            rows, cols = np.nonzero(table)
            expected = table[linear_sum_assignment(table, maximize=True)].sum()
            assert max_weight_matching(rows, cols, table[rows, cols], many_edges) == expected

    @pytest.mark.parametrize(
        ("p", "q", "distance"),
        [
            ("singletons", "shuffled singletons", 0),
            ("runs of 2", "runs of 2 moved by one", 100_000),
            ("singletons", "one group", 199_999),
            ("runs of 2", "shuffled runs of 2", 100_000),
        ],
    )
    def test_large(self, p, q, distance):
        entries = np.arange(200_000)
        shuffled = np.random.default_rng(0).permutation(200_000)
        labels = {
            "singletons": entries,
            "shuffled singletons": shuffled,
            "one group": 0 * entries,
            "runs of 2": entries // 2,
            "runs of 2 moved by one": (entries + 1) // 2,
            "shuffled runs of 2": shuffled // 2,
        }
        assert partition_distance(labels[p], labels[q]) == distance

    @pytest.mark.parametrize(
        ("p", "q", "error", "message"),
        [
            ([0, 1], [0, 1, 2], ValueError, r"same shape, got \(2,\) and \(3,\)"),
            ([[0], [1]], [0, 1], ValueError, "same shape"),
            ([0.5], [0], ValueError, "labels must be integers"),
            ([0], "a", TypeError, "labels must be integers"),
        ],
    )
    def test_bad_input(self, p, q, error, message):
        with pytest.raises(error, match=message):
            partition_distance(p, q)
