"""A Dask cluster of two processes: the bits of one process, and a worker that is killed loses nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import equishare as es
from equishare import cluster, ranks
from equishare.cli import main
from equishare.lab.studies import EXPERIMENTS, gaussian

pytestmark = pytest.mark.slow
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def address():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=50) as found:
        yield found


def slow_square(i):
    time.sleep(0.2)
    return i * i


def test_resamples_and_problems_are_shared_out_bit_by_bit(address):
    x = np.random.default_rng(0).normal(size=(400, 12)) + np.repeat([0, 1, 3], 4) * 0.5
    alone = es.discover(es.MeanProblem(x), resamples=4)
    with cluster.joined(address.scheduler_address):
        shared = es.discover(es.MeanProblem(x), resamples=4)
        several = es.discover([es.MeanProblem(x[:200]), es.MeanProblem(x[200:])])
    assert shared.partition == alone.partition and (shared.values == alone.values).all()
    assert (shared.confidence.labels == alone.confidence.labels).all()
    for one, own in zip(several, (x[:200], x[200:]), strict=True):
        assert one.partition == es.discover(es.MeanProblem(own), resamples=0).partition


def test_blocks_are_reduced_where_they_lie(address, tmp_path):
    dask_array = pytest.importorskip("dask.array")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(900, 3))
    y = x @ np.array([[1.0, 2, 1], [2, 1, 2]]).T + 0.2 * rng.normal(size=(900, 2))
    alone = es.LinearProblem.from_batches((x, y))
    with distributed.Client(address):
        lying = (dask_array.from_array(x, chunks=(200, 3)), dask_array.from_array(y, chunks=(200, 2)))
        shared = es.LinearProblem.from_batches(tuple(one.persist() for one in lying))
    np.testing.assert_allclose(shared.pooled.sxx, alone.pooled.sxx, rtol=1e-12, atol=1e-10)
    assert es.discover(shared).partition == es.discover(alone).partition
    with cluster.joined(address.scheduler_address):
        again = es.LinearProblem.from_batches((x, y))
    assert (again.pooled.sxx == alone.pooled.sxx).all()
    assert (again.estimate().variance == alone.estimate().variance).all()


def test_a_worker_that_is_killed_loses_nothing(address):
    def kill():
        time.sleep(0.6)
        os.kill(next(iter(address.workers.values())).pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with cluster.joined(address.scheduler_address):
        killer.start()
        assert ranks.mapped(slow_square, range(12), anywhere=True) == [i * i for i in range(12)]
    killer.join()


def run(*arguments):
    """What the command line prints, in a process of its own."""
    command = [sys.executable, "-m", "equishare", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_discover_on_the_command_line(address, tmp_path):
    x = np.random.default_rng(2).normal(size=(300, 9)) + np.repeat([0, 1, 3], 3)
    np.save(tmp_path / "x.npy", x)
    call = "discover", tmp_path / "x.npy", "--means", "--resamples", 3, "--json"
    before = address.scheduler.transition_counter
    shared = json.loads(run(*call, "--dask", address.scheduler_address))
    between = address.scheduler.transition_counter
    alone = json.loads(run(*call))
    assert before < between == address.scheduler.transition_counter
    for key in ("labels", "values", "confidence"):
        assert shared[key] == alone[key]


def test_reproduce_on_the_command_line(address, tmp_path, monkeypatch):
    plan = gaussian.plans()[0]
    small = replace(plan, cells=[replace(plan.cells[0], methods=("merge", "auto"))])
    monkeypatch.setitem(EXPERIMENTS, "gaussian", partial(gaussian.run, planned=[small]))
    rows = []
    before = address.scheduler.transition_counter
    for name, more in (("shared", ("--dask", address.scheduler_address)), ("alone", ())):
        with pytest.raises(SystemExit) as ending:
            main(["reproduce", "gaussian", "--trials", "2", "--out", str(tmp_path / name), *more])
        assert not ending.value.code
        (table,) = json.loads((tmp_path / name / "gaussian.json").read_text())["tables"]
        rows.append([{key: value for key, value in row.items() if key != "seconds"} for row in table["rows"]])
    assert rows[0] == rows[1]
    assert address.scheduler.transition_counter > before


def test_nobody_at_the_address():
    with pytest.raises(ConnectionError, match="no Dask scheduler answers"), cluster.joined("tcp://127.0.0.1:9"):
        pass
