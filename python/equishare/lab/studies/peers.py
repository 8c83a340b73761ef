"""Methods of other people beside ours, in one harness: partition distance, test error, seconds.

All methods have their defaults, which ``equishare.methods`` documents; nothing is tuned to a table. Of each method that
fits one pattern for each strength of a penalty, the validation samples choose the strength. The searches on networks of
the table "tasks" have the rates and steps of :data:`equishare.lab.studies.tasks.FITS`.

- "weight sharing": a penalty on the differences of all pairs, with its exact proximal map (Shakerinava et al. 2024).
- "SLOPE": the sorted L1 penalty (Bogdan et al. 2015).
- "sinkhorn": doubly stochastic sharing (van der Linden et al. 2024).
- "MSR": meta-learning symmetries (Zhou, Knowles, Finn 2021). It needs many tasks with one pattern: the table "tasks".

The two penalties tie single entries, and the sum of numbers ties slices: there they are left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from equishare.discover import MethodName
from equishare.lab.studies import correlation, gaussian, sum_of_numbers, tasks
from equishare.lab.studies.cells import Cell, Draws, Plan, Progress, Scores, number_of_trials, run_plans
from equishare.lab.studies.result import Experiment
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem
from equishare.result.discovery import Discovery

TRIALS = 20
#: Of maps and of the sum of numbers.
FEW = 3
METHODS = ("no sharing", "oracle", "gap", "weight sharing", "SLOPE", "sinkhorn", "bilevel", "auto")
#: Of 4,096 entries only these take minutes at most.
METHODS_LARGE = ("no sharing", "oracle", "gap", "weight sharing", "SLOPE", "auto")
#: K and r of the table of means; inputs and filter of that of cross-correlations; L of the sum of numbers.
MEANS = ((6, 1), (10, 3), (30, 3))
MAPS = ((5, 3), (7, 3), (10, 3))
LENGTHS = (4,)
NETWORKS: dict[str, MethodName] = {
    "no sharing": "no_sharing",
    "oracle": "oracle",
    "sinkhorn": "sinkhorn",
    "bilevel": "bilevel",
    "auto": "auto",
}
#: Samples of images that fit, validate and test, and the standard deviation of their noise; pixels have about 1.
IMAGES = (500, 500, 797)
NOISE = 0.5


def plans() -> list[Plan]:
    """The tables of means and of linear maps."""
    return [
        Plan(
            "means",
            "Gaussian, K means in r groups 3 sigma apart, 30 + 70 samples",
            ("mse", "pd"),
            [Cell({"K": k, "r": r}, partial(gaussian.draw, K=k, r=r), METHODS, TRIALS) for k, r in MEANS],
        ),
        Plan(
            "correlation",
            "Cross-correlation, 50 + 100 samples",
            ("pd", "test_error"),
            [
                Cell(
                    {"I": inputs, "kernel": kernel},
                    partial(correlation.draw, inputs=inputs, kernel=kernel, train=50),
                    METHODS,
                    FEW,
                )
                for inputs, kernel in MAPS
            ],
        ),
        Plan(
            "digits",
            "Noisy digits → digits, 8 × 8 pixels on a torus, shifted at random; PD to the orbits of all shifts",
            ("pd", "kept", "test_error"),
            [Cell({"pixels": 64}, draw_digits, METHODS_LARGE, 1)],
        ),
    ]


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    planned: Sequence[Plan] | None = None,
    lengths: Sequence[int] = LENGTHS,
    sizes: tuple[tasks.Size, ...] = tasks.SIZES,
) -> Experiment:
    """Run all tables; ``trials`` lowers the number of trials of all cells.

    Raises:
        ValueError: ``trials`` is less than one.
        ImportError: scikit-learn, which has the digits, is not installed.
    """
    own = plans() if planned is None else planned
    count = number_of_trials(trials, FEW)
    rows = sum(len(cell.methods) for plan in own for cell in plan.cells)
    total = rows + len(sum_of_numbers.RANKS) * len(lengths) * len(NETWORKS) + len(sizes) * len(tasks.METHODS)
    done = 0

    def tick(*_: Any) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    start = time.perf_counter()
    closed = run_plans("peers", own, trials, seed, tick)
    of_sums = sum_of_numbers.run(count, seed, tick, lengths, augerino_samples=(), methods=NETWORKS)
    of_tasks = tasks.table(trials, seed, tick, sizes)
    tables = (*closed.tables, of_sums.tables[0], of_tasks)
    return Experiment("peers", seed, tables, time.perf_counter() - start)


def draw_digits(rng: np.random.Generator, trials: int) -> Draws:
    """Digits of scikit-learn, each shifted at random on the torus, with and without noise.

    Of such images the best linear map from noisy to clean commutes with all 64 shifts by construction. Entries of two
    orbits can be as good as equal, so that a coarser pattern predicts as well: ``kept`` is the share of the shifts that
    leave a pattern unchanged.
    """
    from sklearn.datasets import load_digits

    images = load_digits().images
    images = (images - images.mean()) / images.std()
    cell = np.arange(64)
    across, down = np.subtract.outer(cell % 8, cell % 8) % 8, np.subtract.outer(cell // 8, cell // 8) % 8
    moves = [np.roll(cell.reshape(8, 8), shift, (0, 1)).ravel() for shift in np.ndindex(8, 8)]
    truth = Partition(across + 8 * down)
    fit, val, _ = IMAGES
    problems, tests = [], []
    for _ in range(trials):
        order = rng.permutation(len(images))
        shifts = rng.integers(8, size=(len(images), 2))
        y = np.stack([np.roll(images[i], shift, (0, 1)).ravel() for i, shift in zip(order, shifts, strict=True)])
        x = y + NOISE * rng.standard_normal(y.shape)
        problems.append(LinearProblem(x[:fit], y[:fit], x_val=x[fit : fit + val], y_val=y[fit : fit + val]))
        tests.append((x[fit + val :], y[fit + val :]))

    def score(trial: int, answer: Discovery) -> Scores:
        x, y = tests[trial]
        labels = answer.partition.labels
        return {
            "pd": float(partition_distance(answer.partition, truth)),
            "kept": float(np.mean([np.array_equal(labels[np.ix_(move, move)], labels) for move in moves])),
            "test_error": float(np.mean((x @ answer.theta.T + answer.bias - y) ** 2)),
        }

    return Draws(problems, [truth] * trials, score)
