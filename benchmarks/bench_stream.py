"""Rows a second and peak memory of a file that is read in blocks, against NumPy's own XᵀX over the same blocks.

    python benchmarks/bench_stream.py                      # 1 GiB, removed at the end
    python benchmarks/bench_stream.py --gib 20 --kind npy
    python benchmarks/bench_stream.py --cluster            # the estimate of docs/scaling.md

Writes a file in pieces, runs ``equishare discover`` on it in a process of its own, and compares the answer on its first
rows with that of the same rows in memory. A linear map needs names of columns, so that ``.npy`` asks for means.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import equishare as es
from equishare.blocks import parts_of
from equishare.datafiles import stream_problem
from equishare.problems.moments import Moments
from equishare.problems.noise import Unshared

OUTPUTS, VALUES, PIECE = 4, 5, 1 << 16


def pieces(rows, columns, seed):
    """(x, y) pieces of a map whose weights hold five values."""
    weight = np.random.default_rng(seed).integers(VALUES, size=(OUTPUTS, columns - OUTPUTS)).astype(float)
    for start in range(0, rows, PIECE):
        rng = np.random.default_rng([seed, start])
        x = rng.standard_normal((min(PIECE, rows - start), columns - OUTPUTS))
        yield np.hstack([x, x @ weight.T + rng.standard_normal((len(x), OUTPUTS))])


def write(folder, kind, rows, columns, seed):
    names = [f"x{i}" for i in range(columns - OUTPUTS)] + [f"y{i}" for i in range(OUTPUTS)]
    path = folder / f"data.{kind}"
    if kind == "npy":
        with path.open("wb") as file:
            header = {"descr": "<f8", "fortran_order": False, "shape": (rows, columns)}
            np.lib.format.write_array_header_1_0(file, header)
            for own in pieces(rows, columns, seed):
                own.tofile(file)
    elif kind == "csv":
        with path.open("w") as file:
            print(",".join(names), file=file)
            for own in pieces(rows, columns, seed):
                np.savetxt(file, own, fmt="%.9g", delimiter=",")
    else:
        import pyarrow as pa
        from pyarrow import parquet

        schema = pa.schema([(name, pa.float64()) for name in names])
        with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
            for own in pieces(rows, columns, seed):
                writer.write_table(pa.table(list(own.T), schema=schema))
    return path


def blocks(path):
    for part in parts_of(path):
        yield from part.read()


def scatter_rate(path, rows):
    """Rows a second of CPU time of reading the blocks and taking the XᵀX of all columns."""
    start, total = time.process_time(), 0.0
    for block in blocks(path):
        x = np.column_stack(block.columns) if hasattr(block, "columns") else np.asarray(block)
        total = total + x.T @ x
    return rows / (time.process_time() - start)


def estimate_of_a_cluster(rows=10**9, columns=1000, workers=50, size=10_000):
    """CPU time of one block of rows in each pass, and what that makes of all rows on so many workers."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((size, columns - OUTPUTS)), rng.standard_normal((size, OUTPUTS))
    moments, fit, first, second = None, None, [], []
    for _ in range(3):
        start = time.process_time()
        moments = Moments.of(x, y, True)
        first.append(time.process_time() - start)
    fit = Unshared.of(moments, True)
    for _ in range(3):
        start = time.process_time()
        fit.sums(x, y)
        second.append(time.process_time() - start)
    each = min(first), min(second)
    print(f"a block of {size:,} rows × {columns:,} columns, CPU time: pass 1 {each[0]:.2f} s, pass 2 {each[1]:.2f} s")
    blocks = rows // size // workers
    minutes = blocks * sum(each) / 60
    print(f"{rows:.0e} rows on {workers} workers of one thread: {blocks:,} blocks each, {minutes:.0f} minutes")
    print(f"moments of a side: {8 * (columns - OUTPUTS) * columns / 2**20:.1f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=1.0, help="size of the numbers as float64")
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument("--kind", choices=("parquet", "npy", "csv"), default="parquet")
    parser.add_argument("--folder", type=Path, help="where the file is written for the time being")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cluster", action="store_true", help="cost of one block, and of 10⁹ rows on 50 workers")
    asked = parser.parse_args()
    if asked.cluster:
        return estimate_of_a_cluster()
    rows = int(asked.gib * 2**30 / 8 / asked.columns)
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        path = write(Path(place), asked.kind, rows, asked.columns, asked.seed)
        size = path.stat().st_size / 2**30
        print(f"{asked.kind}, {rows:,} rows × {asked.columns} columns, {size:.2f} GiB on disk")
        chosen = ["--means"] if asked.kind == "npy" else []
        start = time.perf_counter()
        command = [sys.executable, "-m", "equishare", "discover", str(path), *chosen, "--json", "--resamples", "0"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        wall = time.perf_counter() - start
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        groups = found.get("num_groups", found)
        print(f"equishare discover: {wall:.0f} s, peak memory {usage.ru_maxrss / 2**20:.2f} GiB, groups {groups}")
        start = time.process_time()
        problem, _ = stream_problem(path, means=asked.kind == "npy")
        ours = rows / (time.process_time() - start)
        plain = scatter_rate(path, rows)
        print(f"rows a second of CPU time: both passes {ours:,.0f}, XᵀX of NumPy over the same blocks {plain:,.0f}")
        print(f"ratio of a pass, the mean of both, to XᵀX: {2 * ours / plain:.2f}")
        part = np.concatenate([own for own, _ in zip(pieces(rows, asked.columns, asked.seed), range(2), strict=False)])
        x, y = part[:, :-OUTPUTS], part[:, -OUTPUTS:]
        one = es.discover(es.LinearProblem(x, y))
        other = es.discover(es.LinearProblem.from_batches((x, y)))
        same = one.partition == other.partition
        difference = np.abs(one.values - other.values).max() if same else np.nan
        print(f"first {len(part):,} rows in memory and in blocks: same partition {same}, values {difference:.1e} apart")
    return 0 if same else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
