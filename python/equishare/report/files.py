"""A discovery as files that other programs and a person can open."""

from __future__ import annotations

import json
import math
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from equishare.extras import installing
from equishare.files import made_folder, written_whole
from equishare.report.parameter import parameter_named
from equishare.result.cautions import cautions
from equishare.result.confidence import Confidence
from equishare.result.verdict import name_of_guess, shift_probability
from equishare.result.view import ParameterView, View
from equishare.symmetry import SymmetryGroup
from equishare.symmetry.structure import decimal_digits

#: What :func:`write_files` writes.
FILES = ("report.html", "labels.npy", "labels.json", "pattern.png", "history.png")


def require_matplotlib() -> None:
    """Raise ImportError with the remedy where matplotlib or jinja2, which make figures and pages, are missing."""
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"figures and reports need matplotlib and jinja2, and {' and '.join(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} not installed: {installing('plot')}"
        )


def write_files(view: View, folder: str | os.PathLike[str], group: SymmetryGroup | None = None) -> list[Path]:
    """Write the report, the labels and two pictures of the one parameter of a discovery; each file whole or not at all.

    - ``report.html``: see :meth:`equishare.Discovery.report`.
    - ``labels.npy``: group of each entry, int64, in the shape of the parameter.
    - ``labels.json``: the same with the names of the entries, values and their standard errors, sizes, losses, R², the
      p-value of the test of any dependence, warnings, method, seed and version; how far entries scatter about the value
      of their group, and how sure groups and entries are, where that is known. Where a group is given, its verdict,
      probability, log odds, name, order (a string), generators (pairs of permutations, of outputs and of inputs),
      closure gap and explanation, the name of the best guess, and the same of shifts up to the boundary. Name and order
      are null where no group was found. Of several parameters, such as factors, these are the first one's, and
      ``parameters`` holds labels, names, sizes and values of each by name. Infinite numbers, and those that are not
      known, are null.
    - ``pattern.png``, ``history.png``: as :meth:`equishare.Discovery.plot_pattern` and ``plot_history`` draw them.

    The folder is made if it is missing.

    Returns:
        The paths written.

    Raises:
        ImportError: matplotlib or jinja2 are not installed.
        OSError: the folder cannot be made or written.
    """
    require_matplotlib()
    from equishare.report.figures import HISTORY_SIZE, draw_history, draw_pattern, new_axes, pattern_size
    from equishare.report.page import write_report

    folder = made_folder(folder)
    with written_whole(folder / "labels.npy") as path:
        np.save(path, view.parameters[0].partition.labels)
    with written_whole(folder / "labels.json") as path:
        path.write_text(document(view, group) + "\n", encoding="utf-8")
    parameter = parameter_named(view, view.parameters[0].name)
    axes = {"pattern": new_axes(pattern_size(parameter)), "history": new_axes(HISTORY_SIZE)}
    draw_pattern(axes["pattern"], parameter)
    draw_history(axes["history"], view)
    for name, one in axes.items():
        with written_whole(folder / f"{name}.png") as path:
            one.figure.canvas.print_figure(path, bbox_inches="tight")
    write_report(view, folder / "report.html", {} if group is None else {None: group})
    return [folder / name for name in FILES]


def document(view: View, group: SymmetryGroup | None) -> str:
    """What ``labels.json`` holds."""
    one, quality = view.parameters[0], view.quality
    found: dict[str, object] = {
        "version": version("equishare"),
        "method": view.method,
        "seed": view.seed,
        "num_groups": one.partition.num_groups,
        "names": _names(one),
        "group_sizes": one.partition.group_sizes.tolist(),
        "values": None if one.values is None else one.values.tolist(),
        "value_errors": None if one.errors is None else one.errors.tolist(),
        "bias": None if view.bias is None else view.bias.tolist(),
        "validation_loss": _finite(view.validation_loss),
        "no_sharing_loss": _finite(view.no_sharing_loss),
        "r_squared": _finite(quality.r_squared),
        "dependence": _finite(quality.dependence),
        "warnings": cautions(view),
        "spread": None if one.belief is None else one.belief.spread,
        "spread_interval": None if one.belief is None else [_finite(end) for end in one.belief.spread_interval],
        "symmetry": None if group is None else _symmetry(group, one),
        "labels": one.partition.labels.tolist(),
    }
    if one.confidence is not None:
        found["confidence"] = _confidence(one.confidence)
    if view.predictor is not None and view.predictor.numeric:
        found["numeric"] = view.predictor.weights
    if one.name is not None:
        found["parameters"] = {own.name: _parameter(own) for own in view.parameters}
    return json.dumps(found)


def _parameter(one: ParameterView) -> dict[str, object]:
    return {
        "num_groups": one.partition.num_groups,
        "names": _names(one),
        "group_sizes": one.partition.group_sizes.tolist(),
        "values": None if one.values is None else one.values.tolist(),
        "value_errors": None if one.errors is None else one.errors.tolist(),
        "labels": one.partition.labels.tolist(),
        **({} if one.confidence is None else {"confidence": _confidence(one.confidence)}),
    }


def _names(one: ParameterView) -> dict[str, tuple[str, ...] | None] | None:
    """The names of the entries along each axis, null along one that has none."""
    if not one.labels:
        return None
    if one.noun == "covariance":
        return {"variables": one.labels[0]}
    axes = ("outputs", "inputs") if len(one.labels) == 2 else ("entries",)
    return {axis: own or None for axis, own in zip(axes, one.labels, strict=True)}


def _confidence(confidence: Confidence) -> dict[str, object]:
    sure, ties = confidence.sure_ties()
    return {
        "resamples": confidence.num_resamples,
        "ties": ties,
        "ties_at_95": sure,
        "groups": _without_nan(confidence.groups),
        "entries": _without_nan(confidence.entries),
    }


def _without_nan(array: np.ndarray) -> object:
    # JSON has no NaN; entries that are a group of their own have no ties.
    return np.where(np.isnan(array), np.array(None), array.astype(object)).tolist()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity either


def _symmetry(group: SymmetryGroup, one: ParameterView) -> dict[str, object]:
    is_found = group.verdict != "none" and not group.is_trivial
    return {
        "verdict": None if one.belief is None else group.verdict,
        "probability": _finite(one.symmetry_probability if math.isnan(group.probability) else group.probability),
        "log_odds": None if one.belief is None else _finite(one.belief.symmetry_log_odds),
        "guess": None if one.belief is None else name_of_guess(one.belief, one.noun == "covariance"),
        "name": group.name if is_found else None,
        "order": decimal_digits(group.order) if is_found else None,
        "generators": [[p.tolist() for p in generator] for generator in group.generators if is_found],
        "closure_gap": group.closure_gap,
        "shifts": _shifts(group, one),
        "explanation": group.explanation,
    }


def _shifts(group: SymmetryGroup, one: ParameterView) -> dict[str, object] | None:
    if group.extension is None or one.belief is None:
        return None
    return {
        "verdict": group.extension.verdict,
        "probability": _finite(shift_probability(one.belief)),
        "log_odds": _finite(one.belief.shift_log_odds),
        "closed": group.extension.name,
    }
