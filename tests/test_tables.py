"""Tables: their columns are chosen by name, and the names reach the answer."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

import equishare as es
from equishare import cli
from equishare.columns import chosen, suggested
from equishare.datafiles import read_data, split_problem

NAMES = ["time", "temp_n", "temp_e", "temp_s", "a,b", "a:b", "wild*", ' "q"', "flow1", "flow2"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("temp_n", ["temp_n"]),
        ("flow2, temp_n", ["flow2", "temp_n"]),  # in the order in which they are asked for
        ("temp_*", ["temp_n", "temp_e", "temp_s"]),
        ("*_n,t*", ["temp_n", "time", "temp_e", "temp_s"]),  # each once
        ("temp_n:temp_s", ["temp_n", "temp_e", "temp_s"]),
        ("flow1:flow1", ["flow1"]),
        ('"a,b",flow1', ["a,b", "flow1"]),
        ('"a,b":flow1', NAMES[4:9]),
        ('"a,b:flow1", time', [*NAMES[4:9], "time"]),
        ("a:b", ["a:b"]),
        ("a:b:flow1", NAMES[5:9]),
        ("wild*", ["wild*"]),
        ("*", NAMES),
        (["a,b", "temp_*"], ["a,b", "temp_n", "temp_e", "temp_s"]),
        ([' "q"'], [' "q"']),
    ],
)
def test_chosen(asked, expected):
    assert chosen(asked, NAMES, "inputs") == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["temp_n", "temp_e", "flow1", "flow2"], ("temp_*", "flow*")),
        (["t1", "t2", "u1", "u2", "power_a", "power_b"], ("t*,u*", "power_*")),
        (["t1", "t2", "load"], ("t*", "load")),
        (["load", "t1", "t2"], (None, "t*")),
        (["age", "height", "weight"], ("age:height", "weight")),
        (["age", "weight"], ("age", "weight")),
        (["a_1", "a_2", "a_b_1", "a_b_2"], (None, "a_b_*")),  # a_* is more than one family
        (["age", "TEXT", "height", "weight"], (None, "weight")),  # a range would hold the text
        (["a,b", "c", "d"], ('"a,b:c"', "d")),
    ],
)
def test_suggested(names, expected):
    assert suggested(names, [name for name in names if name != "TEXT"]) == expected


@given(st.lists(st.text("ab_1*:,\" '", min_size=1, max_size=5).map(str.strip).filter(bool), min_size=2, unique=True))
def test_what_is_suggested_can_be_typed(names):
    inputs, outputs = (part and shlex.split(shlex.quote(part))[0] for part in suggested(names, names))
    y = chosen(outputs, names, "outputs")
    x = [name for name in names if name not in y] if inputs is None else chosen(inputs, names, "inputs")
    assert x and y and not set(x) & set(y)


CIRCULANT = np.array([[(j - i) % 4 for j in range(4)] for i in range(4)])
INPUTS, OUTPUTS = [f"temp_{w}" for w in "nesw"], [f"flow{i}" for i in range(1, 5)]


def weather() -> pandas.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = x @ np.array([3.0, 1.0, 0.0, -2.0])[CIRCULANT].T + 0.1 * rng.normal(size=(200, 4))
    columns = {"station": ["Oslo", "Rom"] * 100, "time": np.arange(200), **dict(zip(INPUTS, x.T, strict=True))}
    return pandas.DataFrame(columns | dict(zip(OUTPUTS, y.T, strict=True)))


@pytest.fixture
def table(tmp_path):
    weather().to_csv(tmp_path / "weather.csv", index=False)
    return tmp_path / "weather.csv"


FORMATS = [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".xlsx", ".parquet"]


@pytest.mark.parametrize("ending", FORMATS)
def test_formats_give_the_same_numbers(tmp_path, ending):
    path, frame = tmp_path / f"weather{ending}", weather()
    if ending == ".xlsx":
        frame.to_excel(path, index=False)
    elif ending == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in ending else ",")
    data = read_data(path, inputs="temp_*", outputs="flow*")
    rtol = 1e-15 if ending == ".xlsx" else 0  # spreadsheets keep 16 digits
    pandas.testing.assert_frame_equal(data.x, frame[INPUTS], rtol=rtol, atol=0)
    pandas.testing.assert_frame_equal(data.y, frame[OUTPUTS], rtol=rtol, atol=0)


def test_numbers_of_every_kind(tmp_path):
    frame = pandas.DataFrame({"f": np.array([1, 2], np.float32), "i": [1, 2], "b": [True, False]})
    frame["n"] = pandas.array([3, 4], dtype="Int64")
    frame["day"] = pandas.to_datetime(["2024-01-01", "2024-01-02"])
    frame.to_parquet(tmp_path / "kinds.parquet")
    data = read_data(tmp_path / "kinds.parquet", means=True)
    assert data.x.dtypes.tolist() == ["float32", "float64", "float64", "float64"]
    assert data.x.to_numpy().tolist() == [[1, 1, 1, 3], [2, 2, 0, 4]]
    assert data.notes == ("Not used: day.",)


@pytest.mark.parametrize(
    ("asked", "x", "y", "notes"),
    [
        ({"inputs": INPUTS, "outputs": "flow*"}, INPUTS, OUTPUTS, ["Not used: station, time."]),
        ({"inputs": "temp_*", "outputs": "flow*", "ignore": "station,time"}, INPUTS, OUTPUTS, []),
        (
            {"outputs": "flow1:flow4", "ignore": ["time"]},
            INPUTS,
            OUTPUTS,
            ["Inputs are all other columns with numbers: temp_n, temp_e, temp_s, temp_w.", "Not used: station."],
        ),
        (
            {"inputs": "temp_*", "ignore": "flow2:flow4,time"},
            INPUTS,
            ["flow1"],
            ["Outputs are all other columns with numbers: flow1.", "Not used: station."],
        ),
        ({"inputs": "t*", "outputs": "flow*", "ignore": "time"}, INPUTS, OUTPUTS, ["Not used: station."]),
        ({"means": True, "ignore": "time"}, INPUTS + OUTPUTS, None, ["Not used: station."]),
        (
            {"means": True, "inputs": "flow*"},
            OUTPUTS,
            None,
            ["Not used: station, time, temp_n, temp_e, temp_s, temp_w."],
        ),
    ],
)
def test_what_is_asked_for_is_taken_and_the_rest_is_told(table, asked, x, y, notes):
    data = read_data(table, **asked)
    assert list(data.x) == x
    assert data.y is None if y is None else list(data.y) == y
    assert data.notes == tuple(notes)
    labels = split_problem(data, 0.5, 0).slots[0].labels
    assert labels == ((tuple(x),) if y is None else (tuple(y), tuple(x)))


def test_columns_named_so_are_a_map_without_those_ignored(tmp_path):
    pandas.DataFrame({"": [0, 1], "t": [2, 3], "x0": [4, 5], "y0": [6, 7]}).to_csv(tmp_path / "d.csv", index=False)
    data = read_data(tmp_path / "d.csv", ignore="t,Unnamed: 0")
    assert (list(data.x), list(data.y), data.notes) == (["x0"], ["y0"], ())


def test_the_first_sheet_is_read(tmp_path):
    with pandas.ExcelWriter(tmp_path / "book.xlsx") as book:
        weather().to_excel(book, sheet_name="data", index=False)
        weather().to_excel(book, sheet_name="more", index=False)
    data = read_data(tmp_path / "book.xlsx", inputs="temp_*", outputs="flow*", ignore="station,time")
    assert data.notes == ("Read the first sheet, 'data' (--sheet reads another: 'more').",)


def test_a_table_from_python(table):
    data = read_data(table, outputs="flow*", ignore="time")
    found = es.discover(data.x, data.y, "gap")
    assert found.names == (tuple(OUTPUTS), tuple(INPUTS))


@pytest.mark.parametrize("is_map", [True, False])
def test_names_reach_the_answer(table, capsys, is_map):
    asked = ["--inputs", "temp_*", "--outputs", "flow*"] if is_map else ["--means", "--inputs", "temp_*"]
    folder = table.parent / "out"
    with pytest.raises(SystemExit) as ended:
        cli.main(["discover", str(table), *asked, "--out", str(folder)])
    assert not ended.value.code
    out, _ = capsys.readouterr()
    assert "flow1 ← temp_n" in out if is_map else "temp_n, temp_e" in out
    labels = (tuple(OUTPUTS), tuple(INPUTS)) if is_map else (tuple(INPUTS),)
    found = es.Discovery.load(folder / "discovery.npz")
    assert found.names == labels
    document = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    axes = ("outputs", "inputs") if is_map else ("entries",)
    assert document["names"] == {axis: list(own) for axis, own in zip(axes, labels, strict=True)}
    assert document["value_errors"] == found.quality.value_errors.tolist()
    assert document["warnings"] == list(found.warnings)
    assert document["r_squared"] == (found.quality.r_squared if is_map else None)
    assert document["dependence"] == (found.quality.dependence if is_map else None)
