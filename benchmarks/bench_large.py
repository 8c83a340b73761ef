"""What sharing single entries of large layers takes: seconds, and memory as a multiple of the layer.

Each size runs in a process of its own. The layer is dense, n × n in float32, with weights of four values; the data are
256 samples. Memory is the peak of the process less what it held before, when the layer and the data were there, in
multiples of the layer's own n² · 4 bytes (Linux). Two calls, ``es.share`` counted with each: ``path`` forms the
estimate of a trained layer, with its Fisher information, and the partitions into 1, 2, …, 128 groups; ``discover`` is
all of ``es.discover``, with ``--steps`` steps a fit.

    python benchmarks/bench_large.py [--sizes 64 128 256 512 1024] [--steps 20]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

import equishare as es
from equishare.problems.network.fisher import fisher_estimates
from equishare.problems.network.replicas import Replicas
from equishare.search.levels import levels
from equishare.search.ward import ward_path

_SAMPLES = 256


def measured(size: int, what: str, steps: int) -> tuple[float, float, int]:
    """Seconds, peak memory in bytes, and the partition distance of the answer from the truth."""
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=(size, size))
    weight = torch.tensor(truth - 1.5, dtype=torch.float32) / size**0.5
    x = torch.randn((2 * _SAMPLES, size), generator=torch.Generator().manual_seed(0))
    y = x @ weight.T
    data = (x[:_SAMPLES], y[:_SAMPLES]), (x[_SAMPLES:], y[_SAMPLES:])
    model = torch.nn.Linear(size, size, bias=False)
    with torch.no_grad():
        model.weight.copy_(weight + 0.02 * torch.randn(size, size) / size**0.5)
    held = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    start = time.perf_counter()
    es.share(model, "weight")
    problem = es.ModelProblem(model, *data, torch.nn.functional.mse_loss)
    if what == "discover":
        labels = es.discover(problem, steps=steps, refit_steps=steps, restarts=1).partition.labels.ravel()
    else:
        replicas = Replicas([problem])
        estimates = fisher_estimates(replicas, replicas.start, replicas.buffers, problem.train.first())
        (labels,) = ward_path(estimates, levels(replicas.slots), [slot.max_groups for slot in replicas.slots])[4]
    seconds = time.perf_counter() - start
    return seconds, _status("VmHWM") - held, es.partition_distance(labels, truth.ravel())


def _status(name: str) -> int:
    """A number of bytes that Linux knows of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{name}:")[1].split()[0]) * 1024


def main() -> None:
    """Print a row for each size and kind of call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", nargs=2, metavar=("WHAT", "SIZE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        measured(8, args.only[0], args.steps)  # loads the modules that are loaded at need
        print(*measured(int(args.only[1]), args.only[0], args.steps))
        return
    print(f"{'call':<10}{'layer':>14}{'entries':>10}{'seconds':>10}{'memory':>12}{'growth':>8}{'distance':>10}")
    for what in ("path", "discover"):
        last = None
        for size in args.sizes:
            command = [sys.executable, __file__, "--only", what, str(size), "--steps", str(args.steps)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            seconds, memory, distance = float(told[0]), int(told[1]) / (4 * size**2), int(told[2])
            # Exponent of the number of entries by which the time has grown; 1: in proportion.
            growth = "" if last is None else f"{np.log(seconds / last[1]) / np.log((size / last[0]) ** 2):.2f}"
            last = size, seconds
            shape = f"{size} × {size}"
            print(f"{what:<10}{shape:>14}{size**2:>10}{seconds:>10.2f}{memory:>10.1f} ×{growth:>8}{distance:>10}")


if __name__ == "__main__":
    main()
