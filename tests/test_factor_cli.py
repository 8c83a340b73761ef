"""``equishare discover table.csv --outcome``: text columns are factors."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import equishare as es
from equishare import cli
from equishare.result import calibration
from equishare.result.confidence import Confidence


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
    assert "What is explained is the probability of claim = yes." in printed
    assert "Values are effects on the log odds, on average zero over the rows." in printed
    assert "The 4 levels of region share 2 different values." in printed
    assert "ash, bay" in printed and "cove, dale" in printed
    found = json.loads((out / "labels.json").read_text())
    assert found["parameters"]["region"]["labels"] == [0, 0, 1, 1]
    assert list(found["numeric"]) == ["age"] and f"{found['numeric']['age']:.4g}, never tied" in printed
    page = (out / "report.html").read_text()
    assert "ash" in page
    weight = dict(es.Discovery.load(out / "discovery.npz").about.facts)["weights of numeric columns, never tied"]
    assert weight.startswith("age ") and weight in page


def test_names_of_numeric_columns_are_no_markup(table, tmp_path, capsys):
    frame = pd.read_csv(table).rename(columns={"age": "age [y]"})
    frame.to_csv(tmp_path / "odd.csv", index=False)
    assert run("discover", tmp_path / "odd.csv", "--outcome", "cost", "--inputs", "region,age [y]") == 0
    assert "weight of age [y]" in capsys.readouterr().out


def test_the_family_follows_from_the_outcome(table, capsys):
    assert run("discover", table, "--outcome", "claim", "--ignore", "cost") == 0
    assert "The family is binomial: outcome 'claim' has 2 values" in capsys.readouterr().out
    assert run("discover", table, "--outcome", "cost", "--inputs", "region", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["region"]["labels"] == [0, 0, 1, 1]
    assert run("discover", table, "--outcome", "cost", "--inputs", "age") == 0
    told = capsys.readouterr().out
    assert "asked is which of their weights are equal: age" in told and "cost ← age" in told
    assert run("discover", table, "--outcome", "claim", "--inputs", "age") == 0
    assert "claim ← age" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--outcome", "clam"], "did you mean claim?"),
        (["--outcome", "claim", "--family", "gamma"], "family must be one of"),
        (["--outcome", "claim", "--family", "poisson"], "must hold numbers"),
        (["--outcome", "cost", "--family", "poisson"], "outcome 'cost' must hold counts"),
        (["--outcome", "cost", "--factors", "age"], "factors must be categories, and columns hold numbers with frac"),
        (["--outcome", "claim", "--means"], "outcome must stand alone, got --means too"),
        (["--outcome", "claim", "--covariance"], "outcome must stand alone, got --covariance too"),
        (["--outcome", "claim", "--outputs", "age"], "outcome must stand alone, got --outputs too"),
        (["--outcome", "claim", "--train-fraction", "0.9"], "outcome must stand alone, got --train-fraction too"),
        (["--family", "poisson"], "--outcome COLUMN"),
        (["--factors", "region"], "factors belongs to an outcome: --outcome COLUMN"),
        (["--outcome", "claim", "--factors", "claim"], "factors must be columns that explain the outcome, got claim"),
        (["--outcome", "claim", "--factors", "age", "--ignore", "age"], "got age: name an input"),
        (["--outcome", "claim", "--factors", "ag"], "did you mean age?"),
        (["--outcome", "claim", "--inputs", "claim"], "leave a column beside"),
    ],
)
def test_wrong_calls_say_what_is_wrong(table, arguments, message, capsys):
    assert run("discover", table, *arguments) == 2
    assert message in capsys.readouterr().err


def test_what_explains_a_column_of_text_is_told(table, capsys):
    assert run("discover", table) == 2
    assert "--outcome cost)" not in (said := capsys.readouterr().err) and "table.csv --outcome cost" in said
    assert run("discover", table, "--ignore", "age,cost") == 2
    assert "--outcome claim --ignore age,cost" in (said := capsys.readouterr().err)
    assert run("discover", table, "--ignore", "region,claim") == 2
    said = capsys.readouterr().err
    assert "what explains a column: equishare discover" in said and "--outcome cost" in said
    assert run("discover", table, "--ignore", "region,claim,age") == 2
    assert "--outcome" not in capsys.readouterr().err


def test_a_column_that_counts_the_rows_is_told(table, capsys):
    frame = pd.read_csv(table)
    frame.insert(0, "customer", np.arange(1000, 1000 + len(frame)))
    frame.to_csv(table, index=False)
    note = "Taken as numbers, but counting the rows: customer (--ignore customer leaves out)."
    assert run("discover", table, "--outcome", "claim") == 0
    assert note in " ".join(capsys.readouterr().out.split())
    for chosen in (["--ignore", "customer"], ["--inputs", "region,customer"]):
        assert run("discover", table, "--outcome", "claim", *chosen) == 0
        assert "counting the rows" not in capsys.readouterr().out


def test_the_report_goes_on_with_a_table(table, tmp_path):
    out = tmp_path / "out"
    assert run("discover", table, "--outcome", "claim", "--ignore", "cost", "--out", out) == 0
    page = (out / "report.html").read_text()
    assert "model=model" not in page and "d.predict(table)" in page
    assert "effects on the log odds, on average zero over the samples" in page
    d = es.Discovery.load(out / "discovery.npz")
    frame = pd.read_csv(table)
    assert d.bias[0] == pytest.approx(d.predictor.bias)
    eta = d.bias[0] + d.theta["region"][[d.levels["region"].index(one) for one in frame.region]]
    eta = eta + frame[list(d.predictor.numeric)].to_numpy() @ d.predictor.coefficients
    assert np.allclose(d.predict(frame), 1 / (1 + np.exp(-eta)))
    counts = frame.region.value_counts()
    mean = sum(value * counts[level] for level, value in zip(d.levels["region"], d.theta["region"], strict=True))
    assert mean / len(frame) == pytest.approx(0, abs=1e-9)


def test_numbers_that_are_categories(table, tmp_path, capsys):
    frame = pd.read_csv(table)
    frame["code"] = frame.pop("region").map({"ash": 11, "bay": 2, "cove": 30, "dale": 4})
    frame.to_csv(table, index=False)
    assert run("discover", table, "--outcome", "claim", "--ignore", "cost", "--factors", "code", "--out", tmp_path) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Columns of text and of --factors are factors, whose levels may have one effect: code." in printed
    assert "Columns of numbers have a weight each, never tied: age." in printed
    d = es.Discovery.load(tmp_path / "discovery.npz")
    groups = dict(zip(d.levels["code"], d.partitions["code"].labels.tolist(), strict=True))
    assert groups["11"] == groups["2"] != groups["30"] == groups["4"]
    assert np.isfinite(d.predict(frame)).all()


def test_that_nothing_can_be_told_is_said_once(table, capsys):
    frame = pd.read_csv(table)
    frame["kind"], frame["cost"] = frame["region"].sample(frac=1, random_state=0).to_numpy(), np.arange(400) * 7 % 31
    frame.to_csv(table, index=False)
    assert run("discover", table, "--outcome", "cost", "--inputs", "region,kind") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("Nothing can be told from these data") == 1 and printed.count("drops out") == 2


def test_the_answer_tells_first_how_probable_ties_are():
    rng = np.random.default_rng(0)
    city = rng.choice(list("abcdef"), 90)
    found = es.discover(es.FactorProblem({"city": city}, np.isin(city, ["d", "e", "f"]) + 0.2 * rng.normal(size=90)))
    draws = rng.integers(6, size=(160, 6))  # which tie any two levels once in six times
    unsure = Confidence(found.partitions["city"], draws, None, calibration.DRAWN)
    for one, is_low in ((found, False), (dataclasses.replace(found, confidences={"city": unsure}), True)):
        first = one._repr_html_().split("</strong>")[0]
        assert "A tie is " in first and " probable, by group." in first
        assert ("Below 50 % levels stand together only because" in first) == is_low
