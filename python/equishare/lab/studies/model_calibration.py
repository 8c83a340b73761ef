"""The same for networks: do ties of models that are reported at 95 % hold 95 times in 100?

Small networks with known sharing (:mod:`equishare.lab.studies.models_data`) and noise from a tenth of the labels'
standard deviation, where most is found, to twice as much, where next to nothing is. The curves are fitted on some
networks and judged on those and, what counts, on networks held out: other sizes and numbers of samples, and a
recurrent cell.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from equishare.discover import discover
from equishare.lab.studies import calibration_tables as tables
from equishare.lab.studies.calibration_tables import Pairs, compared
from equishare.lab.studies.cells import Progress
from equishare.lab.studies.models_data import (
    CASES,
    Case,
    Convolution,
    Gated,
    Layers,
    Tokens,
    normal_inputs,
    token_inputs,
)
from equishare.lab.studies.result import Experiment
from equishare.result.calibration import TRAINED

RESAMPLES = 10
STEPS = 100
#: Small networks bear, and need, a great rate.
RATE = 0.03
#: Standard deviations of what is added to labels of standard deviation 1.
NOISES = (0.1, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Family:
    """Networks of one kind.

    Attributes:
        kind: ``entries`` or ``slices``, what is shared.
        name: of the network.
        case: makes it and its data.
        held_out: whether no curve was fitted on it.
        trials: problems for each noise.
    """

    kind: str
    name: str
    case: Case
    held_out: bool
    trials: int = 8


def _convolution(width: int, samples: int) -> Case:
    return replace(
        CASES["convolution"], network=lambda: Convolution(width), inputs=normal_inputs(width), samples=samples
    )


def _layers(width: int, samples: int) -> Case:
    return replace(CASES["layers"], network=lambda: Layers(width), inputs=normal_inputs(width), samples=samples)


def _tokens(count: int, samples: int) -> Case:
    network = lambda: Tokens(count, 3, 12, 2)  # noqa: E731
    return replace(CASES["synonyms"], network=network, inputs=token_inputs(count), samples=samples)


def _gates(size: int, samples: int) -> Case:
    return replace(CASES["gates"], network=lambda: Gated(size, size), inputs=normal_inputs(4, size), samples=samples)


#: Those that the curves are fitted on, then those held out.
FAMILIES = (
    Family("entries", "convolution 8", _convolution(8, 200), False),
    Family("entries", "layers 5", _layers(5, 300), False),
    Family("entries", "layers 4", _layers(4, 100), False),
    Family("slices", "12 tokens", _tokens(12, 300), False),
    Family("entries", "convolution 6", _convolution(6, 60), True),
    Family("entries", "layers 6", _layers(6, 300), True),
    Family("slices", "20 tokens", _tokens(20, 600), True),
    Family("slices", "gated cell", _gates(3, 60), True),
)


def run(
    trials: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    families: Sequence[Family] = FAMILIES,
    noises: Sequence[float] = NOISES,
    resamples: int = RESAMPLES,
    steps: int = STEPS,
) -> Experiment:
    """Report the confidence of ties on every family, and compare with the truth; ``trials`` lowers their number.

    Raises:
        ValueError: ``trials`` is less than one.
    """
    start = time.perf_counter()

    def measured(family: Family, noise: float, rng: np.random.Generator) -> list[Pairs]:
        return [measure(family, noise, rng, resamples, steps)]

    problems = tables.simulated(product(families, noises), trials, seed, measured, progress)
    shown = tables.every(problems, "label_noise", "The same by the noise on labels of standard deviation 1", TRAINED)
    return Experiment("model-calibration", seed, shown, time.perf_counter() - start)


def measure(
    family: Family, noise: float, rng: np.random.Generator, resamples: int = RESAMPLES, steps: int = STEPS
) -> Pairs:
    """Solve one problem and compare each pair, of the same assignment, with the truth."""
    drawn = family.case.draw(rng, noise)
    found = discover(
        drawn.problem,
        seed=int(rng.integers(2**31)),
        resamples=resamples,
        lr=RATE,
        steps=steps,
        refit_steps=1,  # of the final fits: only the partitions are wanted
    )
    assert found.confidence is not None
    parts = [compared(found.confidence[name], truth.labels.ravel()) for name, truth in drawn.truth.items()]
    return Pairs(family.kind, family.name, family.held_out, noise, **_joined(parts))


def _joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
