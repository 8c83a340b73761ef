"""A discovery on the terminal: losses, groups, and the pattern itself where it fits."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from equishare.report.grid import NO_GROUP, wrapped
from equishare.report.parameter import UNNAMED
from equishare.report.pieces import counted, scatter
from equishare.result.view import ParameterView, View
from equishare.symmetry import SymmetryGroup

# Longer answers are for the files of --out.
_MAX_GROUPS_SHOWN = 20
_MAX_PATTERN_LINES = 40


def print_discovery(view: View, console: Console) -> None:
    """Print what was found.

    Args:
        view: the answer.
        console: where to.
    """
    console.print(_summary(view))
    for one in view.parameters:
        console.print(_groups(one))
        console.print(_pattern(one.partition.labels, console.width))


def print_symmetry(group: SymmetryGroup | None, console: Console) -> None:
    """Print what symmetry the answer has; None where igraph or sympy, which name it, are not installed."""
    console.print(Text.assemble(("symmetry  ", "bold"), str(group) if group is not None else UNNAMED))


def _summary(view: View) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    for one in view.parameters:
        table.add_row("shared" if one.name is None else one.name, _shared(one))
    counts = view.about.num_train, view.about.num_val
    table.add_row("samples", "number not known" if None in counts else f"{counts[0]} to fit, {counts[1]} to validate")
    table.add_row("method", f"{view.method}, seed {view.seed}")
    table.add_row("groups", f"{view.num_groups}")
    for one in view.parameters:
        if one.belief is not None and one.belief.spread > 0:
            table.add_row("spread", scatter(one.belief.spread, one.belief.spread_interval))
    table.add_row("validation loss", f"{view.validation_loss:.6g}")
    table.add_row("… without sharing", f"{view.no_sharing_loss:.6g}")
    for one in view.parameters:
        if one.confidence is not None:
            sure, ties = one.confidence.sure_ties()
            table.add_row("ties at 95 %", f"{sure} of {ties}, {one.confidence.num_resamples} resamples")
    return table


def _shared(one: ParameterView) -> str:
    shape = one.partition.shape
    if one.noun == "weight" and len(shape) == 2:
        return f"weights of {shape[1]} inputs → {shape[0]} outputs, {len(one.partition)} entries"
    return f"means of {len(one.partition)} entries" if one.noun == "mean" else counted(len(one.partition), one.noun)


def _groups(one: ParameterView) -> Table:
    partition, values = one.partition, one.values
    table = Table(title="groups", title_justify="left")
    stability = None if one.confidence is None else one.confidence.groups
    columns = [*([] if values is None else ["value"]), *([] if stability is None else ["stability"])]
    for name in ("group", "size", *columns):
        table.add_column(name, justify="right")
    for group, size in enumerate(partition.group_sizes[:_MAX_GROUPS_SHOWN]):
        cells = [str(group), str(size)]
        if values is not None:
            cells.append(f"{values[group]:.6g}")
        if stability is not None:
            cells.append("–" if np.isnan(stability[group]) else f"{stability[group]:.2f}")
        table.add_row(*cells)
    hidden = partition.group_sizes[_MAX_GROUPS_SHOWN:]
    if len(hidden):
        table.add_section()
        table.add_row(f"{len(hidden)} more", str(hidden.sum()), "")
    return table


def _pattern(labels: np.ndarray, width: int) -> Text:
    """The partition as a grid of group numbers, or one line that says why there is none."""
    digits = len(str(labels.max(initial=0)))
    grid = wrapped(labels, (width + 1) // (digits + 1))
    lines, columns = grid.shape
    if lines > _MAX_PATTERN_LINES or columns * (digits + 1) - 1 > width:
        shape = " × ".join(map(str, labels.shape))
        return Text(f"The pattern ({shape}) is too large for the terminal; --out DIR writes it.")
    title = "group of each weight (row: output, column: input)"
    text = Text(f"{title if labels.ndim == 2 else 'group of each entry'}\n")
    for row in grid:
        cells = " ".join(f"{label:{digits}d}" for label in row if label != NO_GROUP)
        text.append(f"{cells}\n", style="cyan")
    text.rstrip()
    return text
