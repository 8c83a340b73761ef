"""What people give that is no matrix of numbers: it just works, or the message says what to do, and that works."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.sparse
import torch
from torch import nn

import equishare as es
from equishare import LinearProblem, MeanProblem, cli, discover

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3)).round(3)
WEIGHT = np.array([[1.0, 1, 3], [3, 1, 1]])
Y = X @ WEIGHT.T + 0.1 * RNG.normal(size=(80, 2))
FRAME = pandas.DataFrame(X, columns=["a", "b", "c"])
POLARS = polars.DataFrame(X, schema=["a", "b", "c"])


@pytest.mark.parametrize(
    "x",
    [
        pytest.param(X.astype(object), id="objects"),
        pytest.param([[Decimal(str(v)) for v in row] for row in X], id="decimals"),
        pytest.param([[Fraction(v).limit_denominator(1000) for v in row] for row in X], id="fractions"),
        pytest.param(FRAME, id="pandas"),
        pytest.param(FRAME.astype(object), id="objects of pandas"),
        pytest.param(FRAME.convert_dtypes(), id="nullable"),
        pytest.param(FRAME.convert_dtypes(dtype_backend="pyarrow"), id="Arrow of pandas"),
        pytest.param(POLARS, id="polars"),
        pytest.param(POLARS.cast(polars.Decimal(10, 3)), id="decimals of polars"),
        pytest.param(pyarrow.table({name: X[:, i] for i, name in enumerate("abc")}), id="pyarrow"),
        pytest.param({name: X[:, i] for i, name in enumerate("abc")}, id="dict"),
        pytest.param({name: X[:, i].tolist() for i, name in enumerate("abc")}, id="dict of lists"),
        pytest.param({name: torch.tensor(X[:, i]) for i, name in enumerate("abc")}, id="dict of tensors"),
        pytest.param(torch.tensor(X), id="tensor"),
        pytest.param(torch.tensor(-X)._neg_view(), id="tensor with the negative bit"),
    ],
)
def test_numbers_of_every_kind(x):
    problem = LinearProblem(x, Y)
    expected = discover(LinearProblem(X, Y))
    found = discover(problem)
    assert found.partition == expected.partition == es.Partition(WEIGHT)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.predict(x), expected.predict(X))
    has_names = not isinstance(x, np.ndarray | list | torch.Tensor)
    assert found.names == (((), ("a", "b", "c")) if has_names else ((), ()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_half_precision_and_less(dtype):
    x = torch.tensor(X).to(dtype)
    found = discover(LinearProblem(x, Y))
    np.testing.assert_array_equal(found.values, discover(LinearProblem(x.double(), Y)).values)
    if dtype == torch.float16:
        np.testing.assert_array_equal(discover(LinearProblem(x.numpy(), Y)).values, found.values)


@pytest.mark.parametrize("y", [pandas.Series(Y[:, 0]), polars.Series(Y[:, 0]), Y[:, 0], Y[:, 0].astype(object)])
def test_y_of_one_dimension(y):
    assert discover(X, y).partition == es.Partition([[0, 0, 1]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            FRAME.convert_dtypes().mask(FRAME == X[5, 1]),
            "x must be finite, got nan at row 5 counted from 0, column 'b'",
        ),
        (POLARS.with_columns(b=polars.lit(None)), "x must be finite, got nan at row 0 counted from 0, column 'b'"),
        ([[1, None, 2]] * 80, r"x must be finite, got nan at row 0, column 1 counted from 0 \(80 such values\)"),
        (
            FRAME.assign(d=pandas.Timestamp("2024-01-01")),
            r"column 'd' of dates: leave it out, .*\.dt\.total_seconds\(\)",
        ),
        (FRAME.assign(d=pandas.Timedelta("1h")), r"column 'd' of times: .* x\['d'\]\.dt\.total_seconds\(\)"),
        (X.astype("datetime64[s]"), r"dtype datetime64\[s\]: \(x - x\.min\(\)\) / numpy\.timedelta64\(1, 's'\)"),
        (FRAME.assign(city="Oslo"), r"column 'city' of text: leave it out, .* told by FactorProblem\(table, y\)"),
        (FRAME.assign(city=pandas.Categorical(["Oslo", "Rom"] * 40)), "column 'city' of text"),
        (POLARS.with_columns(city=polars.lit("Oslo")), "column 'city' of text"),
        (FRAME.assign(b=FRAME.b.astype(str)), r"column 'b' of text: .* as numbers: x\['b'\]\.astype\(float\)"),
        (X.astype(str), r"x must hold real numbers, got dtype <U\d+: x\.astype\(float\)"),
        (X + 0j, r"got dtype complex128: numpy\.column_stack\(\[x\.real, x\.imag\]\) takes both parts"),
        ([[1, {}, 2]] * 80, r"x must hold real numbers, got dtype object with \{\} of type dict at \[0, 1\]"),
        (POLARS.lazy(), r"x must be a table, got a LazyFrame: x\.collect\(\)"),
        (scipy.sparse.csr_matrix(X), r"x must be dense, got a sparse csr_matrix: x\.toarray\(\)"),
        ((row for row in X), r"x must be an array, got a generator: list\(x\)"),
        ({"a": X[:, 0], "b": X[:40, 1]}, "x must have columns of one length, got 80 values of 'a' and 40 of 'b'"),
        ({"a": X}, r"x must hold one number a row in each column, got column 'a' of shape \(80, 3\)"),
        (X.reshape(80, 3, 1), r"got shape \(80, 3, 1\); x\.reshape\(len\(x\), -1\) makes a row of each sample"),
        (np.ma.masked_less(X, 0), "x must not be a masked array: drop or fill what is masked"),
        ([[10**400, 1, 1]] * 80, "x must hold numbers that float64 can hold, got larger ones"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", value)[:40] if isinstance(value, str) else "",
)
def test_what_is_no_matrix_of_numbers(x, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        LinearProblem(x, Y)
    assert "\n" not in str(caught.value)


def test_the_remedies_for_dates_and_text_work():
    when = pandas.date_range("2024-01-01", periods=80, freq="7h")
    x = FRAME.assign(d=when)
    assert LinearProblem(x.assign(d=(x["d"] - x["d"].min()).dt.total_seconds()), Y).num_inputs == 4
    p = POLARS.with_columns(d=polars.Series(when))
    assert LinearProblem(p.with_columns(d=(p["d"] - p["d"].min()).dt.total_seconds()), Y).num_inputs == 4
    a = np.stack([when.to_numpy()] * 2, 1)
    assert MeanProblem((a - a.min()) / np.timedelta64(1, "s") + X[:, :2]).num_entries == 2
    assert LinearProblem(X.astype(str).astype(float), Y).num_inputs == 3
    assert es.FactorProblem({"city": ["Oslo", "Rom"] * 40}, Y[:, 0]).slots[0].num_entries == 2


@pytest.mark.parametrize("of", [es.symmetry_group, es.Partition, lambda a: es.partition_distance(a, [[0, 1], [1, 0]])])
def test_masked_labels(of):
    with pytest.raises(TypeError, match="labels must not be a masked array: drop or fill what is masked"):
        of(np.ma.masked_less([[0, 1], [1, 0]], 1))


class TestClasses:
    LABELS = np.where(X @ [1.0, 1, -1] + RNG.logistic(size=80) > 0, "yes", "no")

    def test_text(self):
        with pytest.raises(
            TypeError, match=r"of two classes GeneralizedLinearProblem\(x, y == '(yes|no)', family='bin"
        ):
            discover(X, self.LABELS)
        found = discover(es.GeneralizedLinearProblem(X, self.LABELS == "yes", family="binomial"))
        assert found.predict(X).min() > 0

    @pytest.mark.parametrize("codes", [(0, 1), (1, 2), (False, True), (-1.0, 1.0)])
    def test_two_numbers(self, codes):
        y = np.where(self.LABELS == "yes", codes[1], codes[0])
        (note,) = [one for one in discover(X, y).warnings if "classes" in one]
        high = re.search(r"GeneralizedLinearProblem\(x, y == (\S+), family='binomial'\)", note)[1]
        problem = es.GeneralizedLinearProblem(X, y == float(high), family="binomial")
        assert 0 < discover(problem).predict(X).min() < discover(problem).predict(X).max() < 1

    def test_measurements_are_no_classes(self):
        assert not [one for one in discover(X, Y).warnings if "classes" in one]


def test_a_dict_of_inputs_and_outputs():
    with pytest.raises(TypeError, match=r"got one dict of columns of samples: .*discover\(x, y\) which weights"):
        discover({"x": X, "y": Y})


COUNT = 200
LEVELS = np.eye(4)[np.random.default_rng(1).integers(0, 4, COUNT)]
OTHERS = np.random.default_rng(2).normal(size=(COUNT, 4))
EFFECTS = np.array([[1.0, 1, 3, 3], [2, 5, 2, 5]])
NOISE = 0.1 * np.random.default_rng(3).normal(size=(COUNT, 2))
CASES = {
    "one-hot": (LEVELS, LEVELS @ EFFECTS.T + NOISE),
    "duplicate": (np.c_[OTHERS, OTHERS[:, 1]], OTHERS @ EFFECTS.T + NOISE),
    "sum": (np.c_[OTHERS, OTHERS[:, 0] + OTHERS[:, 2]], OTHERS @ EFFECTS.T + NOISE),
    "constant": (np.c_[OTHERS[:, :2], np.ones(COUNT), OTHERS[:, 2:]], OTHERS @ EFFECTS.T + NOISE),
    "wide": (np.random.default_rng(4).normal(size=(30, 60)),),
}
CASES["wide"] += (CASES["wide"][0] @ np.random.default_rng(5).integers(-1, 2, (60, 2)) + NOISE[:30],)
NAMES = [f"c{i}" for i in range(60)]
LEAVE = "leave out columns that others add up to, here"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "one-hot",
            "linearly dependent columns c0, c1, c2, c3, which add up to a constant as the levels of a category do; fit "
            "no bias (LinearProblem(x, y, bias=False), --no-bias), or leave out columns that others add up to, here c3 "
            "(--ignore c3)",
        ),
        (
            "duplicate",
            "linearly dependent columns c1, c4; leave out columns that others add up to, here c4 (--ignore c4)",
        ),
        (
            "sum",
            "linearly dependent columns c0, c2, c4; leave out columns that others add up to, here c4 (--ignore c4)",
        ),
        ("constant", "no variation in column c2; leave out columns that are constant, here c2 (--ignore c2)"),
        (
            "wide",
            "30 samples for 61 parameters per output; more samples or fewer columns, or the weights of least norm "
            "without sharing (method 'no_sharing', --method no_sharing)",
        ),
    ],
)
def test_columns_that_do_not_determine_their_weights(tmp_path, capsys, case, message):
    x, y = CASES[case]
    frame = pandas.DataFrame(x, columns=NAMES[: x.shape[1]])
    with pytest.raises(ValueError, match=re.escape(f"the samples do not determine the weights: {message}")):
        discover(frame, y)
    # What it says can be typed, and is better than what ties everything.
    frame.assign(y0=y[:, 0], y1=y[:, 1]).to_csv(tmp_path / "d.csv", index=False)
    code, err = run(capsys, tmp_path / "d.csv", "--outputs", "y*")
    assert code == 2 and message in err
    for options in re.findall(r"--no-bias|--ignore \w+|--method \w+", err):
        folder = tmp_path / options.replace(" ", "")
        arguments = [tmp_path / "d.csv", "--outputs", "y*", *options.split(), "--out", folder]
        code, err = run(capsys, *arguments)
        assert (code, err) == (0, "")
        found = es.Discovery.load(folder / "discovery.npz")
        # Methods that need no estimate were told to tie everything.
        tied = discover(frame, y, "oracle", partition=np.zeros((2, x.shape[1]), int))
        assert found.validation_loss < (0.02 if case != "wide" else 0.9 * tied.validation_loss)
        assert found.validation_loss < 0.9 * tied.validation_loss


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["discover", *map(str, arguments)])
    return ended.value.code or 0, capsys.readouterr()[1]


def test_no_bias_belongs_to_maps(tmp_path, capsys):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    for options in (["--means"], ["--covariance"], ["--outcome", "a"]):
        code, err = run(capsys, tmp_path / "d.csv", "--no-bias", *options)
        assert code == 2 and f"no-bias belongs to a map, got {options[0].removeprefix('--')} too" in err


def network(*layers):
    model = nn.Sequential(*layers)
    es.share(model[0], "weight")
    return model


@pytest.mark.parametrize(
    ("model", "x", "y", "loss", "remedy"),
    [
        (lambda: network(nn.Linear(3, 1)), X, Y[:, 0], "mse_loss", r"y\[:, None\], one column, would fit"),
        (
            lambda: network(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)),
            RNG.normal(size=(80, 4, 4)),
            Y,
            "mse_loss",
            r"x\[:, None\], images of one channel, would fit",
        ),
        (
            lambda: network(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 2)),
            RNG.normal(size=(80, 4, 4, 3)),
            Y,
            "mse_loss",
            r"x\.permute\(0, 3, 1, 2\), channels first, would fit",
        ),
        (
            lambda: network(nn.Linear(16, 2)),
            RNG.normal(size=(80, 4, 4)),
            Y,
            "mse_loss",
            r"x\.flatten\(1\), one row a sample, would fit",
        ),
        (
            lambda: network(nn.Linear(3, 2)),
            X,
            (Y[:, 0] > 0).astype(float),
            "cross_entropy",
            r"y\.long\(\), classes as int64, would fit",
        ),
        (
            lambda: network(nn.Linear(3, 1)),
            X,
            Y[:, 0] > 0,
            "binary_cross_entropy_with_logits",
            r"y\[:, None\]\.to\(torch\.float32\), one column, would fit",
        ),
    ],
    ids=["column", "channel", "channels last", "flat", "classes", "booleans"],
)
def test_samples_that_a_network_does_not_take(model, x, y, loss, remedy):
    with pytest.raises(ValueError, match=rf"model and loss do not take the samples of train.*; {remedy}$"):
        discover(es.ModelProblem(model(), (x[:40], y[:40]), (x[40:], y[40:]), getattr(nn.functional, loss)))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            torch.tensor(X).half(),
            Y,
            r"x of train must have the dtype of the model, torch.float32, .*: x\.to\(torch\.float32",
        ),
        ({"x": X}, Y, "got a dict: give its values as a tuple, in the order of the arguments of forward"),
        (X, np.array(["a", "b"] * 20), r"classes are integers: numpy\.unique\(y, return_inverse=True\)\[1\]"),
    ],
    ids=["half", "dict", "text"],
)
def test_samples_that_no_network_takes(x, y, message):
    cut = {"x": X[:40]} if isinstance(x, dict) else x[:40]
    with pytest.raises(TypeError, match=message):
        es.ModelProblem(network(nn.Linear(3, 2)), (cut, y[:40]), (cut, y[:40]), nn.functional.mse_loss)
