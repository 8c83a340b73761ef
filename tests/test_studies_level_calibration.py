"""Reported probabilities of ties between levels of factors against the truth."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import equishare as es
from equishare.lab.studies import calibration_tables as tables
from equishare.lab.studies import level_calibration as experiment
from equishare.lab.studies.write import write_experiment
from equishare.report import write_files


@pytest.fixture(scope="module")
def simulated():
    own = [family for family in experiment.FAMILIES if family.held_out]
    rng = np.random.default_rng(11)
    return [one for family in own for samples in (150, 1000) for one in experiment.measure(family, samples, rng)]


def test_no_more_is_promised_than_holds(simulated):
    ties = [(p.probability[p.tied], p.holds[p.tied]) for p in simulated]
    told, holds = (np.concatenate(column) for column in zip(*ties, strict=True))
    for low in (0.7, 0.8):
        assert (told >= low).sum() > 100 and holds[told >= low].mean() > told[told >= low].mean() - 0.05
    judged = tables.judged(simulated)
    assert judged["reported"] < judged["true"] + 0.1


def test_draws_alone_would_promise_too_much(simulated):
    odds = np.concatenate([p.evidence[p.tied, 0] for p in simulated])
    holds = np.concatenate([p.holds[p.tied] for p in simulated])
    assert holds[odds > np.log(19)].mean() < 0.9


@pytest.mark.parametrize("family", experiment.FAMILIES, ids=lambda one: f"{one.kind}, {one.name}")
def test_levels_have_the_stated_truth(family):
    problem, truth = experiment.draw(family, 300, np.random.default_rng(3))
    assert [slot.key for slot in problem.slots] == list(truth)
    assert [slot.shapes[0][0] for slot in problem.slots] == [len(labels) for labels in truth.values()]


def test_clear_levels_are_found_in_the_order_of_the_truth():
    rng = np.random.default_rng(0)
    family = experiment.Family("gaussian", "two", (12, 12), True, 1)
    problem, truth = experiment.draw(family, 4000, rng)
    found = es.discover(problem)
    assert all(es.partition_distance(found.partitions[name], labels) == 0 for name, labels in truth.items())


def test_the_answer_tells_how_probable_ties_are(tmp_path):
    problem, _ = experiment.draw(experiment.FAMILIES[0], 400, np.random.default_rng(0))
    found = es.discover(problem)
    assert set(found.confidence) == set(found.partitions)
    assert "draws, " in repr(found.confidence["factor 0"])
    write_files(found.view(), tmp_path)
    told = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))["parameters"]["factor 0"]["confidence"]
    assert told["ties"] == found.confidence["factor 0"].sure_ties()[1]
    found.save(tmp_path / "found.npz")
    loaded = es.Discovery.load(tmp_path / "found.npz").confidence["factor 0"]
    np.testing.assert_array_equal(loaded.ties, found.confidence["factor 0"].ties)
    copy.deepcopy(found).save(tmp_path / "copy.npz")
    copied = es.Discovery.load(tmp_path / "copy.npz").confidence["factor 0"]
    np.testing.assert_array_equal(copied.ties, loaded.ties)


def test_ties_of_very_many_levels_are_not_counted():
    rng = np.random.default_rng(0)
    table = {"many": rng.permutation(np.arange(3600) % 1200), "few": rng.integers(4, size=3600)}
    found = es.discover(es.FactorProblem(table, table["few"] + rng.standard_normal(3600)))
    assert set(found.confidence) == {"few"}
    assert found.confidence["few"].num_resamples in (40, 160)


def test_experiment(tmp_path):
    few = [family for family in experiment.FAMILIES if family.kind == "gaussian"]
    counts = []
    progress = lambda done, total: counts.append((done, total))  # noqa: E731
    found = experiment.run(trials=1, families=few, samples=(400,), progress=progress)
    assert [table.name for table in found.tables] == ["families", "samples", "reliability", "curves"]
    assert counts == [(i, 5) for i in range(1, 6)]
    assert write_experiment(found, tmp_path)
