"""A discovery as plain data: all that reports and figures may read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equishare.partition import Partition
from equishare.problems.answers import About, Belief, Predictor, Quality
from equishare.result.confidence import Confidence
from equishare.result.origin import Origin


@dataclass(frozen=True, eq=False)
class ParameterView:
    """One shared parameter.

    Attributes:
        name: its name; None where there is one alone and it has none.
        partition: which entries share a value.
        values: (G,) value of each group; None for slices, which hold several numbers each, and where not known.
        noun: what one entry is.
        confidence: how sure the partition is; None where that was not asked for.
        belief: what else the evidence says; None where it was not asked.
        symmetry_probability: of the symmetry that the belief judges, or of its guess; NaN where none was looked for.
        labels: what the data call the entries along each axis; empty, or empty along an axis, where they have no names.
        errors: (G,) standard errors of the values; None where they are not known.
    """

    name: str | None
    partition: Partition
    values: np.ndarray | None
    noun: str
    confidence: Confidence | None = None
    belief: Belief | None = None
    symmetry_probability: float = math.nan
    labels: tuple[tuple[str, ...], ...] = ()
    errors: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class View:
    """A discovery.

    Attributes:
        parameters: what is shared.
        num_groups: of the answer; those of parameters that are tied alike count once.
        bias: of a map, or None.
        validation_loss, no_sharing_loss, method, seed, history, complete, settled, is_of_model, about, origin, quality,
            predictor: as in :class:`equishare.Discovery`.
    """

    parameters: tuple[ParameterView, ...]
    num_groups: int
    bias: np.ndarray | None
    validation_loss: float
    no_sharing_loss: float
    method: str
    seed: int
    history: dict[str, np.ndarray]
    complete: bool
    settled: bool
    is_of_model: bool
    about: About
    origin: Origin | None
    quality: Quality
    predictor: Predictor | None = None
