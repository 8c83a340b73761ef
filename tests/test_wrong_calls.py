"""Wrong calls and wrong tables: each is refused with a sentence that says what to do instead."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas
import pytest

import equishare as es
from equishare import LinearProblem, MeanProblem, cli, discover
from equishare.columns import chosen

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X @ RNG.normal(size=(3, 2)) + 0.1 * RNG.normal(size=(60, 2))
NAN = np.where(np.arange(X.size).reshape(X.shape) == 100, np.nan, X)
NAMED = pandas.DataFrame(X, columns=["a", "b", "c"])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: LinearProblem(X, Y, X, Y),
            TypeError,
            r"validation samples must be given by name, got 4 arguments by position: .*x_val=x_val, y_val=y_val",
        ),
        (lambda: LinearProblem(X, Y, x_val=X), TypeError, "x_val and y_val must be given together, got only x_val"),
        (lambda: LinearProblem(X, Y, y_val=Y), TypeError, "x_val and y_val must be given together, got only y_val"),
        (
            lambda: LinearProblem(NAMED.assign(b="Oslo"), Y),
            TypeError,
            "x must hold real numbers, got column 'b' of .*: leave it out, or code it as numbers",
        ),
        (
            lambda: LinearProblem(NAMED.set_axis(["a", "b", "a"], axis=1), Y),
            ValueError,
            "x must have a name of its own for each column, got 'a' twice",
        ),
        (
            lambda: LinearProblem(NAMED, Y, x_val=NAMED.rename(columns={"b": "z"}), y_val=Y),
            ValueError,
            "x and x_val must have the same columns in the same order, got a, b, c and a, z, c",
        ),
        (
            lambda: MeanProblem(NAMED, NAMED[["b", "a", "c"]]),
            ValueError,
            "train and val must have the same columns in the same order, got a, b, c and b, a, c",
        ),
        (
            lambda: LinearProblem(NAN, Y),
            ValueError,
            r"x must be finite, got nan at row 33, column 1 counted from 0 \(1 such values\): leave such rows out",
        ),
        (
            lambda: LinearProblem(NAMED.where(~np.isnan(NAN)), Y),
            ValueError,
            "x must be finite, got nan at row 33 counted from 0, column 'b'",
        ),
        (
            lambda: discover(X, X, Y, Y),
            TypeError,
            r"discover takes x and y, got 4 arrays: for validation samples of your own, discover\(LinearProblem\(",
        ),
        (lambda: discover(X, Y, X), TypeError, "discover takes x and y, got 3 arrays"),
        (
            lambda: discover(X=X, y=Y),
            TypeError,
            r"discover takes inputs x and outputs y, got y alone: discover\(x, y\)",
        ),
        (lambda: discover(), TypeError, "problem must be a MeanProblem, .* got NoneType"),
        (lambda: discover(X, Y, resample=5), TypeError, "no option resample; .*; did you mean resamples?"),
        (lambda: discover(X, Y, "gap").plot_pattern(ax="here"), TypeError, "ax must be matplotlib axes, .* got str"),
        (lambda: discover(X, Y, "gap").predict(X[0]), ValueError, r"one sample x\[None\]"),
        (lambda: chosen(3, ["a"], "inputs"), TypeError, "inputs must be a string or a list of names, got 3"),
        (lambda: LinearProblem(np.ones((60, 3)), Y), ValueError, "x holds constant data: no column varies"),
        (lambda: LinearProblem(X, np.ones(60)), ValueError, "y holds constant data: no column varies"),
        (lambda: MeanProblem(np.ones((60, 3))), ValueError, "hold constant data: every sample is the same"),
        (
            lambda: LinearProblem(X, Y[:50]),
            ValueError,
            r"x and y must have as many rows as each other, got shapes \(60, 3\) and \(50, 2\)",
        ),
        (lambda: LinearProblem(X[:1], Y[:1]), ValueError, "x and y must hold at least two samples .* got 1"),
        (lambda: LinearProblem(X[None], Y), ValueError, r"got shape \(1, 60, 3\); x.reshape\(len\(x\), -1\)"),
        (lambda: MeanProblem(X[:, 0]), ValueError, r"got shape \(60,\); one column of numbers is train\[:, None\]"),
        (lambda: MeanProblem(np.ma.masked_less(X, 0)), TypeError, "must not be a masked array: drop or fill"),
        (
            lambda: discover(np.c_[X, X[:, 0]], Y),
            ValueError,
            "the samples do not determine the weights: linearly dependent columns 0, 3; leave out columns",
        ),
        (
            lambda: discover(RNG.normal(size=(8, 20)), RNG.normal(size=(8, 2))),
            ValueError,
            "8 samples for 21 parameters per output; more samples or fewer columns",
        ),
        (
            lambda: discover(X),
            TypeError,
            r"got one array of samples: MeanProblem\(samples\) asks which means are equal, discover\(x, y\) which",
        ),
        (lambda: discover(X), TypeError, r"CovarianceProblem\(samples\) which variables are interchangeable"),
        (lambda: discover("a.csv"), TypeError, "got the text 'a.csv': a file is read first .pandas.read_csv"),
        (lambda: discover(Path("a.csv"), "merge"), TypeError, "problem must be data, got the text 'a.csv'"),
        (lambda: discover(NAMED, "c"), TypeError, r"got one array and y='c', which is no array: .*discover\(x, y\)"),
        (lambda: discover([X, Y]), TypeError, r"MeanProblem\(samples\) asks .* discover\(x, y\) which weights"),
        (lambda: discover([MeanProblem(X), X]), TypeError, "a list of one of them, got a list of MeanProblem, ndarray"),
        (
            lambda: discover([MeanProblem(X), LinearProblem(X, Y)]),
            ValueError,
            r"problems of one list must have the same shape, got \(2, 3\), \(3,\)",
        ),
        (
            lambda: discover(X, MeanProblem(X)),
            TypeError,
            r"y must be outputs of a map, got a MeanProblem: discover\(problem\) takes a problem alone",
        ),
        (
            lambda: discover(MeanProblem(X), Y),
            TypeError,
            r"y must not stand beside a problem, which holds its data, got ndarray: discover\(problem, method\)",
        ),
        (lambda: discover(X, Y, "magic"), ValueError, "method must be one of auto, bilevel, .*; got 'magic'"),
        (lambda: discover(X, Y, restart=3), TypeError, "method 'auto' has no option restart; it takes no options"),
        (lambda: discover(X, Y, seed=-1), ValueError, "seed must be an integer from 0 to .*, got -1"),
        (
            lambda: discover(NAMED, Y, "gap").predict(NAMED[["a", "b"]]),
            ValueError,
            "x must have the columns of the data, got none of the name c",
        ),
        (lambda: discover(X, Y, "gap").predict(X[:, :2]), ValueError, r"x must have 3 columns, got shape \(60, 2\)"),
    ],
)
def test_calls(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


WEATHER = ["station", "temp_n", "temp_e", "flow1", "flow2"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A table with names, text among its columns; files that are like it and wrong."""
    monkeypatch.chdir(tmp_path)
    frame = pandas.DataFrame(dict(zip(WEATHER, [["Oslo", "Rom"] * 30, X[:, 0], X[:, 1], *Y.T], strict=True)))
    frame.to_csv("weather.csv", index=False)
    frame.rename(columns={"temp_n": "a,b", "temp_e": "c"}).drop(columns="station").to_csv("odd.csv", index=False)
    frame[["temp_n", "station"]].to_csv("one.csv", index=False)
    frame.to_csv("semicolons.csv", index=False, sep=";", decimal=",")
    frame.assign(temp_n=frame.temp_n.mask(frame.index == 4)).to_csv("gap.csv", index=False)
    frame.to_csv("index.csv")
    frame.assign(flow2=1.0, flow1=2.0).to_csv("constant.csv", index=False)
    frame.rename(columns={"flow2": "flow1"}).to_csv("twice.csv", index=False)
    pandas.DataFrame(np.c_[X, Y]).to_csv("unnamed.csv", index=False, header=False)
    frame.set_axis(["x_name", "x0", "x1", "y0", "y1"], axis=1).to_csv("beside.csv", index=False)
    with pandas.ExcelWriter("sheets.xlsx") as book:
        pandas.DataFrame({"a": [1, 2]}).to_excel(book, sheet_name="About", index=False)
        frame.to_excel(book, sheet_name="The data", index=False)
        pandas.DataFrame().to_excel(book, sheet_name="Empty")
    np.save("samples.npy", X)
    np.savez("samples.npz", one=X)
    np.savez("map.npz", x=X, y=Y)
    return tmp_path


