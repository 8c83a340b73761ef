"""Seconds and peak memory of ``auto`` on many means, from 100 to a million.

    python benchmarks/bench_means.py
    python benchmarks/bench_means.py --entries 1000000 --groups 1000

Each case runs in a process of its own; 20 samples in float32, values 6.7 standard errors apart. ``nearest`` is how many
entries lie nearer to another value than to their own: what no method can tell, where the values are known. A case
without groups has values that all differ.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

import equishare as es

CASES = ((100, 10), (1000, 30), (10_000, 100), (100_000, 1000), (100_000, 0), (1_000_000, 1000))
STEP, SAMPLES = 1.5, 20


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def samples(entries, groups, seed):
    """(SAMPLES, entries) draws, and the label of each entry."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(groups, size=entries) if groups else rng.permutation(entries)
    x = np.empty((SAMPLES, entries), np.float32)
    for row in x:
        row[:] = STEP * labels + rng.standard_normal(entries, dtype=np.float32)
    return x, labels


def one(entries, groups, seed):
    x, labels = samples(entries, groups, seed)
    es.discover(es.MeanProblem(x[:, :10]))  # loads what is loaded once
    before, start, cpu = peak(), time.perf_counter(), time.process_time()
    found = es.discover(es.MeanProblem(x), resamples=0)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    nearest = np.clip(np.rint(x.mean(0, dtype=float) / STEP), 0, labels.max())
    distance = es.partition_distance(found.partition, labels)
    print(
        f"{entries:>9,} means, {groups or entries:>7,} groups: found {found.partition.num_groups:>7,}, "
        f"PD {distance:>5}, nearest {int((nearest != labels).sum()):>5}, {cpu:6.1f} s of CPU time, {wall:6.1f} s, "
        f"peak {peak():.2f} GiB, {peak() - before:.2f} GiB more than before, data {x.nbytes / 2**30:.2f} GiB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int)
    parser.add_argument("--groups", type=int, default=0, help="0: all differ")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.entries:
        one(asked.entries, asked.groups, asked.seed)
        return
    for entries, groups in CASES:
        numbers = (f"--entries={entries}", f"--groups={groups}", f"--seed={asked.seed}")
        subprocess.run([sys.executable, __file__, *numbers], check=True)


if __name__ == "__main__":
    main()
