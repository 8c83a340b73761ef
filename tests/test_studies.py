"""The experiments: generators draw what they say, tables are complete, files are whole."""

import csv
import io
import json
import runpy
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import equishare as es
from equishare.lab.studies import (
    EXPERIMENTS,
    cells,
    correlation,
    denoising,
    gaussian,
    photographs,
    rings,
    separation,
    symmetry,
)
from equishare.lab.studies.patterns import dihedral
from equishare.lab.studies.result import mean_and_interval
from equishare.lab.studies.rings import sample_rings
from equishare.lab.studies.sampling import joint_labels, nearest_labels, random_labels
from equishare.lab.studies.write import print_tables, write_experiment

EXAMPLE = Path(__file__).parent.parent / "examples" / "rings.py"


def rng(seed=0):
    return np.random.default_rng(seed)


# generators


@pytest.mark.parametrize(("size", "groups", "count"), [(4, 1, 1), (4, 2, 7), (4, 3, 6), (5, 3, 25)])
def test_small_partitions_are_uniform(size, groups, count):
    # count: the Stirling number S(size, groups)
    draws = 400 * count
    generator = rng()
    seen = Counter(tuple(random_labels(generator, size, groups)) for _ in range(draws))
    assert len(seen) == count
    chi_squared = sum((n - 400) ** 2 / 400 for n in seen.values())
    assert chi_squared < count + 5 * np.sqrt(2 * count)


def test_large_partitions_open_the_groups_in_order_then_choose_uniformly():
    labels = np.array([random_labels(rng(seed), 50, 4) for seed in range(100)])
    assert (labels[:, :4] == np.arange(4)).all()
    assert np.abs(np.bincount(labels[:, 4:].ravel()) / labels[:, 4:].size - 0.25).max() < 0.03


@pytest.mark.parametrize("groups", [0, 5])
def test_number_of_groups_out_of_range(groups):
    with pytest.raises(ValueError, match=rf"num_groups must lie in 1\.\.4, got {groups}"):
        random_labels(rng(), 4, groups)


def test_gaussian_cell_has_the_wanted_means_noise_and_split():
    draws = gaussian.draw(rng(), 3, K=8, r=3, samples=4000, train=1000, sigma=2.0, spacing=5.0)
    assert [(p.num_train, p.num_val, p.shape) for p in draws.problems] == [(1000, 3000, (8,))] * 3
    for problem, truth in zip(draws.problems, draws.truths, strict=True):
        answer = es.discover(problem, method="no_sharing")
        labels = np.asarray(truth.labels)
        np.testing.assert_allclose(answer.theta, 5.0 * labels, atol=0.2)
        assert answer.no_sharing_loss == pytest.approx(4.0, rel=0.05)


def test_gaussian_scores_are_squared_error_and_partition_distance():
    draws = gaussian.draw(rng(), 1, K=3, r=1, samples=10, train=4)
    answer = es.discover(draws.problems[0], method="no_sharing")
    scores = draws.score(0, answer)
    assert scores == {"mse": pytest.approx(np.sum(answer.theta**2)), "pd": 2.0}


@pytest.mark.parametrize("draw", [separation.draw_means, separation.draw_linear])
def test_separation_is_the_spacing_in_standard_errors(draw):
    # One value 4 s away: nearest-value mistakes are normal tails beyond 2 s, 2.3 % on each side.
    draws = draw(rng(), 100, K=30, r=3, separation=4.0)
    mistakes = np.mean([scores["pd"] for scores in draws.limits["Bayes limit"]]) / 30
    expected = 4 / 3 * 0.02275
    # Errors of linear maps differ in size between inputs, which costs a little more.
    assert 0.75 * expected < mistakes < 1.4 * expected
    if "joint limit" in draws.limits:
        joint = np.mean([scores["pd"] for scores in draws.limits["joint limit"]]) / 30
        assert joint < 0.6 * mistakes


