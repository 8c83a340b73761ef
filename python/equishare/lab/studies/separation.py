"""The separation sweep: group values δ apart, estimates with standard error s, δ/s from 2 to 10.

The paper's means lie 30 standard errors apart, where any rule works; this is where methods
differ. Scored by the partition distance PD and set beside limits that know the true values:

- *Bayes limit*: each entry of the pooled estimate goes to the nearest true value. No rule that
  looks at the entries one by one can do better.
- *joint limit* (linear maps only): the most probable assignment of a whole output row, whose
  estimates depend on each other when the inputs are correlated; it lies below the Bayes limit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Scores
from equishare.lab.studies.sampling import joint_labels, nearest_labels, random_labels
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem, MeanProblem
from equishare.result.discovery import Discovery

TRIALS = 60
RATIOS = (2, 3, 4, 5, 6, 7, 8, 9, 10)
METHODS = ("Bayes limit", "gap", "merge", "bilevel", "auto")
METHODS_LINEAR = ("joint limit", *METHODS)
NUM_TRAIN = NUM_VAL = 50
#: Correlation of neighbouring inputs of the linear maps.
RHO = 0.6
#: (outputs, inputs) of the linear maps with 30 and with 90 entries.
SHAPES = {30: (5, 6), 90: (9, 10)}


def plans() -> list[Plan]:
    """Return the sweep for shared means and for linear maps with correlated inputs."""
    settings: list[dict[str, Any]] = [
        {"K": num_entries, "r": num_groups, "separation": ratio}
        for num_entries in (30, 90)
        for num_groups in (3, 10)
        for ratio in RATIOS
    ]
    return [
        Plan(
            "separation_means",
            "Separation sweep, means: r values, δ/s standard errors apart (100 samples)",
            ("pd",),
            [Cell(s, partial(draw_means, **s), METHODS, TRIALS) for s in settings],
            x="separation",
            log=("pd",),
        ),
        Plan(
            "separation_linear",
            f"Separation sweep, linear maps, inputs AR(1) with correlation {RHO} (100 samples)",
            ("pd",),
            [Cell(s, partial(draw_linear, **s), METHODS_LINEAR, TRIALS) for s in settings],
            x="separation",
            log=("pd",),
        ),
    ]


def draw_means(
    rng: np.random.Generator,
    trials: int,
    *,
    K: int,  # noqa: N803 - the settings are also the columns of the tables
    r: int,
    separation: float,
) -> Draws:
    """Draw means whose pooled estimates have the standard error s = 1 / √100."""
    num_samples = NUM_TRAIN + NUM_VAL
    values = separation / np.sqrt(num_samples) * np.arange(r)
    problems, truths, limit = [], [], []
    for _ in range(trials):
        labels = random_labels(rng, K, r)
        samples = values[labels] + rng.standard_normal((num_samples, K))
        problems.append(MeanProblem(samples[:NUM_TRAIN], samples[NUM_TRAIN:]))
        truths.append(Partition(labels))
        limit.append(_distance(nearest_labels(samples.mean(axis=0), values), labels))
    return Draws(problems, truths, _scorer(truths), {"Bayes limit": limit})


def draw_linear(
    rng: np.random.Generator,
    trials: int,
    *,
    K: int,  # noqa: N803 - the settings are also the columns of the tables
    r: int,
    separation: float,
) -> Draws:
    """Draw linear maps y = W x + noise of unit variance, x an AR(1) sequence of unit variance.

    s² is the mean diagonal of (XᵀX)⁻¹, X the centred inputs, in every trial anew.
    """
    outputs, inputs = SHAPES[K]
    num_samples = NUM_TRAIN + NUM_VAL
    problems, truths, limit, joint = [], [], [], []
    for _ in range(trials):
        labels = random_labels(rng, K, r).reshape(outputs, inputs)
        x = autoregressive(rng, num_samples, inputs, RHO)
        centred = x - x.mean(axis=0)
        precision = centred.T @ centred
        error = np.sqrt(np.diag(np.linalg.inv(precision)).mean())
        values = separation * error * np.arange(r)
        y = x @ values[labels].T + rng.standard_normal((num_samples, outputs))
        estimates = np.linalg.solve(precision, centred.T @ y).T
        rows = [joint_labels(row, precision, values) for row in estimates]
        limit.append(_distance(nearest_labels(estimates, values), labels))
        joint.append(_distance(np.stack(rows), labels))
        problems.append(LinearProblem(x[:NUM_TRAIN], y[:NUM_TRAIN], x_val=x[NUM_TRAIN:], y_val=y[NUM_TRAIN:]))
        truths.append(Partition(labels))
    limits = {"Bayes limit": limit, "joint limit": joint}
    return Draws(problems, truths, _scorer(truths), limits)


def autoregressive(rng: np.random.Generator, num_samples: int, size: int, rho: float) -> np.ndarray:
    """Draw Gaussian sequences (num_samples, size) of unit variance and correlation rho^|i − j|."""
    x = rng.standard_normal((num_samples, size))
    for i in range(1, size):
        x[:, i] = rho * x[:, i - 1] + np.sqrt(1 - rho**2) * x[:, i]
    return x


def _distance(found: np.ndarray, labels: np.ndarray) -> Scores:
    return {"pd": float(partition_distance(found, labels))}


def _scorer(truths: list[Partition]) -> Callable[[int, Discovery], Scores]:
    def score(trial: int, answer: Discovery) -> Scores:
        return {"pd": float(partition_distance(answer.partition, truths[trial]))}

    return score
