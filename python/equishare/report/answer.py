"""The answer in words: how sure it is, what symmetry there is, what is shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equishare.report.parameter import Parameter, unnamed
from equishare.report.words import counted, number
from equishare.result.cautions import SIGNIFICANCE
from equishare.result.verdict import percent
from equishare.result.view import View

# So many names of a group are listed.
_MAX_LISTED = 6


def answer(view: View, parameter: Parameter) -> str:
    """What was found, as sentences for somebody who has never heard of it; the first says how sure it is."""
    sentences = []
    if view.quality.dependence > SIGNIFICANCE and parameter.name == view.parameters[0].name:  # of all, so said once
        sentences.append("Nothing can be told from these data: the outputs are not seen to depend on the inputs.")
    shared = _shared(parameter)
    if parameter.noun == "level":
        return " ".join([*sentences, shared, *_ties(parameter)])
    group = parameter.group
    if group is None:
        return " ".join([*sentences, shared, *_ties(parameter), f"The symmetry is {unnamed()}."])
    of = "of " if group.name.startswith("order") else ""
    if sentences and group.verdict == "none":
        return " ".join([*sentences, shared])
    if parameter.belief is None or parameter.is_of_ties:
        told = f"The symmetry group of the pattern is {of}{group.explanation}".replace(f", {group.verdict}:", ":", 1)
        return " ".join([*sentences, shared, *_ties(parameter), told])
    is_named = group.explanation.startswith(group.name)
    symmetry = f"{f'The symmetry is {of}' if is_named else ''}{group.explanation}"
    return " ".join([*sentences, symmetry, shared, *_ties(parameter)])


def brief(view: View, parameters: Sequence[Parameter]) -> str:
    """The answer in a line: ``36 weights in 4 groups, D_6 exact 95.8 %, R² 0.806``."""
    told = []
    for one in parameters[:_MAX_LISTED]:
        counts = f"{counted(one.count, one.noun)} in {counted(one.partition.num_groups, 'group')}"
        told.append(counts if one.name is None else f"{one.name}: {counts}")
        if one.group is None or one.is_of_ties or len(parameters) > 1:
            continue
        found = one.group.verdict != "none" and not one.group.is_trivial
        kinds = [(one.group.name, one.group.verdict, one.symmetry_probability)] if found else []
        if one.group.extension is not None and one.group.extension.verdict != "none":
            kinds.append(("shifts up to the boundary", one.group.extension.verdict, one.group.extension.probability))
        for name, verdict, probability in kinds:
            sure = "" if np.isnan(probability) else f" {percent(probability)}"
            told.append(f"{name} {'of the pattern' if one.belief is None else f'{verdict}{sure}'}")
        if not kinds:
            told.append("no symmetry")
    if len(parameters) > _MAX_LISTED:
        told.append(f"and {counted(len(parameters) - _MAX_LISTED, 'more parameter')}")
    if np.isfinite(view.quality.r_squared):
        told.append(f"R² {view.quality.r_squared:.3f}")
    return ", ".join(told)


def members(parameter: Parameter, group: int, most: int = _MAX_LISTED) -> str:
    """The entries of a group by name, or by number: ``apples, pears``, ``flow1 ← temp_n, …``."""
    labels = parameter.partition.labels
    where = np.argwhere(labels == group)
    if parameter.is_covariance:  # an entry and its mirror image are one
        where = where[where[:, 0] <= where[:, 1]]
    listed = [entry(parameter, place.tolist()) for place in where[:most]]
    return ", ".join(listed) + (", …" if len(where) > most else "")


def entry(parameter: Parameter, place: list[int]) -> str:
    """What an entry is called: the name of its column, ``output ← input`` of a map, ``one with other`` of variables."""
    names = parameter.labels or ((),) * len(place)
    words = [own[i] if own else str(i) for own, i in zip(names, place, strict=True)]
    if len(words) == 2 and parameter.noun == "weight":
        return " ← ".join(words)
    if parameter.is_covariance:
        return words[0] if place[0] == place[1] else f"{words[0]} with {words[1]}"
    return words[0] if len(words) == 1 else f"({', '.join(words)})"


def value(parameter: Parameter, group: int, errors: np.ndarray | None) -> str:
    """The value of a group with its standard error: ``−0.03 ± 0.01``."""
    if parameter.values is None:
        return ""
    if errors is None or not errors[group] > 0:
        return number(parameter.values[group])
    digits = int(np.clip(1 - np.floor(np.log10(errors[group])), 0, 12))
    if digits == 12 or abs(parameter.values[group]) >= 1e7:
        return f"{parameter.values[group]:.3g} ± {errors[group]:.2g}"
    rounded = round(float(parameter.values[group]), digits) + 0.0  # no minus before a zero
    return f"{rounded:.{digits}f} ± {errors[group]:.{digits}f}"


def _shared(parameter: Parameter) -> str:
    partition = parameter.partition
    whose = "" if parameter.name is None else f" of {parameter.name}"
    if len(partition.shape) == 2 and parameter.noun == "weight":
        outputs, inputs = partition.shape
        whose = f" from {counted(inputs, 'input')} to {counted(outputs, 'output')}"
    size = counted(parameter.count, parameter.noun)
    if partition.num_groups == parameter.count:
        return f"No tie is told: each of the {size}{whose} has a value of its own."
    if partition.num_groups == 1 and parameter.noun == "level":
        return f"The {size}{whose} have the same effect, as far as can be told: {parameter.name} drops out."
    if parameter.is_covariance:
        whose = f"{whose} of {counted(len(partition.labels), 'variable')}"
    if partition.num_groups == 1:
        return f"The {size}{whose} {'all lie about' if parameter.is_scattered else 'are all'} one value."
    noun = "value" if parameter.noun != "slice" else "slice"
    do = "lie about" if parameter.is_scattered else "share"
    return f"The {size}{whose} {do} {counted(partition.num_groups, f'different {noun}')}."


def _ties(parameter: Parameter) -> list[str]:
    """How many ties are sure; nothing where that was not asked."""
    if parameter.confidence is None:
        return []
    sure, ties = parameter.confidence.sure_ties()
    if not ties:
        return []
    if parameter.confidence.curves.of_draws:  # they seldom make one sure: of levels some may nearly coincide
        chances = parameter.confidence.groups[parameter.group_sizes > 1]
        low, high = percent(float(chances.min())), percent(float(chances.max()))
        told = [f"A tie is {low if low == high else f'{low} to {high}'} probable, by group."]
        if chances.min() < 0.5:
            told.append("Below 50 % levels stand together only because these samples do not tell them apart.")
        return told
    many = {0: "none is", 1: "1 is"}.get(sure, f"{sure:,} are")
    return [f"Of {counted(ties, 'tie')}, {many} at least 95 % probable ({parameter.confidence.counted})."]
