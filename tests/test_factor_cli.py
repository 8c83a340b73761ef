"""``equishare discover table.csv --outcome``: text columns are factors."""

import json

import numpy as np
import pandas as pd
import pytest

from equishare import cli


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    region, age = rng.choice(["ash", "bay", "cove", "dale"], 400), rng.normal(40, 10, 400)
    high = np.isin(region, ["cove", "dale"])
    claim = np.where(rng.random(400) < np.where(high, 0.8, 0.2), "yes", "no")
    frame = pd.DataFrame({"region": region, "age": age, "claim": claim, "cost": 2.0 * high + rng.normal(size=400)})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


def run(*arguments):
    with pytest.raises(SystemExit) as ending:
        cli.main([str(one) for one in arguments])
    return ending.value.code or 0


def test_text_columns_are_factors_and_the_answer_names_their_levels(table, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("discover", table, "--outcome", "claim", "--family", "binomial", "--ignore", "cost", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "Columns of text are factors, whose levels may have one effect: region." in printed
    assert "Columns of numbers have a weight each, never tied: age." in printed
    assert "Told is the probability of claim = yes." in printed
    assert "The 4 levels of region share 2 different values." in printed
    assert "ash, bay" in printed and "cove, dale" in printed
    found = json.loads((out / "labels.json").read_text())
    assert found["parameters"]["region"]["labels"] == [0, 0, 1, 1]
    assert "ash" in (out / "report.html").read_text()


def test_the_family_follows_from_the_outcome(table, capsys):
    assert run("discover", table, "--outcome", "claim", "--ignore", "cost") == 0
    assert "The family is binomial: outcome 'claim' has 2 values" in capsys.readouterr().out
    assert run("discover", table, "--outcome", "cost", "--inputs", "region", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["region"]["labels"] == [0, 0, 1, 1]
    assert run("discover", table, "--outcome", "cost", "--inputs", "age") == 0
    assert "asked is which of their weights are equal: age" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--outcome", "clam"], "did you mean claim?"),
        (["--outcome", "claim", "--family", "gamma"], "family must be one of"),
        (["--outcome", "claim", "--family", "poisson"], "must hold numbers"),
        (["--outcome", "claim", "--means"], "outcome must stand alone, got --means too"),
        (["--outcome", "claim", "--covariance"], "outcome must stand alone, got --covariance too"),
        (["--outcome", "claim", "--outputs", "age"], "outcome must stand alone, got --outputs too"),
        (["--outcome", "claim", "--train-fraction", "0.9"], "outcome must stand alone, got --train-fraction too"),
        (["--family", "poisson"], "--outcome COLUMN"),
        (["--outcome", "claim", "--inputs", "claim"], "leave a column beside"),
    ],
)
def test_wrong_calls_say_what_is_wrong(table, arguments, message, capsys):
    assert run("discover", table, *arguments) == 2
    assert message in capsys.readouterr().err
