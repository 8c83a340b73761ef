"""Do ties that are reported at 95 % hold 95 times in 100? ``auto`` with resamples on simulated problems.

The curves that turn frequencies into probabilities (:mod:`equishare.result.calibration`) are fitted on means of some
sizes alone. They are judged on those and, what counts, on problems held out: means of other sizes, linear maps,
maps with a symmetry, and logistic regression.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product

import numpy as np

from equishare.discover import discover
from equishare.lab.studies import calibration_tables as tables
from equishare.lab.studies.calibration_data import FAMILIES, RATIOS, VALUES, Family, draw
from equishare.lab.studies.calibration_tables import Pairs, compared
from equishare.lab.studies.cells import Progress
from equishare.lab.studies.result import Experiment
from equishare.result.calibration import CLOSED_FORM

RESAMPLES = 20


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    families: Sequence[Family] = FAMILIES,
    ratios: Sequence[float] = RATIOS,
) -> Experiment:
    """Report the confidence of ties on every family, and compare with the truth; ``trials`` lowers their number.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    start = time.perf_counter()
    every = product(families, VALUES, ratios)
    problems = tables.simulated(every, trials, seed, lambda *own: [measure(*own)], progress)
    shown = tables.every(problems, "separation", "The same by the separation of the values", CLOSED_FORM)
    return Experiment("calibration", seed, shown, time.perf_counter() - start)


def measure(family: Family, values: str, ratio: float, rng: np.random.Generator) -> Pairs:
    """Solve one problem and compare each pair with the truth."""
    problem, truth = draw(family, values, ratio, rng)
    found = discover(problem, seed=int(rng.integers(2**31)), resamples=RESAMPLES)
    assert found.confidence is not None
    return Pairs(family.kind, family.name, family.held_out, ratio, **compared(found.confidence, truth))
