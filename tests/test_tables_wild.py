"""Tables as people have them: numbers as names, an index, odd quotes and encodings, bombs, and very many columns."""

from __future__ import annotations

import gzip
import os
import zipfile

import numpy as np
import pandas
import pytest

import equishare as es
from equishare import cli, files
from equishare.datafiles import read_data, split_problem
from equishare.outcomes import outcome_problem

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
COUNTS = RNG.integers(0, 9, (20, 3))
MAP = pandas.DataFrame(np.c_[X, X], columns=["x0", "x1", "x2", "y0", "y1", "y2"])


def text(content: str, encoding: str = "utf-8"):
    return lambda path: path.write_bytes(content.encode(encoding))


def csv(frame, **options):
    return lambda path: frame.to_csv(path, **options)


def named(values, names):
    return pandas.DataFrame(values, columns=names)


FIRST = "The first row, {}, is taken as the names of the columns, not as a sample."
LEFT = "Left out, as an index without a name: column Unnamed: 0."


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".xlsx"])
@pytest.mark.parametrize("has_index", [False, True])
@pytest.mark.parametrize("names", [[0, 1, 2], [2019, 2020, 2021], [450, 500, 750]])
def test_numbers_as_names_are_no_sample(tmp_path, ending, names, has_index):
    path = tmp_path / f"d{ending}"
    frame = named(X, names)
    if ending == ".xlsx":
        frame.to_excel(path, index=has_index)
    else:
        frame.to_csv(path, index=has_index, sep="\t" if ending == ".tsv" else ",")
    data = read_data(path, means=True)
    assert list(data.x) == list(map(str, names))
    np.testing.assert_allclose(data.x, X, rtol=1e-14)
    assert data.notes == (FIRST.format(", ".join(map(str, names))), *([LEFT] if has_index else []))


@pytest.mark.parametrize(
    ("write", "rows", "names"),
    [
        (csv(named(COUNTS, [0, 1, 2]), index=False), 20, ["0", "1", "2"]),
        (csv(named(COUNTS, [2019, 2020, 2021]), index=False), 20, ["2019", "2020", "2021"]),
        # Samples: no integers above the others, or others like them.
        (csv(named(X, [0, 1, 2]), index=False, header=False), 20, None),
        (csv(named(COUNTS, [0, 1, 2]), index=False, header=False), 20, None),
        (text("0,1\n1,0\n1,1\n0,0\n"), 4, None),
        (text("5,7,7\n1.5,2.5,3.5\n2.5,1.5,0.5\n"), 3, None),
        (text("2001,2002,2003\n2004,2005,2007\n2001,2009,2002\n"), 3, None),
    ],
)
def test_only_names_are_taken_as_names(tmp_path, write, rows, names):
    write(tmp_path / "d.csv")
    data = read_data(tmp_path / "d.csv", means=True)
    assert len(data.x) == rows
    assert (list(data.x) if hasattr(data.x, "columns") else None) == names


@pytest.mark.parametrize("has_index", [False, True])
@pytest.mark.parametrize("quoting", [0, 1])
def test_years_beside_words_are_names(tmp_path, has_index, quoting):
    frame = named(X, [2019, 2020, 2021]).assign(price=X @ [1.0, 2, 3], region=list("NSEWN") * 4)
    frame.to_csv(tmp_path / "d.csv", index=has_index, quoting=quoting)
    problem, notes = outcome_problem(tmp_path / "d.csv", "price")
    assert FIRST.format("2019, 2020, 2021, price, region") in notes
    assert problem.slots[0].names == ("region",)
    assert problem.numeric_names == ("2019", "2020", "2021")


@pytest.mark.parametrize(
    "content", ["1,NA,2.5\n3,4,1.5\n5,6,2\n", "3,red\n1.5,blue\n2.5,red\n", "1,red\n2,blue\n3,red\n"]
)
def test_samples_with_words_or_gaps_are_no_names(tmp_path, content):
    (tmp_path / "d.csv").write_text(content)
    with pytest.raises(ValueError, match=r"NA|red|named columns"):
        read_data(tmp_path / "d.csv", means=True)


