"""The bounds of :mod:`equishare.theory` against simulation, where selection is hard.

Means of K entries in r groups, values ``separation`` standard errors σ/√n_v apart, n_t training and n_v validation
samples. The candidate with the least validation loss is selected among all partitions, a fixed family, or along the
path of merges. Measured are the gap ‖θ̂_â − θ̂_a*‖² to the fit of the true partition and the risk ‖θ̂_â − θ‖². A
statement is *shown* in a cell where the upper end of the 95 % interval of the measurement lies below the bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from equishare import theory
from equishare.clustering import segmentation_path
from equishare.lab.studies.cells import Progress, number_of_trials
from equishare.lab.studies.result import Experiment, Table, mean_and_interval
from equishare.methods.brute_force import all_partitions
from equishare.problems.means import tied_means

TRIALS = 1000
#: (n_t, n_v, σ)
SPLITS = ((30, 70, 1.0), (70, 30, 7.0), (10, 90, 1.0), (1000, 10, 0.2))
SEPARATIONS = (1.0, 2.0, 4.0)
#: Separations of the figure.
SWEEP = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
#: Probability with which :func:`equishare.theory.gap_quantile` may fail.
FAILURE = 0.05
# Numbers held at a time when candidates are fitted.
_AT_A_TIME = 1 << 22
# Squared distance, in σ², below which two fits are the same but for rounding.
_SAME = 1e-20

Fits = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Setting:
    """One cell; the fields are the columns of the tables.

    Attributes:
        search: ``full search``, ``intervals`` (all 2^(K−1) partitions into intervals), ``blocks`` (blocks of equal
            length, one partition for each divisor of K) or ``merge path``.
        K: entries.
        r: true groups, intervals of the entries.
        sizes: ``equal``, or ``one large`` where all groups but one hold a single entry.
        train: n_t.
        val: n_v.
        sigma: σ.
        separation: of neighbouring values, in σ/√n_v; 0 with one group.
    """

    search: str
    K: int
    r: int
    sizes: str
    train: int
    val: int
    sigma: float
    separation: float

    @property
    def spacing(self) -> float:
        """Distance of neighbouring values."""
        return self.separation * self.sigma / float(np.sqrt(self.val))

    def labels(self) -> np.ndarray:
        """(K,) the true partition."""
        if self.sizes == "equal":
            return np.arange(self.K) * self.r // self.K
        return np.maximum(np.arange(self.K) - (self.K - self.r), 0)


def run(trials: int | None = None, seed: int = 0, progress: Progress | None = None) -> Experiment:
    """Simulate every cell; ``trials`` lowers the number of trials, 1000 a cell.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    count = number_of_trials(trials, TRIALS)
    start = time.perf_counter()
    cells, swept = grid(), sweep()
    measured = []
    for index, setting in enumerate([*cells, *swept]):
        rng = np.random.default_rng([seed, index])
        measured.append(measure(setting, count, rng))
        if progress is not None:
            progress(index + 1, len(cells) + len(swept))
    rows = measured[: len(cells)]
    tables = (_gap_table(rows), _sweep_table(measured[len(cells) :]), _summary(rows))
    return Experiment("bound", seed, tables, time.perf_counter() - start)


def grid() -> list[Setting]:
    """The cells that are tested: K, r, group sizes, splits with their σ, and separations, for every search."""
    settings = []
    entries = [("full search", k) for k in (2, 4, 6, 8)]
    entries += [("intervals", 10), ("blocks", 24), *(("merge path", k) for k in (8, 24, 64))]
    for (search, k), split in product(entries, SPLITS):
        settings.append(Setting(search, k, 1, "equal", *split, 0.0))
        groups = dict.fromkeys(r for r in (2, 3, k) if r <= k)
        for r, sizes, separation in product(groups, ("equal", "one large"), SEPARATIONS):
            if sizes == "equal" or (2 * r <= k and search != "blocks"):
                settings.append(Setting(search, k, r, sizes, *split, separation))
    return settings


