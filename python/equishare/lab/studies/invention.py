"""How often is a symmetry invented, and how often is a true one found? Rules that assert a group, on simulated maps.

A group that is asserted is *right* if it is contained in that of the truth: each of its generators leaves the true
labels unchanged. Random labels may have a symmetry by chance, two equal rows say; it is then right to find it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product

import numpy as np

from equishare.lab.studies import invention_tables as tables
from equishare.lab.studies.cells import Progress, number_of_trials
from equishare.lab.studies.invention_data import FAMILIES, RATIOS, Family, draw
from equishare.lab.studies.invention_rules import judge
from equishare.lab.studies.result import Experiment


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    families: Sequence[Family] = FAMILIES,
    ratios: Sequence[float] = RATIOS,
) -> Experiment:
    """False groups, true groups found, and whether the probability of a group is what it says.

    ``trials`` lowers the number of draws for each family, δ/s and kind of values.

    Raises:
        ValueError: ``trials`` is less than one.
        ImportError: igraph, which tells the group of a pattern, is not installed.
    """
    start = time.perf_counter()
    settings = [
        (family, values, ratio)
        for family, ratio in product(families, ratios)
        for values in family.values
        for _ in range(number_of_trials(trials, family.trials))
    ]
    maps = []
    for index, setting in enumerate(settings):
        maps.append(judge(draw(*setting, np.random.default_rng([seed, index]))))
        if progress is not None:
            progress(index + 1, len(settings))
    return Experiment("invention", seed, tables.every(maps), time.perf_counter() - start)
