"""Linear maps with and without a symmetry, for the question how often one is invented and how often one is found.

The values lie δ/s standard errors apart: evenly spaced ones in random order, and normal ones with standard deviation
2 δ. s is the standard error of a weight, the mean over inputs, for noise of unit variance. All else is drawn at random:
the number of samples, whether inputs covary, and the distribution of the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

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
from equishare.lab.studies.sampling import random_labels, standard_error
from equishare.lab.studies.separation import RHO, autoregressive
from equishare.problems import LinearProblem

#: Values of δ/s.
RATIOS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
#: Standard deviation of normal values in units of δ.
WIDTH = 2.0
#: At least so many more samples than inputs, and at most so many times as many as weights.
FEWEST, MOST = 6, 10
#: Degrees of freedom of the noise with heavy tails.
TAILS = 3

KINDS = ("symmetry", "in order", "one value", "random labels", "all different")
VALUES = ("even", "normal")
INPUTS = ("white", f"AR(1), {RHO}")
NOISES = ("normal", "heavy tails", "depends on an input")


@dataclass(frozen=True)
class Family:
    """Maps of one kind.

    Attributes:
        kind: one of :data:`KINDS`.
        name: pattern or size.
        labels: draws the true labels (O, I).
        held_out: whether no curve was fitted on it.
        values: kinds of values that it is drawn with.
        trials: draws for each δ/s and kind of values.
    """

    kind: str
    name: str
    labels: Callable[[np.random.Generator], np.ndarray]
    held_out: bool
    values: tuple[str, ...] = VALUES
    trials: int = 2


@dataclass(frozen=True)
class Draw:
    """One map: the problem, its true labels (O, I), and how it was drawn."""

    family: Family
    problem: LinearProblem
    truth: np.ndarray
    ratio: float
    values: str
    inputs: str
    noise: str
    samples: str


def draw(family: Family, values: str, ratio: float, rng: np.random.Generator) -> Draw:
    """One map of a family with values δ/s = ``ratio``."""
    truth = family.labels(rng)
    outputs, inputs = truth.shape
    fewest, most = inputs + FEWEST, MOST * truth.size
    samples = round(float(np.exp(rng.uniform(np.log(fewest), np.log(most)))))
    covary, noise = rng.choice(INPUTS), rng.choice(NOISES)
    x = autoregressive(rng, samples, inputs, 0.0 if covary == INPUTS[0] else RHO)
    count = int(truth.max()) + 1
    levels = rng.permutation(count) if values == "even" else WIDTH * rng.standard_normal(count)
    y = x @ (ratio * standard_error(x) * levels)[truth].T + _noise(noise, x, outputs, rng)
    # Merging needs a determined fit on the training samples alone.
    half = max(samples // 2, inputs + FEWEST // 2)
    size = "fewer than weights" if samples < truth.size else "more than weights"
    problem = LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:])
    return Draw(family, problem, truth, ratio, values, str(covary), str(noise), size)


def _noise(kind: str, x: np.ndarray, outputs: int, rng: np.random.Generator) -> np.ndarray:
    """Noise (n, O) of unit variance; where it depends on an input its variance is (1 + x²)/2."""
    shape = len(x), outputs
    if kind == "heavy tails":
        return rng.standard_t(TAILS, shape) / np.sqrt(TAILS / (TAILS - 2))
    scale = np.sqrt((1 + x[:, :1] ** 2) / 2) if kind == "depends on an input" else 1.0
    return scale * rng.standard_normal(shape)


def _symmetric(name: str, labels: np.ndarray, held_out: bool) -> Family:
    return Family("symmetry", name, partial(shuffled, labels), held_out)


def _in_order(name: str, labels: np.ndarray) -> Family:
    return Family("in order", name, lambda _rng: labels, True)


def _equal(outputs: int, inputs: int, held_out: bool) -> Family:
    def labels(_rng: np.random.Generator) -> np.ndarray:
        return np.zeros((outputs, inputs), np.int64)

    return Family("one value", f"{outputs} × {inputs}", labels, held_out, ("even",))


def _random(outputs: int, inputs: int, held_out: bool) -> Family:
    def labels(rng: np.random.Generator) -> np.ndarray:
        return random_labels(rng, outputs * inputs, int(rng.integers(2, 7))).reshape(outputs, inputs)

    return Family("random labels", f"{outputs} × {inputs}", labels, held_out)


def _different(outputs: int, inputs: int, held_out: bool) -> Family:
    def labels(_rng: np.random.Generator) -> np.ndarray:
        return np.arange(outputs * inputs).reshape(outputs, inputs)

    return Family("all different", f"{outputs} × {inputs}", labels, held_out, ("normal",), trials=3)


#: Those that the curve is fitted on and those held out. Weights that are all equal have every symmetry.
FAMILIES = (
    _symmetric("circulant 8", circulant(8), False),
    _symmetric("dihedral 8", dihedral(8), False),
    _symmetric("exchangeable 3 × 4", exchangeable(3, 4), False),
    _symmetric("blocks 3 × 2", blocks(3, 2), False),
    _symmetric("permutations 6", permutations(6), False),
    _symmetric("rows 3 × 2", repeated_rows(2, 3, 5), False),
    _random(4, 4, False),
    _random(5, 6, False),
    _random(8, 8, False),
    _different(5, 6, False),
    _different(8, 8, False),
    _symmetric("circulant 12", circulant(12), True),
    _symmetric("torus 3 × 4", torus(3, 4), True),
    _symmetric("blocks 4 × 3", blocks(4, 3), True),
    _symmetric("C_5 × D_4", side_by_side(circulant(5), dihedral(4)), True),
    _random(6, 10, True),
    _random(12, 12, True),
    _different(6, 10, True),
    _equal(4, 5, False),
    _equal(6, 6, True),
    # Rows and columns as they are: here a ring competes with a line, whose ends happen to be alike.
    _in_order("circulant 6", circulant(6)),
    _in_order("dihedral 6", dihedral(6)),
    _in_order("line 6", line(6)),
    _in_order("mirrored line 6", np.abs(line(6) - 5)),
    _in_order("band 6", np.where(np.abs(line(6) - 5) < 2, line(6) - 4, 3)),
)
