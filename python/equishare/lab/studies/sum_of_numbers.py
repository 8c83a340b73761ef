"""Sum of numbers: permutation invariance found inside a network.

Both ranks (all positions alike; two groups of alternating sign), L = 2 … 10, five trials each. Scored on clean test
samples: mean absolute and squared error, share right after rounding, partition distance PD, time of a prediction for
100,000 sequences, and size of what is stored.

Source: Yeh, Hu, Hasegawa-Johnson, Schwing, "Equivariance Discovery by Learned Parameter-Sharing", AISTATS 2022.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from equishare.discover import MethodName, discover
from equishare.lab.studies.augerino import fit_augerino, predict_in_chunks
from equishare.lab.studies.cells import Progress, Scores, number_of_trials
from equishare.lab.studies.result import Experiment, Table, mean_and_interval
from equishare.lab.studies.sum_data import SIZES, Sets, errors, predict, scale, sum_problem, sum_sets, truth
from equishare.partition import Partition, partition_distance

TRIALS = 5
LENGTHS = (2, 4, 6, 8, 10)
RANKS = (1, 2)
AUGERINO_SAMPLES = (3, 15, 75)
#: Augerino's predictions take long: they are scored on this part of the test set.
AUGERINO_TESTS = 10_000
METHODS: dict[str, MethodName] = {"no sharing": "no_sharing", "oracle": "oracle", "bilevel": "bilevel", "auto": "auto"}
METRICS = ("mae", "mse", "accuracy", "pd", "inference_seconds", "megabytes")
#: Test MSE at rank 1 in Table A1 of the paper, which gives one number a method.
PAPER_MSE = {
    "Augerino, 3 samples": {"paper_mse": 0.0350},
    "Augerino, 15 samples": {"paper_mse": 0.0257},
    "Augerino, 75 samples": {"paper_mse": 0.0197},
    "bilevel": {"paper_mse": 0.0101, "paper_mse_ci": 0.0050},
}


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    lengths: Sequence[int] = LENGTHS,
    augerino_samples: Sequence[int] = AUGERINO_SAMPLES,
    methods: Mapping[str, MethodName] = METHODS,
) -> Experiment:
    """Run the sum of numbers; ``trials`` lowers the number of trials, whose seeds are ``seed``, ``seed`` + 1, ….

    ``methods`` are names of rows and of methods of ``discover``.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    seeds = range(seed, seed + number_of_trials(trials, TRIALS))
    total = len(RANKS) * len(lengths) * (len(methods) + len(augerino_samples))
    done = 0
    start = time.perf_counter()
    rows: list[dict[str, Any]] = []
    samples: dict[tuple[int, str], list[Scores]] = {}
    for rank in RANKS:
        for length in lengths:
            sets = [sum_sets(length, rank, one) for one in seeds]
            for method, solve in _methods(sets, truth(length, rank), augerino_samples, seed, methods):
                begin = time.perf_counter()
                answers = solve()
                seconds = (time.perf_counter() - begin) / len(sets)
                scores = [score() for score in answers]
                samples.setdefault((rank, method), []).extend(scores)
                rows.append(_row({"rank": rank, "L": length, "method": method}, scores, seconds))
                done += 1
                if progress is not None:
                    progress(done, total)
    tables = (_table("sum", "Sum of L numbers, 250 noisy samples", ("rank", "L"), rows, "L"), _summary(samples))
    return Experiment("sum", seed, tables, time.perf_counter() - start)


def _methods(
    sets: Sequence[Sets],
    truth: Partition,
    augerino_samples: Sequence[int],
    seed: int,
    methods: Mapping[str, MethodName],
) -> list[tuple[str, Callable[[], list[Callable[[], Scores]]]]]:
    """Each method's name, and a function that solves all trials and returns how to score each."""
    found: list[tuple[str, Callable[[], list[Callable[[], Scores]]]]] = []
    for label, method in methods.items():
        found.append((label, lambda method=method: _discovered(sets, truth, method, seed)))  # type: ignore[misc]
    for count in augerino_samples:
        found.insert(-2, (f"Augerino, {count} samples", lambda count=count: _augerino(sets, count, seed)))  # type: ignore[misc]
    return found


def _discovered(sets: Sequence[Sets], truth: Partition, method: MethodName, seed: int) -> list[Callable[[], Scores]]:
    options: dict[str, Any] = {"partition": truth} if method == "oracle" else {}
    answers = discover([sum_problem(one) for one in sets], method, seed=seed, **options)

    def score(one: Sets, model: nn.Module, partition: Partition) -> Scores:
        return {
            **_measured(lambda x: predict(model, one, x), one, model, SIZES["test"]),
            "pd": float(partition_distance(partition, truth)),
        }

    return [
        lambda one=one, d=d: score(one, d.model, d.partition)  # type: ignore[misc]
        for one, d in zip(sets, answers, strict=True)
    ]


def _augerino(sets: Sequence[Sets], count: int, seed: int) -> list[Callable[[], Scores]]:
    fitted = [fit_augerino(one, count, seed + trial) for trial, one in enumerate(sets)]

    def score(one: Sets, model: nn.Module, trial: int) -> Scores:
        centre, spread = scale(one)
        return _measured(lambda x: predict_in_chunks(model, x, trial) * spread + centre, one, model, AUGERINO_TESTS)  # type: ignore[arg-type]

    return [
        lambda one=one, m=m, trial=trial: score(one, m, trial)  # type: ignore[misc]
        for trial, (one, m) in enumerate(zip(sets, fitted, strict=True))
    ]


def _measured(predicted: Callable[[Tensor], Tensor], sets: Sets, model: nn.Module, tests: int) -> Scores:
    x, y = (t[:tests] for t in sets["test"])
    start = time.perf_counter()
    prediction = predicted(x)
    seconds = (time.perf_counter() - start) * SIZES["test"] / tests
    stored = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    return {**errors(prediction, y), "inference_seconds": seconds, "megabytes": stored / 1e6}


def _row(settings: dict[str, Any], scores: Sequence[Scores], seconds: float | None) -> dict[str, Any]:
    row = dict(settings)
    for metric in METRICS:
        if metric in scores[0]:
            row[metric], row[f"{metric}_ci"] = mean_and_interval([s[metric] for s in scores])
    return {**row, "trials": len(scores), "seconds": seconds}


def _summary(samples: dict[tuple[int, str], list[Scores]]) -> Table:
    rows = []
    for (rank, method), scores in samples.items():
        printed = PAPER_MSE.get(method, {}) if rank == 1 else {}
        rows.append({**_row({"rank": rank, "method": method}, scores, None), **printed})
    title = "Sum of numbers, all L together; the paper's numbers beside ours"
    return _table("sum_summary", title, ("rank",), rows, None)


def _table(name: str, title: str, settings: tuple[str, ...], rows: list[dict[str, Any]], x: str | None) -> Table:
    references = ("paper_mse", "paper_mse_ci") if any("paper_mse" in row for row in rows) else ()
    return Table(name, title, settings, METRICS, references, rows, x, log=("mae", "mse", "inference_seconds"))
