"""Symmetries of large weights: maps on tori n × n that are kept by all shifts, found from noisy samples.

The kernel of each map has n² values drawn from 0, 1, …, 9; its entries are estimated with a standard error of
1/``separation``, from white inputs, 4 n² samples. Rows and columns of the weight are in a random order. Each size runs
in a process of its own; memory is the peak of the process less what it held before the call (Linux).

    python benchmarks/bench_torus.py [--sides 8 12 14 16] [--separations 3 6] [--seed 0]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import equishare as es


def problem(side: int, separation: float, seed: int) -> tuple[es.LinearProblem, np.ndarray]:
    """The problem, and the labels of its weight."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(side**2), side)
    shift = (row - row[:, None]) % side * side + (column - column[:, None]) % side
    weight = rng.integers(10, size=side**2)[shift][rng.permutation(side**2)][:, rng.permutation(side**2)]
    count = 4 * side**2
    x = rng.normal(size=(count, side**2))
    noise = np.sqrt(count - side**2) / separation * rng.normal(size=x.shape)
    y = x @ weight.T.astype(float) + noise
    half = count // 2
    return es.LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:]), weight


def measured(side: int, separation: float, seed: int) -> tuple[float, int, int, str]:
    """Seconds, peak memory in bytes, partition distance, and the symmetry in words."""
    given, truth = problem(side, separation, seed)
    held = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    start = time.perf_counter()
    found = es.discover(given)
    words = str(found.symmetry()).split(":")[0].split(".")[0]
    seconds = time.perf_counter() - start
    return seconds, _status("VmHWM") - held, es.partition_distance(found.partition, truth), words


def _status(name: str) -> int:
    """A number of bytes that Linux knows of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{name}:")[1].split()[0]) * 1024


def main() -> None:
    """Print a row for each size and separation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 12, 14, 16])
    parser.add_argument("--separations", type=float, nargs="+", default=[3.0, 6.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs=2, metavar=("SIDE", "SEPARATION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        measured(3, 6.0, 0)  # loads the modules that are loaded at need
        print(*measured(int(args.only[0]), float(args.only[1]), args.seed), sep="\t")
        return
    print(f"{'torus':<10}{'entries':>8}{'apart':>7}{'seconds':>9}{'MiB':>7}{'distance':>10}  symmetry")
    for side in args.sides:
        for separation in args.separations:
            command = [sys.executable, __file__, "--only", str(side), str(separation), "--seed", str(args.seed)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().split("\t")
            numbers = f"{float(told[0]):>9.1f}{int(told[1]) / 2**20:>7.0f}{told[2]:>10}"
            print(f"{f'{side} × {side}':<10}{side**4:>8}{separation:>7.1f}{numbers}  {told[3]}", flush=True)


if __name__ == "__main__":
    main()
