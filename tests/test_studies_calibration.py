"""Reported probabilities of ties against the truth: the curve of means and linear maps, and the experiment on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from equishare.lab.studies import calibration as experiment
from equishare.lab.studies import calibration_tables as tables
from equishare.lab.studies.calibration_data import FAMILIES
from equishare.result import calibration


@pytest.fixture(scope="module")
def simulated():
    own = [f for f in FAMILIES if f.name in ("K = 20, r = 4", "K = 60, r = 8")]
    rng = np.random.default_rng(7)
    return [
        experiment.measure(family, values, ratio, rng)
        for family in own
        for values in ("equal", "normal")
        for ratio in (2.0, 4.0, 9.0)
        for _ in range(2)
    ]


class TestCalibration:
    def test_sure_ties_hold(self, simulated):
        judged = tables.judged(simulated)
        assert judged["true_at_95"] >= 0.93
        assert judged["at_95"] > 0.1
        assert abs(judged["reported"] - judged["true"]) < 0.1

    def test_a_curve_that_promises_too_much_is_caught(self, simulated):
        curve = calibration.CLOSED_FORM.tied[0] + 3.0, *calibration.CLOSED_FORM.tied[1:]
        promised = [replace(p, probability=calibration.probability(p.evidence, curve)) for p in simulated]
        judged = tables.judged(promised)
        assert judged["true_at_95"] < 0.93
        assert judged["reported"] - judged["true"] > 0.1

    def test_share_of_a_known_truth(self):
        flags = np.random.default_rng(0).random((400, 50)) < 0.3
        columns = {"tied": np.ones(50, bool), "probability": np.zeros(50)}
        unused = {"evidence": np.zeros((50, 1)), "evidence_apart": np.zeros((50, 1))}
        pairs = [tables.Pairs("means", "any", True, 0.0, holds=row, **columns, **unused) for row in flags]
        value, interval = tables.share(pairs, lambda p: p.holds, lambda p: p.tied)
        assert value == pytest.approx(flags.mean())
        assert interval == pytest.approx(1.96 * np.sqrt(0.21 / flags.size), rel=0.15)

    def test_fit_finds_the_coefficients(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((20_000, 2))
        holds = rng.random(20_000) < calibration.probability(x, (-0.5, 1.2, -0.7))
        np.testing.assert_allclose(calibration.fitted(x, holds, np.full(20_000, 0.5)), (-0.5, 1.2, -0.7), atol=0.07)


def test_experiment():
    few = [f for f in FAMILIES if f.name in ("K = 10, r = 3", "K = 20, r = 4", "circulant 6")]
    calls = []
    done = experiment.run(trials=1, seed=1, progress=lambda *step: calls.append(step), families=few, ratios=(5.0,))
    assert calls[-1] == (6, 6)
    assert [table.name for table in done.tables] == ["families", "separation", "reliability", "curves"]
    for table in done.tables:
        for row in table.rows:
            assert {*table.settings, "method", "trials", "seconds"} <= row.keys()
    rows = done.tables[0].rows
    assert [row["family"] for row in rows] == [
        "means, K = 10, r = 3",
        "all",
        "means, K = 20, r = 4",
        "maps, circulant 6",
        "all",
    ]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("true", "reported", "at_95"))