MAP = "the weights of a map (equishare discover {} {}) or which means are equal (equishare discover {} --means{})"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weather.csv"], MAP.format("weather.csv", "--inputs 'temp_*' --outputs 'flow*'", "weather.csv", "")),
        (["odd.csv"], MAP.format("odd.csv", "--outputs 'flow*'", "odd.csv", "")),
        (["one.csv"], "one.csv: at least two columns of numbers are needed, got temp_n"),
        (
            ["samples.npy"],
            "which means are equal (equishare discover samples.npy --means), or which covariances (equishare discover",
        ),
        (["samples.npz"], "one array of 3 columns: which means are equal (equishare discover samples.npz --means)"),
        (["unnamed.csv"], "one array of 5 columns: which means are equal (equishare discover unnamed.csv --means)"),
        (["unnamed.csv", "--inputs", "a"], "inputs must choose among named columns, and this file has no names: write"),
        (["map.npz", "--means"], "means must be asked of one array of samples, got x and y: leave --means out"),
        (["map.npz", "--outputs", "y"], "outputs must choose among named columns, and this file has no names"),
        (["weather.csv", "--outputs", "flow9"], "none is named 'flow9': did you mean flow2 or flow1?"),
        (["weather.csv", "--outputs", "wind"], "none is named 'wind': the columns are station, temp_n, temp_e, flow1"),
        (
            ["one.csv", "--means"],
            "means must be asked of two columns of numbers at least, got temp_n (not used: station)",
        ),
        (["odd.csv", "--inputs", "a,b,c"], 'a name with a comma stands in double quotes, "a,b"'),
        (["weather.csv", "--outputs", "flow1:flo2"], "none is named 'flo2': did you mean flow2 or flow1?"),
        (["weather.csv", "--outputs", "temp_n:flow1:flow2"], "none is named 'temp_n:flow1:flow2'"),
        (["weather.csv", "--outputs", "flow2:flow1"], "got 'flow2:flow1': write flow1:flow2"),
        (["weather.csv", "--outputs", "wind*"], "outputs must match a column, and none is of the form 'wind*'"),
        (["weather.csv", "--outputs", " , "], "outputs must name a column at least, got ' , '"),
        (["weather.csv", "--inputs", "t*", "--outputs", "temp_e"], "got temp_e in both: name it in one"),
        (
            ["weather.csv", "--outputs", "flow*", "--ignore", "f*"],
            "outputs must leave a column, and ignore names all of flow1, flow2",
        ),
        (["weather.csv", "--outputs", "temp_n:flow2"], "inputs must be columns with numbers, and there are no others"),
        (
            ["weather.csv", "--inputs", "station,temp_*", "--outputs", "flow*"],
            "column 'station' holds no numbers (line 2: 'Oslo'): code it as numbers, or leave the column out (--ignore",
        ),
        (["weather.csv", "--means", "--outputs", "flow*"], "means must be asked of columns of one kind, got outputs"),
        (["semicolons.csv"], "line 1 separates columns by semicolons; separate them by commas"),
        (
            ["gap.csv", "--means"],
            "line 6, column 2 (temp_n) is empty; leave rows with missing values out, fill them, or",
        ),
        (["index.csv"], "of the columns temp_n, temp_e, flow1, flow2: the weights of a map"),
        (["constant.csv", "--outputs", "flow*"], "y holds constant data: no column varies"),
        (["twice.csv"], "two columns are named 'flow1'; every column needs a name of its own"),
        (["twice.csv", "--ignore", "temp_n"], "rename one, or leave both out (--ignore flow1)"),
        (
            ["sheets.xlsx"],
            "sheets.xlsx, sheet 'About' (--sheet reads another: 'The data', 'Empty'): at least two columns",
        ),
        (["sheets.xlsx", "--outcome", "flow1"], "sheet 'About' (--sheet reads another: 'The data', 'Empty'): outcome"),
        (["sheets.xlsx", "--sheet", "Data"], "sheet must be one of 'About', 'The data', 'Empty', got 'Data'"),
        (["sheets.xlsx", "--sheet", "Empty"], "sheet 'Empty' is empty"),
        (
            ["sheets.xlsx", "--sheet", "The data"],
            MAP.format(
                "sheets.xlsx",
                "--inputs 'temp_*' --outputs 'flow*' --sheet 'The data'",
                "sheets.xlsx",
                " --sheet 'The data'",
            ),
        ),
        (["weather.csv", "--sheet", "Data"], "sheet belongs to a spreadsheet, .xlsx: leave it out"),
        (["beside.csv"], "column 'x_name' stands beside columns x… and y…: leave it out (--ignore x_name), or choose"),
    ],
)
def test_tables(files, capsys, arguments, message):
    before = sorted(files.iterdir())
    with pytest.raises(SystemExit) as ended:
        cli.main(["discover", *arguments])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"equishare: error: {'' if 'constant' in arguments[0] else arguments[0]}")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(files.iterdir()) == before


