"""Linear maps with a symmetry: how many samples the exact pattern takes, and whether its group is named right.

The weights of a pattern take values 0.3 apart in random order, the noise has unit variance, and the inputs are
standard normal, so that with n samples neighbouring values lie 0.3 √n standard errors apart. Rows and columns are
shuffled, each in an order of its own: nothing but the values tells the symmetry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from equishare.lab.studies.cells import Cell, Draws, Plan, Progress, Scores, run_plans
from equishare.lab.studies.patterns import (
    blocks,
    circulant,
    dihedral,
    exchangeable,
    permutations,
    shuffled,
    side_by_side,
    torus,
)
from equishare.lab.studies.result import Experiment, Table
from equishare.lab.studies.separation import RHO, draw_linear
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem, Problem
from equishare.result.discovery import Discovery
from equishare.search.by_evidence import propose_by_evidence

TRIALS = 20
NAME_TRIALS = 10
GAP = 0.3
SAMPLES = (40, 60, 90, 135, 200, 300, 450, 675, 1000, 1500, 2250, 3400, 5000)
#: Samples of the table of names.
NAME_SAMPLES = 400
#: Values of δ/s of the maps without a symmetry.
SEPARATIONS = (2.0, 3.0, 4.0, 6.0, 8.0)
METHODS = ("gap", "merge", "closure", "auto")
#: The cuts of the path of merges that closure judges, without the orbits that its search adds.
NO_SEARCH = "closure, no search"
#: Share of the draws in which the exact pattern has to be found.
EXACT = 0.95


#: Patterns of the curves.
CURVES: dict[str, np.ndarray] = {
    "C_12": circulant(12),
    "D_12": dihedral(12),
    "C_3 × C_4": torus(3, 4),
    "S_4 ≀ S_3": blocks(4, 3),
    "S_3 × S_4": exchangeable(3, 4),
}
#: Patterns of the table of names.
NAMES: dict[str, np.ndarray] = {
    "C_16": circulant(16),
    "D_8": dihedral(8),
    "S_6": permutations(6),
    "S_4 × S_5": exchangeable(4, 5),
    "C_4 × C_4": torus(4, 4),
    "C_5 × D_4": side_by_side(circulant(5), dihedral(4)),
}


def run(
    trials: int | None = None, seed: int = 0, progress: Progress | None = None, *, planned: Sequence[Plan] | None = None
) -> Experiment:
    """Exact recovery against samples, the samples needed, the names of six groups from data, and maps without symmetry.

    Raises:
        ImportError: igraph or sympy, which the names need, are not installed.
        ValueError: ``trials`` is less than one.
    """
    found = run_plans("symmetry", plans() if planned is None else planned, trials, seed, progress)
    named, recovery, *others = found.tables
    return replace(found, tables=(named, samples_needed(recovery), recovery, *others))


def plans() -> list[Plan]:
    """The names, the curves of recovery, and the maps without a symmetry."""
    curves = [
        Cell({"group": name, "samples": n}, partial(draw, labels=labels, samples=n), METHODS, TRIALS)
        for name, labels in CURVES.items()
        for n in SAMPLES
    ]
    names = [
        Cell(
            {"group": name},
            partial(draw, labels=labels, samples=NAME_SAMPLES, name=name),
            ("merge", "auto"),
            NAME_TRIALS,
        )
        for name, labels in NAMES.items()
    ]
    without = [
        Cell(
            {"K": entries, "r": groups, "separation": ratio},
            partial(draw_without_symmetry, K=entries, r=groups, separation=ratio),
            ("merge", NO_SEARCH, "closure"),
            TRIALS,
        )
        for entries in (30, 90)
        for groups in (3, 10)
        for ratio in SEPARATIONS
    ]
    return [
        Plan(
            "names",
            f"Groups found and named from {NAME_SAMPLES} samples",
            ("exact", "named"),
            names,
        ),
        Plan(
            "recovery",
            f"Maps with a symmetry: share of draws whose pattern is found exactly, values {GAP} apart, unit noise",
            ("exact",),
            curves,
            x="samples",
            log=("samples",),
        ),
        Plan(
            "no_symmetry",
            f"Random labels, inputs AR(1) with correlation {RHO} (100 samples), values δ/s standard errors apart",
            ("pd",),
            without,
        ),
    ]


def draw(rng: np.random.Generator, trials: int, *, labels: np.ndarray, samples: int, name: str | None = None) -> Draws:
    """Draw ``trials`` problems with the pattern ``labels``, each with rows and columns in another order."""
    problems, truths = [], []
    outputs, inputs = labels.shape
    half = samples // 2
    for _ in range(trials):
        truth = shuffled(labels, rng)
        values = GAP * rng.permutation(int(labels.max()) + 1)
        x = rng.standard_normal((samples, inputs))
        y = x @ values[truth].T + rng.standard_normal((samples, outputs))
        problems.append(LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:]))
        truths.append(Partition(truth))
    return Draws(problems, truths, _scorer(truths, name))


def draw_without_symmetry(rng: np.random.Generator, trials: int, **settings: Any) -> Draws:
    """Maps of :func:`draw_linear`, and what the evidence selects in them where no symmetry is searched.

    ``merge`` selects on validation samples. The difference between it and this row is that of the selection; the
    difference between this row and ``closure`` is what the search adds.
    """
    draws = draw_linear(rng, trials, **settings)
    selected: list[Scores] = []
    problems: Sequence[Problem] = draws.problems
    for problem, truth in zip(problems, draws.truths, strict=True):
        assert isinstance(truth, Partition)
        (labels,) = propose_by_evidence(problem, polished=False, symmetric=False).labels(0)
        selected.append({"pd": float(partition_distance(labels, truth))})
    return replace(draws, limits={**draws.limits, NO_SEARCH: selected})


def samples_needed(table: Table) -> Table:
    """For each group and method the fewest samples from which on the pattern is exact in ``EXACT`` of the draws.

    ``merge_over`` is how many times as many merging alone needs. Where merging does not get there with the most samples
    tried, these are what is counted: a bound from below. A method that does not get there has neither number.
    """
    rows = []
    for group in dict.fromkeys(row["group"] for row in table.rows):
        own = [row for row in table.rows if row["group"] == group]
        merged = _needed(own, "merge") or max(row["samples"] for row in own)
        for method in dict.fromkeys(row["method"] for row in own):
            row = {"group": group, "method": method, "trials": own[0]["trials"], "seconds": None}
            needed = _needed(own, method)
            rows.append(row if needed is None else {**row, "needed": needed, "merge_over": merged / needed})
    title = f"Samples from which on the pattern is exact in {EXACT:.0%} of the draws"
    return Table("needed", title, ("group",), (), ("needed", "merge_over"), rows)


def _needed(rows: list[dict[str, Any]], method: str) -> int | None:
    needed = None
    for row in sorted((row for row in rows if row["method"] == method), key=lambda row: -row["samples"]):
        if row["exact"] < EXACT:
            break
        needed = row["samples"]
    return needed


def _scorer(truths: list[Partition], name: str | None) -> Callable[[int, Discovery], Scores]:
    def score(trial: int, answer: Discovery) -> Scores:
        exact = {"exact": float(partition_distance(answer.partition, truths[trial]) == 0)}
        return exact if name is None else {**exact, "named": float(answer.symmetry().name == name)}

    return score
