"""Data in blocks of rows: the answer of all rows at once, whatever the blocks are and wherever they come from."""

import json

import numpy as np
import pytest

import equishare as es
from equishare import blocks, datafiles
from equishare.cli import main
from equishare.problems.moments import Moments, folded
from equishare.problems.streamed import fits

WEIGHT = np.array([[1.0, 2, 3], [3, 1, 2]])


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 3))
    return x, x @ WEIGHT.T + 0.3 * rng.normal(size=(1200, 2))


@pytest.fixture(scope="module")
def frame(samples):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(np.hstack(samples), columns=["a", "b", "c", "u", "v"])


def in_blocks(arrays, size):
    return lambda: (tuple(one[i : i + size] for one in arrays) for i in range(0, len(arrays[0]), size))


def of_both(samples, batches, **options):
    expected = es.discover(es.LinearProblem(*samples))
    found = es.discover(es.LinearProblem.from_batches(batches, **options))
    assert found.partition == expected.partition == es.Partition(WEIGHT)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)
    np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-9, atol=1e-12)
    return found


@pytest.mark.parametrize("size", [7, 100, 1200])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_blocks_of_any_size_give_the_answer_of_all_rows_at_once(samples, size, offset):
    x, y = samples[0] + offset, samples[1] - offset
    one = es.LinearProblem(x, y)
    other = es.LinearProblem.from_batches(in_blocks((x, y), size))
    np.testing.assert_allclose(other.pooled.sxx, one.pooled.sxx, rtol=1e-12, atol=1e-12 * one.pooled.sxx.max())
    np.testing.assert_allclose(other.pooled.sxy, one.pooled.sxy, rtol=1e-12, atol=1e-12 * one.pooled.sxx.max())
    np.testing.assert_allclose(other.estimate().values, one.estimate().values, rtol=1e-12)
    np.testing.assert_allclose(other.estimate().variance, one.estimate().variance, rtol=1e-12)
    assert es.discover(other).partition == es.discover(one).partition == es.Partition(WEIGHT)


def test_the_size_of_blocks_does_not_change_a_bit(samples):
    whole, *others = (es.LinearProblem.from_batches(in_blocks(samples, size)) for size in (1200, 7, 100))
    for other in others:
        assert (other.train.sxx == whole.train.sxx).all() and (other.val.sxy == whole.val.sxy).all()
        assert (other.estimate().variance == whole.estimate().variance).all()


@pytest.mark.parametrize("bias", [True, False])
def test_moments_joined_in_a_tree_are_those_of_one_shot(bias):
    rng = np.random.default_rng(1)
    offset = 1e8 if bias else 0.0
    x, y = rng.normal(size=(4000, 5)) + offset, rng.normal(size=(4000, 2)) + offset
    whole = Moments.of(x, y, bias)
    tree = folded((Moments.of(x[i : i + 13], y[i : i + 13], bias) for i in range(0, 4000, 13)), Moments.pooled_with)
    assert tree.count == whole.count
    scale = whole.sxx.max()
    for name in ("sxx", "sxy", "syy"):
        np.testing.assert_allclose(getattr(tree, name), getattr(whole, name), rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("size", [7, 100, 600])
def test_means_in_blocks(size):
    x = np.random.default_rng(2).normal(size=(600, 6)) + np.array([0, 0, 1, 1, 3, 3]) + 1e8
    expected = es.discover(es.MeanProblem(x))
    found = es.discover(es.MeanProblem.from_batches(lambda: (x[i : i + size] for i in range(0, 600, size))))
    assert found.partition == expected.partition
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-15)
    assert (found.confidence.labels == expected.confidence.labels).mean() > 0.9


def test_rows_are_drawn_evenly_and_by_their_number():
    drawn = fits(3, 0, 20_000, 0.25)
    assert drawn.mean() == pytest.approx(0.25, abs=0.01)
    assert (fits(3, 700, 100, 0.25) == drawn[700:800]).all()
    assert (fits(4, 0, 20_000, 0.25) != drawn).mean() == pytest.approx(2 * 0.25 * 0.75, abs=0.02)
    assert np.corrcoef(drawn[1:], drawn[:-1])[0, 1] == pytest.approx(0, abs=0.03)
    problem = es.MeanProblem.from_batches(np.random.default_rng(0).normal(size=(1000, 2)), seed=3, train_fraction=0.25)
    assert problem.num_train == drawn[:1000].sum()


