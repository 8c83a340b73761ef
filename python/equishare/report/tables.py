"""A discovery on the terminal: losses, groups, and the pattern itself where it fits."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from equishare.discover import Discovery
from equishare.report.grid import NO_GROUP, wrapped
from equishare.symmetry import SymmetryGroup

# Longer answers are for the files of --out.
_MAX_GROUPS_SHOWN = 20
_MAX_PATTERN_LINES = 40
_UNNAMED = "not named: that needs igraph and sympy, pip install 'equishare[symmetry]'"


def print_discovery(discovery: Discovery, sizes: tuple[int, int], console: Console) -> None:
    """Print what was found.

    Args:
        discovery: the answer.
        sizes: number of training and of validation samples.
        console: where to.
    """
    console.print(_summary(discovery, sizes))
    console.print(_groups(discovery))
    console.print(_pattern(discovery.partition.labels, console.width))


def print_symmetry(group: SymmetryGroup | None, console: Console) -> None:
    """Print what symmetry the answer has; None where igraph or sympy, which name it, are not installed."""
    console.print(Text.assemble(("symmetry  ", "bold"), str(group) if group is not None else _UNNAMED))


def _summary(discovery: Discovery, sizes: tuple[int, int]) -> Table:
    partition = discovery.partition
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    shared = f"means of {len(partition)} entries"
    if len(partition.shape) == 2:
        outputs, inputs = partition.shape
        shared = f"weights of {inputs} inputs → {outputs} outputs, {len(partition)} entries"
    table.add_row("shared", shared)
    table.add_row("samples", f"{sizes[0]} to fit, {sizes[1]} to validate")
    table.add_row("method", f"{discovery.method}, seed {discovery.seed}")
    table.add_row("groups", f"{partition.num_groups}")
    table.add_row("validation loss", f"{discovery.validation_loss:.6g}")
    table.add_row("… without sharing", f"{discovery.no_sharing_loss:.6g}")
    if discovery.confidence is not None:
        sure, ties = discovery.confidence.sure_ties()
        table.add_row("ties at 95 %", f"{sure} of {ties}, {discovery.confidence.num_resamples} resamples")
    return table


def _groups(discovery: Discovery) -> Table:
    partition = discovery.partition
    table = Table(title="groups", title_justify="left")
    stability = None if discovery.confidence is None else discovery.confidence.groups
    for name in ("group", "size", "value", *(() if stability is None else ("stability",))):
        table.add_column(name, justify="right")
    for group, size in enumerate(partition.group_sizes[:_MAX_GROUPS_SHOWN]):
        cells = [str(group), str(size), f"{discovery.values[group]:.6g}"]
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
