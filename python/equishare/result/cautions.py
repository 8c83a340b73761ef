"""What to beware of in an answer, a sentence each."""

from __future__ import annotations

import numpy as np

from equishare.result.view import ParameterView, View

#: A p-value above it tells no dependence.
SIGNIFICANCE = 0.05
# Values nearer than so many standard errors may be one.
_NEAR = 2.0
# From these log odds on entries may be spread about one value and not in groups, or are. Of simulated weights and means
# of three values up to six in ten pass the first, where samples are few, and hardly any the second.
_CONTINUUM, _CLEAR_CONTINUUM = 5.0, 10.0
# Standard errors of entries in one unit seldom differ by more than so many times.
_UNITS = 30.0
# Part of the variance that rounding leaves of exact sums.
_EXACT = 1e-12
# Of a loss whose standard error is not known, a difference of this part is noise.
_NOISE = 0.02


def cautions(view: View) -> tuple[str, ...]:
    """Sentences that say what limits an answer, the gravest first; none where nothing was noticed."""
    quality = view.quality
    found = []
    if not view.complete:
        found.append("The search was interrupted: this is the best pattern until then.")
    if not view.settled:
        found.append("The loss was still falling at the end of the longest fit: more steps may change the answer.")
    if quality.dependence > SIGNIFICANCE:
        equal = "effects" if view.parameters[0].noun == "level" else "weights"
        told = f"{equal} may be equal only because all are zero"
        if view.is_of_model:
            told = "the pattern may be one of noise"
        found.append(f"The test that no output depends on any input gives p = {quality.dependence:.2g}: {told}.")
    elif quality.r_squared < 0:
        found.append("R² is negative: the validation samples are predicted worse than by their mean.")
    elif quality.r_squared > 1 - _EXACT:
        found.append("R² is 1: the outputs are exact sums of the inputs. Is one of them among the inputs?")
    found += quality.notes
    excess = view.validation_loss - view.no_sharing_loss
    error = quality.loss_error if np.isfinite(quality.loss_error) else _NOISE / 2 * abs(view.no_sharing_loss)
    ties = any(one.partition.num_groups < one.partition.labels.size for one in view.parameters)
    if excess > 2 * error and ties:
        found.append("The validation loss is higher than without sharing: entries may be tied that differ.")
    found += _of_units(view)
    for one in view.parameters:
        found += _of_values(one)
    return tuple(dict.fromkeys(found))  # parameters may have the same to be wary of


def _of_units(view: View) -> list[str]:
    """Ties of entries that seem to have different units; levels of a factor differ by how often they occur."""
    one, errors = view.parameters[0], view.quality.unshared_errors
    if len(view.parameters) > 1 or errors is None or one.noun == "level":
        return []
    labels, count = one.partition.labels.ravel(), one.partition.num_groups
    low, high = np.full(count, np.inf), np.zeros(count)
    np.minimum.at(low, labels, errors.ravel())
    np.maximum.at(high, labels, errors.ravel())
    group = int(np.argmax(np.divide(high, low, out=np.zeros(count), where=low > 0)))
    if high[group] <= _UNITS * low[group]:
        return []
    return [
        f"Group {group} ties {one.noun}s in very different units: alone they have standard errors of {low[group]:.2g} "
        f"to {high[group]:.2g}. Equal values mean little there: divide each column by its standard deviation first."
    ]


def _of_values(one: ParameterView) -> list[str]:
    """Groups that may be one, and groups that are cut from a continuum; not where a symmetry tells them apart."""
    errors = one.errors
    if one.values is None or errors is None or one.symmetry_probability >= 0.5:
        return []
    order = np.argsort(one.values)
    steps = np.diff(one.values[order])
    near = np.flatnonzero(steps < _NEAR * np.hypot(errors[order[:-1]], errors[order[1:]]))
    found = []
    if len(near):
        a, b = sorted(order[near[0] : near[0] + 2].tolist())
        more = f", and of {len(near) - 1} more pair{'s' * (len(near) > 2)}," if len(near) > 1 else ""
        whose = "" if one.name is None else f" of {one.name}"
        found.append(f"The values of groups {a} and {b}{more}{whose} lie within two standard errors: they may be one.")
    continuum = -np.inf if one.belief is None else one.belief.continuum_log_odds
    if continuum > _CLEAR_CONTINUUM:
        found.append(
            "The values are rather a continuum than a few numbers: the groups cut it where these samples happen to, "
            "and more samples would find more groups."
        )
    elif continuum > _CONTINUUM:
        found.append(
            "These samples do not tell whether the values are a few numbers or a continuum: more samples may find more "
            "groups."
        )
    return found
