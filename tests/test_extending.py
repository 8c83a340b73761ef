"""Problems and methods from outside: what the protocols promise."""

import numpy as np
import pytest
from extending_cases import LABELS, RNG, TRUTH, VECTOR, ZEROS, EveryPair, Nothing, Plain, Proposing, Tied, Two, normal
from model_cases import columns_problem

import equishare as es
from equishare.methods import METHODS, methods_for, name_of
from equishare.problems import BlockEstimate, Session
from equishare.problems.estimates import as_blocks
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.training import SearchOptions
from equishare.search.evidence import Evidence

# Of the statistics of least-squares problems they need more than the estimate tells.
LEAST_SQUARES = ("bilevel", "sinkhorn", "msr", "slope", "weight_sharing")


@pytest.mark.parametrize("method", [m for m in methods_for(False, without_options=True) if m not in LEAST_SQUARES])
@pytest.mark.parametrize("plain", [True, False], ids=["members only", "dense"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_every_method_takes_a_problem_from_outside(labels, plain, method):
    found = es.discover(normal(labels, plain), method)
    # A loss on held-out data takes apart what the noise tells apart.
    if method in ("merge", "brute_force", "no_sharing"):
        assert found.partition.refines(es.Partition(labels))
    else:
        assert found.partition == es.Partition(labels)
    assert found.values.shape == (found.partition.num_groups,)
    assert found.theta.shape == labels.shape
    assert np.isfinite(found.validation_loss)


@pytest.mark.parametrize("method", LEAST_SQUARES)
def test_methods_of_least_squares_say_what_they_take(method):
    networks = method in methods_for(True)
    takes = "means, linear maps and networks" if networks else "means and linear maps"
    with pytest.raises(TypeError, match=f"method '{method}' takes {takes}, got a Normal"):
        es.discover(normal(LABELS["vector"], True), method)


def test_members_are_enough_for_confidence_files_and_report(tmp_path):
    labels = LABELS["matrix"]
    found = es.discover([normal(labels, True), normal(labels, True, seed=1)], resamples=4)
    assert [d.confidence.labels.shape for d in found] == [(4, 9)] * 2
    found[0].save(tmp_path / "d.npz")
    loaded = es.Discovery.load(tmp_path / "d.npz")
    assert loaded.partition == found[0].partition
    assert loaded.about == found[0].about
    np.testing.assert_array_equal(loaded.values, found[0].values)
    found[0].report(tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "which entries of w are equal" in page and "not recorded" not in page
    assert found[0].symmetry().order == 3
    assert found[0].plot_history().get_ylabel() == "log evidence behind the best"


def test_an_estimate_of_members_is_the_dense_one():
    problems = [normal(LABELS["matrix"], plain) for plain in (True, False)]
    scores = [Evidence(as_blocks(p.estimate())).score(LABELS["matrix"])[1] for p in problems]
    assert scores[0] == pytest.approx(scores[1])
    large = Plain(np.zeros(2), np.eye(2))
    large.values = np.zeros(5000)
    with pytest.raises(ValueError, match="may have at most 4096 entries, got 5000"):
        as_blocks(large)


@pytest.mark.parametrize("kind", ["diagonal", "dense"])
def test_a_known_noise_level_is_the_limit_of_many_degrees_of_freedom(kind):
    values = np.array([0.0, 0.1, 1.0, 1.1, 3.0])
    scores = []
    for freedom in (1e9, np.inf):
        if kind == "diagonal":
            estimate = BlockEstimate.diagonal(values, np.full(5, 0.01), freedom)
        else:
            estimate = BlockEstimate.dense(values, 0.01 * np.eye(5), freedom)
        labels = [np.array(one) for one in ([0, 0, 1, 1, 2], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4])]
        scores.append([Evidence(estimate).score(one) for one in labels])
    for known, limit in zip(*scores, strict=True):
        assert known[0] == limit[0]
        assert known[1] == pytest.approx(limit[1], rel=1e-6)


def test_several_parameters_have_answers_by_name(tmp_path):
    found = es.discover(Two(RNG), EveryPair(), resamples=3)
    assert found.method == "EveryPair"
    assert found.partitions == {name: es.Partition(labels) for name, labels in TRUTH.items()}
    assert set(found.values) == set(found.theta) == set(found.confidence) == set(found.symmetry()) == set(TRUTH)
    with pytest.raises(ValueError, match=r"there are several partitions: partitions\[name\] for a, b"):
        _ = found.partition
    assert found.history["num_groups"].tolist()[:2] == [2, 3]
    found.save(tmp_path / "two.npz")
    loaded = es.Discovery.load(tmp_path / "two.npz")
    assert loaded.partitions == found.partitions
    found.report(tmp_path / "two.html")
    assert "Pattern of b" in (tmp_path / "two.html").read_text(encoding="utf-8")
    given = es.discover(Two(RNG), "oracle", partition=TRUTH)
    assert given.partitions == found.partitions


def test_a_method_from_outside_serves_networks():
    found = es.discover([columns_problem(), columns_problem(seed=3)], Tied())
    assert [d.partition.labels.tolist() for d in found] == [[0, 1, 0, 1]] * 2
    assert all(d.model is not None for d in found)


class TrainedSession(Session):
    is_trained = True


class Trained(Nothing):
    """Judged by its own session, and without a module."""

    Session = TrainedSession

    def _fit(self, labels):
        return VECTOR._fit(labels)


def test_a_problem_that_is_trained_brings_a_session_of_its_own(tmp_path):
    labels = LABELS["vector"]
    found = es.discover(Trained(VECTOR.values, VECTOR.val, VECTOR.precision), Proposing(labels))
    assert found.partition == es.Partition(labels) and found.values.shape == (3,)
    found.save(tmp_path / "d.npz")
    np.testing.assert_array_equal(es.Discovery.load(tmp_path / "d.npz").values, found.values)


def test_patterns_may_be_written_in_several_ways():
    labels = LABELS["vector"]
    for pattern in (labels, labels.tolist(), es.Partition(labels), 3 * labels - 5, (labels,)):
        found = es.discover(VECTOR, Proposing(pattern, ZEROS, scores=np.array([0.0, 0.0])))
        assert found.partition.num_groups == 1  # of equal scores the one with the fewest groups
        found = es.discover(VECTOR, Proposing(pattern), resamples=2)
        assert found.partition == es.Partition(labels)
        assert (found.confidence.labels == es.Partition(labels).labels).all()


def test_the_folder_is_the_registry():
    assert next(iter(METHODS)) == "auto"
    assert {"bilevel", "brute_force", "closure", "gap", "merge", "no_sharing", "oracle", "sinkhorn"} < set(METHODS)
    assert [name_of(method) for method in METHODS.values()] == list(METHODS)
    assert methods_for(True) == ["auto", "bilevel", "no_sharing", "oracle", "sinkhorn", "weight_sharing"]
    assert "oracle" not in methods_for(False, without_options=True)


def test_patterns_are_trained_once_and_each_under_its_own_name(tmp_path):
    """What a method asks for one after another comes from the checkpoint as it was fitted."""

    def losses(path):
        options = SearchOptions(lr=0.1, refit_steps=60, checkpoint=path)
        session = NetworkSession([columns_problem()], method="mine", options=options)
        asked = [[0, 0, 0, 0], [0, 1, 0, 1]], [[0, 1, 0, 1], [0, 1, 2, 3]], [[0, 0, 0, 1]]
        return [session.evaluate([[(np.array(one),) for one in several]])[0].tolist() for several in asked]

    path = tmp_path / "kept.pt"
    first = losses(None)
    assert first[0][1] == first[1][0]
    assert losses(path) == losses(path) == first