class TestConfidentFalsehoods:
    """Calls that gave a wrong answer and looked well."""

    def test_the_order_of_train_test_split(self):
        split = pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")
        distance = np.abs(np.arange(6) - np.arange(6)[:, None])
        x = np.random.default_rng(0).normal(size=(400, 6))
        y = x @ np.array([2.0, 1.0, 0.0, -1.0])[np.minimum(distance, 6 - distance)]
        with pytest.raises(TypeError, match="train_test_split gives x_train, x_val, y_train, y_val in this order"):
            LinearProblem(*split.train_test_split(x, y, random_state=0))
        assert discover(x, y + 0.1 * x[::-1]).symmetry().name == "D_6"

    def test_a_table_of_inputs_and_outputs_is_not_samples(self, files, capsys):
        with pytest.raises(SystemExit) as ended:
            cli.main(["discover", "weather.csv"])
        assert ended.value.code == 2
        typed = re.search(
            r"equishare discover (weather.csv --inputs 'temp_\*' --outputs 'flow\*')", capsys.readouterr()[1]
        )
        with pytest.raises(SystemExit) as ended:
            cli.main(["discover", *typed[1].replace("'", "").split()])
        assert not ended.value.code

    def test_outputs_that_do_not_depend_on_the_inputs(self, tmp_path, capsys):
        rng = np.random.default_rng(3)
        x, y = rng.normal(size=(300, 5)), rng.normal(size=(300, 5))
        found = discover(x, y)
        assert found.symmetry().verdict == "none"
        p = found.quality.dependence
        assert p > 0.05
        assert any(f"p = {p:.2g}:" in warning for warning in found.warnings)
        np.savez(tmp_path / "map.npz", x=x, y=y)
        with pytest.raises(SystemExit):
            cli.main(["discover", str(tmp_path / "map.npz")])
        assert capsys.readouterr()[0].startswith(
            "Nothing can be told from these data: the outputs are not seen to depend"
        )
        assert isinstance(found, es.Discovery)

    @pytest.mark.parametrize(
        "problem",
        [
            lambda x, rng: LinearProblem(x, rng.normal(size=(300, 1))),
            lambda x, rng: LinearProblem(x[:, :1], rng.normal(size=(300, 5))),
            lambda x, rng: es.GeneralizedLinearProblem(x, rng.integers(0, 2, 300)),
            lambda x, rng: es.GeneralizedLinearProblem(x, rng.poisson(3, (300, 2)), family="poisson"),
            lambda x, rng: es.FactorProblem({"a": rng.choice(list("abcd"), 300)}, rng.normal(size=300)),
            lambda x, rng: es.FactorProblem({"a": rng.choice(list("abcd"), 300)}, x[:, 0] > 0, family="binomial"),
        ],
        ids=["one output", "one input", "classes", "counts", "levels", "levels of classes"],
    )
    def test_noise_of_every_kind(self, problem):
        rng = np.random.default_rng(10)
        found = discover(problem(rng.normal(size=(300, 5)), rng))
        assert found.quality.dependence > 0.05
        assert any("gives p = " in warning for warning in found.warnings)
        groups = found.symmetry()
        for group in groups.values() if isinstance(groups, dict) else [groups]:
            assert group.verdict == "none"
            assert "exact" not in str(group)
        assert "exact" not in repr(found)
        assert "<strong>Nothing can be told from these data" in found._repr_html_()
        assert "symmetry" not in found._repr_html_().split("</strong>")[0]

    def test_a_group_of_ties_alone_is_not_called_a_symmetry_of_the_data(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(300, 5))
        found = discover(x, x @ np.array([1.0, 1.0, 1.0, 3.0, 3.0]) + rng.normal(size=300))
        assert np.isnan(found.symmetry_probability)
        assert "exact" not in repr(found)
        first = found._repr_html_().split("</strong>")[0]
        assert "share 2 different values. Of 4 ties, 4 are at least 95 % probable (20 resamples). The symmetry" in first
