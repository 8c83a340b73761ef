"""``equishare reproduce factors`` and ``glm`` at a small size, and the census at a few of its published splits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import equishare as es
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


def test_published_figures_stand_beside_ours():
    (plan,) = factors.plans()
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


def test_adult_census():
    """Three published splits of the census, 452 rows to fit each, and 4000 others to test (tests/data/adult.npz)."""
    with np.load(Path(__file__).parent / "data" / "adult.npz") as file:
        codes, numeric, y, splits = (file[name] for name in ("codes", "numeric", "y", "splits"))
    errors, parameters = [], []
    for split in splits:
        train = split >= 0
        rest = np.flatnonzero(split < 0)
        known = np.all([np.isin(codes[rest, j], codes[train, j]) for j in range(8)], axis=0)
        rest = rest[known]
        d = es.discover(es.FactorProblem(codes[train], y[train], family="binomial", numeric=numeric[train]))
        new = {str(j): codes[rest, j] for j in range(8)} | {
            name: numeric[rest, j] for j, name in enumerate(d.predictor.numeric)
        }
        errors.append(np.mean((d.predict(new) > 0.5) != y[rest]))
        parameters.append(3 + sum(own.num_groups - 1 for own in d.partitions.values()))
    assert np.mean(errors) < 0.2
    assert max(parameters) <= 14