def test_pairs_of_arrays_in_memory_and_mapped(samples, tmp_path):
    of_both(samples, samples)
    for name, array in zip("xy", samples, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    of_both(samples, tuple(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"))
    means = es.MeanProblem.from_batches(tmp_path / "x.npy")
    np.testing.assert_allclose(means.estimate().values + means.origin, samples[0].mean(0), atol=1e-12)


def test_tables_and_files(samples, frame, tmp_path):
    pytest.importorskip("pyarrow")
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_csv(tmp_path / "data.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "data.parquet", row_group_size=500)
    (tmp_path / "folder").mkdir()
    frame[:300].to_parquet(tmp_path / "folder" / "0.parquet")
    frame[300:].to_parquet(tmp_path / "folder" / "1.parquet", row_group_size=350)
    losses = set()
    for batches in ("data.csv", "data.tsv", "data.parquet", "folder"):
        found = of_both(samples, tmp_path / batches, inputs=["a", "b", "c"], outputs=["u", "v"])
        assert found.names == (("u", "v"), ("a", "b", "c"))
        losses.add(round(found.validation_loss, 12))
    of_both(samples, [frame[:100], frame[100:]], outputs=["u", "v"])
    assert len(losses) == 1, "the same rows validate, in whatever file they are"


def test_data_sets_of_pyarrow_and_frames_of_polars(samples, frame, tmp_path):
    dataset = pytest.importorskip("pyarrow.dataset")
    polars = pytest.importorskip("polars")
    frame.to_parquet(tmp_path / "data.parquet")
    of_both(samples, dataset.dataset(tmp_path / "data.parquet"), outputs=["u", "v"])
    of_both(samples, [polars.DataFrame(dict(frame.items()))], outputs=["u", "v"])


def test_zarr_arrays(samples, tmp_path):
    zarr = pytest.importorskip("zarr")
    pair = tuple(zarr.array(one, chunks=(333, one.shape[1])) for one in samples)
    of_both(samples, pair)


def test_dask_arrays_and_frames(samples, frame):
    dask_array = pytest.importorskip("dask.array")
    x, y = (dask_array.from_array(one, chunks=chunks) for one, chunks in zip(samples, ((500, 2), 450), strict=True))
    of_both(samples, (x, y))
    of_both(samples, (x, samples[1]))
    means = es.MeanProblem.from_batches(x)
    assert means.num_train + means.num_val == 1200


def test_frames_of_dask(samples, frame):
    dask_frame = pytest.importorskip("dask.dataframe")
    of_both(samples, dask_frame.from_pandas(frame, npartitions=5), outputs=["u", "v"])


def runs_out(samples):
    rows = iter(list(in_blocks(samples, 400)()))
    return lambda: rows


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (lambda s: in_blocks(s, 100)(), TypeError, "go through twice.*give the function that makes it"),
        (runs_out, ValueError, "opens its source anew"),
        (lambda s: 5, TypeError, "must be an array.*got int"),
        (lambda s: lambda: 5, TypeError, "must return an iterator"),
        (lambda s: [], ValueError, "at least one block"),
        (lambda s: [s[0]], TypeError, "must be a pair.*outputs="),
        (lambda s: [s, (s[0][:, :2], s[1])], ValueError, "as many columns as the first"),
        (lambda s: [s, (np.full((3, 3), np.nan), np.ones((3, 2)))], ValueError, "block 1 .* must be finite"),
        (lambda s: [(s[0], s[1][:-1])], ValueError, "as many rows"),
        (lambda s: (s[0], s[1][:-1]), ValueError, "as many rows of x as of y"),
        (lambda s: [(np.ones((50, 3)), s[1][:50])], ValueError, "x holds constant data"),
        (lambda s: [(s[0][:2], s[1][:2])], ValueError, "more rows"),
        (lambda s: [(s[0].astype(str), s[1])], TypeError, "real numbers"),
        (lambda s: "no such file.parquet", FileNotFoundError, "no such file"),
    ],
)
def test_what_is_no_source_of_blocks(samples, batches, error, message):
    with pytest.raises(error, match=message):
        es.LinearProblem.from_batches(batches(samples))


def test_means_that_are_constant_or_few(samples):
    with pytest.raises(ValueError, match="constant data"):
        es.MeanProblem.from_batches([np.ones((50, 3))])
    with pytest.raises(ValueError, match="train_fraction"):
        es.MeanProblem.from_batches(samples[0], train_fraction=1.0)
    with pytest.raises(ValueError, match="within"):
        es.MeanProblem.from_batches(samples[0], within=[0, 1])


@pytest.mark.parametrize("problem", [es.GeneralizedLinearProblem, es.FactorProblem, es.CovarianceProblem])
def test_problems_without_moments_say_what_to_do(problem, samples):
    with pytest.raises(TypeError, match="part of the rows that fits into memory"):
        problem.from_batches(samples)


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as ending:
        main(["discover", *map(str, arguments)])
    return ending.value.code or 0, *capsys.readouterr()


@pytest.mark.parametrize("name", ["data.csv", "data.parquet", "folder"])
def test_large_files_are_read_in_blocks_on_the_command_line(samples, frame, tmp_path, capsys, monkeypatch, name):
    pytest.importorskip("pyarrow")
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet")
    (tmp_path / "folder").mkdir()
    frame.to_parquet(tmp_path / "folder" / "1.parquet")
    monkeypatch.setattr(datafiles, "_STREAMED", 1000)
    code, printed, _ = told(capsys, tmp_path / name, "--outputs", "u,v")
    assert code == 0 and "Read twice in blocks of rows" in printed
    code, printed, _ = told(capsys, tmp_path / name, "--outputs", "u,v", "--json")
    found = json.loads(printed)
    assert es.Partition(np.array(found["labels"])) == es.Partition(WEIGHT)
    code, printed, error = told(capsys, tmp_path / name, "--covariance")
    if name == "folder":
        assert code == 2 and "covariances need all samples at once" in error
    else:
        assert code == 0 and "blocks of rows" not in printed
    code, _, error = told(capsys, tmp_path / name, "--outputs", "u,v", "--sheet", "A")
    assert code == 2 and "sheet belongs to a spreadsheet" in error
    code, _, error = told(capsys, tmp_path / name, "--outputs", "w")
    assert code == 2 and "w" in error


def test_the_progress_of_one_file_of_text(frame, tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    pandas.concat([frame] * 10).to_csv(tmp_path / "data.csv", index=False)
    monkeypatch.setattr(blocks, "_MIB", 10)  # told in KiB
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 12)
    size = (tmp_path / "data.csv").stat().st_size >> 10
    seen = []
    columns = {"inputs": list(frame.columns[:-2]), "outputs": list(frame.columns[-2:])}
    es.LinearProblem.from_batches(
        tmp_path / "data.csv", **columns, progress=lambda done, total: seen.append((done, total))
    )
    done = [one for one, _ in seen]
    assert done == sorted(done) and done[-1] == 2 * size
    assert {total for _, total in seen} == {2 * size}
    assert {size, 2 * size} < set(done)  # both passes, and between their ends


def test_a_large_array_on_the_command_line(samples, tmp_path, capsys, monkeypatch):
    np.save(tmp_path / "x.npy", samples[0])
    monkeypatch.setattr(datafiles, "_STREAMED", 1000)
    code, printed, _ = told(capsys, tmp_path / "x.npy", "--means")
    assert code == 0 and "blocks of rows" in printed
    code, _, error = told(capsys, tmp_path / "x.npy")
    assert code == 2 and "--means" in error


def test_a_large_text_without_names(tmp_path, capsys, monkeypatch):
    np.savetxt(tmp_path / "data.csv", np.random.default_rng(0).normal(size=(50, 3)), delimiter=",")
    monkeypatch.setattr(datafiles, "_STREAMED", 100)
    code, _, error = told(capsys, tmp_path / "data.csv", "--means")
    assert code == 2 and "line of names" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a;b\n1,5;2,5\n", "separates columns by semicolons; separate them by commas"),
        (b"a\tb\n1\t2\n", "separates columns by tabs; separate them by commas"),
        ("temp_é,b\n1,2\n".encode("cp1252"), "Windows-1252"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"\n\n", "empty"),
    ],
)
def test_a_large_text_of_another_form_is_told_what_to_change(text, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "data.csv").write_bytes(text)
    monkeypatch.setattr(datafiles, "_STREAMED", 1)
    code, _, error = told(capsys, tmp_path / "data.csv", "--means")
    assert code == 2 and message in error and len(error.splitlines()) == 1


