"""Whether a symmetry holds, holds nearly, or cannot be told: the odds of the evidence, calibrated.

The log odds of :class:`equishare.problems.base.Belief` become a probability by the curve of
:mod:`equishare.search.posterior`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from equishare.partition import Partition
from equishare.problems.base import Belief
from equishare.result import calibration
from equishare.search import posterior
from equishare.symmetry import SymmetryGroup, part_of_symmetry, symmetry_group
from equishare.symmetry.boundary import SHIFTS

# Beyond it a probability is told as "above".
_SURE = 0.999


def symmetry_probability(belief: Belief) -> float:
    """Probability that the symmetry judged is contained in that of the truth; NaN where none was looked for."""
    if belief.guess is None and not math.isnan(belief.symmetry_log_odds):
        return 0.0
    return _probability(belief.symmetry_log_odds)


def shift_probability(belief: Belief) -> float:
    """Probability that shifts up to the boundary tie what they tie in the partition; NaN where they tie nothing."""
    return _probability(belief.shift_log_odds)


def _probability(log_odds: float) -> float:
    return float(calibration.probability(np.array([log_odds]), posterior.CURVE))


def judged(partition: Partition, belief: Belief, same_action: bool) -> SymmetryGroup:
    """The group of a partition with its verdict, and an explanation that says it first.

    Where only a part of the symmetry is sure, that of a finer pattern, it is that part. A group of means, where no
    symmetry is looked for, is as exact as its ties. That of the same permutations of outputs and inputs is part of the
    group that was judged, so it is at least as probable. Shifts up to the boundary have a probability of their own.
    """
    probability, shifts = symmetry_probability(belief), shift_probability(belief)
    group, whole = symmetry_group(partition, same_action=same_action), ""
    wider = group.extension
    if probability >= 0.5 and not group.is_trivial and partition != Partition(belief.guess):
        part = part_of_symmetry(partition, Partition(belief.guess), same_action)
        if part is not None:
            whole = f" The pattern has all of {group.name}, which these data do not make sure."
            group = part
    holds = not group.is_trivial and not probability < 0.5
    verdict = "approximate" if belief.spread else "exact"
    sure = wider is not None and shifts >= 0.5
    if wider is not None:
        group = replace(group, extension=replace(wider, verdict=verdict if sure else "none"))
    if not holds and not sure:
        return replace(group, verdict="none", explanation=_none(group, belief, probability))
    sentences = [_of_group(group, verdict, probability) + whole] if holds else []
    if group.extension is not None:
        sentences.insert(0 if sure else 1, _of_shifts(group.extension, shifts))
    if belief.spread:
        sentences.append(f"The entries of a group scatter by {belief.spread:.2g} about its value.")
    return replace(group, verdict=verdict, explanation=" ".join(sentences))


def _of_group(group: SymmetryGroup, verdict: str, probability: float) -> str:
    action = group.explanation.removeprefix(f"{group.name}: ")
    if group.extension is not None:
        action = action.removesuffix(f" {group.extension.explanation}")
    if not math.isnan(probability):
        least = "at least " if group.same_action and probability <= _SURE else ""
        action = f"{_holds(verdict)} with probability {least}{percent(probability)}. {action[:1].upper()}{action[1:]}"
    return f"{group.name}, {verdict}: {action}"


def _of_shifts(closed: SymmetryGroup, probability: float) -> str:
    if closed.verdict == "none":
        judged = "not judged" if math.isnan(probability) else f"probable to {percent(probability)}"
        return f"{closed.explanation} This is {judged}."
    action = closed.explanation.removeprefix(SHIFTS).strip(": ")
    start = f"{SHIFTS}, {closed.verdict}: {_holds(closed.verdict)} with probability {percent(probability)}."
    return f"{start} {action[:1].upper()}{action[1:]}"


def _holds(verdict: str) -> str:
    return "it holds nearly," if verdict == "approximate" else "it holds"


def name_of_guess(belief: Belief) -> str | None:
    """Name of the symmetry that is judged; None where none was found.

    Raises:
        ImportError: igraph or sympy are not installed.
    """
    return None if belief.guess is None else symmetry_group(belief.guess).name


def percent(probability: float) -> str:
    """A probability in words: ``93.1 %``, ``above 99.9 %``, ``below 0.1 %``."""
    if probability > _SURE:
        return f"above {100 * _SURE:.1f} %"
    return f"{100 * probability:.1f} %" if probability >= 1 - _SURE else f"below {100 - 100 * _SURE:.1f} %"


def _none(group: SymmetryGroup, belief: Belief, probability: float) -> str:
    if math.isnan(probability):
        return group.explanation
    guess = name_of_guess(belief)
    if probability < 0.5:
        sentence = "No symmetry can be told from these data."
        if guess is not None:
            sentence += f" The best guess is {guess}, with probability {percent(probability)}."
        if group.extension is not None:
            shifts = shift_probability(belief)
            sure = "is not judged" if math.isnan(shifts) else f"holds with probability {percent(shifts)}"
            sentence += (
                f" The pattern has shift structure up to its boundary, which {sure}: closed to a ring or torus "
                f"it has group {group.extension.name}."
            )
        return sentence
    if Partition(belief.guess) == group.partition:
        return group.explanation  # its symmetry permutes outputs and inputs differently
    return (
        f"{group.explanation} Nearly as good a pattern has the symmetry {guess}, "
        f"which holds with probability {percent(probability)}."
    )
