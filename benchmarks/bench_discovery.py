"""How much faster is ``bilevel`` than the procedure of the authors' code, and does it agree?

    python benchmarks/bench_discovery.py [--threads 1] [--out bench_discovery.json]

First agreement: from identical starting points with the released settings, one restart must end in
the same partition, or the command fails. Then time, in the same run with the same number of
threads: 200 trials of experiment 1 at K = 5 (the baseline, one trial after another, is timed on
the first few and scaled) and one trial at K = 90. PD and MSE stand beside the times.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import release_procedure
import torch

import equishare as es
from equishare.files import written_whole
from equishare.lab.studies.cells import RELEASE
from equishare.lab.studies.result import mean_and_interval

#: Trials on which both sides must find the same partition, and in what share of them.
AGREEMENT_TRIALS = 20
LEAST_AGREEMENT = 0.9
#: Trials on which the baseline is timed.
BASELINE_TRIALS = 10
#: The fast side is run this often and the median counts.
REPEATS = 5
METHODS: dict[str, dict[str, Any]] = {"own defaults": {}, "released settings": RELEASE}


def samples(num_entries: int, trials: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw training (30, K) and validation (70, K) samples, all means zero."""
    rng = np.random.default_rng([seed, num_entries])
    draws = [rng.standard_normal((100, num_entries)) for _ in range(trials)]
    return [(x[:30], x[30:]) for x in draws]


def baseline(seed: int, train: np.ndarray, val: np.ndarray) -> release_procedure.Answer:
    """Run the baseline on one trial."""
    return release_procedure.discover(train, val, release_procedure.initial_logits(train.shape[1], seed))


def distance(labels: np.ndarray) -> int:
    """Partition distance from the truth, one group."""
    return es.partition_distance(labels, np.zeros(len(labels), dtype=np.int64))


def same_partitions(num_entries: int) -> float:
    """Share of trials in which one restart from the same logits ends in the same partition."""
    same = 0
    for seed, (train, val) in enumerate(samples(num_entries, AGREEMENT_TRIALS, seed=1)):
        start = release_procedure.initial_logits(num_entries, seed, restarts=1)
        theirs = release_procedure.discover(train, val, start)
        options = {**RELEASE, "restarts": 1}
        ours = es.discover(es.MeanProblem(train, val), method="bilevel", seed=seed, **options)
        same += es.partition_distance(ours.partition, theirs.labels) == 0
    return same / AGREEMENT_TRIALS


def statistics(pd: list[float], mse: list[float]) -> dict[str, float]:
    """Mean and interval of PD and MSE."""
    (pd_mean, pd_ci), (mse_mean, mse_ci) = mean_and_interval(pd), mean_and_interval(mse)
    row = {"pd": pd_mean, "mse": mse_mean}
    return row if len(pd) == 1 else {**row, "pd_ci": pd_ci, "mse_ci": mse_ci}


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(num_entries: int, trials: int) -> dict[str, Any]:
    """Time and score both sides on ``trials`` trials of experiment 1."""
    data = samples(num_entries, trials, seed=2)
    timed = data[: min(BASELINE_TRIALS, trials)]
    answers: list[release_procedure.Answer] = []
    per_trial = [seconds(lambda seed=seed, x=x: answers.append(baseline(seed, *x))) for seed, x in enumerate(timed)]
    # The median, so that a pause of the machine during the long baseline does not flatter us.
    baseline_seconds = float(np.median(per_trial)) * trials
    result: dict[str, Any] = {
        "K": num_entries,
        "trials": trials,
        "baseline": {
            "seconds": baseline_seconds,
            "timed_trials": len(timed),
            **statistics(
                [distance(a.labels) for a in answers],
                [float(np.sum(a.theta**2)) for a in answers],
            ),
        },
    }
    problems = [es.MeanProblem(train, val) for train, val in data]
    for name, options in METHODS.items():

        def run(options: dict[str, Any] = options) -> list[es.Discovery]:
            return es.discover(problems, method="bilevel", **options)

        found = run()
        times = [seconds(run) for _ in range(REPEATS)]
        median = float(np.median(times))
        result[name] = {
            "seconds": median,
            "ratio": baseline_seconds / median,
            **statistics(
                [distance(np.asarray(d.partition.labels)) for d in found],
                [float(np.sum(d.theta**2)) for d in found],
            ),
        }
    return result


def show(result: dict[str, Any]) -> None:
    """Print one comparison."""
    base = result["baseline"]
    scaled = base["timed_trials"] < result["trials"]
    note = f"   (timed on {base['timed_trials']} trials and scaled)" if scaled else ""
    print(f"K = {result['K']}, {result['trials']} trials")
    print(f"  {'release procedure':20} {base['seconds']:10.3f} s   PD {base['pd']:6.2f}   MSE {base['mse']:.4f}{note}")
    for name in METHODS:
        row = result[name]
        print(
            f"  bilevel, {name:18}{row['seconds']:7.3f} s   PD {row['pd']:6.2f}"
            f"   MSE {row['mse']:.4f}   {row['ratio']:.0f} times faster"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of both sides")
    parser.add_argument("--out", type=Path, help="write the numbers here as JSON")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    agreement = {num_entries: same_partitions(num_entries) for num_entries in (5, 10)}
    for num_entries, share in agreement.items():
        print(f"same partition from the same start, K = {num_entries}: {share:.0%} of trials")
    if min(agreement.values()) < LEAST_AGREEMENT:
        raise SystemExit(f"the two sides disagree: wanted {LEAST_AGREEMENT:.0%}, got {agreement}")
    results = [compare(5, 200), compare(90, 1)]
    for result in results:
        show(result)
    if given.out is not None:
        document = {
            "threads": given.threads,
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "agreement": agreement,
            "results": results,
        }
        with written_whole(given.out) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
