"""The calibration of models: frequencies go through curves of their own, and the experiment compares with the truth."""

import numpy as np
import pytest

from equishare.lab.studies import calibration_tables as tables
from equishare.lab.studies import model_calibration as experiment
from equishare.result import calibration


def family(name):
    (one,) = [f for f in experiment.FAMILIES if f.name == name]
    return one


def test_every_family_draws_its_pairs():
    entries = {"convolution 8": [64], "layers 5": [25, 25], "12 tokens": [12], "gated cell": [4]}
    for name, sizes in entries.items():
        pairs = experiment.measure(family(name), 0.1, np.random.default_rng(0), resamples=2, steps=2)
        count = sum(size * (size - 1) // 2 for size in sizes)
        for column in (pairs.tied, pairs.holds, pairs.probability):
            assert column.shape == (count,)
        assert pairs.evidence.shape == pairs.evidence_apart.shape == (count, 1)
        curves = calibration.TRAINED
        expected = [
            calibration.probability(pairs.evidence, curves.tied),
            calibration.probability(pairs.evidence_apart, curves.apart),
        ]
        np.testing.assert_allclose(pairs.probability, np.where(pairs.tied, *expected))


def test_fitted_and_held_out_are_apart():
    names = {held: {f.name for f in experiment.FAMILIES if f.held_out == held} for held in (True, False)}
    assert names[True] and names[False] and not names[True] & names[False]


def test_sure_ties_hold():
    problems = [
        experiment.measure(family(name), noise, np.random.default_rng(9), resamples=5)
        for name in ("convolution 6", "12 tokens")
        for noise in (0.1, 2.0)
    ]
    judged = tables.judged(problems)
    assert judged["true_at_95"] >= 0.93
    assert judged["at_95"] > 0


def test_experiment():
    few = [family(name) for name in ("convolution 8", "convolution 6", "20 tokens")]
    calls = []
    reduced = {"families": few, "noises": (0.5,), "resamples": 2, "steps": 4}
    done = experiment.run(trials=1, seed=1, progress=lambda *step: calls.append(step), **reduced)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert [table.name for table in done.tables] == ["families", "label_noise", "reliability", "curves"]
    for table in done.tables:
        for row in table.rows:
            assert {*table.settings, "method", "trials", "seconds"} <= row.keys()
    rows = done.tables[0].rows
    assert [row["family"] for row in rows] == [
        "entries, convolution 8",
        "all",
        "entries, convolution 6",
        "slices, 20 tokens",
        "all",
    ]
    assert [row["method"] for row in done.tables[1].rows] == ["entries", "slices"]


@pytest.mark.parametrize("trials", [0, -3])
def test_number_of_trials_out_of_range(trials):
    with pytest.raises(ValueError, match=f"trials must be at least 1, got {trials}"):
        experiment.run(trials=trials)