def test_autoregressive_inputs_have_the_stated_correlation():
    x = separation.autoregressive(rng(), 200_000, 4, 0.6)
    expected = 0.6 ** np.abs(np.subtract.outer(range(4), range(4)))
    np.testing.assert_allclose(np.cov(x.T), expected, atol=0.02)


def test_joint_labels_is_the_exact_minimum():
    generator = rng()
    values = np.array([0.0, 1.0, 2.5])
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 5, indexing="ij"), axis=-1).reshape(-1, 5)
    differs = 0
    for _ in range(20):
        root = generator.standard_normal((5, 5))
        precision = root @ root.T + 0.05 * np.eye(5)
        estimate = generator.uniform(-1, 3.5, size=5)
        error = values[grid] - estimate
        best = grid[np.einsum("ni,ij,nj->n", error, precision, error).argmin()]
        np.testing.assert_array_equal(joint_labels(estimate, precision, values), best)
        differs += (nearest_labels(estimate, values) != best).any()
    assert differs > 5  # the correlation matters, or the test would not see a search cut too early


@pytest.mark.parametrize(("inputs", "kernel", "entries"), [(3, 2, 6), (5, 3, 15), (10, 3, 80)])
def test_correlation_matrix_is_the_correlation(inputs, kernel, entries):
    weight = correlation.correlation_matrix(inputs, kernel)
    assert weight.size == entries
    x = rng().standard_normal(inputs)
    expected = np.correlate(x, 1.0 + 2 * np.arange(kernel), mode="valid")
    np.testing.assert_allclose(weight @ x, expected)


def test_correlation_noise_has_variance_a_tenth():
    draws = correlation.draw(rng(), 3, inputs=3, kernel=2, train=2000)
    losses = [
        answer.validation_loss for answer in es.discover(list(draws.problems), method="oracle", partition=draws.truths)
    ]
    assert np.mean(losses) == pytest.approx(0.1, rel=0.15)


def test_moments_of_step_signals_are_exact():
    mean, covariance = denoising.moments(6)
    noisy, clean = denoising.sample_steps(rng(), 300_000, 6, 20.0)
    np.testing.assert_allclose(clean.mean(axis=0), mean, rtol=0.02)
    np.testing.assert_allclose(np.cov(clean.T), covariance, rtol=0.01, atol=2.0)
    assert (noisy - clean).var() == pytest.approx(20.0, rel=0.01)


def test_rings_are_symmetric_in_rotation_and_reflection_and_weigh_as_measured():
    x, y = sample_rings(100_000)
    assert x.shape == y.shape == (100_000, 8)
    assert x.dtype == y.dtype == np.float32
    assert abs(float(y.mean(dtype=np.float64))) < 1e-6
    assert (x - y).std() == pytest.approx(0.1, rel=0.01)
    weight = np.linalg.lstsq(x, y, rcond=None)[0].T
    distance = dihedral(8)
    means = [weight[distance == d].mean() for d in range(5)]
    np.testing.assert_allclose(means, [0.357, 0.158, 0.079, 0.056, 0.046], atol=0.004)
    np.testing.assert_allclose(weight, np.array(means)[distance], atol=0.008)


@pytest.mark.parametrize("name", ["rings", "photographs"])
def test_photographs_tell_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"come with scikit-learn: pip install .*\[examples\]"):
        EXPERIMENTS[name](trials=1)


def test_rings_follow_the_seed():
    first, again, other = (sample_rings(10, seed=seed)[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count and pixels must be at least 1, got 0 and 8"),
        ({"count": 1, "radius": 12.0}, r"radius must lie in 0\.\.9, got 12"),
        ({"count": 1, "noise": -1.0}, "noise and seed must not be negative, got -1"),
        ({"count": 1, "seed": -1}, "noise and seed must not be negative, got 0.1 and -1"),
    ],
)
def test_rings_reject_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_rings(**arguments)


