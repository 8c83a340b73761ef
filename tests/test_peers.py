"""Methods of other people: exact proximal maps, common patterns of many tasks, and the same harness as ours."""

from dataclasses import replace

import numpy as np
import pytest
from model_cases import columns_problem, linear_problem

import equishare as es
from equishare.lab.studies import peers, tasks
from equishare.lab.studies.figures import STYLES
from equishare.relax.proximal import PairwiseDifferences, SortedL1, penalised_path

PENALTIES = [PairwiseDifferences(), SortedL1(0.1), SortedL1(0.9)]
ids = [f"{type(one).__name__}{getattr(one, 'q', '')}" for one in PENALTIES]


def value(penalty, w):
    if isinstance(penalty, PairwiseDifferences):
        return np.abs(w[:, None] - w).sum() / 2 / max(1, len(w) - 1)
    return np.sum(np.sort(np.abs(w))[::-1] * penalty._weights(len(w)))


@pytest.mark.parametrize("penalty", PENALTIES, ids=ids)
@pytest.mark.parametrize("size", [1, 2, 7])
def test_proximal_maps_are_minima(penalty, size):
    rng = np.random.default_rng(size)
    for strength in (0.0, 0.1, 0.7, 3.0):
        v = rng.normal(size=size).round(1)
        w = penalty.prox(v, strength)

        def objective(w, v=v, strength=strength):
            return 0.5 * np.sum((w - v) ** 2) + strength * value(penalty, w)

        # The objective is strongly convex: its minimum lies below every other point by half the square of the distance.
        for scale in (1e-3, 1e-1, 1):
            for step in scale * rng.normal(size=(50, size)):
                assert objective(w) <= objective(w + step) - 0.5 * np.sum(step**2) + 1e-12
    np.testing.assert_array_equal(penalty.prox(v, 0.0), v)


@pytest.mark.parametrize("penalty", PENALTIES[:2], ids=ids[:2])
def test_the_strongest_penalty_ties_all_and_a_weaker_one_does_not(penalty):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 3))
    problem = es.LinearProblem(x, y, x_val=x, y_val=y)
    path = penalised_path(problem, penalty, 30, 1e-4)
    counts = [len(np.unique(w)) for w in path]
    assert counts[0] == 1 and counts[1] > 1 and counts[-1] == 12
    # The path starts where it would be led: no step from there.
    moments = problem.train
    step = 1 / np.linalg.eigvalsh(moments.sxx / 40)[-1]
    gradient = (path[0] @ moments.sxx - moments.sxy) / 40
    strongest = penalty.strongest(-gradient.ravel())
    ahead = penalty.prox((path[0] - step * gradient).ravel(), 1.0001 * strongest * step)
    np.testing.assert_allclose(ahead, path[0].ravel(), atol=1e-8)
    assert len(np.unique(penalty.prox((path[0] - step * gradient).ravel(), 0.99 * strongest * step).round(9))) > 1


def two_groups(seed=0, groups=(0, 0, 0, 3, 3, 3)):
    return np.random.default_rng(seed).normal(size=(80, len(groups))) + np.array(groups)


@pytest.mark.parametrize("method", ["weight_sharing", "slope"])
def test_entries_are_tied_within_groups_that_lie_far_apart(method):
    x, truth = two_groups(), es.Partition([0, 0, 0, 1, 1, 1])
    problem = es.MeanProblem(x[:40], x[40:])
    path = penalised_path(problem, PENALTIES[method == "slope"], 50, 1e-3)
    found = [es.Partition(np.unique(w, return_inverse=True)[1].ravel()) for w in path]
    assert any(1 < one.num_groups < 6 and one.refines(truth) for one in found)
    assert method == "slope" or truth in found
    d = es.discover(problem, method)
    # The validation samples choose from the path, and are not bound to choose the truth.
    losses = problem.evaluate([(one.labels,) for one in found])
    assert problem.evaluate([(d.partition.labels,)])[0] == pytest.approx(min(losses))
    assert es.discover([problem] * 2, method)[1].partition == d.partition
    # The means of the samples to fit are equal, so that they are tied with any strength.
    tied = es.discover(es.MeanProblem(np.ones((3, 3)) + np.eye(3), np.ones((4, 3))), method)
    assert tied.partition.num_groups == 1


