"""Windows of photographs, noisy -> clean: shifts that hold up to the boundary, and only nearly.

A window is a square of side × side grey values at a random place of one of scikit-learn's two photographs. The best
linear map from noisy to clean windows weighs a pixel by where it lies from the pixel wanted. At the border it knows
less of the surroundings, so the weights of one offset are not equal. Scored on 20,000 other windows, by how many
percent the test error lies above that of the map fitted to 200,000 windows: of the tied weights (``excess``), and of
the posterior mean (``mean_excess``). ``spread`` is that of the weights, ``shifts`` the share of draws in which shifts
up to the boundary are asserted, ``exact`` in which the verdict is that.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.lab.studies.rings import photographs
from equishare.partition import Partition
from equishare.problems import LinearProblem
from equishare.result.discovery import Discovery

TRIALS = 5
NOISE = 0.1
SIDES = (4, 6)
WINDOWS = (300, 3_000, 30_000)
NUM_TEST, NUM_BEST = 20_000, 200_000
METHODS = ("no sharing", "gap", "merge", "auto")
METRICS = ("excess", "mean_excess", "spread", "shifts", "exact")


def plans() -> list[Plan]:
    """The one table."""
    cells = [
        Cell({"side": side, "windows": count}, partial(draw, side=side, count=count), METHODS, TRIALS)
        for side in SIDES
        for count in WINDOWS
    ]
    title = f"Windows of two photographs, noise {NOISE}: half to fit, half to validate"
    return [Plan("photographs", title, METRICS, cells)]


run = experiment("photographs", plans)


def sample_windows(rng: np.random.Generator, count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut noisy and clean windows (count, side²) from the photographs, grey values from 0 to 1."""
    images = photographs()
    which = rng.integers(len(images), size=count)[:, None, None]
    top, left = (rng.integers(size - side + 1, size=count)[:, None, None] for size in images.shape[1:])
    step = np.arange(side)
    clean = images[which, top + step[:, None], left + step].reshape(count, -1)
    return clean + NOISE * rng.standard_normal(clean.shape), clean


def draw(rng: np.random.Generator, trials: int, *, side: int, count: int) -> Draws:
    """Draw the trials of one cell and one common test set."""
    half = count // 2
    samples = [sample_windows(rng, count, side) for _ in range(trials)]
    problems = [LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:]) for x, y in samples]
    x_test, y_test = sample_windows(rng, NUM_TEST, side)

    def error(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
        bias = y.mean(0) - weight @ x.mean(0)
        return float(np.mean((x_test @ weight.T + bias - y_test) ** 2))

    x, y = sample_windows(rng, NUM_BEST, side)
    centred = x - x.mean(0)
    least = error(np.linalg.lstsq(centred, y - y.mean(0), rcond=None)[0].T, x, y)

    def score(trial: int, answer: Discovery) -> Scores:
        extension = None if answer.belief is None else answer.symmetry().extension
        return {
            "excess": 100 * (error(answer.theta, *samples[trial]) / least - 1),
            "mean_excess": 100 * (error(answer.posterior_mean, *samples[trial]) / least - 1),
            "spread": answer.spread,
            "shifts": float(extension is not None and extension.verdict != "none"),
            "exact": float(answer.belief is not None and answer.symmetry().verdict == "exact"),
        }

    return Draws(problems, [Partition(np.arange(side**4).reshape(side**2, side**2))] * trials, score)
