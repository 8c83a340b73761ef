"""Throughput of two Dask workers against one: the passes over a file in blocks, and resamples.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/bench_cluster.py

A worker is a process with one thread, as this one then is, so that its sums round alike.
The least of three times each, taken in turn. The script ends with exit code 1
if one worker, two, or this process alone differ in a bit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from bench_stream import OUTPUTS, write

import equishare as es
from equishare.cluster import joined

TURNS = 3


def passes(path):
    """Both passes over the file, and the moments and noise that they leave."""
    problem = es.LinearProblem.from_batches(path, outputs=[f"y{i}" for i in range(OUTPUTS)])
    return problem.pooled.sxx.tobytes(), problem.estimate().variance.tobytes()


def resamples(count):
    """A ring of 12 points, searched again on resamples."""
    rng = np.random.default_rng(0)
    turn = 0.3 * np.arange(12)[(np.arange(12) - np.arange(12)[:, None]) % 12]
    x = rng.standard_normal((600, 12))
    d = es.discover(x, x @ turn.T + rng.standard_normal((600, 12)), resamples=count)
    return d.partition.labels.tobytes(), d.confidence.labels.tobytes()


def timed(job, around):
    with around:
        start = time.perf_counter()
        found = job()
    return time.perf_counter() - start, found


def main() -> int:
    """Print a line a job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=2.0, help="size of the file")
    parser.add_argument("--resamples", type=int, default=20)
    asked = parser.parse_args()
    from distributed import LocalCluster

    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "silence_logs": 50}
    equal = True
    with (
        tempfile.TemporaryDirectory() as place,
        LocalCluster(n_workers=1, **options) as one,
        LocalCluster(n_workers=2, **options) as two,
    ):
        path = write(Path(place), "parquet", int(asked.gib * 2**30 / 8 / 128), 128, seed=0)
        jobs = {
            f"passes over {asked.gib:g} GiB": lambda: passes(path),
            f"{asked.resamples} resamples of 144 weights": lambda: resamples(asked.resamples),
        }
        for name, job in jobs.items():
            alone, here = timed(job, nullcontext())
            taken = {1: [], 2: []}
            for turn in range(TURNS + 1):
                for count, cluster in ((1, one), (2, two)):
                    seconds, found = timed(job, joined(cluster.scheduler_address))
                    equal = equal and found == here
                    if turn:  # in the first one the workers import torch
                        taken[count].append(seconds)
            single, double = min(taken[1]), min(taken[2])
            print(
                f"{name}: no cluster {alone:.1f} s, one worker {single:.1f} s, two {double:.1f} s, "
                f"{single / double:.2f} × the throughput, same bits {equal}"
            )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
