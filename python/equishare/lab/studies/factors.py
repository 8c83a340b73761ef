"""Factors: the simulation of SCOPE's paper (Stokell, Shah and Tibshirani 2021), its published errors beside ours.

500 samples, ten factors of 24 levels, of which three have effects on y; the error is that of the noise-free y of new
samples. The published figures are means over 150 replicates, from the authors' results. The second table is the census
of the same paper, see :mod:`equishare.lab.studies.census`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy

from equishare.lab.studies import census
from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.partition import Partition, partition_distance
from equishare.problems import FactorProblem
from equishare.result.discovery import Discovery

TRIALS = 150
METHODS = ("no sharing", "oracle", "auto")
TOLD = "values told"
SAMPLES, FACTORS, LEVELS, ACTIVE = 500, 10, 24, 3
# New samples on which the error is measured.
_NEW = 5000
#: How many levels have the effects −3, 0 and 3, by setting; in the third the factors are correlated.
SIZES = {1: (10, 4, 10), 2: (8, 8, 8), 3: (10, 4, 10)}
_CORRELATION = {1: 0.0, 2: 0.0, 3: 0.8}
_COLUMNS = ("least_squares", "oracle", "scope_cv", "dmr", "cas_anova", "effect_fusion")
#: By setting and noise variance: least squares, oracle, SCOPE with cross-validation, DMR, CAS-ANOVA, effectFusion.
PUBLISHED: dict[tuple[int, float], tuple[float, ...]] = {
    (1, 1.0): (0.851, 0.014, 0.015, 0.014, 0.135, 0.020),
    (1, 6.25): (5.32, 0.091, 0.407, 0.448, 0.880, 2.21),
    (1, 25.0): (21.5, 0.333, 4.12, 4.88, 5.08, 6.30),
    (1, 100.0): (86.7, 1.41, 12.5, 18.4, 22.9, 21.9),
    (2, 6.25): (5.41, 0.088, 0.292, 0.409, 0.912, 1.06),
    (2, 25.0): (21.2, 0.336, 5.01, 6.43, 5.54, 8.18),
    (3, 6.25): (5.49, 0.092, 0.582, 0.553, 0.701, 1.72),
    (3, 25.0): (22.0, 0.362, 3.37, 5.73, 3.71, 8.14),
}


def plans() -> list[Plan]:
    """Three settings, four variances of the noise; and the census."""
    cells = [_cell(setting, noise) for setting in SIZES for noise in (1.0, 6.25, 25.0, 100.0)]
    title = "SCOPE's simulation: mean squared error of the average over patterns, of the one pattern, and its distance"
    return [Plan("scope", title, ("mse", "mse_pattern", "pd"), cells), census.plan()]


run = experiment("factors", plans)


def _cell(setting: int, noise: float) -> Cell:
    printed = PUBLISHED.get((setting, noise), ())
    columns = {f"published_{name}": value for name, value in zip(_COLUMNS, printed, strict=False)}
    settings: dict[str, Any] = {"setting": setting, "noise": noise}
    # Of correlated factors it says little: one mistaken effect makes up for another.
    methods = METHODS if _CORRELATION[setting] else (*METHODS, TOLD)
    return Cell(settings, partial(draw, **settings), methods, TRIALS, {"auto": columns} if columns else {})


def draw(rng: np.random.Generator, trials: int, *, setting: int, noise: float) -> Draws:
    """Draw the trials of one cell; ``noise`` is the variance."""
    effects = np.repeat([-3.0, 0.0, 3.0], SIZES[setting])
    problems, tests, known = [], [], []
    for _ in range(trials):
        codes, new = (levels(rng, count, _CORRELATION[setting]) for count in (SAMPLES, _NEW))
        mean, truth = (effects[own[:, :ACTIVE]].sum(1) for own in (codes, new))
        errors = np.sqrt(noise) * rng.standard_normal(SAMPLES)
        problems.append(FactorProblem(codes, mean + errors))
        told = sum(_told(codes[:, j], errors, effects, noise)[new[:, j]] for j in range(ACTIVE))
        tests.append((new, truth))
        known.append({"mse": float(np.mean((told - truth) ** 2))})
    labels = {str(j): Partition(effects if j < ACTIVE else np.zeros(LEVELS)) for j in range(FACTORS)}

    def score(trial: int, answer: Discovery) -> Scores:
        new, truth = tests[trial]
        return {
            "mse": float(np.mean((answer.predict(new, averaged=True) - truth) ** 2)),
            "mse_pattern": float(np.mean((answer.predict(new) - truth) ** 2)),
            "pd": float(sum(partition_distance(answer.partitions[name], own) for name, own in labels.items())),
        }

    truths: Sequence[Any] = [labels] * trials
    return Draws(problems, truths, score, {TOLD: known})


def _told(codes: np.ndarray, errors: np.ndarray, effects: np.ndarray, noise: float) -> np.ndarray:
    """(L,) mean effects of levels for one who is told the values, how often each occurs, and all other effects.

    Which of the values a level has is asked of its own samples alone.
    """
    counts = np.bincount(codes, minlength=LEVELS)
    sums = np.bincount(codes, errors + effects[codes], minlength=LEVELS)
    values, shares = np.unique(effects, return_counts=True)
    logs = np.log(shares) + (sums[:, None] * values - 0.5 * counts[:, None] * values**2) / noise
    return np.asarray(scipy.special.softmax(logs, axis=1) @ values)


def levels(rng: np.random.Generator, count: int, correlation: float) -> np.ndarray:
    """(n, J) levels: latent normals of one correlation, cut at their quantiles."""
    common = rng.standard_normal((count, 1))
    latent = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal((count, FACTORS))
    return np.minimum((scipy.special.ndtr(latent) * LEVELS).astype(int), LEVELS - 1)
