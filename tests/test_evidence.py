"""The evidence: what it must not depend on, and how often it is wrong."""

import numpy as np
import pytest

import equishare as es
from equishare.problems.estimates import gather_curvature
from equishare.search.evidence import Evidence


def problem(labels, step, seed, samples=100):
    labels = np.asarray(labels)
    x = step * labels / np.sqrt(samples) + np.random.default_rng(seed).normal(size=(samples, labels.size))
    return es.MeanProblem(x[: samples // 2], x[samples // 2 :]), x


def test_evidence_does_not_depend_on_names_or_order():
    p, x = problem([0, 1, 1, 2, 0], 10, 0)
    order = np.array([3, 0, 4, 2, 1])
    moved = es.MeanProblem(x[:50, order], x[50:, order])
    labels = np.array([0, 1, 1, 2, 0])
    _, score = Evidence(p.estimate()).score(labels)
    assert Evidence(p.estimate()).score(np.array([2, 0, 0, 1, 2]))[1] == pytest.approx(score)
    assert Evidence(moved.estimate()).score(labels[order])[1] == pytest.approx(score)


def test_differences_of_evidence_do_not_depend_on_units():
    _, x = problem([0, 1, 1, 2, 0], 10, 0)
    differences = []
    for factor in (1.0, 1e-5):
        evidence = Evidence(es.MeanProblem(factor * x[:50], factor * x[50:]).estimate())
        one, other = np.array([0, 1, 1, 2, 0]), np.array([0, 0, 0, 1, 0])
        differences.append(evidence.score(one)[1] - evidence.score(other)[1])
    assert differences[0] == pytest.approx(differences[1])


@pytest.mark.parametrize(("entries", "samples", "allowed"), [(2, 100, 4), (2, 24, 4), (5, 100, 4), (30, 100, 4)])
def test_equal_means_are_seldom_split(entries, samples, allowed):
    problems = [problem([0] * entries, 0, seed, samples)[0] for seed in range(300)]
    found = es.discover(problems, resamples=0)  # resamples tell how sure ties are, and change none
    assert sum(d.partition.num_groups > 1 for d in found) <= allowed


@pytest.mark.parametrize(
    ("entries", "groups", "step"),
    [(30, 3, 4), (30, 3, 6), (90, 3, 4), (90, 3, 5), (90, 10, 4), (90, 10, 6)],
)
def test_close_groups_are_told_apart_almost_as_well_as_if_their_values_were_known(entries, groups, step):
    rng = np.random.default_rng(1)
    distance, limit, plain = [], [], []
    for seed in range(40):
        labels = np.concatenate([np.arange(groups), rng.integers(0, groups, entries - groups)])
        p, x = problem(labels, step, seed)
        nearest = np.clip(np.rint(x.mean(0) * 10 / step), 0, groups - 1)
        limit.append((nearest != labels).sum())
        distance.append(es.partition_distance(es.discover(p, resamples=0).partition, labels))
        plain.append(es.partition_distance(es.discover(p, "gap").partition, labels))
    assert np.mean(distance) <= 1.5 * np.mean(limit) + 0.5
    assert np.mean(distance) < np.mean(plain)


def test_one_dominant_group_is_not_split_and_hides_nothing():
    labels = np.where(np.arange(100) < 80, 0, np.arange(100) % 7)
    p, _ = problem(labels, 20, 3)
    assert es.discover(p).partition == es.Partition(labels)


def test_entries_that_all_differ_stay_apart():
    p, _ = problem(np.arange(40), 20, 4)
    assert es.discover(p).partition.num_groups == 40


def test_partitions_that_the_data_contradict_are_rejected():
    p, _ = problem([0, 1, 0, 1], 20, 5)
    evidence = Evidence(p.estimate())
    assert evidence.score(np.zeros(4, np.int64))[0]
    assert not evidence.score(np.array([0, 1, 0, 1]))[0]
    assert not evidence.score(np.arange(4))[0]


def test_a_continuum_of_values_is_not_forced_into_groups_that_do_not_fit():
    rng = np.random.default_rng(6)
    theta = np.linspace(0, 1, 200)
    x = theta + 0.4 * rng.normal(size=(100, 200))
    found = es.discover(es.MeanProblem(x[:50], x[50:]))
    rejected, _ = Evidence(es.MeanProblem(x[:50], x[50:]).estimate()).score(found.partition.labels)
    assert not rejected
    assert found.partition.num_groups > 5


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("length", [1, 4])
def test_the_curvature_of_shared_values(shared, length):
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, (length, 5)).T[:, ::-1]
    root = rng.standard_normal((length, length) if shared else (5, length, length))
    curvature = root @ np.swapaxes(root, -1, -2)
    scale = rng.uniform(1, 2, (1, length))
    one_hot = np.eye(3)[labels] * scale[..., None]
    expected = (np.swapaxes(one_hot, 1, 2) @ curvature @ one_hot).sum(0)
    np.testing.assert_allclose(gather_curvature(labels, 3, curvature, scale), expected)


@pytest.mark.parametrize("wrong", [3, -1])
def test_the_curvature_of_labels_out_of_range(wrong):
    labels = np.array([[0, 1], [2, wrong]])
    with pytest.raises(ValueError, match="labels must lie in 0..2, got"):
        gather_curvature(labels, 3, np.eye(2), np.ones((2, 2)))
    with pytest.raises(ValueError, match="labels must lie in 0..2, got"):
        gather_curvature(labels.reshape(4, 1), 3, np.ones((1, 1)), np.ones((4, 1)))


def test_the_curvature_of_another_shape():
    with pytest.raises(ValueError, match=r"curvature must have shape \(2, 2\) or \(3, 2, 2\), got \(4, 4\)"):
        gather_curvature(np.zeros((3, 2), np.int64), 1, np.eye(4), np.ones((3, 2)))
