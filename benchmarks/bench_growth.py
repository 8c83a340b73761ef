"""How seconds and peak memory grow with the number of entries, for every method that needs no training.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/bench_growth.py --figure docs/figures/growth.png

Maps: points of a torus, a kernel of 10 values, rows and columns out of order, single weights three standard errors
apart (``bench_torus.py``). Means: 20 samples, values 6.7 standard errors apart (``bench_means.py``). Each case runs in
a process of its own, which is ended after ``--limit`` seconds. Seconds are those of the processor; memory is the peak
less what was held before the call, some of which is used again (Linux). Told is the partition distance to the truth.
``merge`` takes up to 100,000 means: it holds their labels for every number of groups on its path.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import bench_means
import numpy as np
from bench_torus import problem, resident
from matplotlib.figure import Figure

import equishare as es
from equishare.lab.studies.patterns import shuffled, torus

METHODS = ("auto", "gap", "merge")
TORI = ((2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (28, 28))
MEANS = ((100, 10), (1000, 30), (10_000, 100), (100_000, 1000), (1_000_000, 1000))
MOST_MERGED_MEANS = 100_000
LINES = {"auto": ("#0072B2", "o"), "gap": ("#E69F00", "s"), "merge": ("#009E73", "^")}


def map_case(rows: int, columns: int, seed: int) -> tuple[es.LinearProblem, np.ndarray]:
    """A problem and the true weight."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(10, size=rows * columns)[shuffled(torus(rows, columns), rng)]
    return problem(weight, 3.0, rng), weight


def mean_case(entries: int, groups: int, seed: int) -> tuple[es.MeanProblem, np.ndarray]:
    """A problem and the labels of its means."""
    samples, labels = bench_means.samples(entries, groups, seed)
    return es.MeanProblem(samples), labels


CASES = {"map": (map_case, TORI), "means": (mean_case, MEANS)}


def measured(kind: str, numbers: tuple[int, int], method: str, seed: int) -> tuple[int, float, int, int]:
    """Entries, processor seconds, bytes and the partition distance of one discovery."""
    given, truth = CASES[kind][0](*numbers, seed)
    held = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    start = time.process_time()
    found = es.discover(given, method=method, resamples=0)
    seconds, memory = time.process_time() - start, resident("VmHWM") - held
    return truth.size, seconds, memory, es.partition_distance(found.partition, truth)


def draw(rows: list[tuple[str, str, int, float, int]], path: Path) -> None:
    """Seconds and memory against entries, a column for each kind of problem."""
    figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")
    axes = figure.subplots(2, len(CASES), sharex="col", sharey="row")
    for column, kind in enumerate(CASES):
        for method, (colour, marker) in LINES.items():
            own = [row[2:] for row in rows if row[:2] == (kind, method)]
            for quantity in (0, 1):
                points = [(row[0], row[1 + quantity]) for row in own if row[1 + quantity] > 0]
                if points:
                    axes[quantity, column].plot(*zip(*points, strict=True), color=colour, marker=marker, label=method)
        axes[1, column].set_xlabel({"map": "weights of a map", "means": "means"}[kind])
        for one in axes[:, column]:
            one.set_xscale("log")
            one.set_yscale("log")
            one.grid(alpha=0.25)
    axes[0, 0].set_ylabel("processor seconds")
    axes[1, 0].set_ylabel("peak memory, MiB")
    axes[0, 0].legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    """Print a row for each kind, size and method, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=200.0, help="wall seconds of a case")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs=4, metavar=("KIND", "A", "B", "METHOD"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        kind, a, b, method = args.only
        measured(kind, CASES[kind][1][0], method, 0)  # loads the modules that are loaded at need
        print(*measured(kind, (int(a), int(b)), method, args.seed))
        return
    print(f"| problem | entries | {' | '.join(f'`{one}` s | MiB | distance' for one in METHODS)} |")
    print("|---" * (2 + 3 * len(METHODS)) + "|")
    rows = []
    for kind, (_, sizes) in CASES.items():
        for a, b in sizes:
            entries = (a * b) ** 2 if kind == "map" else a
            cells = [kind, f"{entries:,}"]
            for method in METHODS:
                command = [sys.executable, __file__, "--seed", str(args.seed), "--only", kind, str(a), str(b), method]
                if kind == "means" and method == "merge" and entries > MOST_MERGED_MEANS:
                    cells += ["–"] * 3
                    continue
                try:
                    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=args.limit)
                except subprocess.TimeoutExpired:
                    cells += [f"more than {args.limit:g}", "–", "–"]
                    continue
                seconds, memory, distance = ran.stdout.split()[1:]
                rows.append((kind, method, entries, float(seconds), int(memory) / 2**20))
                cells += [f"{float(seconds):.2f}", f"{int(memory) / 2**20:,.0f}", f"{int(distance):,}"]
            print(f"| {' | '.join(cells)} |", flush=True)
    if args.figure:
        draw(rows, args.figure)


if __name__ == "__main__":
    main()
