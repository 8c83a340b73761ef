"""Symmetries of large weights, found from noisy samples: seconds, memory, and whether the answer is right.

The weights map n² points to n² points, which stand on a torus n × n. Kinds:

- torus: a weight depends on the shift from output to input, by a kernel of n² values drawn from 0, 1, …, 9
- distinct: the same, and all n² values differ: 0, 1, …, n² − 1 in a random order
- dihedral: a kernel of 10 values that flips of either axis keep
- hyperoctahedral: and that exchanging the axes keeps
- none: each weight is drawn from 0, 1, …, 9
- ring: n² points of a ring around a place in a photograph, noisy to clean (``equishare reproduce rings``)

All but rings: white inputs, 4 n² samples, entries estimated with a standard error of 1/``separation``, rows and columns
of the weight in a random order; told is the partition distance to the truth. Rings: 4 n² of them, in their order; told
is how many of the turn by one point and the flip leave the pattern as it is. Each case runs in a process of its own, on
as many threads as OMP_NUM_THREADS says; memory is the peak of the process less what it held before the call (Linux).

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/bench_torus.py [--kinds torus distinct]
        [--sides 8 12 16 28] [--separations 3 6] [--seed 0]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import equishare as es
from equishare.lab.studies.rings import LARGE_RADIUS, sample_rings

KINDS = ("torus", "distinct", "dihedral", "hyperoctahedral", "none", "ring")


def kernel_weight(kind: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """Weight (side², side²) whose entry is that of the kernel at the shift from output to input, out of order."""
    points = side**2
    if kind == "none":
        return rng.integers(10, size=(points, points))
    row, column = np.divmod(np.arange(points), side)
    down, right = (row - row[:, None]) % side, (column - column[:, None]) % side
    if kind in ("dihedral", "hyperoctahedral"):
        down, right = (np.minimum(way, side - way) for way in (down, right))
    if kind == "hyperoctahedral":
        down, right = np.minimum(down, right), np.maximum(down, right)
    kernel = rng.permutation(points) if kind == "distinct" else rng.integers(10, size=points)
    return kernel[down * side + right][rng.permutation(points)][:, rng.permutation(points)]


def problem(weight: np.ndarray, separation: float, rng: np.random.Generator) -> es.LinearProblem:
    """Noisy samples of a map."""
    outputs, inputs = weight.shape
    count = 4 * inputs
    x = rng.normal(size=(count, inputs))
    noise = np.sqrt(count - inputs) / separation * rng.normal(size=(count, outputs))
    y = x @ weight.T.astype(float) + noise
    half = count // 2
    return es.LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:])


def ring_problem(points: int, seed: int) -> es.LinearProblem:
    """Noisy rings of photographs and clean ones."""
    x, y = sample_rings(4 * points, points, LARGE_RADIUS, seed=seed)
    half = len(x) // 2
    return es.LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:])


@dataclass(frozen=True)
class Measured:
    """Of one discovery and its symmetry: wall and processor seconds, bytes, and what was found."""

    seconds: float
    processor: float
    memory: int
    right: str
    words: str


def measured(kind: str, side: int, separation: float, seed: int) -> Measured:
    """Discover one weight."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((0, 0), int) if kind == "ring" else kernel_weight(kind, side, rng)
    given = ring_problem(side**2, seed) if kind == "ring" else problem(truth, separation, rng)
    held = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    start = time.perf_counter(), time.process_time()
    found = es.discover(given)
    words = str(found.symmetry()).split(":")[0].split(".")[0]
    seconds, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    memory = resident("VmHWM") - held
    if kind == "ring":
        labels = found.partition.labels
        turned, flipped = np.roll(labels, 1, (0, 1)), np.roll(labels[::-1, ::-1], 1, (0, 1))
        right = f"{sum(bool((moved == labels).all()) for moved in (turned, flipped))} of 2"
        words = f"{found.partition.num_groups} groups; {words}"
    else:
        right = str(es.partition_distance(found.partition, truth))
    return Measured(seconds, processor, memory, right, words)


def resident(name: str) -> int:
    """A number of bytes that Linux knows of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{name}:")[1].split()[0]) * 1024


def main() -> None:
    """Print a row for each kind, size and separation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["torus"])
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 12, 14, 16])
    parser.add_argument("--separations", type=float, nargs="+", default=[3.0, 6.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs=3, metavar=("KIND", "SIDE", "SEPARATION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        kind, side, separation = args.only
        measured("torus", 3, 6.0, 0)  # loads the modules that are loaded at need
        one = measured(kind, int(side), float(separation), args.seed)
        print(one.seconds, one.processor, one.memory, one.right, one.words, sep="\t")
        return
    head = f"{'kind':<16}{'points':>7}{'cells':>8}{'apart':>7}{'seconds':>9}{'CPU s':>8}{'MiB':>7}{'right':>8}"
    print(f"{head}  symmetry")
    for kind in args.kinds:
        for side in args.sides:
            for separation in args.separations[: 1 if kind == "ring" else None]:
                command = [sys.executable, __file__, "--only", kind, str(side), str(separation)]
                ran = subprocess.run([*command, "--seed", str(args.seed)], capture_output=True, text=True, check=True)
                told = ran.stdout.strip().split("\t")
                apart = "" if kind == "ring" else f"{separation:.1f}"
                numbers = f"{float(told[0]):>9.1f}{float(told[1]):>8.1f}{int(told[2]) / 2**20:>7.0f}{told[3]:>8}"
                print(f"{kind:<16}{side**2:>7}{side**4:>8}{apart:>7}{numbers}  {told[4]}", flush=True)


if __name__ == "__main__":
    main()