def sweep() -> list[Setting]:
    """The cells of the figure: n_v small, so that selection is what costs."""
    panels = (
        ("full search", 6, 3, "equal"),
        ("full search", 8, 2, "one large"),
        ("intervals", 10, 2, "equal"),
        ("merge path", 24, 3, "one large"),
    )
    return [Setting(*panel, 100, 20, 1.0, separation) for panel in panels for separation in SWEEP]


def measure(setting: Setting, trials: int, rng: np.random.Generator) -> dict[str, Any]:
    """Simulate one cell and set the bounds beside what was measured."""
    start = time.perf_counter()
    drawn = simulate(setting, trials, rng)
    seconds = (time.perf_counter() - start) / trials
    candidates, count = _candidates(setting)
    shape = (setting.K, setting.r, setting.train, setting.val, setting.sigma)
    spacing = setting.spacing if candidates == "path" and setting.r > 1 else None
    limit = theory.gap_quantile(candidates, *shape, spacing=spacing, failure=FAILURE)
    measured = {
        "gap": drawn.gap,
        "gap_held": drawn.gap * drawn.held,
        "risk": drawn.risk,
        "above_limit": drawn.gap > limit,
    }
    row: dict[str, Any] = {**vars(setting), "method": "validation"}
    for name, values in measured.items():
        row[name], row[f"{name}_ci"] = mean_and_interval(values)
    row["bound"] = theory.gap_bound(candidates, *shape, spacing=spacing)
    row["bound_held"] = theory.gap_bound(count, *shape)
    row["simple_bound"] = theory.simple_bound(count, *shape)
    row["risk_bound"] = theory.risk_bound(candidates, setting.K, setting.val, setting.sigma, float(drawn.best.mean()))
    row["ratio"] = _ratio(row["bound"], row["gap"])
    return {**row, "trials": trials, "seconds": seconds}


@dataclass(frozen=True)
class Drawn:
    """What the trials of a cell gave, each (trials,).

    Attributes:
        gap: ‖θ̂_â − θ̂_a*‖².
        held: whether θ̂_a* is among the candidates' fits.
        risk: ‖θ̂_â − θ‖².
        best: ‖θ̂_a − θ‖² of the best candidate.
    """

    gap: np.ndarray
    held: np.ndarray
    risk: np.ndarray
    best: np.ndarray


def simulate(setting: Setting, trials: int, rng: np.random.Generator) -> Drawn:
    """Draw training and validation means ``trials`` times, and select."""
    labels = setting.labels()
    theta = setting.spacing * labels[:, None].astype(np.float64)
    train, val = (
        theta + setting.sigma / np.sqrt(n) * rng.standard_normal((setting.K, trials))
        for n in (setting.train, setting.val)
    )
    oracle = tied_means(labels[None], train)[0]
    gap, nearest, risk, best = np.empty((4, trials))
    fits, chunk = _fits(setting)
    for first in range(0, trials, chunk):
        part = slice(first, first + chunk)
        fitted = fits(train[:, part])  # (P, K, n)
        chosen = ((fitted - val[:, part]) ** 2).sum(1).argmin(0)
        selected = np.take_along_axis(fitted, chosen[None, None], 0)[0]
        gap[part] = ((selected - oracle[:, part]) ** 2).sum(0)
        nearest[part] = ((fitted - oracle[:, part]) ** 2).sum(1).min(0)
        risk[part] = ((selected - theta) ** 2).sum(0)
        best[part] = ((fitted - theta) ** 2).sum(1).min(0)
    return Drawn(gap, nearest <= _SAME * setting.sigma**2, risk, best)


