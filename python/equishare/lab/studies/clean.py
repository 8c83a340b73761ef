"""Clean data: linear maps with a known pattern, whose values lie ten to twenty standard errors apart.

Every answer should be right there. *Inexact* is the share of draws whose partition is not the true one, *false* that of
draws in which a group is asserted that the truth does not have (for ``gap``, the group of its partition). Samples,
inputs and noise are drawn as in the experiment ``invention``.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from equishare.discover import discover
from equishare.lab.studies.cells import Progress, number_of_trials
from equishare.lab.studies.invention_data import Draw, Family, draw
from equishare.lab.studies.invention_rules import Asserted, asserted, told
from equishare.lab.studies.patterns import (
    blocks,
    circulant,
    dihedral,
    exchangeable,
    line,
    permutations,
    repeated_rows,
    shuffled,
    side_by_side,
    torus,
)
from equishare.lab.studies.result import Experiment, Table, share_and_interval
from equishare.lab.studies.sampling import random_labels

TRIALS = 200
#: Least and greatest δ/s.
RATIOS = (10.0, 20.0)
#: Patterns whose rows and columns are shuffled.
PATTERNS: dict[str, np.ndarray] = {
    **{f"circulant {n}": circulant(n) for n in (5, 7, 8, 10, 12)},
    **{f"dihedral {n}": dihedral(n) for n in (5, 6, 8, 9, 12)},
    **{f"torus {a} × {b}": torus(a, b) for a, b in ((3, 3), (3, 4), (2, 5))},
    **{f"exchangeable {a} × {b}": exchangeable(a, b) for a, b in ((3, 4), (2, 4), (3, 3))},
    **{f"blocks {a} × {b}": blocks(a, b) for a, b in ((2, 3), (3, 2), (4, 3), (2, 5))},
    **{f"permutations {n}": permutations(n) for n in (4, 6, 8, 11, 12)},
    "C_5 × D_4": side_by_side(circulant(5), dihedral(4)),
    "C_3 × C_4": side_by_side(circulant(3), circulant(4)),
    "S_3 × S_4": side_by_side(permutations(3), permutations(4)),
    "rows 3 × 2": repeated_rows(2, 3, 5),
    "rows 2 × 4": repeated_rows(4, 2, 6),
    "Toeplitz 6": line(6),
    "Toeplitz 8": line(8),
    "symmetric Toeplitz 7": np.abs(line(7) - 6),
    "band on a ring of 10": np.minimum(dihedral(10), 2),
    "one value, 6 × 6": np.zeros((6, 6), np.int64),
}
#: Numbers of groups of random labels of 8 × 8.
RANDOM = (2, 3, 5)


def families() -> list[Family]:
    """The patterns, and random labels."""
    kept = [Family("symmetry", name, partial(shuffled, labels), True) for name, labels in PATTERNS.items()]
    return kept + [Family("random labels", f"random, {g} groups", partial(_random, g), True) for g in RANDOM]


def _random(groups: int, rng: np.random.Generator) -> np.ndarray:
    return random_labels(rng, 64, groups).reshape(8, 8)


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    patterns: list[Family] | None = None,
) -> Experiment:
    """Draw every pattern 200 times; ``trials`` lowers that number.

    Raises:
        ValueError: ``trials`` is less than one.
        ImportError: igraph, which tells the group of a pattern, is not installed.
    """
    count = number_of_trials(trials, TRIALS)
    start = time.perf_counter()
    kinds = families() if patterns is None else patterns
    rows: list[dict[str, Any]] = []
    every: dict[str, list[Asserted]] = {"auto": [], "gap": []}
    for index, family in enumerate(kinds):
        own: dict[str, list[Asserted]] = {"auto": [], "gap": []}
        for trial in range(count):
            rng = np.random.default_rng([seed, index, trial])
            for method, one in _judged(draw(family, "even", float(rng.uniform(*RATIOS)), rng)).items():
                own[method].append(one)
            if progress is not None:
                progress(index * count + trial + 1, len(kinds) * count)
        rows += [_row(family.name, method, judged) for method, judged in own.items()]
        for method, judged in own.items():
            every[method] += judged
    rows += [_row("all", method, judged) for method, judged in every.items()]
    title = (
        "Linear maps whose values lie 10 to 20 standard errors apart: other partitions than the true one, false groups"
    )
    table = Table("clean", title, ("pattern",), ("inexact", "false"), (), rows)
    return Experiment("clean", seed, (table,), time.perf_counter() - start)


def _judged(of: Draw) -> dict[str, Asserted]:
    gap = discover(of.problem, "gap").partition.labels
    return {"auto": told(discover(of.problem), of.truth, 0.5), "gap": asserted(gap, of.truth)}


def _row(pattern: str, method: str, judged: list[Asserted]) -> dict[str, Any]:
    row: dict[str, Any] = {"pattern": pattern, "method": method, "trials": len(judged), "seconds": None}
    row["inexact"], row["inexact_ci"] = share_and_interval([not one.exact for one in judged])
    row["false"], row["false_ci"] = share_and_interval([one.false for one in judged])
    return row
