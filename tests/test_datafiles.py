"""Data files: every format gives the same arrays, and every bad file a message that says why."""

from __future__ import annotations

import gzip
import io
import sys

import numpy as np
import pandas
import pyarrow
import pytest
from pyarrow import parquet

from equishare.datafiles import Data, read_data, split_problem
from equishare.problems import LinearProblem, MeanProblem

X = np.array([[0.5, -1.0], [2.0, 1e-3], [3.0, 4.25]])
Y = np.array([[1.0], [2.0], [-7.5]])


def csv_text(columns: dict[str, np.ndarray], header: bool = True) -> str:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns)] * header + [",".join(map(repr, map(float, row))) for row in rows]
    return "\n".join(lines) + "\n"


PAIR = {"x0": X[:, 0], "x1": X[:, 1], "y0": Y[:, 0]}
SAMPLES = {"a": X[:, 0], "b": X[:, 1]}


def write_table(columns):
    return lambda path: parquet.write_table(pyarrow.table(columns), path)


@pytest.mark.parametrize(
    ("name", "write", "has_y"),
    [
        ("pair.npz", lambda p: np.savez(p, x=X, y=Y), True),
        ("pair.npz", lambda p: np.savez_compressed(p, x=X, y=Y, about=np.array("text")), True),
        ("samples.npz", lambda p: np.savez(p, data=X), False),
        ("samples.npz", lambda p: np.savez(p, X), False),
        ("samples.npy", lambda p: np.save(p, X), False),
        ("SAMPLES.NPY", lambda p: p.write_bytes(_npy_bytes(X)), False),
        ("fortran.npy", lambda p: np.save(p, np.asfortranarray(X)), False),
        ("pair.csv", lambda p: p.write_text(csv_text(PAIR)), True),
        ("savetxt.csv", lambda p: np.savetxt(p, np.hstack([X, Y]), delimiter=",", header="x0,x1,y0"), True),
        ("excel.csv", lambda p: p.write_text("\ufeff" + csv_text(PAIR), encoding="utf-8"), True),
        ("crlf.csv", lambda p: p.write_bytes(csv_text(PAIR).replace("\n", "\r\n").encode()), True),
        ("mixed.csv", lambda p: p.write_text(csv_text(dict(reversed(PAIR.items())))), "reversed"),
        ("samples.csv", lambda p: p.write_text(csv_text(SAMPLES)), False),
        ("blanks.csv", lambda p: p.write_text(" \n" + csv_text(PAIR).replace("\n", "\n  \n")), True),
        ("plain.csv", lambda p: p.write_text("\n" + csv_text(SAMPLES, header=False)), False),
        ("quoted.csv", lambda p: p.write_text('"a","b"\n"0.5",-1\n\n2,1e-3\n 3, 4.25\n'), False),
        ("pair.tsv", lambda p: p.write_text(csv_text(PAIR).replace(",", "\t")), True),
        ("pair.csv.gz", lambda p: p.write_bytes(gzip.compress(csv_text(PAIR).encode())), True),
        ("PAIR.TSV.GZ", lambda p: p.write_bytes(gzip.compress(csv_text(PAIR).replace(",", "\t").encode())), True),
        ("pair.xlsx", lambda p: pandas.DataFrame(PAIR).to_excel(p, index=False), True),
        ("plain.xlsx", lambda p: pandas.DataFrame(X).to_excel(p, index=False, header=False, startrow=2), False),
        ("pair.parquet", write_table(PAIR), True),
        ("samples.parquet", write_table(SAMPLES), False),
    ],
)
def test_formats(tmp_path, name, write, has_y):
    write(tmp_path / name)
    data = read_data(tmp_path / name, means=not has_y)
    np.testing.assert_array_equal(data.x, X[:, ::-1] if has_y == "reversed" else X)
    if has_y:
        np.testing.assert_array_equal(data.y, Y)
    else:
        assert data.y is None


def _npy_bytes(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz_bytes(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("stored", "read"),
    [("f4", "f4"), ("f2", "f8"), (">f8", "f8"), ("i4", "f8"), ("u1", "f8"), ("?", "f8")],
)
def test_types(tmp_path, stored, read):
    np.save(tmp_path / "a.npy", np.eye(3).astype(stored))
    data = read_data(tmp_path / "a.npy", means=True)
    assert data.x.dtype == np.dtype(read)
    np.testing.assert_array_equal(data.x, np.eye(3))


def save(**arrays):
    return lambda path: np.savez(path, **arrays)


def truncate(write, keep: float):
    def write_part(path):
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])

    return write_part


