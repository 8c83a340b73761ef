"""Reported probabilities of ties between levels of factors, against how often the ties hold.

Tables of one to four factors with known groups of levels, and an outcome that is a number, a yes or no, or a count.
The patterns are drawn given the data, so no resamples are made. The curves are fitted on values that are evenly spaced
or normal, and judged on those and, what counts, on others: more levels, two values, a few levels unlike all others,
and values uniform in an interval, of which many nearly coincide.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy

from equishare.discover import discover
from equishare.lab.studies import calibration_tables as tables
from equishare.lab.studies.calibration_tables import Pairs, compared
from equishare.lab.studies.cells import Progress
from equishare.lab.studies.result import Experiment
from equishare.problems import FactorProblem
from equishare.result.calibration import DRAWN

SAMPLES = (60, 150, 400, 1000)
#: Standard deviations of what is added to numbers.
NOISES = (0.5, 1.0, 2.0, 4.0)
MOST_FACTORS, MOST_GROUPS = 4, 5
#: Standard deviation of the effects on the scale of each link.
_SCALES = {"gaussian": 1.0, "binomial": 1.5, "poisson": 0.5}
# Rates of counts, in logarithms.
_RATES = (-5.0, 3.0)


@dataclass(frozen=True)
class Family:
    """Tables of one kind.

    Attributes:
        kind: ``gaussian``, ``binomial`` or ``poisson``.
        name: how the values of the groups lie: even, normal, uniform, two, few unlike.
        levels: least and greatest number of levels of a factor.
        held_out: whether no curve was fitted on it.
        trials: tables for each number of samples.
    """

    kind: str
    name: str
    levels: tuple[int, int]
    held_out: bool
    trials: int


#: Those that the curves are fitted on, then those held out.
FAMILIES = (
    *(Family(kind, name, (3, 15), False, 10) for kind in _SCALES for name in ("even", "normal")),
    *(Family(kind, name, (4, 24), True, 5) for kind in _SCALES for name in ("uniform", "two", "few unlike")),
)


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    families: Sequence[Family] = FAMILIES,
    samples: Sequence[int] = SAMPLES,
) -> Experiment:
    """Report the confidence of ties on every family, and compare with the truth; ``trials`` lowers their number.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    start = time.perf_counter()
    problems = tables.simulated(product(families, samples), trials, seed, measure, progress)
    shown = tables.every(problems, "samples", "The same by the number of rows", DRAWN)
    return Experiment("level-calibration", seed, shown, time.perf_counter() - start)


def measure(family: Family, samples: int, rng: np.random.Generator) -> list[Pairs]:
    """Solve one problem and compare each pair of levels of each factor with the truth."""
    problem, truth = draw(family, samples, rng)
    found = discover(problem, seed=int(rng.integers(2**31)))
    return [
        Pairs(family.kind, family.name, family.held_out, samples, **compared(found.confidence[name], labels))
        for name, labels in truth.items()
        if len(labels) > 1
    ]


def draw(family: Family, samples: int, rng: np.random.Generator) -> tuple[FactorProblem, dict[str, np.ndarray]]:
    """One table and the true group of each level that occurs, by factor."""
    table, truth = {}, {}
    effect = np.zeros(samples)
    for j in range(int(rng.integers(1, MOST_FACTORS + 1))):
        labels, values = _groups(family, rng)
        codes = rng.choice(len(labels), size=samples, p=rng.dirichlet(np.full(len(labels), 3.0)))
        effect += _SCALES[family.kind] * values[labels][codes]
        table[f"factor {j}"] = codes
        truth[f"factor {j}"] = labels[np.unique(codes)]
    if family.kind == "gaussian":
        y = effect + rng.choice(NOISES) * rng.standard_normal(samples)
    elif family.kind == "binomial":
        y = (rng.random(samples) < scipy.special.expit(effect)).astype(np.float64)
        y[:2] = 0, 1  # both classes
    else:
        y = rng.poisson(np.exp(np.clip(effect, *_RATES))).astype(np.float64)
        y[0] += not y.any()
    return FactorProblem(table, y, family=family.kind), truth


def _groups(family: Family, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Group of each level of a factor, and the values of the groups in units of the scale."""
    low, high = family.levels
    levels = int(rng.integers(low, high + 1))
    if family.name in ("two", "few unlike"):
        count = int(rng.integers(1, 3)) if family.name == "few unlike" else levels // 2
        return rng.permutation((np.arange(levels) < count).astype(np.int64)), np.array([0.0, rng.uniform(0.3, 2.0)])
    groups = min(levels, int(rng.integers(1, MOST_GROUPS + 1)))
    labels = np.concatenate([np.arange(groups), rng.integers(groups, size=levels - groups)])
    if family.name == "even":
        values = np.linspace(-1, 1, groups) * rng.uniform(0.5, 1.5)
    else:
        values = rng.standard_normal(groups) if family.name == "normal" else rng.uniform(-2, 2, groups)
    return rng.permutation(labels), values
