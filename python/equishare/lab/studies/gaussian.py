"""Gaussian data with shared means: the paper's four experiments, harder cells, and the sweep.

A sample is x ~ N(theta, sigma² I_K); the entries of group g = 0, 1, … have the mean 3 g. Scored
by MSE = ‖theta_hat − theta‖², theta_hat refitted on all samples, and by the partition distance PD.

Source: Yeh, Hu, Hasegawa-Johnson, Schwing, "Equivariance Discovery by Learned
Parameter-Sharing", AISTATS 2022. The columns ``paper_*`` are printed there; ``released_*`` were
measured by running the code that its authors published.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from equishare.lab.studies import separation
from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.lab.studies.sampling import nearest_labels, random_labels
from equishare.partition import Partition, partition_distance
from equishare.problems import MeanProblem
from equishare.result.discovery import Discovery

TRIALS = 200
METHODS = (
    "no sharing",
    "oracle",
    "brute force",
    "bilevel, release",
    "bilevel, release, no penalties",
    "bilevel",
    "gap",
    "merge",
    "auto",
)
METHODS_LARGE = tuple(method for method in METHODS if method != "brute force")
METHODS_OURS = ("no sharing", "oracle", "bilevel", "gap", "merge", "auto")
METHODS_HARD = ("Bayes limit", *METHODS_OURS)
METHODS_HUGE = ("no sharing", "oracle", "gap", "auto")

#: Experiment 1 by K: MSE, its interval, PD, its interval; then without penalties MSE, PD.
PAPER = {
    2: (0.014, 0.003, 0.145, 0.050, 0.019, 0.915),
    4: (0.025, 0.003, 0.490, 0.095, 0.035, 2.050),
    6: (0.028, 0.004, 0.590, 0.132, 0.050, 3.350),
}
#: By K: PD and seconds per trial of the published code.
RELEASED = {
    2: (0.2, 1.23),
    4: (0.6, 1.26),
    6: (0.6, 1.27),
    10: (0.0, 1.32),
    30: (18.5, 1.42),
    90: (55.5, 2.42),
}


def plans() -> list[Plan]:
    """Experiments 1 to 4; beyond them larger K, wider noise and fewer samples; and the separation sweeps."""
    metrics = ("mse", "pd")
    return [
        Plan(
            "exp1",
            "Experiment 1: K means, all equal (r = 1), 30 training and 70 validation samples",
            metrics,
            [_cell({"K": k, "r": 1}, METHODS, references=_references(k)) for k in range(2, 7)],
            x="K",
        ),
        Plan(
            "exp2",
            "Experiment 2: the share of 100 samples used for training, K = 5, r = 1",
            metrics,
            [_cell({"K": 5, "r": 1, "train": train}, METHODS) for train in range(10, 100, 10)],
            x="train",
        ),
        Plan(
            "exp3",
            "Experiment 3: number of groups r, K = 5, 30 training and 70 validation samples",
            metrics,
            [_cell({"K": 5, "r": r}, METHODS) for r in range(1, 6)],
            x="r",
        ),
        Plan(
            "exp4",
            "Experiment 4: many means, all equal (r = 1), 30 training and 70 validation samples",
            metrics,
            [_cell({"K": k, "r": 1}, METHODS_LARGE, references=_references(k)) for k in (10, 30, 50, 70, 90)],
            x="K",
        ),
        Plan(
            "large",
            "Beyond experiment 4: several groups and thousands of means, 30 + 70 samples",
            metrics,
            [
                _cell({"K": 90, "r": 3}, METHODS_OURS),
                _cell({"K": 90, "r": 10}, METHODS_OURS),
                _cell({"K": 1000, "r": 10}, METHODS_OURS, trials=10),
                _cell({"K": 10_000, "r": 100}, METHODS_HUGE, trials=5),
            ],
        ),
        Plan(
            "hard",
            "Noise of sigma = 7, and 24 samples; group g has the mean spacing · g",
            metrics,
            [
                _cell({"K": k, "r": r, "sigma": sigma, "spacing": spacing, **split}, METHODS_HARD)
                for sigma, spacing, split in (
                    (7.0, 3.0, {"samples": 100, "train": 30}),
                    (7.0, 21.0, {"samples": 100, "train": 30}),
                    (1.0, 3.0, {"samples": 24, "train": 7}),
                )
                for k, r in ((10, 1), (30, 1), (90, 1), (90, 3), (90, 10))
            ],
        ),
        *separation.plans(),
    ]


run = experiment("gaussian", plans)


def draw(
    rng: np.random.Generator,
    trials: int,
    *,
    K: int,  # noqa: N803 - the settings are also the columns of the tables
    r: int,
    samples: int = 100,
    train: int = 30,
    sigma: float = 1.0,
    spacing: float = 3.0,
) -> Draws:
    """Draw the trials of one cell: K entries in r groups, group g of mean ``spacing`` · g.

    The row "Bayes limit" labels every entry by the nearest true value.
    """
    problems, truths, thetas, limit = [], [], [], []
    for _ in range(trials):
        labels = random_labels(rng, K, r)
        theta = spacing * labels.astype(np.float64)
        x = theta + sigma * rng.standard_normal((samples, K))
        problems.append(MeanProblem(x[:train], x[train:]))
        truths.append(Partition(labels))
        thetas.append(theta)
        limit.append(_limit(x.mean(axis=0), spacing * np.arange(r), theta, labels))

    def score(trial: int, answer: Discovery) -> Scores:
        return {
            "mse": float(np.sum((answer.theta - thetas[trial]) ** 2)),
            "pd": float(partition_distance(answer.partition, truths[trial])),
        }

    return Draws(problems, truths, score, {"Bayes limit": limit})


def _limit(estimates: np.ndarray, values: np.ndarray, theta: np.ndarray, labels: np.ndarray) -> Scores:
    found = nearest_labels(estimates, values)
    totals = np.bincount(found, weights=estimates, minlength=len(values))
    sizes = np.bincount(found, minlength=len(values))
    fitted = totals[found] / sizes[found]
    return {
        "mse": float(np.sum((fitted - theta) ** 2)),
        "pd": float(partition_distance(found, labels)),
    }


def _cell(
    settings: dict[str, Any],
    methods: tuple[str, ...],
    trials: int = TRIALS,
    references: dict[str, dict[str, float]] | None = None,
) -> Cell:
    return Cell(settings, partial(draw, **settings), methods, trials, references or {})


def _references(num_entries: int) -> dict[str, dict[str, float]]:
    columns: dict[str, float] = {}
    without: dict[str, float] = {}
    if num_entries in PAPER:
        mse, mse_ci, pd, pd_ci, mse_without, pd_without = PAPER[num_entries]
        columns = {"paper_mse": mse, "paper_mse_ci": mse_ci}
        columns |= {"paper_pd": pd, "paper_pd_ci": pd_ci}
        without = {"paper_mse": mse_without, "paper_pd": pd_without}
    if num_entries in RELEASED:
        released_pd, released_seconds = RELEASED[num_entries]
        columns |= {"released_pd": released_pd, "released_seconds": released_seconds}
    return {"bilevel, release": columns, "bilevel, release, no penalties": without}
