"""Windows of photographs: noisy -> clean, where shifts hold up to the boundary, and only nearly; and blurred -> sharp.

A window is a square of side × side grey values at a random place of one of scikit-learn's two photographs. The best
linear map from noisy to clean windows weighs a pixel by where it lies from the pixel wanted. At the border it knows
less of the surroundings, so the weights of one offset are not equal. Scored on 20,000 other windows, by how many
percent the test error lies above that of the map fitted to 200,000 windows: of the tied weights (``excess``), and of
the posterior mean (``mean_excess``). ``spread`` is that of the weights, ``shifts`` the share of draws in which shifts
up to the boundary are asserted, ``exact`` in which the verdict is that.

Blurred -> sharp: each window is turned into a torus, shifted along both axes by a random number of pixels, and blurred
on that torus. Every shift is equally likely, so the best linear map commutes with all of them, whatever the photographs
show, and, as the products of grey values are the same both ways, with half a turn. Scored are the number of groups and
whether the pattern is unchanged by all of these, whether a group of that order is asserted, and the spread of the
weights.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.lab.studies.patterns import torus
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
#: Blurred -> sharp: so many pixels a side, the standard deviation of the blur in pixels and of the noise.
TORUS_TRIALS, TORUS_SIDE, BLUR, TORUS_NOISE = 2, 16, 1.0, 0.02
TORUS_WINDOWS = (2_000,)
TORUS_METHODS = ("gap", "auto")


def plans() -> list[Plan]:
    """A table for each of the tasks."""
    cells = [
        Cell({"side": side, "windows": count}, partial(draw, side=side, count=count), METHODS, TRIALS)
        for side in SIDES
        for count in WINDOWS
    ]
    title = f"Windows of two photographs, noise {NOISE}: half to fit, half to validate"
    sharpening = [
        Cell({"windows": count}, partial(draw_sharpening, count=count), TORUS_METHODS, TORUS_TRIALS)
        for count in TORUS_WINDOWS
    ]
    sharpening_title = f"Windows of {TORUS_SIDE} × {TORUS_SIDE} pixels, blurred on a torus; half to validate"
    return [
        Plan("photographs", title, METRICS, cells),
        Plan("sharpening", sharpening_title, ("groups", "unchanged", "told", "spread"), sharpening),
    ]


run = experiment("photographs", plans)


def sample_windows(rng: np.random.Generator, count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut noisy and clean windows (count, side²) from the photographs, grey values from 0 to 1."""
    clean = _windows(rng, count, side).reshape(count, -1)
    return clean + NOISE * rng.standard_normal(clean.shape), clean


def sample_blurred(rng: np.random.Generator, count: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut windows (count, side²), blurred with a little noise and sharp, shifted at random on a torus."""
    sharp = _windows(rng, count, side)
    step = np.arange(side)
    down, right = (rng.integers(side, size=count)[:, None, None] for _ in range(2))
    sharp = sharp[np.arange(count)[:, None, None], (step[:, None] + down) % side, (step + right) % side]
    bell = np.exp(-0.5 * (np.minimum(step, side - step) / BLUR) ** 2)
    kernel = np.fft.rfft2(np.outer(bell, bell) / bell.sum() ** 2)
    blurred = np.fft.irfft2(np.fft.rfft2(sharp) * kernel, sharp.shape[1:])
    blurred += TORUS_NOISE * rng.standard_normal(blurred.shape)
    return blurred.reshape(count, -1), sharp.reshape(count, -1)


def _windows(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    images = photographs()
    which = rng.integers(len(images), size=count)[:, None, None]
    top, left = (rng.integers(size - side + 1, size=count)[:, None, None] for size in images.shape[1:])
    step = np.arange(side)
    return np.asarray(images[which, top + step[:, None], left + step])


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


def draw_sharpening(rng: np.random.Generator, trials: int, *, count: int) -> Draws:
    """Draw the trials of one cell, blurred -> sharp."""
    half, points = count // 2, TORUS_SIDE**2
    samples = [sample_blurred(rng, count, TORUS_SIDE) for _ in range(trials)]
    problems = [LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:]) for x, y in samples]
    shifts = torus(TORUS_SIDE, TORUS_SIDE)
    truth = Partition(np.minimum(shifts, shifts.T))  # half a turn exchanges output and input

    def score(_trial: int, answer: Discovery) -> Scores:
        group = answer.symmetry()
        return {
            "groups": float(answer.partition.num_groups),
            "unchanged": float(truth.refines(answer.partition)),
            "told": float(group.order >= 2 * points and group.verdict != "none"),
            "spread": answer.spread,
        }

    return Draws(problems, [truth] * trials, score)
