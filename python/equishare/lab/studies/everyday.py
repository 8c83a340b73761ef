"""Twelve everyday networks with default options, beside the same network trained well without sharing.

The network without sharing is trained by plain AdamW: the best of five rates, each with the cosine schedule, ended
where the validation loss is least. The table has the mean loss on samples that neither has seen, the most that one
answer is above the unshared network beyond two standard errors of the paired difference, the number of answers that
are better, and the partition distance where there is a truth.
"""

from __future__ import annotations

import copy
import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equishare.discover import discover
from equishare.lab.studies.cells import Progress, number_of_trials
from equishare.lab.studies.everyday_data import PROBLEMS, Everyday, draw
from equishare.lab.studies.result import Experiment, Table, mean_and_interval
from equishare.partition import partition_distance

TRIALS = 5
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
STEPS = 2000
#: An answer is worse where its loss is above this multiple of that of the unshared network, beyond noise.
MARGIN = 1.02
METRICS = ("loss", "unshared", "ratio", "worse", "better", "groups", "pd")


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    problems: tuple[str, ...] = tuple(PROBLEMS),
    steps: int = STEPS,
) -> Experiment:
    """Run the problems, 5 seeds each; ``trials`` lowers that number.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    count = number_of_trials(trials, TRIALS)
    start = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for name in problems:
        scores = []
        for trial in range(count):
            scores.append(measure(draw(name, seed + trial), seed + trial, steps))
            if progress is not None:
                progress(len(rows) * count + len(scores), count * len(problems))
        row: dict[str, Any] = {"problem": name, "method": "auto", "trials": count}
        for metric in METRICS:
            values = [one[metric] for one in scores]
            row[metric], row[f"{metric}_ci"] = mean_and_interval(values)
        row["seconds"] = float(np.mean([one["seconds"] for one in scores]))
        rows.append(row)
    title = "Everyday networks, default options, beside the same network trained well without sharing"
    table = Table("everyday", title, ("problem",), METRICS, (), rows)
    return Experiment("everyday", seed, (table,), time.perf_counter() - start)


def measure(one: Everyday, seed: int, steps: int = STEPS) -> dict[str, float]:
    """How the answer and the unshared network compare on the test samples."""
    start = time.perf_counter()
    answer = discover(one.problem, seed=seed)
    seconds = time.perf_counter() - start
    assert answer.model is not None
    own = losses(answer.model, one)
    plain = losses(trained_well(one, steps, seed), one)
    error = float((own - MARGIN * plain).std() / math.sqrt(len(own)))
    distances = [partition_distance(answer.partitions[name], truth) for name, truth in one.truth.items()]
    return {
        "loss": float(own.mean()),
        "unshared": float(plain.mean()),
        "ratio": float(own.mean() / plain.mean()),
        "worse": float(own.mean() - MARGIN * plain.mean() > 2 * error),
        "better": float(own.mean() < plain.mean()),
        "groups": float(sum(part.num_groups for part in answer.partitions.values())),
        "pd": float(sum(distances)) if one.truth else math.nan,
        "seconds": seconds,
    }


def losses(model: nn.Module, one: Everyday) -> Tensor:
    """Loss of each test sample (n,)."""
    x, y = one.test
    with torch.no_grad():
        output = model.eval()(x)
    return torch.stack([one.problem.loss(output[i : i + 1], y[i : i + 1]) for i in range(len(y))]).double()


def trained_well(one: Everyday, steps: int, seed: int) -> nn.Module:
    """The network without sharing at the least validation loss of all rates."""
    (x, y), (x_val, y_val) = (samples.first() for samples in (one.problem.train, one.problem.val))
    best, least = one.model, math.inf
    for rate in RATES:
        model = copy.deepcopy(one.model)
        optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps + 1):
            if step % max(1, steps // 100) == 0:
                with torch.no_grad():
                    loss = float(one.problem.loss(model.eval()(*x_val), y_val))
                if loss < least:
                    best, least = copy.deepcopy(model), loss
                model.train()
            optimizer.zero_grad()
            one.problem.loss(model(*x), y).backward()
            optimizer.step()
            schedule.step()
    return best
