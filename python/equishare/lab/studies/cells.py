"""Run discovery methods on the cells of a table.

A cell is one choice of settings. All of its trials go to ``discover`` as one list, so that a
method solves them as one batch; the reported seconds are the wall time of that call per trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equishare.discover import MethodName, discover
from equishare.lab.studies.result import Experiment, Table, mean_and_interval
from equishare.problems import Problem
from equishare.result.discovery import Discovery

Progress = Callable[[int, int], None]
Scores = dict[str, float]

#: What the authors' 2022 code does for Gaussian data.
RELEASE: dict[str, Any] = {
    "restarts": 3,
    "steps": 1000,
    "optimizer": "rmsprop",
    "lr": 2e-2,
    "weight_decay": 1e-4,
    "unit": "mse",
    "entropy": 1e-2,
    "column_norm": 1e-2,
    "schedule": "constant",
    "refine": False,
}
RELEASE_WITHOUT_PENALTIES: dict[str, Any] = {**RELEASE, "entropy": 0.0, "column_norm": 0.0}
#: Method names of the tables: the method of ``discover`` and its options.
METHODS: dict[str, tuple[MethodName, dict[str, Any]]] = {
    "no sharing": ("no_sharing", {}),
    "oracle": ("oracle", {}),
    "brute force": ("brute_force", {}),
    "bilevel, release": ("bilevel", dict(RELEASE)),
    "bilevel, release, no penalties": ("bilevel", dict(RELEASE_WITHOUT_PENALTIES)),
    "bilevel": ("bilevel", {}),
    "gap": ("gap", {}),
    "sinkhorn": ("sinkhorn", {}),
    "weight sharing": ("weight_sharing", {}),
    "SLOPE": ("slope", {}),
    "merge": ("merge", {}),
    "closure": ("closure", {}),
    "auto": ("auto", {}),
}


@dataclass(frozen=True)
class Draws:
    """The trials of one cell.

    Attributes:
        problems: One problem a trial; as one batch where all have one shape.
        truths: The partition that the method ``oracle`` is given, one a trial; a dict where parameters have names.
        score: ``score(trial, discovery)`` gives the metrics of one answer.
        limits: Rows that no method has to compute: name -> metrics of each trial.
    """

    problems: Sequence[Problem]
    truths: Sequence[Any]
    score: Callable[[int, Discovery], Scores]
    limits: Mapping[str, Sequence[Scores]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One choice of settings: ``draw(rng, trials)`` makes its trials, ``methods`` solve them.

    ``methods`` lists the rows: keys of :data:`METHODS` and names of limits.
    ``references`` gives numbers printed elsewhere: method -> column -> value.
    """

    settings: dict[str, Any]
    draw: Callable[[np.random.Generator, int], Draws]
    methods: tuple[str, ...]
    trials: int
    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A table before it is run; the columns are those of :class:`Table`."""

    name: str
    title: str
    metrics: tuple[str, ...]
    cells: Sequence[Cell]
    x: str | None = None
    log: tuple[str, ...] = ()


def number_of_trials(trials: int | None, own: int) -> int:
    """The number asked for, and no more than the cell's own, which ``None`` stands for.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    if trials is not None and trials < 1:
        raise ValueError(f"trials must be at least 1, got {trials}")
    return own if trials is None else min(trials, own)


def run_plans(
    name: str,
    plans: Sequence[Plan],
    trials: int | None,
    seed: int,
    progress: Progress | None,
) -> Experiment:
    """Run every method on every cell of every plan.

    ``trials`` lowers the number of trials of all cells; a cell never runs more than its own
    number, which is also what ``None`` stands for. ``progress(done, total)`` counts rows.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    total = sum(len(cell.methods) for plan in plans for cell in plan.cells)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    start = time.perf_counter()
    tables = []
    for table_index, plan in enumerate(plans):
        rows = []
        for cell_index, cell in enumerate(plan.cells):
            rng = np.random.default_rng([seed, table_index, cell_index])
            rows += _run_cell(cell, number_of_trials(trials, cell.trials), rng, seed, tick)
        tables.append(_table(plan, rows))
    return Experiment(name, seed, tuple(tables), time.perf_counter() - start)


def experiment(name: str, plans: Callable[[], Sequence[Plan]]) -> Callable[..., Experiment]:
    """The function that runs an experiment made of plans: see :func:`run_plans`; ``planned`` stands for its plans."""

    def run(
        trials: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        *,
        planned: Sequence[Plan] | None = None,
    ) -> Experiment:
        return run_plans(name, plans() if planned is None else planned, trials, seed, progress)

    return run


def _run_cell(
    cell: Cell, trials: int, rng: np.random.Generator, seed: int, tick: Callable[[], None]
) -> list[dict[str, Any]]:
    draws = cell.draw(rng, trials)
    rows = []
    for label in cell.methods:
        if label in draws.limits:
            rows.append(_row(cell, label, draws.limits[label], None))
        else:
            method, options = METHODS[label]
            if method == "oracle":
                options = {"partition": list(draws.truths)}
            start = time.perf_counter()
            answers = [one for batch in _batches(draws) for one in discover(batch, method=method, seed=seed, **options)]
            seconds = time.perf_counter() - start
            scores = [draws.score(trial, answer) for trial, answer in enumerate(answers)]
            rows.append(_row(cell, label, scores, seconds / trials))
        tick()
    return rows


def _batches(draws: Draws) -> list[list[Problem]]:
    """All problems as one batch; each alone where their shapes differ, as levels that samples happen to have do."""
    shapes = {tuple(slot.shapes for slot in problem.slots) for problem in draws.problems}
    return [list(draws.problems)] if len(shapes) == 1 else [[problem] for problem in draws.problems]


def _row(cell: Cell, method: str, scores: Sequence[Scores], seconds: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {**cell.settings, "method": method}
    for metric in scores[0]:
        row[metric], row[f"{metric}_ci"] = mean_and_interval([s[metric] for s in scores])
    return {**row, **cell.references.get(method, {}), "trials": len(scores), "seconds": seconds}


def _table(plan: Plan, rows: list[dict[str, Any]]) -> Table:
    references = dict.fromkeys(
        column for cell in plan.cells for columns in cell.references.values() for column in columns
    )
    return Table(
        name=plan.name,
        title=plan.title,
        settings=tuple(plan.cells[0].settings),
        metrics=plan.metrics,
        references=tuple(references),
        rows=rows,
        x=plan.x,
        log=plan.log,
    )
