"""Seconds of ``auto`` on covariances of 12 to 200 variables: a ring, and one without a group.

    OMP_NUM_THREADS=1 python benchmarks/bench_covariances.py
    OMP_NUM_THREADS=1 python benchmarks/bench_covariances.py --sizes 100

There are three samples a variable. Covariances on the ring fall off with the distance; the others are second moments of
two samples a variable, so that nothing is tied.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import equishare as es


def ring(size, rng):
    distance = (np.arange(size)[:, None] - np.arange(size)) % size
    return np.exp(-np.minimum(distance, size - distance) * 4 / size) + 0.5 * np.eye(size)


def free(size, rng):
    x = rng.standard_normal((2 * size, size))
    return x.T @ x / len(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 50, 100, 200])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    es.discover(es.CovarianceProblem(np.random.default_rng(0).normal(size=(20, 3)))).symmetry()
    for size in asked.sizes:
        for covariance in (ring, free):
            rng = np.random.default_rng([asked.seed, size])
            x = rng.standard_normal((3 * size, size)) @ np.linalg.cholesky(covariance(size, rng)).T
            start, cpu = time.perf_counter(), time.process_time()
            found = es.discover(es.CovarianceProblem(x[:, rng.permutation(size)]))
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            name = found.symmetry().name if found.symmetry().verdict != "none" else "none"
            print(f"{size:>4} variables, {covariance.__name__}: {name:>6}, {cpu:6.1f} s of CPU time, {wall:6.1f} s")


if __name__ == "__main__":
    main()
