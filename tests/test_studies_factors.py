"""``equishare reproduce factors`` and ``glm`` at a small size, and the census at a few of its published splits."""

from dataclasses import replace

import pytest

from equishare.lab.studies import factors, glm


def rows_of(study, keep, trials):
    planned = [replace(plan, cells=[cell for cell in plan.cells if keep(cell.settings)]) for plan in study.plans()]
    done = study.run(trials=trials, planned=[plan for plan in planned if plan.cells])
    return {(table.name, row["method"]): row for table in done.tables for row in table.rows}


def test_scope_simulation_without_much_noise_is_as_good_as_the_oracle():
    rows = rows_of(factors, lambda own: own == {"setting": 3, "noise": 1.0}, 2)
    assert rows["scope", "auto"]["pd"] == 0
    assert rows["scope", "auto"]["mse_pattern"] == pytest.approx(rows["scope", "oracle"]["mse_pattern"])
    assert rows["scope", "auto"]["mse"] < 0.05 < rows["scope", "no sharing"]["mse"]


def test_who_is_told_the_values_errs_less():
    rows = rows_of(factors, lambda own: own == {"setting": 2, "noise": 6.25}, 3)
    assert 0 < rows["scope", factors.TOLD]["mse"] < rows["scope", "no sharing"]["mse"]


def test_published_figures_stand_beside_ours():
    plan, census = factors.plans()
    assert census.cells[0].references["auto"]["published_scope"] == 0.1903
    cell = next(one for one in plan.cells if one.settings == {"setting": 1, "noise": 6.25})
    assert cell.references["auto"]["published_scope_cv"] == 0.407
    assert len(plan.cells) == 12


def test_slopes_of_studies():
    rows = rows_of(glm, lambda own: own == {"family": "gaussian"}, 2)
    assert rows["metafuse", "auto"]["pd"] <= 1
    assert rows["metafuse", "auto"]["mse"] < rows["metafuse", "no sharing"]["mse"]
    truth = rows["metafuse", "oracle"]
    assert truth["pd"] == 0


def test_columns_in_groups():
    rows = rows_of(glm, lambda own: own == {"family": "poisson", "samples": 1000}, 2)
    assert rows["columns", "auto"]["pd"] == 0
    assert rows["columns", "auto"]["loss"] < rows["columns", "no sharing"]["loss"]


def test_slopes_far_apart_are_told_as_the_bayes_limit_tells_them():
    rows = rows_of(glm, lambda own: own == {"family": "poisson", "separation": 8}, 2)
    assert rows["metafuse_separation", "Bayes limit"]["pd"] == 0
    assert rows["metafuse_separation", "auto"]["pd"] <= 1


def test_adult_census():
    """Three published splits of the census, 452 rows to fit each, all others to test."""
    rows = rows_of(factors, lambda own: own == {"rows": 452}, 3)
    assert rows["census", "auto"]["error"] < 0.2
    assert rows["census", "auto"]["error_average"] < min(0.195, rows["census", "no sharing"]["error"])
    assert rows["census", "auto"]["parameters"] <= 14