OBJECTS = np.array([[1, "a"], [2, None]], dtype=object)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("d.txt", lambda p: p.write_text("1"), "ending in .npz, .npy, .csv, .tsv, .csv.gz, .tsv.gz, .xlsx, .parquet"),
        ("d", lambda p: p.write_text("1"), "ending in .npz"),
        ("d.npz", lambda p: p.write_bytes(b""), "damaged, or not a .npz file"),
        ("d.npz", lambda p: p.write_text("hello"), "damaged, or not a .npz file"),
        ("d.npz", truncate(save(x=X, y=Y), 0.7), "damaged, or not a .npz file"),
        ("d.npz", lambda p: p.write_bytes(_npy_bytes(X)), "single array; name it .npy"),
        ("d.npz", save(x=X, z=Y), "x and y, or exactly one array of samples; found x, z"),
        ("d.npz", save(), "found none"),
        ("d.npz", save(x=X, y=Y[:2]), r"as many rows as each other, got shapes \(3, 2\) and \(2, 1\)"),
        ("d.npz", save(x=X, y=Y[:, 0]), r"y must be a two-dimensional matrix.* got shape \(3,\)"),
        ("d.npz", save(x=X[None], y=Y), r"x must be a two-dimensional matrix.* got shape \(1, 3, 2\)"),
        ("d.npz", save(x=OBJECTS, y=Y), "damaged, or not.*Object arrays cannot be loaded"),
        ("d.npz", save(x=X + 0j, y=Y), "x must hold real numbers, got dtype complex128"),
        ("d.npz", save(x=np.array([["a"]]), y=Y), "x must hold real numbers, got dtype <U1"),
        ("d.npz", save(x=np.where(X > 4, np.nan, X), y=Y), "got nan at row 2, column 1"),
        ("d.npz", save(x=X, y=np.where(Y > 1, -np.inf, Y)), "y must be finite, got -inf at row 1"),
        ("d.npz", save(x=X[:1], y=Y[:1]), "at least two samples .* got 1"),
        ("d.npz", save(x=X[:0], y=Y[:0]), "must hold at least one sample and one entry"),
        ("d.npz", save(x=X[:, :0], y=Y), "must hold at least one sample and one entry"),
        ("d.npy", truncate(lambda p: np.save(p, X), 0.9), "damaged, or not a .npy file"),
        ("d.npy", lambda p: p.write_bytes(_npz_bytes(x=X)), "archive of arrays; name it .npz"),
        ("d.npy", lambda p: np.save(p, X[0]), r"samples must be a two-dimensional matrix.*\(2,\)"),
        ("d.csv", lambda p: p.write_text(""), "the file is empty"),
        ("d.csv", lambda p: p.write_text(" \n\n"), "the file is empty"),
        ("d.csv", lambda p: p.write_text("a,b\n"), "no row of numbers"),
        (
            "d.csv",
            lambda p: p.write_text("a,b\n1,2\n\n3,oops\n"),
            r"line 4, column 2 \(b\): 'oops' is not a number; .* or leave the column out \(--ignore b\)",
        ),
        (
            "d.csv",
            lambda p: p.write_text("a,b\n1,2\n3,\n"),
            r"line 3, column 2 \(b\) is empty; leave rows with missing values out, fill them, or",
        ),
        (
            "d.csv",
            lambda p: p.write_text("\na;b\n1,5;2\n"),
            "line 2 separates columns by semicolons; separate them by commas",
        ),
        ("d.csv", lambda p: p.write_text("1\t2\n3\t4\n"), "line 1 separates columns by tabs; separate them by commas"),
        ("d.csv", lambda p: p.write_text("1,2\n3\n"), "line 2 has 1 columns, the first line has 2"),
        ("d.csv", lambda p: p.write_text("a,b,c\n1,2\n3,4\n"), "line 2 has 2 columns, the first"),
        ("d.csv", lambda p: p.write_text("1;2\n3;4\n"), "line 1 separates columns by semicolons"),
        ("d.csv", lambda p: p.write_text("1,nan\n3,4\n"), "line 1, column 2: 'nan' is not finite"),
        ("d.csv", lambda p: p.write_bytes(b"\xff\xfe\x00"), "damaged, or not a .csv file"),
        ("d.csv", lambda p: p.write_text("x0,x0,y0\n1,2,3\n4,5,6\n"), "two columns are named 'x0'"),
        ("d.tsv", lambda p: p.write_text("1,2\n3,4\n"), "line 1 separates columns by commas; separate them by tabs"),
        ("d.csv.gz", lambda p: p.write_text("1,2\n3,4\n"), "damaged, or not a .csv.gz file"),
        (
            "d.csv",
            lambda p: p.write_text('a,b,c\n1,2,"u\nv"\n3,NA,w\n'),
            r"line 4, column 2 \(b\): 'NA' is not a number",
        ),
        ("d.xlsx", lambda p: p.write_text("1,2"), "damaged, or not a .xlsx file"),
        ("d.xlsx", lambda p: pandas.DataFrame().to_excel(p), "sheet 'Sheet1' is empty"),
        ("d.xlsx", lambda p: pandas.DataFrame(columns=["a", "b"]).to_excel(p, index=False), "no row of numbers"),
        (
            "d.xlsx",
            lambda p: pandas.DataFrame({"a": [1, 2], "b": [3, "x"]}).to_excel(p, index=False),
            r"row 3, column 2 \(b\): 'x' is not a number",
        ),
        (
            "d.xlsx",
            lambda p: pandas.DataFrame({"a": [1, 2], "b": [3, None]}).to_excel(p, index=False),
            r"row 3, column 2 \(b\) is empty",
        ),
        ("d.parquet", lambda p: p.write_bytes(b"PAR1"), "damaged, or not a .parquet file"),
        ("d.parquet", truncate(write_table(PAIR), 0.5), "damaged, or not a .parquet file"),
        (
            "d.parquet",
            write_table({"a": ["1", "2"]}),
            "column 'a' must be numeric, it holds .*: store it as numbers, or leave the column out",
        ),
        ("d.parquet", write_table({"a": [1, None]}), r"row 1 counted from 0, column 1 \(a\): 'nan' is not finite"),
        ("d.parquet", write_table({}), "the table is empty, 0 × 0"),
    ],
)
def test_bad_files(tmp_path, name, write, message):
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=message) as caught:
        read_data(path, means=name != "d.npz")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".tsv.gz", ".xlsx", ".parquet"])
