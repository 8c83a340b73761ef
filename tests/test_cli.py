"""The command line: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points, version
from typing import get_args

import numpy as np
import pytest
import torch

import equishare
from equishare import cli
from equishare._native import cuda_status, instruction_set
from equishare.cli import discover, lab
from equishare.datafiles import read_data, split_problem
from equishare.discover import MethodName
from equishare.extras import installing
from equishare.lab.studies import EXPERIMENTS, bound
from equishare.methods import METHODS, methods_for


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit.value.code or 0, captured.out, captured.err

    return run


CIRCULANT = np.array([[(j - i) % 4 for j in range(4)] for i in range(4)])


@pytest.fixture
def maps(tmp_path):
    """A file of inputs and outputs of a circulant map, and one of samples with three means."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    weight = np.array([3.0, 1.0, 0.0, -2.0])[CIRCULANT]
    np.savez(tmp_path / "map.npz", x=x, y=x @ weight.T + 0.1 * rng.normal(size=(400, 4)))
    np.save(tmp_path / "means.npy", rng.normal(size=(100, 6)) + [0, 0, 5, 5, 9, 9])
    return tmp_path


class TestDiscover:
    @pytest.mark.parametrize(
        ("method", "verdict"),
        [
            ("auto", r", exact: it holds with probability (above )?[0-9.]+ %\. C"),
            ("bilevel", ": c"),  # methods that ask no evidence say no verdict
            ("merge", ": c"),
            ("gap", ": c"),
        ],
    )
    def test_map(self, run, maps, method, verdict):
        code, out, err = run("discover", maps / "map.npz", "--method", method)
        assert (code, err) == (0, "")
        out = " ".join(out.split())
        assert "The 16 weights from 4 inputs to 4 outputs share 4 different values." in out
        assert "0 1 2 3 3 0 1 2 2 3 0 1 1 2 3 0" in out
        assert re.search(rf"C_4{verdict}yclic shifts \(order 4\)\. It explains every tie\.", out)
        assert "spread" not in out

    def test_means(self, run, maps):
        code, out, err = run("discover", maps / "means.npy", "--means", "--train-fraction", 0.3)
        assert (code, err) == (0, "")
        assert "30 to fit, 70 to validate" in out
        assert "\n0 0 1 1 2 2\n" in out
        assert "C_2 × C_2 × C_2: an exchange of 2 entries, 3 times" in " ".join(out.split())

    def test_entries_that_scatter(self, run, tmp_path):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(800, 6))
        weight = np.array([1.2, -0.7, 0.3, -1.4, 0.8, 0.0])[(np.arange(6) - np.arange(6)[:, None]) % 6]
        weight += 0.15 * rng.normal(size=(6, 6))
        np.savez(tmp_path / "map.npz", x=x, y=x @ weight.T + rng.normal(size=(800, 6)))
        code, out, err = run("discover", tmp_path / "map.npz", "--resamples", 0, "--out", tmp_path / "out")
        assert (code, err) == (0, "")
        assert re.search(
            r"\nspread  +entries of a group scatter by 0\.\d+ \(0\.\d+ to 0\.\d+\) about its value *\n", out
        )
        assert out.startswith("The symmetry is C_6, approximate: it holds nearly, with probability ")
        document = json.loads((tmp_path / "out" / "labels.json").read_text(encoding="utf-8"))
        symmetry, found = document["symmetry"], equishare.Discovery.load(tmp_path / "out" / "discovery.npz")
        assert (symmetry["verdict"], symmetry["guess"], symmetry["name"]) == ("approximate", "C_6", "C_6")
        assert (symmetry["probability"], symmetry["log_odds"]) == (found.symmetry_probability, found.symmetry_log_odds)
        assert (document["spread"], document["spread_interval"]) == (found.spread, list(found.belief.spread_interval))

    def test_files(self, run, maps):
        folder = maps / "new" / "out"
        code, out, err = run("discover", maps / "map.npz", "--seed", 5, "--out", folder)
        assert (code, err) == (0, "")
        for name in ("report.html", "labels.npy", "labels.json", "discovery.npz", "pattern.png", "history.png"):
            assert f"wrote {folder / name}\n" in out
            assert (folder / name).is_file()
        symmetry = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["symmetry"]
        assert (symmetry["name"], symmetry["order"], symmetry["closure_gap"]) == ("C_4", "4", 0)
        assert symmetry["generators"] in ([[[1, 2, 3, 0]] * 2], [[[3, 0, 1, 2]] * 2])
        found = equishare.Discovery.load(folder / "discovery.npz")
        assert found.partition == equishare.Partition(CIRCULANT)
        assert (found.method, found.seed) == ("auto", 5)

    def test_terminal_without_unicode(self, maps):
        command = [sys.executable, "-m", "equishare", "discover", "means.npy", "--means", "--method", "gap"]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, cwd=maps, env=environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\n0 0 1 1 2 2\n" in done.stdout
        assert b"C_2 ?" in done.stdout

    def test_without_the_packages_that_name_groups(self, run, maps, monkeypatch):
        monkeypatch.setitem(sys.modules, "igraph", None)
        code, out, err = run("discover", maps / "map.npz", "--out", maps / "unnamed")
        assert (code, err) == (0, "")
        assert f"The symmetry is not named: that needs igraph and sympy, {installing('symmetry')}." in " ".join(
            out.split()
        )
        assert json.loads((maps / "unnamed" / "labels.json").read_text())["symmetry"] is None

    @pytest.mark.parametrize("more", [(), ("--resamples", 2)])
    def test_options_reach_the_method(self, run, maps, more):
        options = ("--method", "bilevel", "--seed", 7, "--restarts", 4, "--train-fraction", 0.25, *more)
        code, _, err = run("discover", maps / "map.npz", *options, "--out", maps / "out")
        assert (code, err) == (0, "")
        found = equishare.Discovery.load(maps / "out" / "discovery.npz")
        assert (found.method, found.seed, found.about.num_train, found.about.num_val) == ("bilevel", 7, 100, 300)
        assert (0 if found.confidence is None else found.confidence.num_resamples) == sum(more[1:])
        problem = split_problem(read_data(maps / "map.npz"), 0.25, 7)
        same = equishare.discover(problem, "bilevel", seed=7, restarts=4)
        assert found.partition == same.partition
        np.testing.assert_array_equal(found.values, same.values)
        np.testing.assert_array_equal(found.history["validation_loss"], same.history["validation_loss"])


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["discover", "none.npz"], "none.npz: No such file or directory"),
            (["discover", "map.npz", "--method", "magic"], "method must be one of auto, "),
            (["discover", "map.npz", "--method", "oracle"], "method must be one of auto, "),
            (["discover", "map.npz", "--method", "gap", "--restarts", "3"], "no option restarts"),
            (
                ["discover", "map.npz", "--method", "bilevel", "--restarts", "-4"],
                "restarts must be a positive integer, got -4",
            ),
            (["discover", "map.npz", "--train-fraction", "1"], "train_fraction must lie between"),
            (["discover", "map.npz", "--seed", "-1"], "--seed"),
            (["discover", "map.npz", "--seed", "x"], "--seed"),
            (["discover", "map.npz", "--sed", "1"], "No such option"),
            (["discover"], "Missing argument"),
            (["discover", "map.npz", "--out", "map.npz"], "--out map.npz: map.npz is not a folder"),
            (["discover", "map.npz", "--out", "map.npz/sub"], "map.npz is not a folder"),
            (["discover", "map.txt"], "must be a file ending in .npz"),
            (["discover", "cut.npz"], "cut.npz: damaged, or not a .npz file"),
            (["discover", "rows.npz"], "x and y must have as many rows"),
            (["discover", "nan.npy"], "must be finite, got nan at row 3, column 2"),
            (["discover", "one.npy", "--means"], "at least two samples"),
            (["discover", "constant.npy", "--means"], "constant data"),
            (["discover", "wide.npz", "--method", "gap"], "more samples or fewer columns"),
            (["reproduce", "magic"], "experiment must be one of gaussian, "),
            (["reproduce", "gaussian", "--trials", "0"], "--trials"),
            (["magic"], "No such command 'magic'"),
        ],
    )
    def test_one_line_and_code_2(self, run, maps, monkeypatch, arguments, message):
        monkeypatch.chdir(maps)
        rng = np.random.default_rng(0)
        (maps / "map.txt").write_text("")
        (maps / "cut.npz").write_bytes((maps / "map.npz").read_bytes()[:2000])
        np.savez(maps / "rows.npz", x=np.ones((5, 2)), y=np.ones((4, 2)))
        np.savez(maps / "wide.npz", x=rng.normal(size=(6, 9)), y=rng.normal(size=(6, 2)))
        np.save(maps / "nan.npy", np.where(np.arange(20).reshape(5, 4) == 14, np.nan, 1.0))
        np.save(maps / "one.npy", np.ones((1, 3)))
        np.save(maps / "constant.npy", np.ones((10, 3)))
        before = sorted(maps.iterdir())
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("equishare: error: ")
        assert err.count("\n") == 1
        assert message in err
        assert sorted(maps.iterdir()) == before

    def test_a_missing_extra_is_told_before_the_work(self, run, maps, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        # A file that cannot be read, and is not: the missing extra comes first.
        code, out, err = run("discover", maps / "none.npz", "--out", maps / "out")
        assert (code, out) == (2, "")
        assert installing("plot") in err
        assert not (maps / "out").exists()

    def test_interrupt(self, tmp_path):
        # A pipe that nobody writes to: the command waits for data until Ctrl-C. Where tests run in the background,
        # Ctrl-C is ignored, and a process inherits that.
        os.mkfifo(tmp_path / "data.npz")
        code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        code += "from equishare.cli import main; main(['discover', sys.argv[1]])"
        command = [sys.executable, "-c", code, tmp_path / "data.npz"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            with open(tmp_path / "data.npz", "wb"):  # returns once the command has opened the other end
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, "", "equishare: interrupted\n")


class TestReproduce:
    def test_numbers_are_those_of_the_experiment(self, run, tmp_path):
        folder = tmp_path / "new" / "results"
        code, out, err = run("reproduce", "bound", "--trials", 2, "--seed", 4, "--out", folder)
        assert (code, err) == (0, "")
        document = json.loads((folder / "bound.json").read_text(encoding="utf-8"))
        assert document["seed"] == 4
        tables = {table["name"]: table["rows"] for table in document["tables"]}
        last = len(tables["cells"]) - 1
        expected = bound.measure(bound.grid()[last], 2, np.random.default_rng([4, last]))
        for name in ("search", "K", "gap", "bound", "risk", "risk_ci", "risk_bound"):
            assert tables["cells"][last][name] == expected[name]
        assert "lies below the bound" in " ".join(out.split())
        names = ["bound.json", "bound_cells.csv", "bound_summary.csv", "bound_sweep.csv", "bound_sweep_gap.png"]
        assert sorted(path.name for path in folder.iterdir()) == names
        assert [f"wrote {folder / name}" in out for name in names] == [True] * 5
        assert len(tables["cells"]) == len(bound.grid())
        assert len(tables["sweep"]) == 3 * len(bound.sweep()) - len(bound.SWEEP)
        searches = {row["search"] for row in tables["summary"]}
        assert searches == {"full search", "intervals", "blocks", "merge path"}
        for row in tables["cells"]:
            assert row["trials"] == 2 and row["bound"] > 0 and row["risk_bound"] > 0

    def test_without_options_every_trial_is_run(self):
        defaults = {name: one.default for name, one in inspect.signature(lab.reproduce).parameters.items()}
        assert (defaults["trials"], defaults["seed"], defaults["out"]) == (None, 0, None)


class TestAbout:
    def test_version(self, run):
        code, out, _ = run("--version")
        assert code == 0
        assert out.splitlines() == [
            f"equishare {version('equishare')}",
            f"instruction set: {instruction_set()}",
            f"threads: {torch.get_num_threads()}",
            f"CUDA kernels: {cuda_status()}",
        ]

    @pytest.mark.parametrize("arguments", [[], ["--help"], ["discover", "-h"], ["reproduce", "-h"]])
    def test_help(self, run, arguments):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        assert "Usage: equishare" in out

    def test_lists_are_those_of_the_registries(self):
        assert list(discover._METHODS) == methods_for(is_trained=False, without_options=True)
        assert get_args(MethodName) == tuple(METHODS)
        assert get_args(MethodName) == tuple(METHODS)
        assert list(lab._EXPERIMENTS) == list(EXPERIMENTS)

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (["--help"], 0),
            (["discover", "--help"], 0),
            (["bench", "-h"], 0),
            (["discover", "map.npz", "--sed", "1"], 2),
            (["discover"], 2),
            (["discover", "none.npz"], 2),
            (["discover", "none.npz", "--method", "magic"], 2),
            (["reproduce", "magic"], 2),
        ],
    )
    def test_help_and_usage_errors_do_not_load_torch(self, run_python, arguments, status):
        code = f"""
import atexit, sys
from equishare.cli import main
atexit.register(lambda: print("loaded:", *sys.modules.keys() & {{"numpy", "torch", "scipy"}}))
main({arguments})"""
        done = run_python(code)
        assert done.returncode == status, done.stderr
        assert done.stdout.splitlines()[-1] == "loaded:"

    def test_runs_as_a_module(self):
        command = [sys.executable, "-m", "equishare", "discover", "none.npy"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == "equishare: error: none.npy: No such file or directory\n"

    def test_is_installed_as_a_command(self):
        (script,) = entry_points(group="console_scripts", name="equishare")
        assert script.load() is cli.main