def family(search: str, num_entries: int) -> np.ndarray:
    """(M, K) the partitions of a search that are fixed before the data."""
    if search == "full search":
        return all_partitions(num_entries)
    if search == "blocks":
        return np.stack([np.arange(num_entries) // n for n in range(1, num_entries + 1) if num_entries % n == 0])
    opens = np.arange(2 ** (num_entries - 1))[:, None] >> np.arange(num_entries - 1) & 1
    return np.concatenate([np.zeros((len(opens), 1), np.int64), opens.cumsum(1)], axis=1)


def _fits(setting: Setting) -> tuple[Fits, int]:
    """The fits of all candidates to training means (K, n), and how many n to give at a time."""
    if setting.search == "merge path":
        ones = np.ones(setting.K)

        def along_path(train: np.ndarray) -> np.ndarray:
            return tied_means(segmentation_path(train[:, 0], ones, setting.K)[0], train)

        return along_path, 1
    labels = family(setting.search, setting.K)
    return lambda train: tied_means(labels, train), max(1, _AT_A_TIME // labels.size)


def _candidates(setting: Setting) -> tuple[theory.Candidates, int]:
    """The candidates as :mod:`equishare.theory` names them, and how many they are."""
    if setting.search == "merge path":
        return "path", setting.K
    count = len(family(setting.search, setting.K))
    return ("all" if setting.search == "full search" else count), count


def _ratio(bound: float, measured: float) -> float:
    return bound / measured if measured > 0 else float("inf")


def _gap_table(rows: list[dict[str, Any]]) -> Table:
    title = "Selection on validation: the gap to the true partition, the risk, and their bounds"
    metrics = ("gap", "bound", "ratio", "gap_held", "bound_held", "simple_bound", "risk", "risk_bound", "above_limit")
    return Table("cells", title, tuple(Setting.__dataclass_fields__), metrics, (), rows)


def _sweep_table(rows: list[dict[str, Any]]) -> Table:
    settings = ("search", "K", "r", "sizes", "separation")
    lines = [
        {
            **{name: row[name] for name in settings},
            "method": method,
            "gap": row[column],
            "gap_ci": row.get(f"{column}_ci", float("nan")),
            "trials": row["trials"],
            "seconds": row["seconds"] if column == "gap" else None,
        }
        for row in rows
        for method, column in (("measured gap", "gap"), ("bound", "bound"), ("simple bound", "simple_bound"))
        if column != "simple_bound" or row["search"] != "merge path"  # where it does not hold unless a* is on the path
    ]
    title = "The gap against the separation of the values, 100 training and 20 validation samples, σ = 1"
    return Table("sweep", title, settings, ("gap",), (), lines, x="separation", log=("gap",))


def _summary(rows: list[dict[str, Any]]) -> Table:
    """By search and statement: the number of cells, in how many it is shown, and how tight it is."""
    statements = (
        ("gap", "gap", "bound"),
        ("gap, a* held", "gap_held", "bound_held"),
        ("gap, a* held, simple bound", "gap_held", "simple_bound"),
        ("risk", "risk", "risk_bound"),
        ("gap above 95 % limit", "above_limit", FAILURE),
    )
    lines = []
    for search in dict.fromkeys(row["search"] for row in rows):
        own = [row for row in rows if row["search"] == search]
        for statement, measured, bound in statements:
            bounds = [bound if isinstance(bound, float) else row[bound] for row in own]
            if measured == "gap_held" and bound == "bound_held" and search != "merge path":
                continue  # a* is always a candidate
            ratios = [_ratio(most, row[measured]) for most, row in zip(bounds, own, strict=True)]
            line = {
                "search": search,
                "method": statement,
                "cells": len(own),
                "shown": sum(
                    row[measured] + row[f"{measured}_ci"] <= most for most, row in zip(bounds, own, strict=True)
                ),
                "least_ratio": min(ratios),
                "median_ratio": float(np.median(ratios)),
            }
            lines.append({**line, "trials": own[0]["trials"], "seconds": None})
    title = "Bound / measured mean; shown: the upper end of the 95 % interval lies below the bound"
    return Table("summary", title, ("search",), ("cells", "shown", "least_ratio", "median_ratio"), (), lines)