@pytest.mark.parametrize(
    ("name", "write", "note"),
    [
        ("d.csv", csv(MAP), LEFT),
        ("d.csv", csv(MAP.set_axis([f"row {i}" for i in range(20)])), LEFT),
        ("d.xlsx", lambda p: MAP.to_excel(p), LEFT),
        (
            "d.csv",
            csv(MAP.assign(__index_level_0__=range(20)), index=False),
            "Left out, as an index without a name: column __index_level_0__.",
        ),
        (
            "d.parquet",
            lambda p: MAP.set_index(pandas.Index(np.arange(20) * 2, name="station")).to_parquet(p),
            "Left out: the index of the table, station.",
        ),
        ("d.parquet", lambda p: MAP.to_parquet(p), None),
    ],
)
def test_an_index_is_left_out_with_a_notice(tmp_path, name, write, note):
    write(tmp_path / name)
    data = read_data(tmp_path / name)
    assert (list(data.x), list(data.y)) == (["x0", "x1", "x2"], ["y0", "y1", "y2"])
    np.testing.assert_allclose(data.x, X, rtol=1e-14)
    assert data.notes == (() if note is None else (note,))


def test_an_index_is_left_out_of_what_explains_an_outcome(tmp_path):
    MAP.drop(columns=["y1", "y2"]).to_csv(tmp_path / "d.csv")
    problem, notes = outcome_problem(tmp_path / "d.csv", "y0")
    assert LEFT in notes and problem.slots[0].labels[1] == ("x0", "x1", "x2")


@pytest.mark.parametrize(
    "content",
    [
        '"x0", "x1", "y0"\n1.5, 2, 3\n4, 5, 6\n',
        '"x0",  "x1",  "y0"\n"1.5", "2", "3"\n\n   \n"4", "5",  "6"\n',
        "'x0','x1','y0'\n1.5,2,3\n4,5,6\n",
        "'x0', 'x1', 'y0'\n1.5, 2, 3\n4, 5, 6\n",
    ],
)
def test_quoted_names_are_names(tmp_path, content):
    (tmp_path / "d.csv").write_text(content)
    data = read_data(tmp_path / "d.csv")
    assert (list(data.x), list(data.y)) == (["x0", "x1"], ["y0"])
    assert data.x.to_numpy().tolist() == [[1.5, 2], [4, 5]]


def test_lines_are_counted_as_they_stand_in_the_file(tmp_path):
    (tmp_path / "d.csv").write_text('"x0", "x1", "y0"\n1, "2", 3\n   \n\n4, "oops", 6\n')
    with pytest.raises(ValueError, match=r"line 5, column 2 \(x1\): 'oops' is not a number"):
        read_data(tmp_path / "d.csv")


