"""Do ties that are reported at 95 % hold 95 times in 100? ``auto`` with resamples on simulated problems.

The curves that turn frequencies into probabilities (:mod:`equishare.discovery.calibration`) are fitted on means of some
sizes alone. They are judged on those and, what counts, on problems held out: means of other sizes, linear maps, and
maps with a symmetry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from equishare.discovery import discover
from equishare.discovery.calibration import APART, TIED, evidence, fitted, log_odds
from equishare.experiments.calibration_data import RATIOS, VALUES, Family, draw, families
from equishare.experiments.cells import Progress, number_of_trials
from equishare.experiments.result import Experiment, Table

RESAMPLES = 20
LEVEL = 0.95
#: Edges of the bins of the reported probability.
BINS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Pairs:
    """All pairs of entries of one problem.

    Attributes:
        family: what the problem is one of.
        ratio: δ/s.
        tied: whether the partition found ties the pair.
        holds: whether the true one does.
        probability: what was reported.
        evidence: (pairs, 3) what the curve of tied pairs is a function of.
        odds: (pairs, 1) what that of pairs apart is a function of.
    """

    family: Family
    ratio: float
    tied: np.ndarray
    holds: np.ndarray
    probability: np.ndarray
    evidence: np.ndarray
    odds: np.ndarray


def run(trials: int | None = None, seed: int = 0, progress: Progress | None = None) -> Experiment:
    """Report the confidence of ties on every family, and compare with the truth; ``trials`` lowers their number.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    start = time.perf_counter()
    settings = [
        (family, values, ratio, trial)
        for family, values, ratio in product(families(), VALUES, RATIOS)
        for trial in range(number_of_trials(trials, family.trials))
    ]
    problems = []
    for index, (family, values, ratio, _) in enumerate(settings):
        problems.append(measure(family, values, ratio, np.random.default_rng([seed, index])))
        if progress is not None:
            progress(index + 1, len(settings))
    tables = (_families(problems), _separation(problems), _reliability(problems), _curves(problems))
    return Experiment("calibration", seed, tables, time.perf_counter() - start)


def measure(family: Family, values: str, ratio: float, rng: np.random.Generator) -> Pairs:
    """Solve one problem and compare each pair with the truth."""
    problem, truth = draw(family, values, ratio, rng)
    found = discover(problem, seed=int(rng.integers(2**31)), resamples=RESAMPLES)
    assert found.confidence is not None
    labels, sure = found.partition.labels.ravel(), found.confidence
    a, b = np.triu_indices(truth.size, 1)
    counts = np.rint(sure.frequencies[a, b] * RESAMPLES)
    shape = len(labels), found.partition.num_groups
    features = evidence(counts, sure.mean_counts[labels[a]], RESAMPLES, found.partition.group_sizes[labels[a]], *shape)
    odds = log_odds(counts, RESAMPLES)[:, None]
    return Pairs(family, ratio, labels[a] == labels[b], truth[a] == truth[b], sure.ties[a, b], features, odds)


Choice = Callable[[Pairs], np.ndarray]


def share(problems: Sequence[Pairs], part: Choice, whole: Choice) -> tuple[float, float]:
    """Σ part / Σ whole over pairs of all problems, and the half width of its 95 % interval.

    The pairs of one problem stand and fall together: the interval is that of a ratio of two means over problems.
    """
    counted = np.array([[part(p).sum(), whole(p).sum()] for p in problems], np.float64)
    total = counted.sum(0)
    if not total[1]:
        return float("nan"), float("nan")
    ratio, number = total[0] / total[1], len(problems)
    if number < 2:
        return float(ratio), float("nan")
    spread = ((counted[:, 0] - ratio * counted[:, 1]) ** 2).sum() * number / (number - 1)
    return float(ratio), float(stats.t.ppf(0.975, number - 1) * np.sqrt(spread) / total[1])


def _sure(p: Pairs) -> np.ndarray:
    return np.asarray(p.tied & (p.probability >= LEVEL))


def judged(problems: Sequence[Pairs]) -> dict[str, float]:
    """The columns of a row on ties."""
    row: dict[str, float] = {}
    measured = {
        "true": share(problems, lambda p: p.tied & p.holds, lambda p: p.tied),
        "reported": share(problems, lambda p: p.tied * p.probability, lambda p: p.tied),
        "at_95": share(problems, _sure, lambda p: p.tied),
        "true_at_95": share(problems, lambda p: _sure(p) & p.holds, _sure),
    }
    for name, (value, interval) in measured.items():
        row[name], row[f"{name}_ci"] = value, interval
    return {**row, "trials": len(problems)}


