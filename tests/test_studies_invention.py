"""Groups that are invented: the data, what counts as right and false, the tables and the curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_cases import believed, found

from equishare.lab.studies import clean
from equishare.lab.studies import invention as experiment
from equishare.lab.studies import invention_tables as tables
from equishare.lab.studies.invention_data import FAMILIES, Draw, draw
from equishare.lab.studies.invention_rules import Asserted, Judged, asserted, contained, told, version_01
from equishare.lab.studies.patterns import circulant, dihedral, permutations, repeated_rows
from equishare.lab.studies.result import share_and_interval
from equishare.partition import partition_distance

BY_NAME = {(f.kind, f.name): f for f in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{f.kind}, {f.name}")
def test_draws(family):
    for values in family.values:
        one = draw(family, values, 5.0, np.random.default_rng(3))
        outputs, inputs = one.truth.shape
        samples = one.problem.num_train + one.problem.num_val
        assert inputs + 6 <= samples <= 10 * one.truth.size
        closure = contained(one.truth, one.truth)
        assert closure is (True if family.kind in ("symmetry", "one value") else closure)
        assert family.kind != "all different" or closure is None


def test_values_lie_as_far_apart_as_said_and_the_noise_has_unit_variance():
    even = [draw(BY_NAME["symmetry", "circulant 8"], "even", 20.0, np.random.default_rng(seed)) for seed in range(40)]
    one = max(even, key=lambda d: d.problem.num_train)
    estimate, error = one.problem.estimate(), np.sqrt(np.diag(one.problem.pooled.inverse()).mean())
    values = np.array([estimate.values[one.truth == label].mean() for label in range(8)])
    np.testing.assert_allclose(np.diff(np.sort(values)) / error, 20.0, atol=4.0)
    assert estimate.variance.mean() == pytest.approx(error**2, rel=0.3)


@pytest.mark.parametrize(
    ("labels", "truth", "expected"),
    [
        (circulant(5), dihedral(5), True),  # fewer permutations than the truth has
        (dihedral(5), circulant(5), False),
        (np.arange(25).reshape(5, 5), circulant(5), None),
        (permutations(5), np.arange(25).reshape(5, 5), False),
        (repeated_rows(2, 1, 4), repeated_rows(2, 1, 4), True),  # two rows that are equal by chance
    ],
)
def test_contained(labels, truth, expected):
    assert contained(labels, truth) is expected


def test_interval_of_a_share():
    share, interval = share_and_interval([True, False, True, True])
    assert (share, interval) == (0.75, pytest.approx(0.75 - 0.3006, abs=1e-3))
    assert share_and_interval([False] * 20) == (0.0, pytest.approx(0.1611, abs=1e-3))


def test_nothing_is_asserted_below_the_level():
    d = believed(found(dihedral(5)), log_odds=5.0)
    d = replace(d, belief=replace(d.belief, shift_log_odds=np.nan))
    level = d.symmetry_probability
    assert told(d, circulant(5), level) == Asserted(False, True, False)
    assert told(d, circulant(5), level + 1e-9) == Asserted(False, False, False)
    assert told(d, dihedral(5), level) == Asserted(True, False, True)


def test_shifts_that_the_truth_does_not_have_are_false():
    line = abs(np.arange(6) - np.arange(6)[:, None])
    d = believed(found(line), log_odds=-100.0)
    d = replace(d, belief=replace(d.belief, shift_log_odds=100.0))
    assert told(d, line, 0.5) == Asserted(False, False, True)
    assert told(d, line[::-1][[1, 0, 2, 3, 4, 5]], 0.5) == Asserted(False, True, False)
    # Shifts without the reflection that was told.
    assert told(d, np.arange(6) - np.arange(6)[:, None] + 5, 0.5) == Asserted(False, True, False)


def test_groups_of_patterns_are_compared():
    assert asserted(dihedral(5), circulant(5)) == Asserted(False, True, False)
    assert asserted(circulant(5), circulant(5)) == Asserted(True, False, True)


def test_version_01_finds_a_clear_symmetry():
    one = draw(BY_NAME["symmetry", "circulant 8"], "even", 12.0, np.random.default_rng(0))
    assert partition_distance(version_01(one.problem), one.truth) == 0


def judged(odds, holds, family):
    rules = {"auto": Asserted(holds, not holds, holds)}
    of = Draw(family, None, None, 1.0, "even", "white", "normal", "more than weights")
    return Judged(of, rules, odds, 0.5, holds)


def test_curve_is_fitted_on_the_families_that_are_not_held_out():
    rng = np.random.default_rng(0)
    true, held_out = BY_NAME["symmetry", "circulant 8"], BY_NAME["symmetry", "circulant 12"]
    odds = 4 * rng.standard_normal(4000)
    holds = rng.random(4000) < 1 / (1 + np.exp(0.8 - 0.6 * odds))
    maps = [judged(x, bool(y), true) for x, y in zip(odds, holds, strict=True)]
    maps += [judged(x, False, held_out) for x in odds[:50]]
    maps.append(judged(-np.inf, False, true))
    np.testing.assert_allclose(tables.fit_curve(maps), (-0.8, 0.6), atol=0.1)
    fitted_on = [r for r in tables.reliability(maps).rows if (r["maps"], r["method"]) == ("fitted on", "fitted here")]
    assert all(row["group_holds"] == pytest.approx(row["said"], abs=0.06) for row in fitted_on)
    rows = {row["method"]: row for row in tables.curve(maps).rows}
    assert rows["fitted here"]["loss_fitted_on"] < rows["odds as they are"]["loss_fitted_on"]


def test_experiment():
    few = [BY_NAME[key] for key in (("symmetry", "dihedral 8"), ("random labels", "4 × 4"), ("all different", "5 × 6"))]
    few += [BY_NAME["symmetry", "torus 3 × 4"], BY_NAME["one value", "6 × 6"], BY_NAME["in order", "dihedral 6"]]
    calls = []
    done = experiment.run(trials=1, seed=1, progress=lambda *step: calls.append(step), families=few, ratios=(8.0,))
    assert calls[-1] == (10, 10)
    names = ["false", "false_by_setting", "power", "power_by_pattern", "reliability", "in_order", "curve"]
    assert [table.name for table in done.tables] == names
    for table in done.tables:
        for row in table.rows:
            assert {*table.settings, "method", "trials", "seconds"} <= row.keys()
    power = {(r["pattern"], r["method"]): r for r in done.tables[3].rows}
    assert power["torus 3 × 4", "auto"]["right"] == power["dihedral 8", "auto"]["right"] == 1


def test_clean_data_are_told_exactly():
    names = ("circulant 5", "permutations 4", "one value, 6 × 6", "random, 3 groups")
    every = {one.name: one for one in clean.families()}
    assert len(every) == 38
    (table,) = clean.run(2, patterns=[every[name] for name in names]).tables
    assert [(row["pattern"], row["method"]) for row in table.rows[::2]] == [(name, "auto") for name in (*names, "all")]
    told = {row["method"]: row for row in table.rows[-2:]}
    assert told["auto"]["inexact"] == told["auto"]["false"] == told["gap"]["inexact"] == 0
    assert told["auto"]["trials"] == 8


@pytest.mark.parametrize("family", clean.families(), ids=lambda f: f.name)
def test_clean_patterns_have_a_symmetry_but_shuffled_shifts_and_random_ones(family):
    one = draw(family, "even", 15.0, np.random.default_rng(0))
    has_none = family.kind == "random labels" or family.name.startswith("Toeplitz")
    assert contained(one.truth, one.truth) is (None if has_none else True)
