"""Covariances: how many samples a group of variables takes, and covariances whose group no sample of that size tells.

The table ``gips`` repeats a comparison that was published with the R package gips (Chojecki, Morgen, Kołodziejek,
"Learning permutation symmetries with gips in R", 2023): six covariances of 50 variables, and what the Frobenius norm of
the error is of the sample covariance, of gips (cyclic groups, 300,000 steps), of the graphical lasso (huge) and of a
ridge (rags2ridges). As not all of its medians are known to us, a ridge of ours and the graphical lasso of scikit-learn,
both with a penalty by cross-validation, stand in every cell. The covariances, under ``gips_covariances_50.npz``, are
those of its public replication code (github.com/PrzeChoj/gips_replication_code).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np

from equishare.discover import discover
from equishare.lab.studies import covariance_calibration
from equishare.lab.studies.cells import Cell, Draws, Plan, Progress, Scores, number_of_trials, run_plans
from equishare.lab.studies.patterns import blocks, dihedral, exchangeable
from equishare.lab.studies.result import Experiment, Table, mean_and_interval, share_and_interval
from equishare.partition import Partition
from equishare.problems import CovarianceProblem
from equishare.result.discovery import Discovery
from equishare.search.covariance.eigenvalues import ridge
from equishare.symmetry import SymmetryGroup, symmetry_group

TRIALS, PUBLISHED_TRIALS = 20, 10
SAMPLES = (40, 80, 160, 320, 1000)
#: Where there is no group.
SAMPLES_WITHOUT = (40, 150, 600)
PUBLISHED_SAMPLES = (10, 20, 40)
#: Share of the draws in which the group has to be found.
EXACT = 0.95

#: Medians that were published, as far as they are known to us.
PUBLISHED: dict[tuple[str, int], dict[str, float]] = {
    ("large_str_no_zeros", 10): {"sample": 16.94, "gips": 5.98, "huge": 6.10, "rags2ridges": 1.27},
    ("large_str_no_zeros", 40): {"sample": 8.25, "gips": 2.95, "huge": 3.75, "rags2ridges": 1.26},
    ("mod_str_zeros", 20): {"sample": 13.38, "gips": 9.94, "huge": 10.71, "rags2ridges": 7.15},
    ("mod_str_zeros", 40): {"sample": 9.32, "gips": 8.54, "huge": 10.44, "rags2ridges": 6.68},
    ("no_str_zeros", 40): {"sample": 12.12, "gips": 15.27, "huge": 15.88, "rags2ridges": 11.27},
}


def ring(size: int, length: float) -> np.ndarray:
    """Covariances that fall off with the distance on a ring, and white noise of variance ½."""
    return np.exp(-dihedral(size) / length) + 0.5 * np.eye(size)


def cube() -> np.ndarray:
    """The corners of a cube: covariances by the number of edges between them, and white noise."""
    corners = np.array([[i >> axis & 1 for axis in range(3)] for i in range(8)])
    return 0.5 ** (corners[:, None] != corners).sum(-1) + 0.5 * np.eye(8)


def beside_others(covariance: np.ndarray) -> np.ndarray:
    """With three more variables on scales of their own, .1, 3 and 100 in variance, that covary with all alike."""
    size, scales = len(covariance), np.sqrt([0.1, 3.0, 100.0])
    loads = np.concatenate([np.full(size, np.sqrt(covariance.mean()) / 2), scales / 2])
    found = np.outer(loads, loads)
    found[:size, :size] = covariance
    found[size:, size:] += np.diag(0.75 * scales**2)
    return found


#: Covariances with a group; white noise is in all of them.
COVARIANCES: dict[str, np.ndarray] = {
    "ring of 6, D_6": ring(6, 2.0),
    "ring of 12, D_12": ring(12, 3.0),
    "ring of 10, D_10": ring(10, 3.0),
    "S_3 ≀ S_3": np.array([1.0, 0.5, 0.2])[blocks(3, 3)],
    "S_4 × S_5": np.array([1.0, 0.5, 0.4, 0.15])[exchangeable(4, 5)],
    "cube": cube(),
    "ring of 6 beside three": beside_others(ring(6, 2.0)),
    "S_3 ≀ S_3 beside three": beside_others(np.array([1.0, 0.5, 0.2])[blocks(3, 3)]),
    "cube beside three": beside_others(cube()),
}
#: Examples of the documentation of gips, each with four samples: three of five variables are alike, and a ring.
COVARIANCES["gips, S_3 of 5"] = np.array(
    [
        [8.0, 3.0, 1.9, 1.9, 1.9],
        [3.0, 2.5, 0.3, 0.3, 0.3],
        [1.9, 0.3, 1.0, 0.8, 0.8],
        [1.9, 0.3, 0.8, 1.0, 0.8],
        [1.9, 0.3, 0.8, 0.8, 1.0],
    ]
)
COVARIANCES["gips, ring of 6"] = np.array([1.1, 0.8, 0.6, 0.4])[dihedral(6)]
COVARIANCES["S_4"] = np.ones((4, 4)) + np.eye(4)
#: Covariances without a group.
WITHOUT: dict[str, np.ndarray] = {
    "independent, variances 1 to 6": np.diag(np.linspace(1, 6, 8)),
    "one factor": np.outer(np.linspace(0.4, 1.3, 8), np.linspace(0.4, 1.3, 8)) + np.eye(8),
}


def group_of(covariance: np.ndarray) -> SymmetryGroup:
    """The group of a covariance, whose equal entries are equal to nine digits."""
    labels = np.unique(covariance.round(9), return_inverse=True)[1].reshape(covariance.shape)
    return symmetry_group(Partition(labels), covariance=True)


def is_within(found: SymmetryGroup, truth: np.ndarray) -> bool:
    """Whether all permutations of a group leave a covariance as it is."""
    return all(np.allclose(truth[np.ix_(p, p)], truth, atol=1e-9, rtol=0) for p, _ in found.generators)


def run(
    trials: int | None = None, seed: int = 0, progress: Progress | None = None, *, planned: Sequence[Plan] | None = None
) -> Experiment:
    """Groups found against samples, the samples needed, and the published comparison.

    Raises:
        ImportError: igraph, sympy or scikit-learn are not installed.
        ValueError: ``trials`` is less than one.
    """
    start = time.perf_counter()
    compared = []
    if planned is None:
        compared = published(number_of_trials(trials, PUBLISHED_TRIALS), seed, progress)
        compared += covariance_calibration.tables(trials, seed, progress)
    found = run_plans("covariance", plans() if planned is None else planned, trials, seed, progress)
    recovery, *others = found.tables
    tables = (samples_needed(recovery), recovery, *others, *compared)
    return replace(found, tables=tables, seconds=time.perf_counter() - start)


def plans() -> list[Plan]:
    """The curves of recovery, and covariances without a group."""
    curves = [
        Cell({"covariance": name, "samples": n}, partial(draw, covariance=own, samples=n), ("auto",), TRIALS)
        for name, own in COVARIANCES.items()
        for n in SAMPLES
    ]
    without = [
        Cell({"covariance": name, "samples": n}, partial(_draw_without, covariance=own, samples=n), ("auto",), TRIALS)
        for name, own in WITHOUT.items()
        for n in SAMPLES_WITHOUT
    ]
    return [
        Plan(
            "recovery",
            "Covariances with a group: share of draws in which it is found, and in which a false one is",
            ("exact", "false"),
            curves,
            x="samples",
            log=("samples",),
        ),
        Plan("none", "Covariances without a group: share of draws in which one is found", ("false",), without),
    ]


def draw(rng: np.random.Generator, trials: int, *, covariance: np.ndarray, samples: int) -> Draws:
    """Draw ``trials`` problems, each with its variables in another order, which tells nothing."""
    problems, truths, covariances = [], [], []
    for _ in range(trials):
        order = rng.permutation(len(covariance))
        own = covariance[np.ix_(order, order)]
        x = rng.standard_normal((samples, len(own))) @ np.linalg.cholesky(own).T
        problems.append(CovarianceProblem(x))
        truths.append(group_of(own).orbits.cells)
        covariances.append(own)

    def score(trial: int, answer: Discovery) -> Scores:
        group = answer.symmetry()
        told = not group.is_trivial and group.verdict != "none"
        exact = told and group.orbits.cells == truths[trial]
        return {"exact": float(exact), "false": float(told and not is_within(group, covariances[trial]))}

    return Draws(problems, truths, score)


def _draw_without(rng: np.random.Generator, trials: int, *, covariance: np.ndarray, samples: int) -> Draws:
    """The same where there is no group, so that none can be found."""
    found = draw(rng, trials, covariance=covariance, samples=samples)
    return replace(found, score=lambda trial, answer: {"false": found.score(trial, answer)["false"]})


def samples_needed(table: Table) -> Table:
    """For each covariance the fewest samples from which on its group is found in ``EXACT`` of the draws."""
    rows = []
    for name in dict.fromkeys(row["covariance"] for row in table.rows):
        own = sorted((row for row in table.rows if row["covariance"] == name), key=lambda row: -row["samples"])
        needed = None
        for row in own:
            if row["exact"] < EXACT:
                break
            needed = row["samples"]
        row = {"covariance": name, "method": "auto", "trials": own[0]["trials"], "seconds": None}
        rows.append(row if needed is None else {**row, "needed": needed})
    title = f"Samples from which on the group is found in {EXACT:.0%} of the draws"
    return Table("needed", title, ("covariance",), (), ("needed",), rows)


@dataclass(frozen=True)
class _Way:
    """A way to estimate a covariance from samples of mean zero."""

    name: str
    estimate: Callable[[np.ndarray], np.ndarray]


def graphical_lasso(samples: np.ndarray) -> np.ndarray:
    """That of samples (n, p) of mean zero, its penalty by cross-validation.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    from sklearn.covariance import GraphicalLassoCV

    with warnings.catch_warnings():  # of few samples some of the penalties that are tried do not converge
        warnings.simplefilter("ignore")
        found: np.ndarray = GraphicalLassoCV(alphas=4, n_refinements=1, assume_centered=True).fit(samples).covariance_
    return found


