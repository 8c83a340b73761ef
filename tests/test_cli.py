"""The command line: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, version

import numpy as np
import pytest
import torch

import equishare
from equishare import cli
from equishare._native import cuda_status, instruction_set
from equishare.lab import studies
from equishare.lab.studies.result import Experiment, Table
from equishare.report import files


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
    @pytest.mark.parametrize("method", ["auto", "bilevel", "merge", "gap"])
    def test_map(self, run, maps, method):
        code, out, err = run("discover", maps / "map.npz", "--method", method)
        assert (code, err) == (0, "")
        assert "4 inputs → 4 outputs, 16 entries" in out
        pattern = "0 1 2 3\n3 0 1 2\n2 3 0 1\n1 2 3 0\n"
        assert out.endswith(f"{pattern}symmetry  C_4: cyclic shifts (order 4). It explains every tie.\n")

    def test_means(self, run, maps):
        code, out, err = run("discover", maps / "means.npy", "--train-fraction", 0.3)
        assert (code, err) == (0, "")
        assert "30 to fit, 70 to validate" in out
        assert "\n0 0 1 1 2 2\nsymmetry  C_2 × C_2 × C_2: an exchange of 2 entries, 3 times" in out

    def test_files(self, run, maps):
        folder = maps / "new" / "out"
        code, out, err = run("discover", maps / "map.npz", "--seed", 5, "--out", folder)
        assert (code, err) == (0, "")
        for name in ("report.html", "labels.npy", "labels.json", "discovery.npz", "pattern.png", "loss.png"):
            assert f"wrote {folder / name}\n" in out
            assert (folder / name).is_file()
        symmetry = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["symmetry"]
        assert (symmetry["name"], symmetry["order"], symmetry["closure_gap"]) == ("C_4", "4", 0)
        assert symmetry["generators"] in ([[[1, 2, 3, 0]] * 2], [[[3, 0, 1, 2]] * 2])
        found = equishare.Discovery.load(folder / "discovery.npz")
        assert found.partition == equishare.Partition(CIRCULANT)
        assert (found.method, found.seed) == ("auto", 5)

    def test_terminal_without_unicode(self, maps):
        command = [sys.executable, "-m", "equishare", "discover", "means.npy", "--method", "gap"]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, cwd=maps, env=environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"0 0 1 1 2 2\nsymmetry  C_2" in done.stdout

    def test_without_the_packages_that_name_groups(self, run, maps, monkeypatch):
        def missing(self):
            raise ImportError("no igraph")

        monkeypatch.setattr(equishare.Discovery, "symmetry", missing)
        code, out, err = run("discover", maps / "map.npz", "--out", maps / "unnamed")
        assert (code, err) == (0, "")
        assert "symmetry  not named: that needs igraph and sympy, pip install 'equishare[symmetry]'\n" in out
        assert json.loads((maps / "unnamed" / "labels.json").read_text())["symmetry"] is None

    def test_options_reach_the_method(self, run, maps, monkeypatch):
        given = {}

        def discover(problem, method, **options):
            given.update(options, method=method, sizes=(problem.num_train, problem.num_val))
            raise ValueError("seen")

        monkeypatch.setattr(equishare, "discover", discover)
        options = ("--method", "bilevel", "--seed", 7, "--restarts", 4, "--train-fraction", 0.25)
        run("discover", maps / "map.npz", *options)
        assert given.pop("progress")
        assert given == {"method": "bilevel", "seed": 7, "restarts": 4, "sizes": (100, 300), "resamples": 0}


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["discover", "none.npz"], "none.npz: No such file or directory"),
            (["discover", "map.npz", "--method", "magic"], "method must be one of auto, "),
            (["discover", "map.npz", "--method", "oracle"], "'oracle' needs the option partition"),
            (["discover", "map.npz", "--method", "gap", "--restarts", "3"], "no option restarts"),
            (["discover", "map.npz", "--method", "bilevel", "--restarts", "0"], "restarts must be"),
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
            (["discover", "one.npy"], "at least two samples"),
            (["discover", "constant.npy"], "constant data"),
            (["discover", "wide.npz", "--method", "gap"], "needs more samples than inputs"),
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
        monkeypatch.setattr(files, "find_spec", lambda name: None)
        monkeypatch.setattr(equishare, "discover", lambda *a, **k: pytest.fail("work was done"))
        code, out, err = run("discover", maps / "map.npz", "--out", maps / "out")
        assert (code, out) == (2, "")
        assert "pip install 'equishare[plot]'" in err
        assert not (maps / "out").exists()

    def test_interrupt(self, run, maps, monkeypatch):
        def interrupted(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(equishare, "discover", interrupted)
        assert run("discover", maps / "map.npz") == (130, "", "equishare: interrupted\n")


class TestReproduce:
    @pytest.fixture
    def given(self, monkeypatch):
        """Replace an experiment of minutes by one row; what it was called with."""
        given = {}

        def fake(trials, seed, progress):
            given.update(trials=trials, seed=seed)
            progress(1, 1)
            row = {"K": 2, "method": "auto", "pd": 0.0, "pd_ci": 0.0, "trials": 4, "seconds": 0.5}
            table = Table("exp1", "Experiment 1", ("K",), ("pd",), (), [row], x="K")
            return Experiment("gaussian", seed, (table,), 0.5)

        monkeypatch.setitem(studies.EXPERIMENTS, "gaussian", fake)
        return given

    def test_table(self, run, given):
        code, out, err = run("reproduce", "gaussian", "--trials", 4, "--seed", 2)
        assert (code, err) == (0, "")
        assert given == {"trials": 4, "seed": 2}
        assert "Experiment 1" in out

    def test_files(self, run, given, tmp_path):
        code, out, _ = run("reproduce", "gaussian", "--out", tmp_path / "results")
        assert code == 0
        assert given == {"trials": None, "seed": 0}
        written = sorted(path.name for path in (tmp_path / "results").iterdir())
        assert written == ["gaussian.json", "gaussian_exp1.csv", "gaussian_exp1_pd.png"]
        assert out.count("wrote ") == 3


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

    def test_runs_as_a_module(self):
        command = [sys.executable, "-m", "equishare", "discover", "none.npy"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == "equishare: error: none.npy: No such file or directory\n"

    def test_is_installed_as_a_command(self):
        (script,) = entry_points(group="console_scripts", name="equishare")
        assert script.load() is cli.main
