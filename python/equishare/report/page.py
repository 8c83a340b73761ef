"""The report: one HTML file that tells what was found, opens offline and asks nothing of any network.

The same parts are what a notebook shows of a discovery.
"""

from __future__ import annotations

import os
from functools import cache, partial
from importlib.metadata import version

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from equishare.files import written_whole
from equishare.report.answer import answer, members, value
from equishare.report.covariance_figure import covariance_size, draw_covariance
from equishare.report.cycles import cycle_notation
from equishare.report.figures import (
    ESTIMATES_SIZE,
    HISTORY_SIZE,
    draw_estimates,
    draw_history,
    draw_pattern,
    pattern_size,
)
from equishare.report.grid import NO_GROUP
from equishare.report.group_figure import draw_group, group_size, ring_names
from equishare.report.history import curve_of
from equishare.report.levels_figure import draw_levels, levels_size
from equishare.report.parameter import MAX_SIDE, Parameter, estimates_of, parameters_of
from equishare.report.svg import inline_svg
from equishare.report.words import counted, number, p_value, scatter
from equishare.result.cautions import cautions
from equishare.result.verdict import percent
from equishare.result.view import ParameterView, View
from equishare.symmetry import SymmetryGroup

# Of a longer history rows at even distances are shown; a longer pattern as a table is read by a program.
_MAX_ROWS = 100
_MAX_TABLE_CELLS = 4096
_MAX_LISTED, _MAX_CYCLES = 40, 400
# A notebook draws no larger pattern.
_MAX_NOTEBOOK_SIDE = 64
_COLUMNS = {
    "num_groups": "groups",
    "validation_loss": "validation loss",
    "entropy": "entropy of the assignment",
    "column_norm": "column norm of the assignment",
}


