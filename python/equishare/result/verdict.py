"""Whether a symmetry holds, holds nearly, or cannot be told: the odds of the evidence, calibrated.

The log odds ℓ of :class:`equishare.problems.base.Belief` compare the candidates that the search saw. They are too sure
where it saw few of those that contradict the symmetry. The probability is

    1 / (1 + exp(−a − b ℓ)),    ℓ within ±100,

with a and b fitted to simulated problems whose symmetry is known (``equishare reproduce invention``).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.special import expit

from equishare.problems.base import Belief
from equishare.symmetry import SymmetryGroup, symmetry_group

#: Offset and slope of the curve.
CURVE = (0.0, 1.0)
_MOST = 100.0


def symmetry_probability(belief: Belief) -> float:
    """Probability that the symmetry judged is contained in that of the truth; NaN where none was looked for."""
    if math.isnan(belief.symmetry_log_odds):
        return math.nan
    if belief.guess is None:
        return 0.0
    offset, slope = CURVE
    return float(expit(offset + slope * np.clip(belief.symmetry_log_odds, -_MOST, _MOST)))


def judged(group: SymmetryGroup, belief: Belief) -> SymmetryGroup:
    """The group of a partition with its verdict, and an explanation that says it first."""
    probability = symmetry_probability(belief)
    if math.isnan(probability):
        verdict = "none" if group.is_trivial else "approximate" if belief.spread else "exact"
        return replace(group, verdict=verdict)
    if group.is_trivial or probability < 0.5:
        return replace(group, verdict="none", explanation=_none(belief, probability))
    near = f", nearly: weights of an orbit differ by {belief.spread:.2g} (standard deviation)" if belief.spread else ""
    sentence = f"{group.explanation} It holds with probability {_percent(probability)}{near}."
    return replace(group, verdict="approximate" if belief.spread else "exact", explanation=sentence)


def _none(belief: Belief, probability: float) -> str:
    sentence = "No symmetry can be told from these data."
    if belief.guess is None:
        return sentence
    guess = symmetry_group(belief.guess).name
    return f"{sentence} The best guess is {guess}, with probability {_percent(probability)}."


def _percent(probability: float) -> str:
    return "above 99.9 %" if probability > 0.999 else "below 0.1 %" if probability < 0.001 else f"{probability:.1%}"