_COLUMNS = ("true", "reported", "at_95", "true_at_95")


def _where(family: Family) -> str:
    return "held out" if family.held_out else "fitted on"


def _families(problems: Sequence[Pairs]) -> Table:
    rows: list[dict[str, Any]] = []
    for where in ("fitted on", "held out"):
        own = [p for p in problems if _where(p.family) == where]
        for kind, name in dict.fromkeys((p.family.kind, p.family.name) for p in own):
            some = [p for p in own if (p.family.kind, p.family.name) == (kind, name)]
            rows.append({"problems": where, "family": f"{kind}, {name}", "method": "auto", **judged(some)})
        rows.append({"problems": where, "family": "all", "method": "auto", **judged(own)})
    title = (
        f"Ties found: share that is true, mean probability reported, share reported at {LEVEL:.0%}, true ones of these"
    )
    return Table("families", title, ("problems", "family"), _COLUMNS, (), [{**r, "seconds": None} for r in rows])


def _separation(problems: Sequence[Pairs]) -> Table:
    rows = []
    for kind, ratio in product(("means", "maps"), RATIOS):
        own = [p for p in problems if p.family.held_out and (p.family.kind, p.ratio) == (kind, ratio)]
        rows.append({"separation": ratio, "method": kind, **judged(own), "seconds": None})
    title = "The same by the separation of the values, problems held out"
    return Table("separation", title, ("separation",), _COLUMNS, (), rows, x="separation")


def _inside(p: Pairs, low: float, high: float, ties: bool) -> np.ndarray:
    inside = (p.probability >= low) & ((p.probability < high) | (high == 1.0))
    return np.asarray(inside & p.tied if ties else inside)


def _times(chosen: Choice, column: str, p: Pairs) -> np.ndarray:
    return np.asarray(chosen(p) * getattr(p, column))


def _reliability(problems: Sequence[Pairs]) -> Table:
    rows: list[dict[str, Any]] = []
    for where, pairs in product(("fitted on", "held out"), ("ties", "all pairs")):
        own = [p for p in problems if _where(p.family) == where]
        for low, high in zip(BINS, BINS[1:], strict=False):
            chosen = partial(_inside, low=low, high=high, ties=pairs == "ties")
            reported, _ = share(own, partial(_times, chosen, "probability"), chosen)
            if np.isnan(reported):
                continue
            row = {"problems": where, "reported": reported, "method": pairs}
            row["holds"], row["holds_ci"] = share(own, partial(_times, chosen, "holds"), chosen)
            row["share"], row["share_ci"] = share(
                own, chosen, partial(_inside, low=0.0, high=1.0, ties=pairs == "ties")
            )
            rows.append({**row, "trials": len(own), "seconds": None})
        line = {"problems": where, "method": "as reported", "holds_ci": float("nan"), "trials": None, "seconds": None}
        rows += [{**line, "reported": p, "holds": p} for p in (0.0, 1.0) if pairs == "all pairs"]
    title = "Reported probability of a tie against how often it is true"
    return Table("reliability", title, ("problems", "reported"), ("holds", "share"), (), rows, x="reported")


def _curves(problems: Sequence[Pairs]) -> Table:
    """The curves that these problems give beside the shipped ones; every problem weighs the same."""
    names = ("offset", "odds", "size", "groups")
    own = [p for p in problems if not p.family.held_out]
    rows = []
    for pairs, shipped in (("tied", TIED), ("apart", APART)):
        masks = [p.tied if pairs == "tied" else ~p.tied for p in own]
        kept = [
            (p.evidence if pairs == "tied" else p.odds, p.holds, m) for p, m in zip(own, masks, strict=True) if m.any()
        ]
        fit = fitted(
            np.concatenate([features[mask] for features, _, mask in kept]),
            np.concatenate([holds[mask] for _, holds, mask in kept]),
            np.concatenate([np.full(mask.sum(), 1 / mask.sum()) for *_, mask in kept]),
        )
        for method, beta in (("fitted here", fit), ("shipped", shipped)):
            row = {"pairs": pairs, "method": method, **dict.fromkeys(names), **dict(zip(names, beta, strict=False))}
            rows.append({**row, "trials": len(kept), "seconds": None})
    return Table("curves", "Log odds of a tie against what speaks for it", ("pairs",), names, (), rows)
