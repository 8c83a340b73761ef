"""How much faster is ``discover`` than the procedure of the authors' code on the sum of numbers, and is it as good?

    python benchmarks/bench_sum.py [--length 4] [--seed 0] [--threads 1] [--budget SECONDS] [--out bench_sum.json]

Both sides get the same data (rank 1: all positions alike) and do the whole job in the same run with the same number
of threads: search from their starts, selection, refit. First agreement: whether every side found the true partition.
Then the times, with PD and the errors on the clean test set beside them. The baseline takes many minutes; with
``--budget`` it is stopped after so many seconds, and the ratios are lower bounds. Times are those of the process on
its processors, so that other work on the machine counts for neither side.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import release_sum_procedure
import torch

import equishare as es
from equishare.files import written_whole
from equishare.lab.studies.sum_data import predict, sum_problem, sum_sets

METHODS = ("bilevel", "auto")
#: The fast side is run this often and the median counts.
REPEATS = 3
RANK = 1
BASELINE = "release procedure"


class OutOfTimeError(Exception):
    """The baseline has used up its budget."""


class Clock:
    """Progress of the baseline: tells each new stage on stderr and stops it when the budget is spent."""

    def __init__(self, budget: float | None) -> None:
        self.budget, self.stage, self.reached = budget, "", "nothing"
        self.start = time.process_time()

    def __call__(self, stage: str, start: int, done: int, total: int) -> None:
        seconds = time.process_time() - self.start
        where = f"start {start + 1} of 3, {stage}" if stage != "refit" else stage
        self.reached = f"{where}, epoch {done} of at most {total}"
        if where != self.stage:
            self.stage = where
            print(f"{BASELINE}: {where} ({seconds:.0f} s)", file=sys.stderr, flush=True)
        if self.budget is not None and seconds > self.budget:
            raise OutOfTimeError


def scores(labels: np.ndarray, predicted: Any, test: tuple[torch.Tensor, torch.Tensor]) -> dict[str, float]:
    """PD from the truth, one group, and the errors on the test set."""
    error = np.asarray(predicted, dtype=np.float64).ravel() - test[1].double().numpy().ravel()
    truth = np.zeros(len(labels), dtype=np.int64)
    return {
        "pd": es.partition_distance(labels, truth),
        "mae": float(np.abs(error).mean()),
        "mse": float(np.square(error).mean()),
    }


def baseline(sets: dict[str, Any], budget: float | None) -> dict[str, Any]:
    """Time and score the baseline, or see how far it comes."""
    train, val, stop = ([array.numpy() for array in sets[name]] for name in ("train", "val", "stop"))
    clock = Clock(budget)
    try:
        answer = release_sum_procedure.discover(train, val, stop, progress=clock)
    except OutOfTimeError:
        return {"seconds": time.process_time() - clock.start, "finished": False, "reached": clock.reached}
    return {
        "seconds": time.process_time() - clock.start,
        "finished": True,
        **scores(answer.labels, answer.fitted.predict(sets["test"][0]), sets["test"]),
        "validation_losses": answer.scores,
        "outer_epochs": answer.outer_epochs,
        "inner_steps": answer.inner_steps,
        "fit_epochs": answer.fit_epochs,
    }


def ours(sets: dict[str, Any], method: str, seed: int, baseline_seconds: float) -> dict[str, Any]:
    """Time and score one of our methods."""
    problem = sum_problem(sets)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        found = es.discover(problem, method=method, seed=seed)
        times.append(time.process_time() - start)
    median = float(np.median(times))
    return {
        "seconds": median,
        "all_seconds": times,
        "ratio": baseline_seconds / median,
        **scores(np.ravel(found.partition.labels), predict(found.model, sets, sets["test"][0]), sets["test"]),
    }


def show(results: dict[str, dict[str, Any]]) -> None:
    """Print agreement, then the table."""
    base = results[BASELINE]
    wrong = [name for name, row in results.items() if row.get("pd", 0) > 0]
    if wrong:
        print(f"NO AGREEMENT: {', '.join(wrong)} did not find the true partition, so the times do not compare")
    elif base["finished"]:
        print("agreement: every side found the true partition")
    else:
        print("agreement: ours found the true partition; the baseline did not end")
    sign = "" if base["finished"] else "≥ "
    print(f"  {'':20} {'seconds':>10} {'PD':>4} {'MAE':>8} {'MSE':>9} {'ratio':>9}")
    for name, row in results.items():
        seconds = f"{sign if name == BASELINE else ''}{row['seconds']:.2f}"
        answer = f"{row['pd']:4d} {row['mae']:8.4f} {row['mse']:9.5f}" if "pd" in row else f"{'–':>4} {'–':>8} {'–':>9}"
        ratio = f"{sign}{row['ratio']:.1f}" if "ratio" in row else ""
        print(f"  {name:20} {seconds:>10} {answer} {ratio:>9}")
    if base["finished"]:
        print(f"  baseline: outer epochs {base['outer_epochs']}, epochs of the fits and the refit {base['fit_epochs']}")
    else:
        print(f"  baseline stopped after {base['seconds']:.0f} s at: {base['reached']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=4, help="numbers in a sequence")
    parser.add_argument("--seed", type=int, default=0, help="of the data, and of our methods")
    parser.add_argument("--threads", type=int, default=1, help="threads of both sides")
    parser.add_argument("--budget", type=float, help="stop the baseline after this many seconds")
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    sets = sum_sets(given.length, RANK, given.seed)
    results = {BASELINE: baseline(sets, given.budget)}
    for method in METHODS:
        results[method] = ours(sets, method, given.seed, results[BASELINE]["seconds"])
    print(f"sum of {given.length} numbers, rank {RANK}, seed {given.seed}, {given.threads} thread(s)")
    show(results)
    if given.out is not None:
        document = {
            "length": given.length,
            "rank": RANK,
            "seed": given.seed,
            "threads": given.threads,
            "budget": given.budget,
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "results": results,
        }
        with written_whole(given.out) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
