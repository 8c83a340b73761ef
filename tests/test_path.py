"""Paths of merges: exact where they claim to be."""

import numpy as np
import pytest

import equishare as es
from equishare.clustering import segmentation_path
from equishare.methods.brute_force import all_partitions
from equishare.problems.estimates import fit_estimate
from equishare.search.decode import decode
from equishare.search.path import conditional_path, greedy_merges, greedy_splits, merge_path
from equishare.search.polish import misfit, polish


def best_misfit(estimate, labels):
    return misfit(estimate, labels, fit_estimate(estimate, labels, int(labels.max()) + 1)[0])


def linear_problem(seed, outputs=2, inputs=3, samples=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, inputs)) @ (np.eye(inputs) + 0.7)
    y = x @ rng.integers(0, 3, (outputs, inputs)).T + rng.normal(size=(samples, outputs))
    return es.LinearProblem(x[: samples // 2], y[: samples // 2], x_val=x[samples // 2 :], y_val=y[samples // 2 :])


@pytest.mark.parametrize("equal_weights", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_segmentations_are_the_best_of_all_partitions(seed, equal_weights):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=7), np.ones(7) if equal_weights else rng.uniform(0.1, 5, 7)
    strings = all_partitions(7)
    costs = np.zeros(len(strings))
    for g in range(7):
        member = (strings == g) * w
        total = np.maximum(member.sum(1), 1e-300)
        costs += (member * (x - (member @ x / total)[:, None]) ** 2).sum(1)
    labels, cost = segmentation_path(x, w, 7)
    for g in range(1, 8):
        assert cost[g - 1] == pytest.approx(costs[strings.max(1) + 1 == g].min(), abs=1e-12)
        assert labels[g - 1].max() + 1 == g


def test_segmentation_keeps_the_order_of_its_input():
    x = np.array([3.0, 1.0, 3.1, 0.9])
    labels, _ = segmentation_path(x, np.ones(4), 2)
    assert labels.tolist() == [[0, 0, 0, 0], [1, 0, 1, 0]]


def test_greedy_merges_take_the_cheapest_pair_and_price_it_exactly():
    problem = linear_problem(0)
    estimate = problem.estimate()
    path = greedy_merges(estimate, np.arange(6).reshape(2, 3))
    assert [int(p.max()) + 1 for p in path] == [1, 2, 3, 4, 5, 6]
    for coarse, fine in zip(path[:-1], path[1:], strict=True):
        g = int(fine.max()) + 1
        tied = [np.where(fine == b, a, fine) for a in range(g) for b in range(a + 1, g)]
        best = min(best_misfit(estimate, es.Partition(t).labels) for t in tied)
        assert es.Partition(fine).refines(es.Partition(coarse))
        assert best_misfit(estimate, coarse) == pytest.approx(best)


def test_long_paths_begin_with_a_segmentation():
    problem = linear_problem(1, outputs=60, inputs=10, samples=100)
    path = merge_path(problem.estimate(), 20)
    assert [int(p.max()) + 1 for p in path] == list(range(1, 21))


@pytest.mark.parametrize("seed", range(4))
def test_polishing_lowers_the_misfit_and_stops_at_a_local_optimum(seed):
    problem = linear_problem(seed)
    estimate = problem.estimate()
    start = np.random.default_rng(seed).integers(0, 3, (2, 3))
    start.ravel()[:3] = [0, 1, 2]
    after = polish(estimate, start)
    assert best_misfit(estimate, after) <= best_misfit(estimate, es.Partition(start).labels)
    assert es.Partition(polish(estimate, after)) == es.Partition(after)


@pytest.mark.parametrize("seed", range(4))
def test_decoding_is_exact_for_short_rows(seed):
    estimate = linear_problem(seed).estimate()
    values = np.array([0.0, 1.0, 2.0])
    rows = np.stack(np.meshgrid(*[range(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    got = decode(estimate, values)
    for o in range(2):
        costs = []
        for row in rows:
            labels = got.copy()
            labels[o] = row
            costs.append(misfit(estimate, labels, values))
        assert misfit(estimate, got, values) == pytest.approx(min(costs))


def test_splits_lower_the_misfit_of_single_estimates_and_stop_at_single_entries():
    problem = linear_problem(2)
    path = greedy_splits(problem.estimate(), np.zeros((2, 3), np.int64), 10)
    assert [int(p.max()) + 1 for p in path] == [1, 2, 3, 4, 5, 6]
    for coarse, fine in zip(path[:-1], path[1:], strict=True):
        assert es.Partition(fine).refines(es.Partition(coarse))


def test_conditional_estimates_find_what_marginal_ones_miss():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 8)) @ (np.eye(8) + 0.9)
    labels = rng.integers(0, 2, (6, 8))
    y = x @ labels.T + 5 * rng.normal(size=(100, 6))
    estimate = es.LinearProblem(x[:50], y[:50], x_val=x[50:], y_val=y[50:]).estimate()
    marginal = merge_path(estimate, 2)[1]
    conditional = conditional_path(estimate, labels, 2)[1]
    distance = [es.partition_distance(p, labels) for p in (conditional, marginal)]
    assert distance[0] < distance[1]
