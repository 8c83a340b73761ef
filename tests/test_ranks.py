"""Searches shared out among ranks: the answer of one process, errors of one rank, and ranks that die."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ranks_cases import answers, problem_of_parts, search
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import equishare as es
from equishare import cli, ranks

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch has no gloo")


def as_read(found):
    return json.loads(json.dumps(found))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What two ranks have found, said and left behind; the second dies in its last search."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "DYING": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(HERE / "ranks_cases.py"), str(folder), str(folder / "search.pt")],
            env={**os.environ, **own, "RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    stderr = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL], stderr
    return folder, [json.loads((folder / rank).read_text(encoding="utf-8")) for rank in "01"]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_ranks_find_what_one_process_finds(run, one_thread):
    alone = as_read(answers())
    for found in run[1]:
        for what, own in alone.items():
            assert found["answers"][what] == own, what


@pytest.mark.slow
def test_an_error_on_one_rank_is_an_error_on_all(run):
    first, second = (found["errors"] for found in run[1])
    said, nested, where = first
    assert second == first
    assert said[0] == "RuntimeError: Local: item 1" and said[1] == "KeyError: 2"
    assert all("must be the same on every rank, but on rank 1 of 2" in one for one in said[2:4])
    assert said[4].startswith("FileNotFoundError")
    assert nested == [[10 * i + j for j in range(3)] for i in range(3)]
    assert where == [0, 1, 0, 1, 0]


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_run_and_one_process_goes_on(run, one_thread):
    folder = run[0]
    lost = (folder / "0.lost").read_text(encoding="utf-8")
    assert lost.startswith("ConnectionError: rank 0 has lost another of 2 ranks, which has ended or takes longer")
    assert "a search with checkpoint= goes on from there, with any number of ranks" in lost and "\n" not in lost
    path = folder / "search.pt"
    kept = path.stat().st_size
    assert as_read(search(path)) == as_read(search(None))
    # The ranks had kept stages, and this process the others.
    assert path.stat().st_size > kept > 0


def test_without_a_process_group_all_is_done_here():
    done = []
    assert ranks.mapped(lambda i: done.append(i) or 2 * i, range(4)) == [0, 2, 4, 6] and done == [0, 1, 2, 3]
    assert ranks.count() == 1 and ranks.is_first() and ranks.from_first(lambda: 3) == 3
    with pytest.raises(KeyboardInterrupt):
        ranks.mapped(interrupted, range(2))
    with ranks.launched() as is_first:
        assert is_first and not torch.distributed.is_initialized()


def interrupted(_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_torchrun_shares_out_the_command_line(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "samples.npy", rng.normal(size=(40, 5)) + np.array([0, 0, 2, 2, 2]))
    equishare = ["-m", "equishare", "discover", str(tmp_path / "samples.npy"), "--means", "--resamples", "4"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def called(*command):
        return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300)

    alone, shared = called(*equishare), called(*torchrun, *equishare, "--out", str(tmp_path / "out"))
    assert alone.returncode == shared.returncode == 0, shared.stderr
    found, paths = shared.stdout.split("wrote ", 1)
    assert found == alone.stdout and paths.count("report.html") == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_rank_tells_an_error_for_all_and_a_lost_one_is_told_by_each(rank, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some")
    monkeypatch.setenv("RANK", str(rank))
    with pytest.raises(SystemExit) as ended:
        cli.main(["discover", "samples.npy", "--method", "nonsense"])
    assert ended.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1 - rank
    monkeypatch.setattr(cli.entry, "app", lost)
    with pytest.raises(SystemExit):
        cli.main([])
    assert capsys.readouterr().err == f"equishare: error: rank {rank} has lost another\n"


def lost(**_):
    raise ConnectionError(f"rank {os.environ['RANK']} has lost another")


def test_samplers_that_share_out_samples_are_refused():
    problem = problem_of_parts()
    data = TensorDataset(problem.train.x[0], problem.train.y)
    shared_out = DataLoader(data, batch_size=10, sampler=DistributedSampler(data, num_replicas=2, rank=0))
    with pytest.raises(ValueError, match="train must give every rank all samples, got a DataLoader with a Distributed"):
        es.ModelProblem(problem.model, shared_out, DataLoader(data, batch_size=10), torch.nn.functional.mse_loss)


def test_wrapped_models_are_refused():
    problem = problem_of_parts()
    data = (problem.train.x, problem.train.y)
    with pytest.raises(ValueError, match="as it was before it was wrapped in DataParallel"):
        es.ModelProblem(torch.nn.DataParallel(problem.model), data, data, torch.nn.functional.mse_loss)
