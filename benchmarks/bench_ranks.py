"""Throughput of two processes against one: the fits of a network, the problems of a list, and resamples.

    python benchmarks/bench_ranks.py

Each side has a thread a process. Printed are wall time, and processor time of the busiest process, which is what wall
time would be on a machine with nothing else to do. The script ends with exit code 1 if the two sides differ in a bit.
"""

import hashlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import equishare as es
from equishare.problems.network.fit import Plan, Start, fit
from equishare.problems.network.replicas import Replicas, stacked
from equishare.problems.network.training import Training

REPLICAS, STEPS = 32, 60
RESAMPLES = 20


def network() -> es.ModelProblem:
    """196 → 196 → 10 on 500 samples, the first layer shared entry by entry."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(196, 196), nn.ReLU(), nn.Linear(196, 10))
    es.share(model, "0.weight", num_groups=128)
    x, y = torch.randn(500, 196), torch.randn(500, 10)
    return es.ModelProblem(model, (x, y), (x, y), nn.functional.mse_loss)


def means(count: int) -> list[es.MeanProblem]:
    """Lists of 60 means in two groups."""
    rng = np.random.default_rng(0)
    return [es.MeanProblem(rng.normal(size=(60, 60)) + np.repeat([0, 1], 30)) for _ in range(count)]


def digest(tensors) -> str:
    """Of all bits."""
    found = hashlib.sha256()
    for one in tensors:
        found.update(np.ascontiguousarray(one).tobytes())
    return found.hexdigest()


def fits():
    """Fits of replicas, as every stage of a search makes them."""
    replicas = Replicas([network()])
    start = Start(
        [0] * REPLICAS,
        stacked(replicas.start, REPLICAS),
        {},
        stacked(replicas.buffers, REPLICAS),
    )
    for name, t in start.lower.items():
        start.lower[name] = t + 0.01 * torch.randn(t.shape, generator=torch.Generator().manual_seed(1))

    def run(steps=STEPS):
        found = fit(replicas, start, Plan(Training(lr=1e-3), steps, 0), lambda steps: None)
        return digest([*(t.numpy() for t in found.lower.values()), found.loss.numpy()])

    run(1)  # torch loads what it needs
    return run, f"{REPLICAS} fits of {STEPS} steps, 196 → 196 → 10"


def lists():
    """A list of problems."""
    problems = means(40)
    return lambda: digest([d.values for d in es.discover(problems, resamples=0)]), f"{len(problems)} lists of 60 means"


def resamples():
    """Resamples of one problem."""
    (problem,) = means(1)
    return lambda: digest([es.discover(problem, resamples=RESAMPLES).confidence.labels]), f"{RESAMPLES} resamples"


CASES = (fits, lists, resamples)


def measure() -> None:
    """All cases in this process, or as one of several; print a line of JSON."""
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    found = []
    for case in CASES:
        run, name = case()
        wall, busy = time.perf_counter(), time.process_time()
        bits = run()
        found.append((name, bits, time.perf_counter() - wall, time.process_time() - busy))
    if dist.is_initialized():
        every = [None] * dist.get_world_size()
        dist.all_gather_object(every, found)
        dist.destroy_process_group()
        if os.environ["RANK"] != "0":
            return
    else:
        every = [found]
    print(json.dumps(every))


def measured(*launcher: str) -> list:
    """What the processes of a run have measured, a list for each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, __file__, "measure"]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    """Print a table; 1 if bits differ."""
    ((*alone,), *_) = measured()
    ranks = measured("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    differing = 0
    for i, (name, bits, wall, busy) in enumerate(alone):
        own = [rank[i] for rank in ranks]
        equal = all(one[1] == bits for one in own)
        differing += not equal
        walls, busiest = max(one[2] for one in own), max(one[3] for one in own)
        print(
            f"{name:38} one process {wall:6.2f} s (processor {busy:6.2f})   two {walls:6.2f} s ({busiest:6.2f})   "
            f"{wall / walls:4.2f} × ({busy / busiest:4.2f} ×)   {'same bits' if equal else 'BITS DIFFER'}"
        )
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(measure() if sys.argv[1:] == ["measure"] else main())
