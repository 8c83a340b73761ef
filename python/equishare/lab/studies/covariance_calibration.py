"""How often is a group of variables invented, how often found, and is its probability what it says?

A group that is told is *false* if it has a permutation that does not leave the true covariance as it is. Families of
covariances that are held out had no part in the choice of the curve that turns log odds into a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from equishare.lab.studies.cells import Progress, number_of_trials
from equishare.lab.studies.covariance_families import FAMILIES, Draw, Family, drawn
from equishare.lab.studies.invention_tables import CLEAR_ODDS
from equishare.lab.studies.result import Table, share_and_interval
from equishare.partition import Partition
from equishare.problems import CovarianceProblem
from equishare.search.covariance.candidates import candidates_of
from equishare.search.covariance.order import Rearranged
from equishare.search.covariance.propose import CURVE, judged_groups, told_of
from equishare.symmetry import symmetry_group

TRIALS = 20
#: Share of covariances without a group of which one may be told.
INVENTED = 0.01
#: Ends of the bins of probabilities.
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class Judged:
    """What is said of the samples of one covariance.

    Attributes:
        family: of it.
        probability: of the group that is judged; 0 where none was found.
        holds: whether it leaves the covariance as it is.
        told: whether it is told.
        whole: whether it is all of the group that there is.
        surest: log odds of the surest group among the candidates; −∞ where there is none.
        surest_holds: whether that one leaves the covariance as it is.
    """

    family: Family
    probability: float
    holds: bool
    told: bool
    whole: bool
    surest: float
    surest_holds: bool


def tables(
    trials: int | None, seed: int, progress: Progress | None = None, families: Sequence[Family] = FAMILIES
) -> list[Table]:
    """False groups and groups found by family, the probability against the truth, and the curve that these draws give.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    count = number_of_trials(trials, TRIALS)
    found: list[Judged] = []
    for index, family in enumerate(families):
        for trial in range(count):
            found.append(judge(drawn(family, np.random.default_rng([seed, index, trial]))))
            if progress is not None:
                progress(len(found), count * len(families))
    return [by_family(found), reliability(found), curve(found)]


def judge(of: Draw) -> Judged:
    """Ask ``auto`` about samples."""
    problem = CovarianceProblem(of.samples)
    data = Rearranged.of(problem.samples, problem.moments)
    candidates = candidates_of(data)
    groups, odds, chances = judged_groups(candidates)
    if not groups:
        return Judged(of.family, 0.0, False, False, False, -np.inf, False)
    named = [symmetry_group(Partition(data.back(one.labels)), covariance=True) for one in groups]
    holds = [_keeps(group, of.covariance) for group in named]
    place, surest = told_of(candidates, groups, chances)[1], int(np.argmax(odds))
    told = chances[place] >= 0.5
    truth = np.unique(of.covariance.round(9), return_inverse=True)[1].reshape(of.covariance.shape)
    whole = told and holds[place] and named[place].order == symmetry_group(Partition(truth), covariance=True).order
    return Judged(of.family, chances[place], holds[place], told, whole, odds[surest], holds[surest])


def _keeps(group: Any, covariance: np.ndarray) -> bool:
    return all(np.allclose(covariance[np.ix_(p, p)], covariance, atol=1e-9, rtol=0) for p, _ in group.generators)


def by_family(found: Sequence[Judged]) -> Table:
    """Shares of draws with a false group, with a group that holds, and with the whole group."""
    rows: list[dict[str, Any]] = []
    kinds = {one.family.name: [own for own in found if own.family == one.family] for one in found}
    for symmetric, name in ((False, "all without a group"), (True, "all with a group")):
        some = [one for one in found if one.family.symmetric is symmetric]
        kinds |= {name: some} if some else {}
    for name, some in kinds.items():
        row: dict[str, Any] = {"family": name, "method": "auto", "trials": len(some), "seconds": None}
        shares = {
            "false": [one.told and not one.holds for one in some],
            "right": [one.told and one.holds for one in some],
            "whole": [one.whole for one in some],
        }
        for key, flags in shares.items():
            row[key], row[f"{key}_ci"] = share_and_interval(flags)
        rows.append(row)
    title = "3 to 12 variables, 10 to 500 samples: share of draws with a false group, a right one, the whole one"
    return Table("families", title, ("family",), ("false", "right", "whole"), (), rows)


def reliability(found: Sequence[Judged]) -> Table:
    """Probability of the group judged, in bins, against the share that holds."""
    rows: list[dict[str, Any]] = []
    for held_out, where in ((False, "fitted on"), (True, "held out")):
        some = [one for one in found if one.family.held_out is held_out]
        for low, high in pairwise(BINS):
            own = [one for one in some if low <= one.probability < high or (high == 1.0 and one.probability == 1.0)]
            if own:
                said = float(np.mean([one.probability for one in own]))
                row: dict[str, Any] = {"families": where, "said": said, "method": "auto", "seconds": None}
                row["holds"], row["holds_ci"] = share_and_interval([one.holds for one in own])
                rows.append({**row, "trials": len(own)})
    title = "Probability of a group of variables against how often it holds"
    return Table("reliability", title, ("families", "said"), ("holds",), (), rows)


def curve(found: Sequence[Judged]) -> Table:
    """The offset that these draws give, with the shipped slope, beside the shipped one, and how well each does."""
    kinds = [[one for one in found if one.family.held_out is own and one.surest > -CLEAR_ODDS] for own in (False, True)]
    rows = []
    for name, offset in {"fitted here": fitted_offset(found), "shipped": CURVE[0]}.items():
        row: dict[str, Any] = {"method": name, "offset": offset, "slope": CURVE[1], "trials": len(found)}
        for key, own in zip(("loss_fitted_on", "loss_held_out"), kinds, strict=True):
            row |= {key: _loss(own, offset)} if own else {}
        rows.append({**row, "seconds": None})
    title = "Log odds of the surest group to its probability, and the mean of −log of the probability of what is true"
    return Table("curve", title, (), (), ("offset", "slope", "loss_fitted_on", "loss_held_out"), rows)


def fitted_offset(found: Sequence[Judged]) -> float:
    """The offset with which a group is told of ``INVENTED`` of the covariances without one that are not held out."""
    none = [one.surest for one in found if not one.family.symmetric and not one.family.held_out]
    return -CURVE[1] * float(np.quantile(none, 1 - INVENTED, method="higher")) if none else float("nan")


def _loss(found: Sequence[Judged], offset: float) -> float:
    signs = np.array([1 if one.surest_holds else -1 for one in found])
    return float(np.logaddexp(0, -signs * (offset + CURVE[1] * np.array([one.surest for one in found]))).mean())
