"""Generalised linear maps: logistic and Poisson regression on columns in groups, and slopes that differ by study.

The second table is the example of metafuse (Tang and Song 2016): ten studies of 200 samples with two covariates. The
slope of the first is 0 in five studies and 1 in five, that of the second 0 in four, ½ in three and 1 in three. Which
studies have equal slopes is asked of each covariate apart. The third is its separation sweep: studies of so many
samples that neighbouring slopes of the second covariate lie δ/s standard errors apart, beside the Bayes limit, which
puts each estimate to the nearest true slope.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.lab.studies.sampling import nearest_labels
from equishare.partition import Partition, partition_distance
from equishare.problems import GeneralizedLinearProblem, LinearProblem, Problem
from equishare.problems.families import Family
from equishare.result.discovery import Discovery

TRIALS = 40
METHODS = ("no sharing", "oracle", "auto")
_NEW = 5000
STUDIES, SAMPLES = 10, 200
FAMILIES = ("gaussian", "binomial", "poisson")
RATIOS = (3, 4, 5, 6, 8)
SLOPES = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1]])


def plans() -> list[Plan]:
    """Columns in groups by number of samples; slopes by family."""
    grouped = [
        _cell(draw_columns, {"family": family, "samples": samples})
        for family in ("binomial", "poisson")
        for samples in (300, 1000, 3000)
    ]
    slopes = [_cell(draw_studies, {"family": family}) for family in FAMILIES]
    sweep = [_sweep_cell(family, ratio) for family in FAMILIES for ratio in RATIOS]
    return [
        Plan("columns", "20 columns in 4 groups: mean loss on new samples, and distance", ("loss", "pd"), grouped),
        Plan("metafuse", "Slopes of ten studies: squared error of the slopes, and distance", ("mse", "pd"), slopes),
        Plan("metafuse_separation", "Slopes of ten studies, δ/s standard errors apart: distance", ("pd",), sweep),
    ]


run = experiment("glm", plans)


def _cell(draw: Any, settings: dict[str, Any]) -> Cell:
    return Cell(settings, partial(draw, **settings), METHODS, TRIALS)


def _sweep_cell(family: str, separation: float) -> Cell:
    settings: dict[str, Any] = {"family": family, "separation": separation}
    return Cell(settings, partial(draw_sweep, **settings), ("Bayes limit", "auto"), TRIALS)


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


def draw_sweep(rng: np.random.Generator, trials: int, *, family: str, separation: float) -> Draws:
    """As many samples a study as make the standard error of a slope the gap of neighbours over ``separation``."""
    z = np.random.default_rng(0).standard_normal((100_000, 2))
    information = np.mean([(Family(family).curvature(z @ own) * z[:, 1] ** 2).mean() for own in SLOPES.T])
    gap = float(np.diff(np.unique(SLOPES[1])).min())
    drawn = draw_studies(rng, trials, family=family, samples=round((separation / gap) ** 2 / information))
    return replace(drawn, score=lambda trial, answer: {"pd": drawn.score(trial, answer)["pd"]})


def draw_studies(rng: np.random.Generator, trials: int, *, family: str, samples: int = SAMPLES) -> Draws:
    """One block of columns a covariate, a column a study."""
    kind = Family(family)
    problems: list[Problem] = []
    limit: list[Scores] = []
    within = np.repeat([0, 1], STUDIES)
    study = np.repeat(np.arange(STUDIES), samples)
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
        free = problems[-1].estimate()
        assert free is not None
        wrong = 0
        for own, true in zip(free.values.reshape(2, -1), SLOPES, strict=True):
            values, labels = np.unique(true, return_inverse=True)
            wrong += partition_distance(nearest_labels(own, values), labels)
        limit.append({"pd": float(wrong)})
    truths = [Partition(np.array([[*SLOPES[0] * 2, *(10 + SLOPES[1] * 2)]], int))] * trials

    def score(trial: int, answer: Discovery) -> Scores:
        return {
            "mse": float(((answer.theta.ravel() - SLOPES.ravel()) ** 2).sum()),
            "pd": float(partition_distance(answer.partition, truths[trial])),
        }

    return Draws(problems, truths, score, {"Bayes limit": limit})
