"""Patterns, the path of merges that proposes them, and the memory that their fits take."""

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from model_cases import linear, linear_data, linear_problem, made, mse
from scipy.cluster.hierarchy import cut_tree, linkage
from torch import nn

import equishare as es
from equishare import reference
from equishare.problems.base import Slot
from equishare.problems.estimates import Weighted
from equishare.problems.network.fisher import entry_weights, fisher_estimates, flat_entries, one_step_estimates
from equishare.problems.network.memory import replicas_at_once
from equishare.problems.network.patterns import Pattern, all_free, all_tied, free_state, hard_state
from equishare.problems.network.replicas import Replicas, stacked
from equishare.search import ward
from equishare.search.levels import levels, near
from equishare.search.neighbours import merged_neighbours


def path_of(entries, weights, totals, limits, **more):
    estimates = [Weighted(e, w) for e, w in zip(entries, weights, strict=True)]
    return ward.ward_path(estimates, totals, limits, **more)


def test_patterns_are_equal_where_they_tie_the_same_entries():
    one = Pattern([np.array([5, 5, 3]), np.array([0, 1])])
    same = Pattern([np.array([0, 0, 1]), np.array([7, 2])])
    assert one == same and hash(one) == hash(same)
    assert one.num_groups == (2, 2)
    assert [labels.tolist() for labels in one.labels] == [[0, 0, 1], [0, 1]]
    assert one != Pattern([np.array([0, 1, 1]), np.array([0, 1])])
    assert one != Pattern([np.array([0, 0, 1])])
    assert one != "pattern"


