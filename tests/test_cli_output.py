"""What the command line prints for programs: JSON, nothing, long lines; pipes, completion, folders in the way."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from equishare import cli

ASK = ["discover", "samples.npy", "--means", "--method", "gap"]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command line beside a file of samples: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    np.save("samples.npy", np.random.default_rng(0).normal(size=(100, 60)) + np.repeat([0, 5, 9], 20))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        return ended.value.code or 0, *capsys.readouterr()

    return run


def test_json(run, tmp_path):
    code, out, err = run(*ASK, "--json", "--out", "out")
    assert (code, err) == (0, "")
    assert out == (tmp_path / "out" / "labels.json").read_text(encoding="utf-8")
    assert out.count("\n") == 1
    assert json.loads(out, parse_constant=pytest.fail)["num_groups"] == 3


def test_quiet(run):
    assert run(*ASK, "--quiet") == (0, "", "")
    code, out, err = run(*ASK, "-q", "--out", "out")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 6
    assert all(line.startswith("wrote out/") for line in out.splitlines())


def test_lines_are_whole_where_there_is_no_terminal(run):
    _, out, _ = run(*ASK)
    first, *rest = out.splitlines()
    assert first.startswith("The 60 means share 3 different values.") and first.endswith("It explains every tie.")
    assert " ".join(["0"] * 20 + ["1"] * 20 + ["2"] * 20) in rest
    assert max(map(len, rest)) < 200  # tables are as wide as they need be
    assert all(line == line.rstrip() for line in rest)


@pytest.mark.parametrize(
    "arguments", [ASK, [*ASK, "--json"], [*ASK, "--out", "out"], ["--version"], ["discover", "-h"]]
)
def test_nobody_reads(run, tmp_path, arguments):
    command = [sys.executable, "-m", "equishare", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)
    assert (tmp_path / "out" / "labels.json").exists() == ("--out" in arguments)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(closed):
    command = f"exec {shlex.quote(sys.executable)} -m equishare --version {closed}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize(
    "name", ["report.html", "labels.npy", "labels.json", "discovery.npz", "pattern.png", "history.png"]
)
def test_a_folder_where_a_file_is_to_be(run, tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    # The data are not there either: what is written is looked at first.
    code, out, err = run("discover", "none.npy", "--out", "out")
    assert (code, out) == (2, "")
    assert err == (f"equishare: error: --out out: out/{name} is a folder, and a file of this name is to be written\n")


def test_files_that_are_there_are_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.json").touch(mode=0o400)
    assert run(*ASK, "-q", "--out", "out")[0] == 0
    assert (tmp_path / "out" / "labels.json").stat().st_size


@pytest.mark.parametrize("command", [["discover", "none.npy"], ["reproduce", "bound"], ["bench"]])
def test_a_folder_that_cannot_be_written(run, tmp_path, command):
    (tmp_path / "locked").mkdir(mode=0o500)
    folder = tmp_path / "locked" if os.geteuid() else "/proc/equishare"  # root may write where the mode forbids it
    code, out, err = run(*command, "--out", str(folder))
    assert (code, out) == (2, "")
    assert err.startswith(f"equishare: error: --out {folder}: ") and " cannot be written (" in err


def test_a_link_to_nowhere(run, tmp_path):
    (tmp_path / "out").symlink_to("nowhere")
    code, _, err = run("discover", "none.npy", "--out", "out/deep")
    assert (code, err) == (2, f"equishare: error: --out out/deep: {tmp_path}/out is not a folder\n")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("equishare dis", "discover"),
        ("equishare discover --igno", "--ignore"),
        ("equishare discover --method brute", "brute_force"),
        ("equishare discover --family bi", "binomial"),
        ("equishare reproduce every", "everyday"),
    ],
)
def test_completion(run, typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    environment = {**os.environ, **words, "_EQUISHARE_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv[0] = 'equishare'; from equishare.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [offered]


def test_completion_is_offered(run):
    _, out, _ = run("--help")
    assert "--install-completion" in out and "--show-completion" in out
