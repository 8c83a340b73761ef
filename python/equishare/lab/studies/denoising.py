"""Denoising of step signals by a linear map.

Clean signal y[k] = s·1[k ≥ t] + b on K samples, s ~ U(1, 50), b ~ U(−5, 5), t uniform over
0 … K − 1; noisy signal x = y + noise of variance 5, 10, 15 or 20. Task: x -> y with
y = W x + bias. Scored on 10,000 signals by the test error, the mean squared error per sample of the
clean signal, and by the excess: how many percent that lies above the error of the best linear map; the mean excess
is the same for the posterior mean in place of the tied weights.

No partition is the true one here. With the covariance C of y, the best linear map is
W* = C (C + variance·I)⁻¹, whose only exact ties are W*[k, l] = W*[l, k], yet tying unequal
weights pays when there are few samples. So the table has three references:

- *best linear map*: W* itself, which knows the distribution.
- *symmetric W*: the exact ties of W*, fitted to the same samples as all methods.
- *oracle*: W* is merged pair by pair, always the pair that costs W* the least expected error, and
  of all partitions on that path it takes the one with the least mean test error, fitted to the
  same samples. It knows W* and the test error.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from equishare.discover import discover
from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.partition import Partition
from equishare.problems import BlockEstimate, LinearProblem
from equishare.result.discovery import Discovery
from equishare.search.path import merge_path

TRIALS = 60
NUM_TRAIN = 100
NUM_VAL = 200
NUM_TEST = 10_000
SIZES = (5, 10, 15)
VARIANCES = (5, 10, 15, 20)
STEP = (1.0, 50.0)
OFFSET = (-5.0, 5.0)
METHODS = (
    "best linear map",
    "symmetric W",
    "no sharing",
    "oracle",
    "gap",
    "merge",
    "bilevel",
    "auto",
)
METRICS = ("test_error", "excess", "mean_excess", "groups")
#: Partitions of the path that the oracle tries.
ORACLE_CANDIDATES = 25


def plans() -> list[Plan]:
    """The one table."""
    cells = [
        Cell({"K": size, "noise": noise}, partial(draw, size=size, noise=noise), METHODS, TRIALS)
        for size in SIZES
        for noise in VARIANCES
    ]
    title = f"Step denoising on K samples by noise variance, {NUM_TRAIN} + {NUM_VAL} signals"
    return [Plan("denoising", title, METRICS, cells, x="noise", log=("excess", "mean_excess", "groups"))]


run = experiment("denoising", plans)


def sample_steps(rng: np.random.Generator, count: int, size: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw noisy and clean signals (count, size); ``noise`` is the variance."""
    step = rng.uniform(*STEP, size=(count, 1))
    offset = rng.uniform(*OFFSET, size=(count, 1))
    start = rng.integers(size, size=(count, 1))
    clean = step * (np.arange(size) >= start) + offset
    return clean + np.sqrt(noise) * rng.standard_normal(clean.shape), clean


def moments(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (size,) and the covariance (size, size) of the clean signals.

    With F[k] = P(t ≤ k) = (k + 1) / size:
    cov[k, l] = E[s²] F[min(k, l)] − E[s]² F[k] F[l] + var(b).
    """
    reached = np.arange(1, size + 1) / size
    low, high = STEP
    mean_step = (low + high) / 2
    square_step = (low**2 + low * high + high**2) / 3
    offset_variance = (OFFSET[1] - OFFSET[0]) ** 2 / 12
    covariance = square_step * np.minimum.outer(reached, reached)
    covariance += offset_variance - mean_step**2 * np.outer(reached, reached)
    return mean_step * reached + sum(OFFSET) / 2, covariance


def population_path(weight: np.ndarray, metric: np.ndarray) -> list[Partition]:
    """Merge the entries of W* (O, I) pair by pair, the cheapest first; fewest groups first.

    The cost of a map V is tr((V − W*) M (V − W*)ᵀ) with M (I, I) the ``metric``.
    """
    variance = np.broadcast_to(np.diag(np.linalg.inv(metric)), weight.shape)
    known = BlockEstimate(weight, variance, np.inf, metric, np.ones_like(weight))
    return [Partition(labels) for labels in merge_path(known, weight.size)]


def draw(rng: np.random.Generator, trials: int, *, size: int, noise: float) -> Draws:
    """Draw the trials of one cell and one common test set, and find the oracle's partition."""
    samples = [sample_steps(rng, NUM_TRAIN + NUM_VAL, size, noise) for _ in range(trials)]
    problems = [
        LinearProblem(x[:NUM_TRAIN], y[:NUM_TRAIN], x_val=x[NUM_TRAIN:], y_val=y[NUM_TRAIN:]) for x, y in samples
    ]
    x_test, y_test = sample_steps(rng, NUM_TEST, size, noise)

    def error(weight: np.ndarray, bias: np.ndarray) -> float:
        return float(np.mean((x_test @ weight.T + bias - y_test) ** 2))

    mean, covariance = moments(size)
    noisy = covariance + noise * np.eye(size)
    best = np.linalg.solve(noisy, covariance).T
    least = error(best, mean - best @ mean)

    def score(trial: int, answer: Discovery) -> Scores:
        assert answer.bias is not None
        test_error, x, y = error(answer.theta, answer.bias), *samples[trial]
        mean_error = error(answer.posterior_mean, y.mean(0) - answer.posterior_mean @ x.mean(0))
        return {
            "test_error": test_error,
            "excess": 100 * (test_error / least - 1),
            "mean_excess": 100 * (mean_error / least - 1),
            "groups": float(answer.partition.num_groups),
        }

    def tied(partition: Partition) -> list[Scores]:
        answers = discover(problems, method="oracle", partition=[partition] * trials)
        return [score(trial, answer) for trial, answer in enumerate(answers)]

    def error_of(partition: Partition) -> float:
        return float(np.mean([scores["test_error"] for scores in tied(partition)]))

    best_scores = {"test_error": least, "excess": 0.0, "mean_excess": 0.0, "groups": size * (size + 1) / 2}
    path = population_path(best, noisy)
    chosen = np.unique(np.geomspace(1, len(path), ORACLE_CANDIDATES).astype(int))
    oracle = min((path[groups - 1] for groups in chosen), key=error_of)
    index = np.arange(size)
    symmetric = Partition(np.minimum.outer(index, index) * size + np.maximum.outer(index, index))
    limits = {"best linear map": [best_scores] * trials, "symmetric W": tied(symmetric)}
    return Draws(problems, [oracle] * trials, score, limits)
