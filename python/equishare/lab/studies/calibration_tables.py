"""Reported confidence of ties against the truth: what the experiments on calibration have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from equishare.lab.studies.cells import Progress, number_of_trials
from equishare.lab.studies.result import Table
from equishare.result.calibration import Curves, fitted
from equishare.result.confidence import Confidence

LEVEL = 0.95
#: Edges of the bins of the reported probability.
BINS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Pairs:
    """All pairs of entries of one problem that one assignment compares.

    Attributes:
        kind, family: what the problem is one of.
        held_out: whether no curve was fitted on that.
        setting: how hard it is, δ/s or the noise.
        tied: whether the partition found ties the pair.
        holds: whether the true one does.
        probability: what was reported.
        evidence: (pairs, d) what the curve of ties is a function of.
        evidence_apart: (pairs, 1) what that of pairs apart is a function of.
    """

    kind: str
    family: str
    held_out: bool
    setting: float
    tied: np.ndarray
    holds: np.ndarray
    probability: np.ndarray
    evidence: np.ndarray
    evidence_apart: np.ndarray


def compared(confidence: Confidence, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Every pair of entries of a parameter: the last five fields of :class:`Pairs`, for true labels (K,)."""
    labels = confidence.partition.labels.ravel()
    a, b = np.triu_indices(truth.size, 1)
    counts = np.rint(confidence.frequencies[a, b] * confidence.num_resamples).astype(int)
    return {
        "tied": labels[a] == labels[b],
        "holds": truth[a] == truth[b],
        "probability": confidence.ties[a, b],
        "evidence": confidence.evidence[labels[a], counts],
        "evidence_apart": confidence.evidence_apart[counts],
    }


def simulated(
    settings: Iterable[tuple[Any, ...]],
    trials: int | None,
    seed: int,
    measure: Callable[..., Sequence[Pairs]],
    progress: Progress | None,
) -> list[Pairs]:
    """The pairs of every setting, each drawn as often as its family, the first of the setting, says.

    Args:
        settings: a family and what else a problem is drawn by, the arguments of ``measure`` before the generator.
        trials: at most so many of each; None for all.
        seed: of the generators, which differ from problem to problem.
        measure: gives the pairs of one problem.
        progress: called with how many problems are done, and how many there are.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    every = [own for own in settings for _ in range(number_of_trials(trials, own[0].trials))]
    problems: list[Pairs] = []
    for index, own in enumerate(every):
        problems += measure(*own, np.random.default_rng([seed, index]))
        if progress is not None:
            progress(index + 1, len(every))
    return problems


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


def _where(p: Pairs) -> str:
    return "held out" if p.held_out else "fitted on"


def families(problems: Sequence[Pairs]) -> Table:
    """The same for each family, and for those that the curves were fitted on and those held out."""
    rows: list[dict[str, Any]] = []
    for where in ("fitted on", "held out"):
        own = [p for p in problems if _where(p) == where]
        for kind, name in dict.fromkeys((p.kind, p.family) for p in own):
            some = [p for p in own if (p.kind, p.family) == (kind, name)]
            rows.append({"problems": where, "family": f"{kind}, {name}", "method": "auto", **judged(some)})
        rows.append({"problems": where, "family": "all", "method": "auto", **judged(own)})
    title = (
        f"Ties found: share that is true, mean probability reported, share reported at {LEVEL:.0%}, true ones of these"
    )
    return Table("families", title, ("problems", "family"), _COLUMNS, (), [{**r, "seconds": None} for r in rows])


def by_setting(problems: Sequence[Pairs], name: str, title: str) -> Table:
    """The same for each kind and setting of the problems held out; the name is that of the setting."""
    rows = []
    own = [p for p in problems if p.held_out]
    for kind, setting in product(dict.fromkeys(p.kind for p in own), sorted({p.setting for p in own})):
        some = [p for p in own if (p.kind, p.setting) == (kind, setting)]
        rows.append({name: setting, "method": kind, **judged(some), "seconds": None})
    return Table(name, f"{title}, problems held out", (name,), _COLUMNS, (), rows, x=name)


def _inside(p: Pairs, low: float, high: float, ties: bool) -> np.ndarray:
    inside = (p.probability >= low) & ((p.probability < high) | (high == 1.0))
    return np.asarray(inside & p.tied if ties else inside)


def _times(chosen: Choice, column: str, p: Pairs) -> np.ndarray:
    return np.asarray(chosen(p) * getattr(p, column))


def reliability(problems: Sequence[Pairs]) -> Table:
    """Reported probability, in bins, against the share of the pairs that is truly tied."""
    rows: list[dict[str, Any]] = []
    for where, pairs in product(("fitted on", "held out"), ("ties", "all pairs")):
        own = [p for p in problems if _where(p) == where]
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


def curves(problems: Sequence[Pairs], shipped: Curves) -> Table:
    """The curves that these problems give beside the shipped ones; every problem weighs the same."""
    names = ("offset", "odds", "size", "groups", "gap")[: len(shipped.tied)]
    if shipped.of_draws:
        names = ("offset", "odds", "gap")
    own = [p for p in problems if not p.held_out]
    rows = []
    for pairs, known in (("tied", shipped.tied), ("apart", shipped.apart)):
        kept = []
        for p in own:
            mask = p.tied if pairs == "tied" else ~p.tied
            if mask.any():
                features = p.evidence if pairs == "tied" else p.evidence_apart
                kept.append((features[mask], p.holds[mask], np.full(mask.sum(), 1 / mask.sum())))
        fit = fitted(*(np.concatenate(column) for column in zip(*kept, strict=True)))
        for method, beta in (("fitted here", fit), ("shipped", known)):
            row = {"pairs": pairs, "method": method, **dict.fromkeys(names), **dict(zip(names, beta, strict=False))}
            rows.append({**row, "trials": len(kept), "seconds": None})
    return Table("curves", "Log odds of a tie against what speaks for it", ("pairs",), names, (), rows)


def every(problems: Sequence[Pairs], setting: str, title: str, shipped: Curves) -> tuple[Table, ...]:
    """All four tables; ``setting`` and ``title`` are those of :func:`by_setting`."""
    return families(problems), by_setting(problems, setting, title), reliability(problems), curves(problems, shipped)
