"""A discovery on the terminal: losses, groups, and the pattern itself where it fits."""

from __future__ import annotations

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from equishare.report.answer import answer, members, value
from equishare.report.grid import NO_GROUP, wrapped
from equishare.report.parameter import Parameter, parameters_of
from equishare.report.words import p_value, scatter
from equishare.result.cautions import cautions
from equishare.result.view import View
from equishare.symmetry import SymmetryGroup

# Longer answers are for the files of --out.
_MAX_GROUPS_SHOWN = 20
_MAX_PATTERN_LINES = 40
# Between the columns of a table, and at its ends; the least room for names.
_GAP = 3
_NARROWEST = 8


def print_discovery(view: View, groups: dict[str | None, SymmetryGroup], console: Console) -> None:
    """Print what was found: the answer in words and what to beware of first.

    Args:
        view: the answer.
        groups: its symmetry by the parameter's name, None for that of a map or of means; without those that could not
            be computed.
        console: where to.
    """
    parameters = parameters_of(view, groups)
    for one in parameters:
        console.print(Text(answer(view, one), style="bold"))
    for caution in cautions(view):
        console.print(Text.assemble(("Beware. ", "yellow"), caution))
    console.print(_summary(view))
    for one in parameters:
        console.print(_groups(one, console.width))
        if one.noun != "level":  # the groups above list them by name
            console.print(_pattern(one, console.width))


def _summary(view: View) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    counts = view.about.num_train, view.about.num_val
    table.add_row("samples", "number not known" if None in counts else f"{counts[0]} to fit, {counts[1]} to validate")
    table.add_row("method", f"{view.method}, seed {view.seed}")
    for one in view.parameters:
        if one.belief is not None and one.belief.spread > 0:
            table.add_row("spread", scatter(one.belief.spread, one.belief.spread_interval))
    table.add_row("validation loss", f"{view.validation_loss:.6g}, without sharing {view.no_sharing_loss:.6g}")
    if np.isfinite(view.quality.r_squared):
        table.add_row("R²", f"{view.quality.r_squared:.3f} of the validation samples")
    if np.isfinite(view.quality.dependence):
        table.add_row("any dependence", f"p {p_value(view.quality.dependence)}")
    has_odds = any(np.isfinite(one.symmetry_probability) or one.confidence is not None for one in view.parameters)
    has_ties = any(one.partition.num_groups < len(one.partition) for one in view.parameters)
    if view.method == "auto" and not view.is_of_model and has_ties and not has_odds:
        table.add_row("each tie", "how probable it is, --resamples 20 tells")
    weights = [] if view.predictor is None else list(view.predictor.weights.items())
    for name, weight in weights[:_MAX_GROUPS_SHOWN]:
        table.add_row(Text(f"weight of {name}"), f"{weight:.4g}, never tied")
    if len(weights) > _MAX_GROUPS_SHOWN:
        table.add_row("weights", f"{len(weights) - _MAX_GROUPS_SHOWN} more, never tied")
    return table


def _groups(one: Parameter, width: int) -> Table:
    """The groups, the names of their entries cut to what the width leaves them."""
    partition, errors = one.partition, one.errors
    probability = None if one.confidence is None else one.confidence.groups
    shown = range(min(partition.num_groups, _MAX_GROUPS_SHOWN))
    columns = {"group": [str(group) for group in shown], "size": [str(one.group_sizes[group]) for group in shown]}
    if one.values is not None:
        columns["value" if errors is None else "value ± s.e."] = [value(one, group, errors) for group in shown]
    if probability is not None:
        columns["probability"] = ["–" if np.isnan(p) else f"{p:.2f}" for p in probability[: len(shown)]]
    taken = sum(max(map(len, [name, *cells])) + _GAP for name, cells in columns.items())
    table = Table(title="groups" if one.name is None else f"groups of {one.name}", title_justify="left", box=box.SIMPLE)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(one.counted_in[1], no_wrap=True)
    for group, *cells in zip(shown, *columns.values(), strict=True):
        names = Text(members(one, group))
        names.truncate(max(width - taken - _GAP, _NARROWEST), overflow="ellipsis")
        table.add_row(*cells, names)
    hidden = one.group_sizes[len(shown) :]
    if len(hidden):
        table.add_section()
        table.add_row(f"{len(hidden)} more", str(hidden.sum()))
    return table


def _pattern(one: Parameter, width: int) -> Text:
    """The partition as a grid of group numbers, or one line that says why there is none."""
    labels = one.partition.labels
    digits = len(str(labels.max(initial=0)))
    grid = wrapped(labels, (width + 1) // (digits + 1))
    lines, columns = grid.shape
    if lines > _MAX_PATTERN_LINES or columns * (digits + 1) - 1 > width:
        shape = " × ".join(map(str, labels.shape))
        return Text(f"The pattern ({shape}) is too large for the terminal; --out DIR writes it.")
    outputs, inputs = one.labels if labels.ndim == 2 and one.labels else ((), ())
    title = f"group of each {one.noun}{'' if one.is_covariance else ' (row: output, column: input)'}"
    text = Text(f"{title if labels.ndim == 2 else 'group of each entry'}\n")
    if inputs:
        text.append(f"columns: {', '.join(inputs)}\n")
    margin = max(map(len, outputs), default=0)
    for i, row in enumerate(grid):
        cells = " ".join(f"{label:{digits}d}" for label in row if label != NO_GROUP)
        name = f"{outputs[i]:>{margin}}  " if outputs else ""
        text.append(name).append(f"{cells}\n", style="cyan")
    text.rstrip()
    return text