def test_states_of_patterns():
    replicas = Replicas([linear_problem()])
    assert all_tied(replicas).num_groups == (1,)
    assert all_free(replicas).num_groups == (9,)
    patterns = [Pattern([np.arange(9) % 3]), Pattern([np.arange(9) // 6])]
    start = stacked(replicas.start, 2)
    start["weight"] = torch.arange(18.0, dtype=torch.float64).view(2, 9)
    mean, upper = hard_state(replicas, patterns, start, mean=True)
    assert mean["weight"].tolist() == [[3, 4, 5], [11.5, 16, 0]]
    assert free_state(replicas, mean, upper)["weight"].tolist() == [[3.0, 4, 5] * 3, [11.5] * 6 + [16] * 3]
    first, _ = hard_state(replicas, patterns, start, mean=False)
    assert first["weight"].tolist() == [[0, 1, 2], [9, 15, 0]]


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_the_path_is_that_of_wards_method_for_equal_weights(count, columns):
    entries = np.random.default_rng(count).normal(size=(count, columns))
    path = path_of([entries], [np.full_like(entries, 2.5)], range(1, count + 1), [count])
    assert sorted(path) == list(range(1, count + 1))
    cuts = cut_tree(linkage(entries, "ward")).T if count > 1 else np.zeros((1, 1), int)
    for cut in cuts:
        (labels,) = path[len(np.unique(cut))]
        assert es.Partition(labels) == es.Partition(cut)


def greedy(entries, weights):
    """Cheapest merges, by sums over all entries of a group."""
    groups = [[(s, k)] for s, slot in enumerate(entries) for k in range(len(slot))]

    def spread(group):
        e = np.array([entries[s][k] for s, k in group])
        w = np.array([weights[s][k] for s, k in group])
        return (w * (e - (w * e).sum(0) / w.sum(0)) ** 2).sum()

    while True:
        yield [sorted(group) for group in groups]
        pairs = [
            (spread(a + b) - spread(a) - spread(b), i, j)
            for (i, a), (j, b) in itertools.combinations(enumerate(groups), 2)
            if a[0][0] == b[0][0]
        ]
        if not pairs:
            return
        _, i, j = min(pairs)
        groups[i] += groups.pop(j)


@pytest.mark.parametrize("sizes", [[7], [4, 6], [3, 1, 5]])
@pytest.mark.parametrize("seed", range(3))
def test_the_path_takes_the_cheapest_merge_of_all_assignments(sizes, seed):
    rng = np.random.default_rng(seed)
    entries = [rng.normal(size=(k, 1 + s)) for s, k in enumerate(sizes)]
    weights = [rng.gamma(1.0, size=e.shape) * 10.0**s for s, e in enumerate(entries)]
    path = path_of(entries, weights, range(sum(sizes) + 3), sizes)
    expected = list(greedy(entries, weights))
    assert sorted(path) == sorted(map(len, expected))
    for groups in expected:
        for s, labels in enumerate(path[len(groups)]):
            own = [[k for _, k in group] for group in groups if group[0][0] == s]
            found = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
            assert sorted(found) == sorted(own)


def test_only_the_wanted_numbers_of_groups_are_reported():
    entries = np.random.default_rng(0).normal(size=(9, 4))
    weights = np.random.default_rng(1).gamma(2.0, size=(9, 4))
    whole = path_of([entries], [weights], [2, 5], [9])
    assert sorted(whole) == [2, 5]
    assert path_of([entries], [weights], [], [9]) == {}
    parts = path_of([entries], [weights], [2, 5], [9], at_a_time=6)
    assert all(np.array_equal(parts[total][0], whole[total][0]) for total in whole)


def test_entries_that_no_sample_depends_on_go_anywhere():
    entries, weights = np.array([[0.0], [1.0], [50.0]]), np.array([[1.0], [1.0], [0.0]])
    (labels,) = path_of([entries], [weights], [2], [3])[2]
    assert labels[2] in labels[:2]
    (labels,) = path_of([entries], [0 * weights], [2], [3])[2]
    assert labels[0] == labels[1] != labels[2]


def test_weights_are_squares_of_the_gradients_of_samples():
    problem = linear_problem()
    replicas = Replicas([problem])
    (x,), y = problem.train.first()
    weight = replicas.start["weight"].view(3, 3)
    gradients = (2 / 3) * (x @ weight.T - y)[:, :, None] * x[:, None]
    (weights,) = entry_weights(replicas, replicas.start, {}, problem.train.first())
    assert weights[:, 0] == pytest.approx(gradients.square().sum(0).flatten().numpy())
    (flat,) = flat_entries(replicas, replicas.start)
    assert flat[:, 0] == pytest.approx(weight.flatten().numpy())
    (estimate,) = fisher_estimates(replicas, replicas.start, {}, problem.train.first())
    assert np.array_equal(estimate.values, flat)
    assert estimate.precision == pytest.approx(weights)
    (step,) = one_step_estimates(replicas, replicas.start, {}, problem.train.first())
    assert step.precision == pytest.approx(weights)
    assert (step.values * weights)[:, 0] == pytest.approx(-gradients.sum(0).flatten().numpy())


def test_weights_of_slices_are_of_rank_one():
    def build():
        model = nn.Linear(3, 4)
        es.share(model, ("weight", "bias"), dim=0)
        return model

    x = torch.randn(20, 3).double()
    replicas = Replicas(
        [es.ModelProblem(made(build), (x, x @ torch.randn(3, 4).double()), (x, x[:, [0, 0, 1, 2]]), mse)]
    )
    batch = replicas.problems[0].train.first()
    (own,), (estimate,) = (f(replicas, replicas.start, {}, batch) for f in (entry_weights, fisher_estimates))
    assert np.linalg.matrix_rank(estimate.precision, rtol=1e-6) == 1 < np.linalg.matrix_rank(own)
    for axis in (0, 1):
        assert estimate.precision.sum(axis) == pytest.approx(own.sum(axis))


def test_weights_are_one_where_samples_cannot_be_taken_apart():
    problem = linear_problem()
    replicas = Replicas([problem])
    replicas.loss = lambda output, y: mse(output, y) if output.sum() > 0 else mse(output, y)
    (weights,) = entry_weights(replicas, replicas.start, {}, problem.train.first())
    assert (weights == 1).all()
    assert one_step_estimates(replicas, replicas.start, {}, problem.train.first()) == []


def test_memory_counts_what_is_saved_for_the_gradients():
    x = torch.ones(1000, dtype=torch.float64, requires_grad=True)
    few = replicas_at_once(lambda: x.exp().sum(), 0, 5_000_000)
    assert few == 5_000_000 // 16_000
    assert replicas_at_once(lambda: x.exp().sin().sum(), 0, 5_000_000) < few
    assert replicas_at_once(lambda: x.exp().sum(), 10**9, 5_000_000) == 1
    assert replicas_at_once(lambda: x.sum(), 0, 0) == 1


def test_parts_are_even_and_depend_on_no_process():
    replicas = Replicas([linear_problem()], at_once=3)
    sizes = [[part.stop - part.start for part in replicas.parts(count)] for count in (1, 5, 6, 11, 12)]
    assert sizes == [[1], [5], [3, 3], [3, 4, 4], [3, 3, 3, 3]]


def test_memory_is_that_of_a_batch():
    data = linear_data(0, 2000)
    problem = es.ModelProblem(linear(), data, data, mse)
    assert Replicas([problem], batch_size=10).at_once() > 10 * Replicas([problem]).at_once()


@pytest.mark.parametrize("spacing", ["drawn", "geometric", "equal"])
def test_neighbours_are_merged_like_all_pairs(spacing):
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 10, 60):
        drawn = {"drawn": rng.normal(size=count), "geometric": 1.1 ** np.arange(count), "equal": np.ones(count)}
        values, weights = np.sort(drawn[spacing]), rng.gamma(1.0, size=count)
        heights = ward.ward_heights(values, weights)
        assert heights == pytest.approx(reference.ward_heights(values, weights), rel=1e-12)
        order = rng.permutation(count)
        assert ward._Sorted(order, heights, count).labels()[order].tolist() == list(range(count))
        pairs = ward._Pairs(values[:, None], weights[:, None], None, 1 << 20)
        line = ward._Sorted(np.arange(count), heights, count)
        while pairs.num_groups > 1:
            assert line.price == pytest.approx(pairs.price, abs=1e-9)
            pairs.merge()
            line.merge()
            if spacing != "equal":
                assert es.Partition(line.labels()) == es.Partition(pairs.labels())
        assert line.num_groups == 1 and line.price == np.inf


def test_the_path_of_a_million_entries_takes_memory_in_proportion():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=1 << 20)
    values = truth + 0.05 * rng.normal(size=truth.size)
    estimate = Weighted(values[:, None], np.ones((truth.size, 1)))
    tracemalloc.start()
    path = ward.ward_path([estimate], [3, 4, 100], [truth.size])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert es.partition_distance(path[4][0], truth) == 0
    assert [int(path[total][0].max()) + 1 for total in (3, 4, 100)] == [3, 4, 100]
    assert peak < 80 * truth.size  # bytes an entry


@pytest.mark.parametrize("columns", [2, 20])
def test_many_slices_are_merged_with_near_ones(columns, monkeypatch):
    rng = np.random.default_rng(1)
    truth = np.append(rng.integers(30, size=1500), np.zeros(100, int))
    values = rng.normal(size=(30, columns))[truth] + 0.01 * rng.normal(size=(1600, columns))
    values[-100:] = 0.0  # slices that are equal, such as words that never occur
    truth[-100:] = 30
    weights = rng.gamma(5.0, size=values.shape)
    (exact,) = path_of([values], [weights], [31], [1600])[31]
    assert es.partition_distance(exact, truth) == 0
    monkeypatch.setattr(ward, "_MOST_PAIRED", 400)
    monkeypatch.setattr(ward, "MOST_GROUPS", 200)
    path = path_of([values], [weights], [5, 31, 200, 1600], [1600])
    assert sorted(path) == [5, 31, 200]
    assert es.partition_distance(path[31][0], truth) == 0
    assert es.Partition(path[200][0]).refines(es.Partition(path[31][0]))
    labels = merged_neighbours(values, weights, 200)
    assert labels.min() == 0 and labels.max() == 199 and len(set(labels[-100:])) == 1


def test_no_assignment_has_more_groups_than_its_limit():
    rng = np.random.default_rng(0)
    entries = [rng.normal(size=(6, 1)), 100 * rng.normal(size=(6, 1))]
    path = path_of(entries, [np.ones((6, 1))] * 2, range(13), [4, 3])
    assert sorted(path) == [2, 3, 4, 5, 6, 7]
    assert all(len(np.unique(a)) <= 4 and len(np.unique(b)) <= 3 for a, b in path.values())


def slot(entries, most=None, sliced=False):
    axes = (0,) if sliced else (None,)
    return Slot(("weight",), ((entries,),), axes, entries, most or entries)


def test_numbers_of_groups_that_are_tried():
    assert levels([slot(5)]) == [1, 2, 3, 4, 5]
    assert levels([slot(10**6)])[-1] == 128 and levels([slot(10**6, most=300)])[-1] == 300
    assert levels([slot(10**5, sliced=True)])[-1] == 2048 and levels([slot(500, sliced=True)])[-1] == 500
    assert near(196, [slot(10**4)])[-1] > 200 and near(7, [slot(10, most=7)])[-1] == 7
