"""Generalised linear maps: logistic and Poisson regression on columns in groups, and slopes that differ by study.

The second table is the example of metafuse (Tang and Song 2016): ten studies of 200 samples with two covariates. The
slope of the first is 0 in five studies and 1 in five, that of the second 0 in four, ½ in three and 1 in three. Which
studies have equal slopes is asked of each covariate apart.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.partition import Partition, partition_distance
from equishare.problems import GeneralizedLinearProblem, LinearProblem, Problem
from equishare.problems.families import Family
from equishare.result.discovery import Discovery

TRIALS = 40
METHODS = ("no sharing", "oracle", "auto")
_NEW = 5000
STUDIES, SAMPLES = 10, 200
SLOPES = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1]])


def plans() -> list[Plan]:
    """Columns in groups by number of samples; slopes by family."""
    grouped = [
        _cell(draw_columns, {"family": family, "samples": samples})
        for family in ("binomial", "poisson")
        for samples in (300, 1000, 3000)
    ]
    slopes = [_cell(draw_studies, {"family": family}) for family in ("gaussian", "binomial", "poisson")]
    return [
        Plan("columns", "20 columns in 4 groups: mean loss on new samples, and distance", ("loss", "pd"), grouped),
        Plan("metafuse", "Slopes of ten studies: squared error of the slopes, and distance", ("mse", "pd"), slopes),
    ]


run = experiment("glm", plans)


def _cell(draw: Any, settings: dict[str, Any]) -> Cell:
    return Cell(settings, partial(draw, **settings), METHODS, TRIALS)


def draw_columns(rng: np.random.Generator, trials: int, *, family: str, samples: int) -> Draws:
    """Weights −1, −.3, .3, 1 of five columns each, halved for counts; loss is −log p, or the deviance."""
    labels = np.arange(20) % 4
    weight = np.array([-1.0, -0.3, 0.3, 1.0])[labels] * (0.5 if family == "poisson" else 1.0)
    kind, problems, tests = Family(family), [], []
    for _ in range(trials):
        x, new = (rng.standard_normal((count, 20)) for count in (samples, _NEW))
        y, truth = (kind.drawn(own @ weight, np.ones(1), rng) for own in (x, new))
        problems.append(GeneralizedLinearProblem(x, y, family=family))
        tests.append((new, truth))
    truths = [Partition(labels[None])] * trials

    def score(trial: int, answer: Discovery) -> Scores:
        new, y = tests[trial]
        assert answer.bias is not None
        return {
            "loss": float(kind.losses(y, new @ answer.theta[0] + answer.bias[0]).mean()),
            "pd": float(partition_distance(answer.partition, truths[trial])),
        }

    return Draws(problems, truths, score)


def draw_studies(rng: np.random.Generator, trials: int, *, family: str) -> Draws:
    """One block of columns a covariate, a column a study."""
    kind = Family(family)
    problems: list[Problem] = []
    within = np.repeat([0, 1], STUDIES)
    study = np.repeat(np.arange(STUDIES), SAMPLES)
    for _ in range(trials):
        z = rng.standard_normal((len(study), 2))
        eta = (z * SLOPES[:, study].T).sum(1)
        x = np.zeros((len(study), 2 * STUDIES))
        for j in range(2):
            x[np.arange(len(study)), j * STUDIES + study] = z[:, j]
        y = kind.drawn(eta, np.ones(1), rng)
        if kind.is_gaussian:
            problems.append(LinearProblem(x, y, within=within))
        else:
            problems.append(GeneralizedLinearProblem(x, y, family=family, within=within))
    truths = [Partition(np.array([[*SLOPES[0] * 2, *(10 + SLOPES[1] * 2)]], int))] * trials

    def score(trial: int, answer: Discovery) -> Scores:
        return {
            "mse": float(((answer.theta.ravel() - SLOPES.ravel()) ** 2).sum()),
            "pd": float(partition_distance(answer.partition, truths[trial])),
        }

    return Draws(problems, truths, score)