def test_names_that_are_numbers_in_a_folder_of_parquet(samples, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(samples[0]).to_parquet(tmp_path / "1.parquet")
    code, printed, _ = told(capsys, tmp_path, "--means")
    assert code == 0 and "blocks of rows" in printed


def test_blocks_without_rows_are_passed_over(samples, frame):
    x, y = samples
    whole = es.LinearProblem.from_batches((x, y))
    parts = [(x[:0], y[:0]), (x[:100], y[:100]), (x[:0], y[:0]), (x[100:], y[100:])]
    np.testing.assert_array_equal(es.LinearProblem.from_batches(parts).estimate().values, whole.estimate().values)
    tables = [frame[:0], frame[:100], frame[100:]]
    found = es.LinearProblem.from_batches(tables, outputs=["u", "v"])
    np.testing.assert_array_equal(found.estimate().values, whole.estimate().values)
    with pytest.raises(ValueError, match="at least one block of rows"):
        es.LinearProblem.from_batches([(x[:0], y[:0])])


def test_columns_by_name(samples, frame):
    x, y = samples
    columns = {name: frame[name].to_numpy() for name in frame}
    found = es.LinearProblem.from_batches(columns, outputs=["u", "v"])
    np.testing.assert_array_equal(found.estimate().values, es.LinearProblem.from_batches((x, y)).estimate().values)
    with pytest.raises(TypeError, match=r"outputs must be a list of names of columns, got the string 'u'"):
        es.LinearProblem.from_batches(frame, outputs="u")
    with pytest.raises(ValueError, match="inputs must come with outputs"):
        es.LinearProblem.from_batches([(frame, y)], inputs=["u"])
    with pytest.raises(ValueError, match="a block must have the columns w, got"):
        es.LinearProblem.from_batches(frame, outputs=["u", "w"])