@pytest.mark.parametrize("method", ["weight_sharing", "slope", "msr"])
def test_options_and_problems_are_checked(method):
    problem = es.MeanProblem(two_groups())
    for bad in ({"strengths": 0}, {"smallest": 0.0}) if method != "msr" else ({"steps": 0}, {"lr": 0.0}, {"ridge": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
            es.discover(problem, method, **bad)
    if method != "weight_sharing":
        with pytest.raises(ValueError, match="method must be one of auto, bilevel"):
            es.discover(linear_problem(), method)


def test_a_single_mean_has_one_group():
    x = np.random.default_rng(0).normal(size=(20, 1))
    for method, options in (("weight_sharing", {}), ("slope", {}), ("msr", {"steps": 3})):
        assert es.discover(es.MeanProblem(x[:10], x[10:]), method, **options).partition.num_groups == 1


def test_weight_sharing_trains_networks():
    options = {"lr": 0.05, "steps": 60, "strengths": 8, "refit_steps": 60}
    d = es.discover(linear_problem(), "weight_sharing", **options)
    numbers = d.history["num_groups"]
    assert numbers.min() == 1 and len(numbers) > 2
    assert d.validation_loss < 1.1 * d.no_sharing_loss
    assert es.discover(linear_problem(), "weight_sharing", **options).partition == d.partition


def test_weight_sharing_refuses_slices():
    with pytest.raises(ValueError, match="ties single entries, got slices of weight"):
        es.discover(columns_problem(), "weight_sharing")


def test_msr_finds_what_tasks_have_in_common():
    drawn = tasks.draw(np.random.default_rng(0), tasks.Size(6, 2, 12, 12))
    found = es.discover(drawn.problems(), "msr", steps=300)
    assert all(d.partition == drawn.truth for d in found)
    assert len(found[0].history["step"]) == 101
    values = np.array([d.values for d in found])
    assert len(np.unique(values.round(6), axis=0)) == len(found)


@pytest.mark.slow
def test_the_pattern_of_tasks_with_fewer_samples_than_inputs_is_found(monkeypatch):
    # Fits without sharing of five samples in 30 dimensions predict no better than one group.
    monkeypatch.setattr(tasks, "FITS", {"auto": {"lr": 3e-2, "steps": 60, "refit_steps": 60, "restarts": 1}})
    drawn = tasks.draw(np.random.default_rng([0, 1, 0]), tasks.Size(30, 3, 48, 10))
    found = es.Partition(tasks.by_slices(drawn, 0).reshape(drawn.shape))
    assert es.partition_distance(found, drawn.truth) <= 4


def test_every_method_has_a_look_in_figures():
    assert {*peers.METHODS, *peers.NETWORKS, *tasks.METHODS} <= STYLES.keys()


def test_the_table_of_peers(monkeypatch):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    monkeypatch.setattr(tasks, "FITS", {"auto": {"steps": 5}, "bilevel": {"steps": 3, "fit_steps": 5}})
    monkeypatch.setattr(tasks, "NEW_TASKS", 2)
    plans = [
        replace(plan, cells=[replace(plan.cells[0], methods=("no sharing", "oracle", "weight sharing", "SLOPE"))])
        for plan in peers.plans()[:2]
    ]
    steps = {"MSR, all tasks": lambda d, seed: es.discover(d.problems(), "msr", steps=20)[0].partition.labels}
    monkeypatch.setattr(tasks, "METHODS", tasks.METHODS | steps)
    monkeypatch.setattr(peers, "NETWORKS", {})
    ticks = []
    found = peers.run(
        1, progress=lambda *one: ticks.append(one), planned=plans, lengths=(), sizes=(tasks.Size(4, 2, 3, 8),)
    )
    assert [table.name for table in found.tables] == ["means", "correlation", "sum", "tasks"]
    assert ticks[-1][0] == ticks[-1][1] == len(ticks)
    by_method = {row["method"]: row for row in found.tables[-1].rows}
    assert by_method.keys() == tasks.METHODS.keys() and by_method["oracle"]["pd"] == 0
    assert min(row["test_error"] for row in by_method.values()) <= by_method["oracle"]["test_error"] * 1.5
    assert [row["method"] for row in found.tables[0].rows] == list(plans[0].cells[0].methods)


def test_shifted_digits_are_symmetric_by_construction():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    draws = peers.draw_digits(np.random.default_rng(0), 1)
    (problem,), (truth,) = draws.problems, draws.truths
    assert problem.shape == (64, 64) and truth.num_groups == 64 and set(truth.group_sizes) == {64}
    oracle = es.discover(problem, "oracle", partition=truth)
    free = es.discover(problem, "no_sharing")
    assert draws.score(0, oracle)["test_error"] < draws.score(0, free)["test_error"]
