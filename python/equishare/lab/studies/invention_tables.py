"""Tables on groups that are asserted: false ones, true ones, and whether the probability of a group is what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from equishare.lab.studies.invention_rules import Judged
from equishare.lab.studies.result import Table, share_and_interval
from equishare.result.calibration import fitted, probability
from equishare.search.posterior import CLEAR_ODDS, CURVE

#: Edges of the bins of the probability.
BINS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0)
# Settings by which false groups are counted: what a setting of a map is.
_SETTINGS: dict[str, Callable[[Judged], str]] = {
    "data": lambda j: f"{j.of.family.kind}, {j.of.family.name}",
    "values": lambda j: j.of.values,
    "inputs": lambda j: j.of.inputs,
    "noise": lambda j: j.of.noise,
    "samples": lambda j: j.of.samples,
}


def every(maps: Sequence[Judged]) -> tuple[Table, ...]:
    """All tables."""
    return (*false_groups(maps), *power(maps), reliability(maps), in_order(maps), curve(maps))


def false_groups(maps: Sequence[Judged]) -> tuple[Table, Table]:
    """Maps without a symmetry: how often each rule asserts a group that the truth does not have.

    By δ/s, and by each other setting.
    """
    own = [j for j in maps if j.of.family.kind in ("random labels", "all different")]
    rows, by_setting = [], []
    for kind, ratio in product(dict.fromkeys(j.of.family.kind for j in own), sorted({j.of.ratio for j in own})):
        some = [j for j in own if (j.of.family.kind, j.of.ratio) == (kind, ratio)]
        rows += _rows({"data": kind, "separation": ratio}, some, ("false",))
    for name, setting in {**_SETTINGS, "all": lambda _: ""}.items():
        for value in dict.fromkeys(map(setting, own)):
            some = [j for j in own if setting(j) == value]
            by_setting += _rows({"setting": name, "of": value}, some, ("false",))
    title = "Maps without a symmetry: share of draws in which a group is asserted that the truth does not have"
    return (
        Table("false", title, ("data", "separation"), ("false",), (), rows, x="separation", log=("separation",)),
        Table("false_by_setting", f"{title}, all δ/s", ("setting", "of"), ("false",), (), by_setting),
    )


def power(maps: Sequence[Judged]) -> tuple[Table, Table]:
    """Maps with a symmetry: how often each rule asserts a group of the truth, by δ/s and by pattern.

    Where all weights are equal δ/s means nothing; these maps are counted by pattern alone.
    """
    own = [j for j in maps if j.of.family.kind == "symmetry"]
    metrics = ("right", "exact", "false")
    rows, by_pattern = [], []
    for values, ratio in product(dict.fromkeys(j.of.values for j in own), sorted({j.of.ratio for j in own})):
        some = [j for j in own if (j.of.values, j.of.ratio) == (values, ratio)]
        rows += _rows({"values": values, "separation": ratio}, some, metrics)
    own += [j for j in maps if j.of.family.kind == "one value"]
    for kind, name in dict.fromkeys((j.of.family.kind, j.of.family.name) for j in own):
        some = [j for j in own if (j.of.family.kind, j.of.family.name) == (kind, name)]
        by_pattern += _rows({"pattern": name if kind == "symmetry" else f"{kind}, {name}"}, some, metrics)
    title = "Maps with a symmetry: share of draws with a group of the truth, an exact partition, a false group"
    return (
        Table("power", title, ("values", "separation"), metrics, (), rows, x="separation", log=("separation",)),
        Table("power_by_pattern", f"{title}, all δ/s", ("pattern",), metrics, (), by_pattern),
    )


def _rows(settings: dict[str, Any], maps: Sequence[Judged], metrics: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for rule in maps[0].rules:
        row = {**settings, "method": rule, "trials": len(maps), "seconds": None}
        for metric in metrics:
            row[metric], row[f"{metric}_ci"] = share_and_interval([getattr(j.rules[rule], metric) for j in maps])
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Groups:
    """The groups judged on several maps.

    Attributes:
        evidence: (n, 1) log odds, what the curve is a function of.
        holds: (n,) whether the group is contained in that of the truth.
    """

    evidence: np.ndarray
    holds: np.ndarray

    @classmethod
    def of(cls, maps: Sequence[Judged], held_out: bool) -> Groups:
        """Those of the maps held out, or of the others. Where no group is proposed, none is judged.

        Left out are maps in order, maps with one value, whose odds say whether that is zero, and groups that the odds
        are clearly against: random labels may have a symmetry by chance, two equal rows say. It is right, and yet not
        to be told.
        """
        aside = ("one value", "in order")
        some = [j for j in maps if j.of.family.held_out == held_out and j.of.family.kind not in aside]
        own = [j for j in some if j.log_odds > -CLEAR_ODDS]
        odds = np.array([[j.log_odds] for j in own]).reshape(-1, 1)
        return cls(odds, np.array([j.holds for j in own], bool))

    def loss(self, curve: tuple[float, ...]) -> float:
        """Mean of −log of the probability that a curve gives to what is true."""
        said = probability(self.evidence, curve)
        least = np.finfo(float).tiny
        return float(-np.log(np.maximum(np.where(self.holds, said, 1 - said), least)).mean())


def fit_curve(maps: Sequence[Judged]) -> tuple[float, ...]:
    """Offset and slope of the probability of a group in its log odds, fitted on the families that are not held out."""
    groups = Groups.of(maps, held_out=False)
    return fitted(groups.evidence, groups.holds, np.ones(len(groups.holds)))


def _curves(maps: Sequence[Judged]) -> dict[str, tuple[float, ...]]:
    return {"fitted here": fit_curve(maps), "shipped": CURVE, "odds as they are": (0.0, 1.0)}


def curve(maps: Sequence[Judged]) -> Table:
    """The curve that these maps give, beside the shipped one, and how well each does."""
    fit, held_out = Groups.of(maps, held_out=False), Groups.of(maps, held_out=True)
    rows = [
        {
            "method": name,
            "offset": one[0],
            "slope": one[1],
            "loss_fitted_on": fit.loss(one),
            "loss_held_out": held_out.loss(one),
            "trials": len(fit.holds) + len(held_out.holds),
            "seconds": None,
        }
        for name, one in _curves(maps).items()
    ]
    title = "Log odds of a group against those of the evidence, and the mean of −log of the probability of what is true"
    return Table("curve", title, (), (), ("offset", "slope", "loss_fitted_on", "loss_held_out"), rows)


def in_order(maps: Sequence[Judged]) -> Table:
    """Probability of a group, in bins, against the share that holds, where rows and columns are in their order."""
    own = [j for j in maps if j.of.family.kind == "in order" and j.log_odds > -CLEAR_ODDS]
    holds = np.array([j.holds for j in own], bool)
    ways = {
        "as told": np.array([j.probability for j in own]),
        "by the curve alone": probability(np.array([[j.log_odds] for j in own]).reshape(-1, 1), CURVE),
    }
    rows: list[dict[str, Any]] = []
    for name, said in ways.items():
        for low, high in pairwise(BINS):
            inside = (said >= low) & ((said < high) | (high == 1.0))
            if inside.any():
                row: dict[str, Any] = {"method": name, "said": float(said[inside].mean())}
                row["group_holds"], row["group_holds_ci"] = share_and_interval(holds[inside])
                rows.append({**row, "trials": int(inside.sum()), "seconds": None})
    title = "Rows and columns in their order: probability of a group against how often it holds"
    return Table("in_order", title, ("said",), ("group_holds",), (), rows)


def reliability(maps: Sequence[Judged]) -> Table:
    """Probability of a group, in bins, against the share that is contained in the group of the truth."""
    rows: list[dict[str, Any]] = []
    for where, (name, one) in product(("fitted on", "held out"), _curves(maps).items()):
        groups = Groups.of(maps, where == "held out")
        said = probability(groups.evidence, one)
        for low, high in pairwise(BINS):
            inside = (said >= low) & ((said < high) | (high == 1.0))
            if inside.any():
                row = {"maps": where, "said": float(said[inside].mean()), "method": name}
                row["group_holds"], row["group_holds_ci"] = share_and_interval(groups.holds[inside])
                rows.append({**row, "trials": int(inside.sum()), "seconds": None})
    line = {"method": "as reported", "group_holds_ci": float("nan"), "trials": None, "seconds": None}
    ends = product(("fitted on", "held out"), (0.0, 1.0))
    rows += [{**line, "maps": where, "said": p, "group_holds": p} for where, p in ends]
    title = "Probability of a group against how often it is contained in that of the truth"
    return Table("reliability", title, ("maps", "said"), ("group_holds",), (), rows, x="said")