@pytest.mark.parametrize("form", ["x[{}]", "x({})", "x_{}", "X{}"])
def test_columns_x_and_y_in_brackets(tmp_path, form):
    names = [form.format(i) for i in range(3)]
    MAP.set_axis([*names, *(name.replace("x", "y").replace("X", "Y") for name in names)], axis=1).to_csv(
        tmp_path / "d.csv", index=False
    )
    assert list(read_data(tmp_path / "d.csv").x) == names


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (
            "Zürich,b\n1,2\n3,4\n",
            "cp1252",
            r"not written in UTF-8 but rather in Windows-1252 \(cp1252\), see line 1",
        ),
        ("a,b\n1,2\n3,4 €\n", "cp1252", r"\(cp1252\), see line 3: '3,4 €'; save it as UTF-8"),
        ("a,b\n1,2\n3,4\n", "utf-16", "it is written in UTF-16: save it as UTF-8"),
        ("a,b\n1,2\n3,4\n", "utf-16-le", "it is written in UTF-16: save it as UTF-8"),
        ("a,b\n1,2\n3,4\n", "utf-16-be", "it is written in UTF-16: save it as UTF-8"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_encodings_are_named(tmp_path, content, encoding, message, ending):
    raw = content.encode(encoding)
    (tmp_path / f"d{ending}").write_bytes(gzip.compress(raw) if "gz" in ending else raw)
    with pytest.raises(ValueError, match=message) as caught:
        read_data(tmp_path / f"d{ending}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "notice"),
    [
        ({"inputs": "t*", "outputs": "y"}, True),
        ({"outputs": "y"}, True),
        ({"inputs": "t1,t2,t10", "outputs": "y"}, False),
        ({"inputs": "t10,y", "outputs": "t2"}, False),
    ],
)
def test_columns_out_of_the_order_of_their_numbers(tmp_path, asked, notice):
    named(np.c_[X, X[:, 0]], ["t1", "t10", "t2", "y"]).to_csv(tmp_path / "d.csv", index=False)
    found = [note for note in read_data(tmp_path / "d.csv", **asked).notes if "order" in note]
    expected = (
        "Inputs are in the order of the file, not of their numbers: t1, t10, t2 (--inputs takes them in any order"
    )
    assert [note.startswith(expected) for note in found] == [True] * notice


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("d.npz", lambda p: zipfile.ZipFile(p, "w").writestr("a.txt", "hello"), r"its entry 'a\.txt' is no array"),
        ("d.npz", lambda p: _and_text(p), "its entry 'x' is no array, save arrays by numpy.savez"),
        ("d.npz", lambda p: _twice(p), "two arrays are named 'x': save it again, each under a name of its own"),
        ("d.npy", lambda p: p.write_bytes(_header((1 << 40, 3))), "damaged, or not a .npy file .*by its header"),
        ("d.npz", lambda p: zipfile.ZipFile(p, "w").writestr("a.npy", _header((1 << 40, 3))), "damaged.*by its header"),
    ],
)
def test_archives(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read_data(tmp_path / name, means=True)


def _and_text(path):
    np.savez(path, y=X)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x", "hello")


def _twice(path):
    np.savez(path, x=X, y=X)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x.npy", archive.read("x.npy"))


def _header(shape) -> bytes:
    import io

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(48)


@pytest.mark.parametrize("name", ["d.npz", "d.csv.gz", "d.xlsx", "d.parquet"])
def test_small_files_do_not_unpack_to_large_ones(tmp_path, monkeypatch, name):
    # The bound is 1 GiB; a smaller one tells as much in less time.
    monkeypatch.setattr(files, "_LARGE", 1 << 22)
    path, zeros = tmp_path / name, np.zeros((200_000, 4))
    if name == "d.npz":
        np.savez_compressed(path, samples=zeros)
    elif name == "d.csv.gz":
        path.write_bytes(gzip.compress(b"a,b\n" + b"0,0\n" * 2_000_000))
    elif name == "d.parquet":
        named(zeros, list("abcd")).to_parquet(path)
    else:
        named(X, list("abc")).to_excel(path, index=False)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/media/zeros.bin", bytes(1 << 24))
    with pytest.raises(ValueError, match=r"takes \d.* GiB of memory from .* save it without compression"):
        read_data(path, means=True)
    if name == "d.npz":  # and so it can be read
        np.savez(path, samples=zeros)
        assert len(read_data(path, means=True).x) == len(zeros)


def test_a_saved_discovery_does_not_unpack_to_a_large_one(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_LARGE", 1 << 22)
    np.savez_compressed(tmp_path / "d.npz", about=np.zeros(10_000_000))
    with pytest.raises(ValueError, match="is not a saved Discovery, .*save it without compression"):
        es.Discovery.load(tmp_path / "d.npz")


def test_many_columns_take_time_linear_in_their_number(tmp_path, monkeypatch):
    """Counted in calls of list.index and comparisons of names, not in seconds."""
    names = [Counted(f"v{i}") for i in range(4000)]
    from equishare.columns import chosen

    Counted.comparisons = 0
    assert chosen(names[:3000], names, "inputs") == names[:3000]
    assert chosen("v1:v3999", names, "inputs") == names[1:]
    assert Counted.comparisons < 20 * len(names)
    frame = named(RNG.normal(size=(4, 4000)), list(map(str, names)))
    frame.to_csv(tmp_path / "d.csv", index=False)
    data = read_data(tmp_path / "d.csv", inputs="v10:v3999", outputs="v7:v9")
    np.testing.assert_array_equal(data.x, frame.iloc[:, 10:])
    np.testing.assert_array_equal(data.y, frame.iloc[:, 7:10])
    assert split_problem(read_data(tmp_path / "d.csv", means=True), 0.5, 0).num_entries == 4000


class Counted(str):
    """A name that counts how often it is compared."""

    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.comparisons += 1
        return str.__eq__(self, other)


ESCAPE = "a\x1b[31mred\x07\x9b1m"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


class TestEscapes:
    """Names of columns, levels, sheets and files come from others: none of their signs reaches the terminal."""

    @pytest.mark.parametrize("ending", [".csv", ".xlsx", ".parquet"])
    def test_in_a_report_on_the_terminal(self, tmp_path, run, ending):
        path = tmp_path / f"d{ending}"
        frame = named(np.c_[X, X @ [1.0, 2, 2]], [ESCAPE, "b", "c", "y"])
        if ending == ".xlsx":  # which cannot hold control characters, but others that command terminals
            frame = frame.rename(columns={ESCAPE: "a\x9b31mred"})
            frame.to_excel(path, index=False)
        else:
            frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
        code, out, err = run("discover", path, "--outputs", "y", "--out", tmp_path / "out")
        assert (code, err) == (0, "")
        assert "red" in out and not set(out) & set("\x1b\x07\x9b")
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        assert not set(page) & set("\x1b\x07\x9b")

    def test_in_levels(self, tmp_path, run):
        named({"f": [ESCAPE, "b"] * 30, "y": RNG.normal(size=60)}, ["f", "y"]).to_csv(tmp_path / "d.csv", index=False)
        code, out, _ = run("discover", tmp_path / "d.csv", "--outcome", "y")
        assert code == 0 and "red" in out and not set(out) & set("\x1b\x07\x9b")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["d.csv"],
            ["d.csv", "--inputs", ESCAPE + "z", "--outputs", "b"],
            ["d.csv", "--outcome", "q\x1b[2J"],
            ["n\x1b[2Jone.csv"],
            [f"{ESCAPE}.txt"],
            ["d.csv", "--means", "--method", "m\x1b[2J"],
        ],
    )
    def test_in_errors(self, tmp_path, run, monkeypatch, arguments):
        monkeypatch.chdir(tmp_path)
        named(X, [ESCAPE, "b", "c"]).to_csv("d.csv", index=False)
        (tmp_path / f"{ESCAPE}.txt").write_text("")
        code, out, err = run("discover", *arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert not set(err) & set("\x1b\x07\x9b")

    def test_in_errors_of_python(self, tmp_path):
        named(X, [ESCAPE, "b", "c"]).to_csv(tmp_path / "d.csv", index=False)
        with pytest.raises(ValueError, match="must be told what to ask") as caught:
            read_data(tmp_path / "d.csv")
        assert not set(str(caught.value)) & set("\x1b\x07\x9b")

    def test_columns_that_differ_in_such_signs_alone(self, tmp_path):
        (tmp_path / "d.csv").write_text("a\x1b,a\x07\n1,2\n3,4\n")
        with pytest.raises(ValueError, match="two columns are named 'a\ufffd'"):
            read_data(tmp_path / "d.csv")


@pytest.mark.skipif(os.name == "nt" or os.fsencode("\udce9") != b"\xe9", reason="file names are UTF-8 on this system")
def test_file_names_that_are_not_utf_8(tmp_path, run):
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    try:
        MAP.to_csv(path, index=False)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    folder = tmp_path / os.fsdecode(b"r\xe9sultat")
    code, out, err = run("discover", path, "--out", folder)
    assert (code, err) == (0, "")
    assert f"wrote {tmp_path}/r\ufffdsultat/report.html" in out
    assert "caf\ufffd.csv" in (folder / "report.html").read_text(encoding="utf-8")
    assert es.Discovery.load(folder / "discovery.npz").origin.data == f"{tmp_path}/caf\ufffd.csv"
    code, _, err = run("discover", path, "--means", "--outputs", "x0")
    assert code == 2 and "caf\ufffd.csv: means must be asked" in err


WRITTEN = ["0,5", "-0,25", "1,234.5", "1.234,5", "12 345", "1'234'567,8", "\u22121\u202f234,5"]


@pytest.mark.parametrize("cells", [WRITTEN, [*WRITTEN, "7"]], ids=["all", "some"])
@pytest.mark.parametrize("name", ["a.tsv", "a.xlsx", "a.parquet"])
def test_numbers_as_people_write_them_are_not_left_out_in_silence(tmp_path, name, cells):
    frame = pandas.DataFrame({"a": cells, "b": range(len(cells)), "c": 1.5, "y": np.arange(len(cells)) ** 2})
    path = tmp_path / name
    {".tsv": lambda: frame.to_csv(path, sep="\t", index=False), ".xlsx": lambda: frame.to_excel(path, index=False)}.get(
        path.suffix, lambda: frame.to_parquet(path)
    )()
    remedy = (
        "write numbers with a decimal point and nothing else between digits, such as 1234.5, or leave the column out"
    )
    with pytest.raises(ValueError, match=f"'0,5'.*{remedy}"):
        read_data(path, outputs="y")
    with pytest.raises(ValueError, match=f"'0,5'.*{remedy} .--ignore a., or take it as categories .--factors a.$"):
        outcome_problem(path, "y")
    with pytest.raises(ValueError, match=f"'0,5'.*{remedy}"):
        outcome_problem(path, "a")
    problem, _ = outcome_problem(path, "y", factors="a", ignore="c")
    assert problem.slots[0].names == ("a",)


@pytest.mark.parametrize(
    "cells", [["12.01.2020", "13.01.2020"], ["1.2.3", "1.2.4"], ["a,b", "1,c"], ["2020-01-05", "2020-01-06"]]
)
def test_texts_that_are_no_numbers_stay_factors(tmp_path, cells):
    pandas.DataFrame({"a": cells * 10, "y": range(20)}).to_csv(tmp_path / "a.csv", index=False)
    problem, notes = outcome_problem(tmp_path / "a.csv", "y")
    assert problem.slots[0].names == ("a",)
    assert any("Columns of text are factors" in note for note in notes)


def test_a_factor_with_some_codes_of_digits_is_told(tmp_path):
    pandas.DataFrame({"a": ["A1", "17", "B2"] * 10, "y": range(30)}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"line 2, column 1 \(a\): 'A1' is not a number; .*\(--factors a\)$"):
        outcome_problem(tmp_path / "a.csv", "y")


def test_durations_are_left_out_as_dates_are(tmp_path):
    frame = pandas.DataFrame(
        {"a": [1.0, 2.0, 4.0], "d": pandas.to_timedelta([1, 2, 3], unit="s"), "y": [1.0, 2.0, 5.0]}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    data = read_data(tmp_path / "a.parquet", outputs="y")
    assert list(data.x.columns) == ["a"]
    assert "Not used: d." in data.notes
    with pytest.raises(ValueError, match="column 'd' holds no numbers"):
        read_data(tmp_path / "a.parquet", inputs="d", outputs="y")


def test_a_sheet_by_name(tmp_path):
    with pandas.ExcelWriter(tmp_path / "a.xlsx") as book:
        for k, sheet in enumerate(["one", "two, or so"]):
            pandas.DataFrame({"x0": [1.0 + k, 2, 3], "y0": [1.0, 2, 4]}).to_excel(book, sheet_name=sheet, index=False)
    first, second = read_data(tmp_path / "a.xlsx"), read_data(tmp_path / "a.xlsx", sheet="two, or so")
    assert (first.x.iloc[0, 0], second.x.iloc[0, 0]) == (1, 2)
    assert first.notes == ("Read the first sheet, 'one' (--sheet reads another: 'two, or so').",)
    assert second.notes == ()


def test_columns_of_one_name_that_are_left_out(tmp_path):
    (tmp_path / "a.csv").write_text("a,a,x0,y0\n1,2,3,4\n2,3,4,6\n3,4,6,6\n")
    assert list(read_data(tmp_path / "a.csv", ignore="a").x.columns) == ["x0"]
    with pytest.raises(ValueError, match=r"two columns are named 'a'; .* leave both out \(--ignore a\)"):
        read_data(tmp_path / "a.csv", ignore="x0")
