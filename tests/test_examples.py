"""The examples on scikit-learn's data, at reduced size."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import equishare as es
from equishare.result.cautions import cautions

FOLDER = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


digits, exchangeable, torus_digits = load("digits"), load("exchangeable"), load("torus_digits")


def test_shifted_digits_have_the_edges_of_the_pattern():
    images = digits.load_images(6)
    x, y = digits.draw(images, 400, np.random.default_rng(0))
    truth = digits.true_partition(6)
    labels = truth.labels
    assert truth.num_groups == 4
    assert sorted(np.bincount(labels.ravel())) == [36, 36, 36, 36 * 33]
    # The tap of each group by its place in the row of pixel (3, 3), number 21.
    taps = {(3, 3): 1.0, (3, 2): -0.6, (2, 3): -0.3}
    values = np.zeros(4)
    for (row, column), tap in taps.items():
        values[labels[21, 6 * row + column]] = tap
    residual = y - np.maximum(x @ values[labels].T, 0)
    assert residual.std() == pytest.approx(digits.TARGET_NOISE, rel=0.05)


def test_every_shift_of_a_digit_is_as_likely():
    image = np.zeros((1, 4, 4))
    image[0, 1, 2] = 1000.0
    x, _ = digits.draw(image, 3200, np.random.default_rng(0))
    counts = np.bincount(x.argmax(1), minlength=16)
    assert ((counts - 200) ** 2 / 200).sum() < 15 + 5 * np.sqrt(30)


def test_commuting_with_shifts_is_told_from_its_opposite():
    truth = digits.true_partition(4)
    assert digits.commutes_with_shifts(truth, 4)
    broken = truth.labels.copy()
    broken[0, 0] = broken.max() + 1
    assert not digits.commutes_with_shifts(es.Partition(broken), 4)


@pytest.mark.slow
def test_the_shifts_are_found_from_digits():
    found = digits.find(side=4, count=1000)
    assert es.partition_distance(found.partition, digits.true_partition(4)) == 0
    assert digits.commutes_with_shifts(found.partition, 4)


def test_digits_on_a_torus_are_shifted_and_a_convolution_is_kept_by_shifts():
    x, y = torus_digits.draw(slice(0, 50), 300, 9, np.random.default_rng(0))
    assert x.shape == (300, 81) and x.dtype == np.float32 and set(y) <= set(range(10))
    # Every pixel is ink in some image, and paper in some.
    paper = x.min()
    assert (x > paper).any(0).all() and (x == paper).any(0).all() and abs(x.mean()) < 0.1
    pattern = torus_digits.shifts(9)
    assert pattern.num_groups == 81 and (pattern.group_sizes == 81).all()
    assert torus_digits.commutes_with_shifts(pattern, 9)
    broken = pattern.labels.copy()
    broken[0, 0] = broken[0, 1]
    assert not torus_digits.commutes_with_shifts(es.Partition(broken), 9)


@pytest.mark.parametrize("kinds", [1, 2])
def test_bags_hold_readings_and_sums(kinds):
    train, val = exchangeable.draw(4, kinds, 500, seed=0)
    assert train[0].shape == val[0].shape == (500, 4, 10)
    tables = exchangeable.load_kinds(kinds)
    for x, y in (train, val):
        total = np.zeros(500)
        for place in range(4):
            readings, value = tables[place % kinds]
            same = np.abs(x[:, place, None] - readings.astype(np.float32)).max(2) < 1e-6
            assert same.any(1).all()
            total += value[same.argmax(1)]
        assert np.std(y - total) == pytest.approx(exchangeable.NOISE, rel=0.15)


def test_no_patient_is_in_both_sets():
    train, val = exchangeable.draw(2, 1, 400, seed=0)
    rows = [{row.tobytes() for row in x.reshape(-1, 10)} for x, _ in (train, val)]
    assert not rows[0] & rows[1]


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [1, 2])
def test_exchangeable_places_are_found(kinds):
    found = exchangeable.find(length=4, kinds=kinds)
    pattern = found.partitions["weight"]
    assert es.partition_distance(pattern, exchangeable.true_partition(4, kinds)) == 0


RUNS = {
    "digits": (
        digits,
        ["--side", "3", "--count", "200"],
        ["81 weights in", "distance from the pattern", "9 shifts", "without sharing"],
    ),
    "exchangeable": (
        exchangeable,
        ["--length", "2", "--count", "50"],
        ["2 places in", "exchangeable: places 1", "without sharing"],
    ),
    "torus_digits": (torus_digits, ["--side", "8", "--count", "40"], ["4096 weights in", "64 shifts", "no sharing"]),
}


@pytest.mark.parametrize("name", ["digits", "exchangeable", pytest.param("torus_digits", marks=pytest.mark.slow)])
def test_main_prints_a_short_answer(name, monkeypatch, capsys):
    example, arguments, wanted = RUNS[name]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments, "--steps", "5"])
    example.main()
    printed = capsys.readouterr().out
    assert all(text in printed for text in wanted)
    assert len(printed.splitlines()) < 100


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("digits", ["--side", "9"], "invalid choice"),
        ("digits", ["--count", "0"], "count and steps must be at least 1"),
        ("exchangeable", ["--count", "0"], "length, count and steps must be at least 1"),
        ("torus_digits", ["--steps", "1"], "count and steps must be at least 2"),
        ("torus_digits", ["--side", "20"], "invalid choice"),
        ("digits", ["--steps", "0"], "count and steps must be at least 1"),
        ("exchangeable", ["--steps", "0"], "length, count and steps must be at least 1"),
        ("exchangeable", ["--kinds", "3"], "invalid choice"),
    ],
)
def test_main_rejects_bad_arguments(name, arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        RUNS[name][0].main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_bands_of_measurements_foretell_as_well_as_all_bands():
    found, errors = load("levels").find()
    assert errors["bands as found"] < errors["every band its own effect"] < errors["the mean"]
    assert errors["averaged over patterns"] < errors["every band its own effect"]
    assert found.partitions["age"].num_groups == 1
    warned = cautions(found.view())
    assert len(set(warned)) == len(warned)  # all seven factors are warned of once
    assert sum("a continuum" in one for one in warned) == 1
    for pattern in found.partitions.values():  # ordered: groups are runs of neighbours
        assert np.count_nonzero(np.diff(pattern.labels)) == pattern.num_groups - 1


def test_tied_weights_tell_tumours_better_than_free_ones():
    shared, losses = load("yes_no").find()
    assert losses["weights as found"] < losses["thirty free weights"]
    assert losses["averaged over patterns"] < losses["thirty free weights"]
    assert shared.n_groups_ < 10


def test_ink_of_digits_in_a_report(tmp_path, monkeypatch, capsys):
    counts = load("counts")
    monkeypatch.setattr(sys, "argv", ["counts.py", "--count", "1000", "--report", str(tmp_path / "ink.html")])
    counts.main()
    printed = capsys.readouterr().out
    assert "times the ink" in printed
    assert all(printed.count(name) == 1 for name in ("zero", "seven", "nine"))
    assert "Levels in one row share an effect" in (tmp_path / "ink.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "argument"), [("counts", "--count"), ("yes_no", "--train")])
def test_sizes_that_are_too_small_are_refused(name, argument, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", argument, "1"])
    with pytest.raises(SystemExit):
        load(name).main()
    assert f"{argument[2:]} must be" in capsys.readouterr().err


@pytest.mark.slow
def test_a_first_hour(tmp_path):
    command = [sys.executable, FOLDER / "first_hour.py", tmp_path / "hour"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "The symmetry is D_6, exact" in done.stdout
    assert "Discovery(36 weights in 4 groups, D_6 exact" in done.stdout
    assert "one file, 0 links to others" in done.stdout
    steps = re.findall(r"^-- (.*): [0-9.]+ s$", done.stdout, re.MULTILINE)
    assert len(steps) == 7
    notebook = (tmp_path / "hour" / "first_hour.ipynb").read_text(encoding="utf-8")
    assert '"image/png"' in notebook
    assert '"text/html"' in notebook


turned_digits = load("turned_digits")


def test_turned_digits_keep_the_columns_and_their_covariance_is_that_of_a_ring():
    columns = turned_digits.load_columns()
    x = turned_digits.turned(columns, 200, np.random.default_rng(0))
    known = {np.sort(row).tobytes() for row in columns}
    assert all(np.sort(row).tobytes() in known for row in x)
    truth = turned_digits.true_covariance(columns)
    moved = np.roll(truth, 1, axis=(0, 1))
    assert np.allclose(moved, truth) and np.allclose(truth[::-1, ::-1], truth)
    assert len(np.unique(truth.round(9))) == 5


def test_the_ring_of_columns_is_found_and_none_of_the_flower(capsys):
    turned_digits.main(["--samples", "150"])
    printed = capsys.readouterr().out
    assert "5 different numbers of 36" in printed and "D_8, exact" in printed
    assert "iris: No symmetry" in printed
    errors = [float(line.split()[-1]) for line in printed.splitlines() if line.startswith("error")]
    assert errors[1] < errors[0] / 2 and errors[2] < errors[0] / 2