# tables


def test_interval_is_students():
    mean, half_width = mean_and_interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert half_width == pytest.approx(3.1824 * np.sqrt(5 / 3) / 2, rel=1e-4)
    assert np.isnan(mean_and_interval([1.0])[1])


CHEAP = {
    "best linear map",
    "symmetric W",
    "Bayes limit",
    "joint limit",
    "no sharing",
    "oracle",
    "gap",
}


# Experiments made of plans; those that train networks have tests of their own.
PLANNED = {
    "gaussian": gaussian,
    "correlation": correlation,
    "denoising": denoising,
    "rings": rings,
    "photographs": photographs,
    "symmetry": symmetry,
}


@pytest.fixture(scope="module")
def experiments():
    """Every planned experiment with two trials, the cheap methods in cells of up to 100 entries."""

    def cheap(cell):
        return replace(cell, methods=tuple(method for method in cell.methods if method in CHEAP))

    def small(cell):
        sizes = {"K": 100, "I": 10, "rings": 40_000, "side": 4, "windows": 3_000}
        return all(cell.settings.get(name, 0) <= most for name, most in sizes.items())

    calls, done = [], {}
    for name, study in PLANNED.items():
        planned = [replace(plan, cells=list(map(cheap, filter(small, plan.cells)))) for plan in study.plans()]
        progress = lambda *step: calls.append(step)  # noqa: E731
        done[name] = EXPERIMENTS[name](trials=2, seed=3, progress=progress, planned=planned)
    return done, calls


def test_every_experiment_fills_its_tables(experiments):
    done, calls = experiments
    names = {name: [table.name for table in done[name].tables] for name in done}
    assert names == {
        "gaussian": [
            *("exp1", "exp2", "exp3", "exp4", "large", "hard"),
            *("separation_means", "separation_linear"),
        ],
        "correlation": ["correlation"],
        "denoising": ["denoising"],
        "rings": ["rings", "large_rings"],
        "photographs": ["photographs", "sharpening"],
        "symmetry": ["names", "needed", "recovery", "no_symmetry"],
    }
    # The samples needed are read off another table.
    rows = [row for e in done.values() for table in e.tables if table.name != "needed" for row in table.rows]
    assert len(rows) == len(calls)
    assert all(call[0] <= call[1] for call in calls)
    assert all(row["trials"] == 2 for row in rows)
    for experiment in done.values():
        for table in experiment.tables:
            wanted = {*table.settings, *table.metrics, *(f"{m}_ci" for m in table.metrics)}
            assert all(wanted <= row.keys() for row in table.rows)


def test_oracle_lies_below_no_sharing_everywhere(experiments):
    done, _ = experiments
    for name, metric in (("correlation", "test_error"), ("denoising", "test_error")):
        errors = {
            method: [row[metric] for row in done[name].tables[0].rows if row["method"] == method]
            for method in ("oracle", "no sharing")
        }
        assert np.all(np.array(errors["oracle"]) < errors["no sharing"])
    excess = [row["excess"] for row in done["denoising"].tables[0].rows]
    assert min(excess) == 0.0


def test_paper_numbers_stand_beside_ours():
    plans = {plan.name: plan for plan in gaussian.plans()}
    beside = {
        (cell.settings["K"], method): columns
        for name in ("exp1", "exp4")
        for cell in plans[name].cells
        for method, columns in cell.references.items()
        if columns
    }
    released = "bilevel, release"
    assert beside[4, released]["paper_mse"] == 0.025
    assert beside[4, released]["paper_pd_ci"] == 0.095
    assert beside[6, f"{released}, no penalties"] == {"paper_mse": 0.050, "paper_pd": 3.350}
    assert beside[90, released] == {"released_pd": 55.5, "released_seconds": 2.42}
    assert set(beside) == {(k, released) for k in (2, 4, 6, 10, 30, 90)} | {
        (k, f"{released}, no penalties") for k in (2, 4, 6)
    }