def test_missing_file_and_folder(tmp_path, suffix):
    path = tmp_path / f"d{suffix}"
    with pytest.raises(FileNotFoundError, match=str(path)):
        read_data(path)
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=str(path)):
        read_data(path)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (save(x=X, y=Y), "d.npz"),
        (lambda p: np.save(p, X), "d.npy"),
        (write_table(PAIR), "d.parquet"),
        (lambda p: pandas.DataFrame(PAIR).to_excel(p, index=False), "d.xlsx"),
    ],
)
def test_damaged_bytes_never_escape(tmp_path, write, name):
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 3):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_data(path, means=name == "d.npy")
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("name", "missing"), [("d.csv", "pyarrow"), ("d.xlsx", "openpyxl"), ("d.xlsx", "pandas"), ("d.parquet", "pyarrow")]
)
def test_tables_without_their_packages(tmp_path, monkeypatch, name, missing):
    pandas.DataFrame(PAIR).to_excel(tmp_path / "d.xlsx", index=False)
    write_table(PAIR)(tmp_path / "d.parquet")
    (tmp_path / "d.csv").write_text(csv_text(PAIR))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{name}: reading .* {missing}.*: pip install .*\[tables\]") as caught:
        read_data(tmp_path / name)
    assert "\n" not in str(caught.value)


class TestSplit:
    @pytest.mark.parametrize(
        ("count", "fraction", "expected"),
        [(10, 0.5, 5), (10, 0.3, 3), (10, 0.999, 9), (10, 1e-9, 1), (3, 0.5, 2)],
    )
    def test_sizes(self, count, fraction, expected):
        x = np.random.default_rng(0).normal(size=(count, 2))
        problem = split_problem(Data(x), fraction, seed=0)
        assert isinstance(problem, MeanProblem)
        assert (problem.num_train, problem.num_val) == (expected, count - expected)

    def test_rows_stay_together_and_are_each_used_once(self):
        x = np.stack([2.0 ** np.arange(10), np.random.default_rng(0).normal(size=10)], 1)
        problem = split_problem(Data(x, 3 * x[:, :1]), 0.4, seed=1)
        sides = problem.train, problem.val
        assert [one.count for one in sides] == [4, 6]
        # Ten powers of two have this sum only if each is there once.
        assert sum(one.count * one.x_mean[0] for one in sides) == pytest.approx(2**10 - 1, rel=1e-12)
        for one in sides:
            assert one.y_mean == pytest.approx(3 * one.x_mean[:1], rel=1e-12)
            np.testing.assert_allclose(one.sxy, 3 * one.sxx[:1], rtol=1e-12)

    def test_seed(self):
        rng = np.random.default_rng(0)
        data = Data(rng.normal(size=(30, 2)), rng.normal(size=(30, 1)))
        moments = [split_problem(data, 0.5, seed).train.sxx for seed in (0, 0, 1)]
        np.testing.assert_array_equal(moments[0], moments[1])
        assert not np.array_equal(moments[0], moments[2])

    def test_linear(self):
        data = Data(np.random.default_rng(0).normal(size=(9, 4)), np.arange(18.0).reshape(9, 2))
        problem = split_problem(data, 0.5, 0)
        assert isinstance(problem, LinearProblem)
        assert problem.shape == (2, 4)

    @pytest.mark.parametrize(
        ("fraction", "seed", "message"),
        [
            (0.0, 0, "train_fraction must lie between 0 and 1"),
            (1.0, 0, "train_fraction"),
            (float("nan"), 0, "train_fraction"),
            (0.5, -1, "seed must be an integer of at least 0, got -1"),
        ],
    )
    def test_bad_arguments(self, fraction, seed, message):
        with pytest.raises(ValueError, match=message):
            split_problem(Data(X), fraction, seed)
