"""Simulated problems whose ties are known: means, linear maps with and without a symmetry, logistic regression.

Neighbouring values lie δ/s standard errors apart: equally spaced ones exactly, normal ones on average about. Normal
values may nearly coincide, and no number of samples that leaves them within a standard error tells them apart. Logistic
weights are at most 3, so that large separations are less than they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy

from equishare.lab.studies.patterns import circulant, dihedral, exchangeable, shuffled
from equishare.lab.studies.sampling import random_labels, standard_error
from equishare.lab.studies.separation import RHO, autoregressive
from equishare.problems import GeneralizedLinearProblem, LinearProblem, MeanProblem, Problem

NUM_SAMPLES, NUM_CLASSIFIED = 100, 600
RATIOS = (2.0, 4.0, 6.0, 8.0, 10.0, 30.0, 100.0)
VALUES = ("equal", "normal")
# The largest weight of a logistic regression.
_LARGEST = 3.0


@dataclass(frozen=True)
class Family:
    """Problems of one kind.

    Attributes:
        kind: ``means``, ``maps`` or ``logistic``.
        name: what is tied.
        labels: draws the true partition, (K,) or (O, I).
        held_out: whether no curve was fitted on it.
        trials: problems for each δ/s and kind of values.
    """

    kind: str
    name: str
    labels: Callable[[np.random.Generator], np.ndarray]
    held_out: bool
    trials: int


def _families() -> tuple[Family, ...]:
    sizes = ((10, 1), (10, 2), (10, 3), (10, 5), (30, 3), (30, 10), (90, 3), (90, 10))
    fitted = [_random(size, groups, False) for size, groups in sizes]
    others = ((16, 2), (16, 6), (20, 1), (20, 4), (60, 2), (60, 8))
    means = [_random(size, groups, True) for size, groups in others]
    maps = [
        Family("maps", "5 × 6, r = 4", lambda rng: random_labels(rng, 30, 4).reshape(5, 6), True, 3),
        *(
            Family("maps", name, partial(shuffled, labels), True, 3)
            for name, labels in (
                ("circulant 6", circulant(6)),
                ("dihedral 6", dihedral(6)),
                ("exchangeable 2 × 3", exchangeable(2, 3)),
            )
        ),
    ]
    one_output = [
        Family(kind, f"1 × 12, r = {groups}", partial(_row, groups), True, 3)
        for kind in ("maps", "logistic")
        for groups in (2, 4)
    ]
    return (*fitted, *means, *maps, *one_output)


def draw(family: Family, values: str, ratio: float, rng: np.random.Generator) -> tuple[Problem, np.ndarray]:
    """One problem and the true labels (K,) of its entries."""
    labels = family.labels(rng)
    levels = ratio * _levels(values, int(labels.max()) + 1, rng)
    half = NUM_SAMPLES // 2
    if family.kind == "means":
        samples = levels[labels] / np.sqrt(NUM_SAMPLES) + rng.standard_normal((NUM_SAMPLES, labels.size))
        return MeanProblem(samples[:half], samples[half:]), labels
    outputs, inputs = labels.shape
    if family.kind == "logistic":
        x = autoregressive(rng, NUM_CLASSIFIED, inputs, RHO)
        weight = 2 * (standard_error(x) * (levels - levels.mean()))[labels]  # of even odds an error is twice that
        weight *= min(1.0, _LARGEST / np.abs(weight).max())
        y = (rng.random((len(x), outputs)) < scipy.special.expit(x @ weight.T)).astype(np.float64)
        return GeneralizedLinearProblem(x, y, family="binomial"), labels.ravel()
    x = autoregressive(rng, NUM_SAMPLES, inputs, RHO)
    y = x @ (standard_error(x) * levels)[labels].T + rng.standard_normal((NUM_SAMPLES, outputs))
    return LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:]), labels.ravel()


def _row(groups: int, rng: np.random.Generator) -> np.ndarray:
    return random_labels(rng, 12, groups)[None]


def _random(size: int, groups: int, held_out: bool) -> Family:
    name = f"K = {size}, r = {groups}"
    return Family("means", name, lambda rng: random_labels(rng, size, groups), held_out, 12)


def _levels(values: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Values of the groups in units of δ."""
    if values == "equal":
        return rng.permutation(count).astype(np.float64)
    return rng.standard_normal(count) * max(count - 1, 1) / 2


#: Those that the curve is fitted on, then those held out.
FAMILIES = _families()
