"""Whether a symmetry holds, holds nearly, or cannot be told: the odds of the evidence, calibrated.

The log odds of :class:`equishare.problems.answers.Belief` become a probability by the curve of
:mod:`equishare.search.posterior`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from equishare.partition import Partition
from equishare.problems.answers import Belief
from equishare.search import posterior
from equishare.symmetry import SymmetryGroup, part_of_symmetry, symmetry_group
from equishare.symmetry.boundary import SHIFTS

# Beyond it a probability is told as "above".
_SURE = 0.999


def symmetry_probability(belief: Belief) -> float:
    """Probability that the symmetry judged is contained in that of the truth; NaN where none was looked for."""
    if belief.guess is None and not math.isnan(belief.symmetry_log_odds):
        return 0.0
    if belief.symmetry_chance is not None:
        return belief.symmetry_chance
    return posterior.probability(belief.symmetry_log_odds, belief.rival_log_odds)


def shift_probability(belief: Belief) -> float:
    """Probability that shifts up to the boundary tie what they tie in the partition; NaN where they tie nothing."""
    return posterior.probability(belief.shift_log_odds)


def judged(
    partition: Partition, belief: Belief, same_action: bool, covariance: bool = False, is_seen: bool = True
) -> SymmetryGroup:
    """The group of a partition with its verdict, and an explanation that says it first.

    Where only a part of the symmetry is sure, that of a finer pattern, it is that part. A group of entries along one
    axis, such as means, where no symmetry is looked for, is as exact as its ties: none where ``is_seen`` is False, as
    the data do not show that any entry differs from zero. That of the same permutations of outputs and inputs is part
    of the group that was judged, so it is at least as probable; of a covariance it is what was judged. Shifts up to the
    boundary have a probability of their own.
    """
    probability, shifts = symmetry_probability(belief), shift_probability(belief)
    if math.isnan(probability):
        probability = shifts  # of a parameter too large for its permutations to be judged, they are those of its shifts
    group, whole = symmetry_group(partition, same_action=same_action, covariance=covariance), ""
    wider = group.extension
    holds = not group.is_trivial and (is_seen if math.isnan(probability) else probability >= 0.5)
    if holds and belief.guess is not None and partition != Partition(belief.guess):
        part = part_of_symmetry(partition, Partition(belief.guess), same_action, covariance)
        if part is None or part.order != group.order:
            whole = f" The pattern has all of {group.name}, which these data do not make sure."
        group, holds = (group, False) if part is None else (part, not part.is_trivial)
    verdict = "approximate" if belief.spread else "exact"
    sure = wider is not None and shifts >= 0.5
    if sure and not holds:
        group = _identity(partition, same_action)
    if wider is not None:
        own = (verdict, shifts) if sure else ("none", math.nan)
        group = replace(group, extension=replace(wider, verdict=own[0], probability=own[1]))
    if not holds and not sure:
        return replace(group, verdict="none", explanation=_none(group, belief, (probability, shifts), covariance))
    sentences = [_of_group(group, verdict, probability, covariance) + whole] if holds else []
    if group.extension is not None:
        sentences.insert(0 if sure else 1, _of_shifts(group.extension, shifts))
    if belief.spread:
        sentences.append(f"The entries of a group scatter by {belief.spread:.2g} about its value.")
    probability = probability if holds else shifts
    return replace(group, verdict=verdict, probability=probability, explanation=" ".join(sentences))


def not_judged(group: SymmetryGroup, is_seen: bool) -> SymmetryGroup:
    """The group of a pattern whose evidence was not asked; none where the data show no dependence at all."""
    if is_seen:
        return group
    if group.is_trivial:
        return replace(group, verdict="none")
    told = f"No symmetry can be told from these data. That of the pattern is {group.name}."
    return replace(group, verdict="none", explanation=told)


def _identity(partition: Partition, same_action: bool) -> SymmetryGroup:
    distinct = Partition(np.arange(len(partition)).reshape(partition.shape))
    group = part_of_symmetry(partition, distinct, same_action)
    assert group is not None
    return group


def _of_group(group: SymmetryGroup, verdict: str, probability: float, covariance: bool) -> str:
    action = group.explanation.removeprefix(f"{group.name}: ")
    if group.extension is not None:
        action = action.removesuffix(f" {group.extension.explanation}")
    if not math.isnan(probability):
        least = "at least " if group.same_action and not covariance and probability <= _SURE else ""
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


def name_of_guess(belief: Belief, covariance: bool = False) -> str | None:
    """Name of the symmetry that is judged; None where none was found.

    Args:
        belief: with the guess.
        covariance: whether it is of a covariance.

    Raises:
        ImportError: igraph or sympy are not installed.
    """
    return None if belief.guess is None else symmetry_group(belief.guess, covariance=covariance).name


def percent(probability: float) -> str:
    """A probability in words: ``93.1 %``, ``above 99.9 %``, ``below 0.1 %``."""
    if probability > _SURE:
        return f"above {100 * _SURE:.1f} %"
    return f"{100 * probability:.1f} %" if probability >= 1 - _SURE else f"below {100 - 100 * _SURE:.1f} %"


def _none(group: SymmetryGroup, belief: Belief, probabilities: tuple[float, float], covariance: bool) -> str:
    probability, shifts = probabilities
    sentences = [group.explanation]
    if group.extension is not None:
        sentences = [group.explanation.removesuffix(f" {group.extension.explanation}")]
    if probability < 0.5 or (math.isnan(probability) and not group.is_trivial):
        sentences = ["No symmetry can be told from these data."]
        guess = name_of_guess(belief, covariance)
        if guess is not None:
            sentences.append(f"The best guess is {guess}, with probability {percent(probability)}.")
    elif belief.guess is not None and Partition(belief.guess) != group.partition:
        # That of the pattern is the identity. Else its symmetry permutes outputs and inputs differently.
        sentences.append(
            f"Nearly as good a pattern has the symmetry {name_of_guess(belief, covariance)}, which holds with "
            f"probability {percent(probability)}."
        )
    if group.extension is not None:
        sentences.append(_of_shifts(group.extension, shifts))
    return " ".join(sentences)
