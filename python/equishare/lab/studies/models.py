"""Sharing inside networks: which weights are equal is found with everything else unknown too.

The cases and what makes each of them identifiable stand in ``models_data``. Scored by the partition distance PD, summed
over the assignments, beside the number of entries K that could be shared, and by the mean squared error of
the refitted model against 5,000 outputs free of noise, whose variance is 1.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from equishare.discover import MethodName, discover
from equishare.lab.studies.cells import Progress, number_of_trials
from equishare.lab.studies.models_data import CASES, Case, Drawn
from equishare.lab.studies.result import Experiment, Table, mean_and_interval
from equishare.partition import partition_distance
from equishare.result.discovery import ModelDiscovery

TRIALS = 5
Methods = Mapping[str, tuple[MethodName, dict[str, Any]]]
METHODS: Methods = {
    "no sharing": ("no_sharing", {}),
    "oracle": ("oracle", {}),
    "bilevel": ("bilevel", {}),
    "auto": ("auto", {}),
}
METRICS = ("pd", "test_error")


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    cases: Mapping[str, Case] = CASES,
    methods: Methods = METHODS,
) -> Experiment:
    """Run the cases, 5 teachers each; ``trials`` lowers that number.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    count = number_of_trials(trials, TRIALS)
    start = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for index, (name, case) in enumerate(cases.items()):
        rng = np.random.default_rng([seed, index])
        drawn = [case.draw(rng) for _ in range(count)]
        settings = {"case": name, "K": sum(len(p) for p in drawn[0].truth.values())}
        for label in methods:
            rows.append({**settings, **measure(label, drawn, seed, methods)})
            if progress is not None:
                progress(len(rows), len(cases) * len(methods))
    title = "Networks whose weights are shared, with all of them free to be shared; K entries or slices"
    table = Table("models", title, ("case", "K"), METRICS, (), rows)
    return Experiment("models", seed, (table,), time.perf_counter() - start)


def measure(label: str, drawn: list[Drawn], seed: int, methods: Methods = METHODS) -> dict[str, Any]:
    """The row of one method on the trials of a case, which it solves as one batch."""
    method, options = methods[label]
    if method == "oracle":
        options = {**options, "partition": [one.truth for one in drawn]}
    start = time.perf_counter()
    answers = discover([one.problem for one in drawn], method=method, seed=seed, **options)
    seconds = (time.perf_counter() - start) / len(drawn)
    scores = [score(one, answer) for one, answer in zip(drawn, answers, strict=True)]
    row: dict[str, Any] = {"method": label}
    for metric in METRICS:
        row[metric], row[f"{metric}_ci"] = mean_and_interval([s[metric] for s in scores])
    return {**row, "trials": len(drawn), "seconds": seconds}


def score(drawn: Drawn, answer: ModelDiscovery) -> dict[str, float]:
    """PD of all assignments together, and the test error."""
    x, clean = drawn.test
    assert answer.model is not None
    with torch.no_grad():
        error = answer.model(x) - clean
    distances = [partition_distance(answer.partitions[name], truth) for name, truth in drawn.truth.items()]
    return {"pd": float(sum(distances)), "test_error": float(error.square().mean())}