def write_report(view: View, path: str | os.PathLike[str], groups: dict[str | None, SymmetryGroup]) -> None:
    """Write the report, whole or not at all.

    Args:
        view: what was found.
        path: the file, ending in .html.
        groups: its symmetry by the parameter's name, None for that of a map or of means; without those that could not
            be computed.

    Raises:
        ValueError: path does not end in .html.
        OSError: the file cannot be written.
    """
    if not str(path).endswith(".html"):
        raise ValueError(f"path must end in .html, got {os.fspath(path)!r}")
    parameters = parameters_of(view, groups)
    data = None if view.origin is None else view.origin.data
    page = _rendered(
        "page.html",
        view,
        parameters,
        title="What is shared" if data is None else f"What is shared in {data}",
        documents=[one.document() for one in parameters],
        history=_history(view),
        tried=_tried(view),
        facts=_facts(view),
        usage=_usage(view, parameters),
        version=version("equishare"),
    )
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def notebook_html(view: View, groups: dict[str | None, SymmetryGroup]) -> str:
    """The answer, what to beware of, the pattern and its groups, as a piece of a page without scripts."""
    return _rendered("notebook.html", view, parameters_of(view, groups), picture=_pattern_picture)


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("equishare.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Scripts read finite numbers, which keep all their digits.
    found.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    found.globals |= {"counted": counted, "number": number, "max_listed": _MAX_LISTED}
    functions = (_suffix, _group_header, _group_rows, _pattern_words, _pattern_table, _estimates, _covariance, _levels)
    found.globals |= {function.__name__.removeprefix("_"): function for function in (*functions, _rings, _cycles)}
    return found


def _rendered(template: str, view: View, parameters: list[Parameter], **more: object) -> str:
    answers = [answer(view, one) for one in parameters]
    common = {"view": view, "parameters": parameters, "answers": answers, "cautions": cautions(view)}
    return _templates().get_template(template).render(**common, **more)


def _suffix(parameter: ParameterView) -> str:
    return "" if parameter.name is None else f" of {parameter.name}"


def _group_header(parameter: Parameter, view: View) -> list[str]:
    told = "value" if parameter.errors is None else "value ± s.e."
    return [
        "group",
        *([told] if parameter.values is not None else []),
        *(["probability"] if parameter.confidence is not None else []),
        parameter.counted_in[1],
        "which",
    ]


def _group_rows(parameter: Parameter, view: View, most: int) -> list[tuple[str, list[str]]]:
    """Colour and cells of each group, without its number."""
    sure = None if parameter.confidence is None else parameter.confidence.groups
    listed = 6 if len(parameter.partition.shape) == 1 else 3  # where they are is seen in the picture
    rows = []
    for group, size in enumerate(parameter.group_sizes[:most].tolist()):
        cells = [] if parameter.values is None else [value(parameter, group, parameter.errors)]
        if sure is not None:
            cells.append("–" if np.isnan(sure[group]) else percent(float(sure[group])))
        rows.append((parameter.colours[group], [*cells, f"{size:,}", members(parameter, group, listed)]))
    return rows


def _pattern_words(parameter: Parameter) -> str:
    """How the picture of the pattern is read, and what it leaves out."""
    rows, columns = parameter.grid.shape
    same = f"hold {'nearly ' if parameter.is_scattered else ''}the same value"
    words = f"Cells of one number and colour {same if parameter.noun != 'slice' else 'are equal slices'}."
    if parameter.values is not None and parameter.partition.num_groups > 1:
        words += " Colours run from dark (low value) to light (high)."
    if len(parameter.partition.shape) == 1 and rows > 1:
        words += f" They are wrapped into rows of {columns}."
    if parameter.is_cut:
        shape = " × ".join(map(str, parameter.partition.shape))
        words += (
            f" The pattern ({shape}) is larger than this page shows: here are its first {rows} rows and {columns} "
            f"columns, of at most {MAX_SIDE} each. labels.npy and d.partition.labels hold all of it."
        )
    return words


def _pattern_table(parameter: Parameter) -> tuple[list[str], list[list[str]]] | None:
    """Header and rows of the pattern as a table; None where it is too long to be read."""
    grid, axes, inner = parameter.grid, parameter.axes, parameter.partition.shape[1:]
    if grid.size > _MAX_TABLE_CELLS:
        return None
    places = [np.unravel_index(column, inner or (grid.shape[1],)) for column in range(grid.shape[1])]
    header = [", ".join(map(str, place)) for place in places]
    starts = [str(start) for start in np.arange(len(grid)) * (1 if len(axes) > 1 else grid.shape[1])]
    if len(grid) == 1 and len(axes) == 1:
        header = list(parameter.names_along(0)) or header
    if len(axes) == 2:
        starts, header = list(parameter.names_along(0)) or starts, list(parameter.names_along(1)) or header
    corner = " \\ ".join([axes[0], " ".join(axes[1:])]) if len(axes) > 1 else "first entry"
    cells = [["" if label == NO_GROUP else str(label) for label in row] for row in grid.tolist()]
    return [corner, *header], [[start, *row] for start, row in zip(starts, cells, strict=True)]


def _estimates(parameter: Parameter, view: View, index: int) -> str | None:
    """The picture of the unshared estimates; None where they are not known."""
    known = estimates_of(view, parameter)
    if known is None:
        return None
    estimates, errors = known
    label = f"Estimate of each {parameter.noun} alone, beside the value that its group shares"
    draw = partial(draw_estimates, parameter=parameter, estimates=estimates, errors=errors)
    return inline_svg(draw, ESTIMATES_SIZE, label, f"estimates-{index}")


def _covariance(parameter: Parameter, index: int) -> str | None:
    """The picture of a covariance in the order of the orbits of its variables."""
    if not parameter.is_covariance or parameter.values is None:
        return None
    label = "Values shared, the variables in the order of the orbits of the symmetry"
    return inline_svg(partial(draw_covariance, parameter=parameter), covariance_size(parameter), label, f"map-{index}")


def _levels(parameter: Parameter, index: int) -> str | None:
    """The picture of the groups of a factor; None where there is one group."""
    if parameter.noun != "level" or parameter.values is None or parameter.partition.num_groups == 1:
        return None
    label = f"Value and 95 % interval of each group of levels{_suffix(parameter)}"
    return inline_svg(partial(draw_levels, parameter=parameter), levels_size(parameter), label, f"levels-{index}")


def _rings(parameter: Parameter, index: int) -> str | None:
    """The picture of the symmetry; None where there is none to be told, or where it is of ties alone."""
    group = parameter.group
    if group is None or group.is_trivial or group.verdict == "none" or parameter.is_of_ties:
        return None
    draw = partial(draw_group, group=group, labels=parameter.labels, titled=False)
    return inline_svg(draw, group_size(group), f"Generators of {group.name}, as arrows on rings", f"rings-{index}")


def _cycles(parameter: Parameter) -> list[list[tuple[str, str]]]:
    """For each generator what it permutes, and how."""
    assert parameter.group is not None
    named = parameter.labels if len(parameter.partition.shape) == 2 else ()
    axes = ring_names(parameter.group)
    names = named[: len(axes)] or ((),) * len(axes)
    return [
        [
            (what, cycle_notation(p, _MAX_CYCLES, own))
            for what, p, own in zip(axes, generator[: len(axes)], names, strict=True)
        ]
        for generator in parameter.group.generators[:_MAX_LISTED]
    ]


def _pattern_picture(parameter: Parameter, index: int) -> str | None:
    """The pattern for a notebook; None where it is too large."""
    if parameter.noun == "level":
        return _levels(parameter, index)
    if max(parameter.grid.shape) > _MAX_NOTEBOOK_SIDE:
        return None
    label = f"Pattern{_suffix(parameter)}"
    return inline_svg(
        partial(draw_pattern, parameter=parameter, legend=False),
        pattern_size(parameter, legend=False),
        label,
        f"pattern-{index}",
    )


def _history(view: View) -> str | None:
    """The picture of what decided; None where nothing was compared."""
    curve = curve_of(view)
    if len(curve.x) < 2:
        return None
    label = f"{curve.measure} against {curve.name}; found {counted(view.num_groups, 'group')}"
    return inline_svg(partial(draw_history, view=view), HISTORY_SIZE, label, "history")


def _tried(view: View) -> tuple[str, list[str], list[list[str]]] | None:
    """Words, header and rows of what was tried; None where nothing was recorded."""
    history = view.history
    length = min((len(column) for column in history.values()), default=0)
    if not length:
        return None
    rows = np.unique(np.linspace(0, length - 1, min(length, _MAX_ROWS)).round().astype(int))
    words = []
    if length > _MAX_ROWS:
        words.append(f"{len(rows)} of {length:,} rows, at even distances; discovery.npz and d.history hold all.")
    if "num_groups" in history and len(np.unique(history["num_groups"])) == length:
        words.append("The best candidate for each number of groups.")
    if "rejected" in history:
        words.append("Rejected: the pattern fits worse than chance allows (F test); it can only win if all are.")
    cells = [[_cell(column[row]) for column in history.values()] for row in rows]
    return " ".join(words), [_COLUMNS.get(name, name) for name in history], cells


def _cell(given: np.generic) -> str:
    if isinstance(given, bool | np.bool_):
        return "yes" if given else "no"
    return str(given) if isinstance(given, int | np.integer) else number(float(given))


def _facts(view: View) -> list[tuple[str, str]]:
    """The data and the fit, in names and texts."""
    about, quality, origin = view.about, view.quality, view.origin
    pairs = [] if origin is None or origin.data is None else [("file", origin.data)]
    pairs += [("question", about.question), *about.facts]
    known = about.num_train is not None and about.num_val is not None
    pairs.append(
        ("samples", f"{about.num_train:,} to fit, {about.num_val:,} to validate" if known else "number not known")
    )
    if np.isfinite(quality.r_squared):
        pairs.append(("R²", f"{quality.r_squared:.3f}, the share of the outputs' variance explained, on validation"))
    if np.isfinite(quality.dependence):
        pairs.append(
            (
                "p-value",
                f"{p_value(quality.dependence).removeprefix('= ')}, of no output depending on any input",
            )
        )
    loss, unshared = view.validation_loss, view.no_sharing_loss
    change = f" ({100 * (loss / unshared - 1):+.2g} %)".replace("-", "−") if unshared > 0 and loss != unshared else ""
    beside = f"{number(unshared)} without sharing" if np.isfinite(unshared) else "without sharing not known"
    pairs.append(("validation loss", f"{number(loss)}{change}; {beside}"))
    pairs += [
        (f"spread{_suffix(one)}", scatter(one.belief.spread, one.belief.spread_interval))
        for one in view.parameters
        if one.belief is not None and one.belief.spread > 0
    ]
    return [*pairs, ("method", f"{view.method}, seed {view.seed}")]


def _usage(view: View, parameters: list[Parameter]) -> str:
    """Python that goes on with the answer."""
    first = parameters[0]
    at, model = "" if first.name is None else f"[{first.name!r}]", ", model=model" if view.is_of_model else ""
    lines = [(f'd = es.Discovery.load("discovery.npz"{model})', 'what d.save("discovery.npz") wrote')]
    if first.noun == "level":
        lines.append(("d.predict(table)", "what is expected of new rows"))
    elif view.is_of_model or first.noun == "weight":
        lines.append(("d.predict(x)", "outputs for new inputs"))
    lines.append((f"d.theta{at}", f"each {first.noun}, with the value that it shares"))
    if first.is_scattered or first.is_covariance:
        lines.append(("d.posterior_mean", f"each {first.noun} as the data say of it: what predicts best"))
    lines.append((f"d.partitions{at}.labels" if at else "d.partition.labels", f"the group of each {first.noun}"))
    width = max(len(code) for code, _ in lines)
    return "import equishare as es\n\n" + "".join(f"{code:{width}}  # {words}\n" for code, words in lines)