def test_every_method_runs_and_bilevel_takes_the_released_settings():
    draws = gaussian.draw(rng(), 2, K=4, r=2)
    cell = cells.Cell({"K": 4, "r": 2}, lambda generator, trials: draws, (*gaussian.METHODS, "Bayes limit"), 2)
    plan = cells.Plan("exp1", "title", ("mse", "pd"), [cell])
    table = cells.run_plans("gaussian", [plan], None, 0, None).tables[0]
    assert [row["method"] for row in table.rows] == [*gaussian.METHODS, "Bayes limit"]
    distances = {row["method"]: row["pd"] for row in table.rows}
    assert distances["no sharing"] == 2.0
    assert distances["oracle"] == distances["Bayes limit"] == distances["gap"] == 0.0


@pytest.mark.parametrize("trials", [0, -3])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_number_of_trials_out_of_range(name, trials):
    with pytest.raises(ValueError, match=f"trials must be at least 1, got {trials}"):
        EXPERIMENTS[name](trials=trials)


# files


def test_written_files_hold_the_tables(experiments, tmp_path):
    done, _ = experiments
    experiment = done["gaussian"]
    paths = write_experiment(experiment, tmp_path / "new" / "folder")
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    document = json.loads(paths[0].read_text(encoding="utf-8"))
    assert document["experiment"] == "gaussian"
    for table, written in zip(experiment.tables, document["tables"], strict=True):
        assert len(written["rows"]) == len(table.rows)
        with (paths[0].parent / f"gaussian_{table.name}.csv").open(encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        pairs = zip(lines, table.rows, strict=True)
        assert all(float(line["pd"]) == row["pd"] for line, row in pairs)
        figures = {path.name for path in paths if path.name.startswith(f"gaussian_{table.name}_")}
        with_x = {f"gaussian_{table.name}_{metric}.png" for metric in table.metrics}
        assert figures == (with_x if table.x else set())
    images = [path for path in paths if path.suffix == ".png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in images)


def test_a_figure_that_cannot_be_written_leaves_no_half_written_file(experiments, tmp_path):
    experiment = experiments[0]["denoising"]
    blocked = tmp_path / f"denoising_denoising_{experiment.tables[0].metrics[0]}.png"
    blocked.mkdir()
    with pytest.raises(OSError, match=blocked.name):
        write_experiment(experiment, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"denoising.json", "denoising_denoising.csv", blocked.name}


def test_no_number_is_cut_in_a_narrow_terminal(experiments):
    for experiment in experiments[0].values():
        output = io.StringIO()
        print_tables(experiment, Console(file=output, width=80))
        assert "…" not in output.getvalue()


def test_printed_table_shows_settings_methods_and_intervals(experiments):
    output = io.StringIO()
    print_tables(experiments[0]["correlation"], Console(file=output, width=160))
    text = output.getvalue()
    assert "x[o + j] g[j]" in text  # square brackets are not markup
    for row in experiments[0]["correlation"].tables[0].rows:
        assert row["method"] in text
    assert "±" in text


def test_example_writes_the_rings(tmp_path, monkeypatch, capsys):
    out = tmp_path / "rings.npz"
    arguments = ["rings.py", str(out), "--count", "50", "--pixels", "6", "--seed", "4"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    with np.load(out) as file:
        x, y = sample_rings(50, pixels=6, seed=4)
        np.testing.assert_array_equal(file["x"], x)
        np.testing.assert_array_equal(file["y"], y)
    assert "50 rings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rings.csv", [], "out must end in .npz"),
        ("rings.npz", ["--count", "0"], "count and pixels must be at least 1"),
        ("missing/rings.npz", ["--count", "5"], "No such file or directory"),
    ],
)
def test_example_rejects_bad_input_and_writes_nothing(name, options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rings.py", str(tmp_path / name), *options])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