WAYS = (
    _Way("sample", lambda x: x.T @ x / len(x)),
    _Way("ridge", ridge),
    _Way("graphical lasso", graphical_lasso),
)


def published(trials: int, seed: int, progress: Progress | None = None) -> list[Table]:
    """The comparison of gips: errors of our estimates beside published medians, and how often a false group is told."""
    rows: list[dict[str, Any]] = []
    with files(__package__).joinpath("gips_covariances_50.npz").open("rb") as file:
        covariances = dict(np.load(file))
    done = 0
    for name, own in covariances.items():
        factor = np.linalg.cholesky(own)
        for count in PUBLISHED_SAMPLES:
            draws = [
                np.random.default_rng([seed, count, trial]).standard_normal((count, len(own))) @ factor.T
                for trial in range(trials)
            ]
            known, cell = PUBLISHED.get((name, count), {}), {"matrix": name, "samples": count}
            for way in WAYS:
                start = time.perf_counter()
                errors = [float(np.linalg.norm(way.estimate(x) - own)) for x in draws]
                rows.append(_compared(cell, way.name, errors, time.perf_counter() - start, known.get(way.name)))
            rows += [
                {**cell, "method": other, "published": known[other], "trials": PUBLISHED_TRIALS, "seconds": None}
                for other in ("gips", "huge", "rags2ridges")
                if other in known
            ]
            start = time.perf_counter()
            answers = [discover(CovarianceProblem(x, center=False), seed=seed) for x in draws]
            seconds = time.perf_counter() - start
            errors = [float(np.linalg.norm(answer.posterior_mean - own)) for answer in answers]
            groups = [answer.symmetry() for answer in answers]
            false = [not g.is_trivial and g.verdict != "none" and not is_within(g, own) for g in groups]
            row = _compared(cell, "auto", errors, seconds, None)
            row["false"], row["false_ci"] = share_and_interval(false)
            rows.append(row)
            if progress is not None:
                done += 1
                progress(done, len(covariances) * len(PUBLISHED_SAMPLES))
    title = "Error of the covariance of 50 variables (Frobenius norm), and share of draws with a false group"
    return [Table("gips", title, ("matrix", "samples"), ("error", "false"), ("median", "published"), rows)]


def _compared(
    cell: dict[str, Any], method: str, errors: list[float], seconds: float, known: float | None
) -> dict[str, Any]:
    mean, interval = mean_and_interval(errors)
    row = {**cell, "method": method, "error": mean, "error_ci": interval, "median": float(np.median(errors))}
    row |= {} if known is None else {"published": known}
    return {**row, "trials": len(errors), "seconds": seconds / len(errors)}
