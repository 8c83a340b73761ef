"""``equishare reproduce covariance``: its draws have the groups they say, its tables are complete."""

from dataclasses import replace

import numpy as np
import pytest

from equishare.lab.studies import covariance, covariance_calibration
from equishare.lab.studies.covariance_families import FAMILIES, SAMPLES, VARIABLES, drawn
from equishare.lab.studies.write import write_experiment


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("ring of 6, D_6", 12),
        ("ring of 12, D_12", 24),
        ("ring of 10, D_10", 20),
        ("S_3 ≀ S_3", 1296),
        ("S_4 × S_5", 24 * 120),
        ("cube", 48),
        ("S_3 ≀ S_3 beside three", 1296),
        ("gips, S_3 of 5", 6),
        ("gips, ring of 6", 12),
        ("S_4", 24),
    ],
)
def test_groups_of_the_covariances(name, order):
    own = covariance.COVARIANCES[name]
    assert np.linalg.eigvalsh(own)[0] > 0.05
    assert covariance.group_of(own).order == order
    assert covariance.is_within(covariance.group_of(own), own)


@pytest.mark.parametrize("name", covariance.WITHOUT)
def test_covariances_without_a_group(name):
    assert covariance.group_of(covariance.WITHOUT[name]).is_trivial


def test_curves(tmp_path):
    planned = [
        replace(plan, cells=[cell for cell in plan.cells if cell.settings["samples"] in (40, 1000)][:2])
        for plan in covariance.plans()
    ]
    found = covariance.run(trials=2, seed=1, planned=planned)
    assert [table.name for table in found.tables] == ["needed", "recovery", "none"]
    assert all(row["trials"] == 2 for table in found.tables for row in table.rows)
    assert found.tables[1].rows[1]["exact"] == 1
    assert all(row["false"] == 0 for table in found.tables[1:] for row in table.rows)
    written = {path.name for path in write_experiment(found, tmp_path)}
    assert {"covariance_recovery.csv", "covariance_none.csv", "covariance_recovery_exact.png"} <= written


@pytest.mark.slow
def test_no_false_group_where_none_can_be_told_and_an_error_below_the_published_ones(monkeypatch):
    monkeypatch.setattr(covariance, "PUBLISHED_SAMPLES", (20,))
    (table,) = covariance.published(trials=1, seed=0)
    best: dict[tuple, float] = {}
    for row in table.rows:
        cell = row["matrix"], row["samples"]
        if row["method"] == "auto":
            assert row["false"] == 0
            assert row["median"] < 1.05 * best[cell]
        elif "median" in row:
            best[cell] = min(row["median"], best.get(cell, np.inf))
    assert len(best) == 6


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_families_have_a_group_or_none_as_they_say(family):
    for seed in range(20):
        one = drawn(family, np.random.default_rng(seed))
        assert SAMPLES[0] <= len(one.samples) <= SAMPLES[1]
        assert VARIABLES[0] <= len(one.covariance) <= VARIABLES[1]
        assert np.linalg.eigvalsh(one.covariance)[0] > 0
        assert covariance.group_of(one.covariance).is_trivial is not family.symmetric


def test_tables_of_what_is_invented_and_found():
    families = [one for one in FAMILIES if one.name in ("all alike", "independent, unequal variances", "line")]
    by_family, bins, curve = covariance_calibration.tables(1, 0, families=families)
    assert [row["family"] for row in by_family.rows[:3]] == [one.name for one in families]
    assert {row["family"]: row["trials"] for row in by_family.rows}["all with a group"] == 2
    assert sum(row["trials"] for row in bins.rows) == 3
    assert [row["method"] for row in curve.rows] == ["fitted here", "shipped"]


def test_a_group_counts_as_false_only_where_it_does_not_hold():
    alike, unequal = (
        next(one for one in FAMILIES if one.name.startswith(name)) for name in ("all alike", "one factor")
    )
    one = drawn(alike, np.random.default_rng(1))
    told = covariance_calibration.judge(
        replace(
            one,
            samples=np.random.default_rng(0).multivariate_normal(
                np.zeros(len(one.covariance)), one.covariance, size=3000
            ),
        )
    )
    assert told.told and told.holds and told.whole and told.probability > 0.5
    # The same samples, of which the truth would be another.
    other = drawn(unequal, np.random.default_rng(1)).covariance
    size = min(len(other), len(one.covariance))
    rng = np.random.default_rng(0)
    samples = rng.multivariate_normal(np.zeros(size), one.covariance[:size, :size], size=3000)
    wrong = covariance_calibration.judge(replace(one, covariance=other[:size, :size], samples=samples))
    assert wrong.told and not wrong.holds and not wrong.whole
