"""Sections of the report for one parameter: its pattern, its groups, its symmetry."""

from __future__ import annotations

import numpy as np

from equishare.report.diagram import generators
from equishare.report.grid import NO_GROUP
from equishare.report.parameter import MAX_SIDE, UNNAMED, Parameter
from equishare.report.pieces import Markup, Section, counted, number, paragraph, table, text
from equishare.report.strips import strips

# The table of the pattern is for reading cell by cell; a larger one is read by a program.
_MAX_TABLE_CELLS = 4096
_MAX_GROUPS = 256
_CHANCE = paragraph("No generators are drawn: permutations that keep this pattern may do so by chance.")


def parameter_sections(parameter: Parameter, index: int) -> list[Section]:
    """Pattern and symmetry; `index` keeps ids apart."""
    suffix = "" if parameter.name is None else f" of {parameter.name}"
    pattern = _viewer(parameter, index, suffix) + _groups(parameter, suffix)
    group = parameter.group
    if group is None:
        drawn: str = paragraph(f"The symmetry is {UNNAMED}.")
    else:
        drawn = paragraph(str(group)) + (generators(group) if group.is_trivial or group.verdict != "none" else _CHANCE)
    scattered = strips(parameter)
    return [
        Section(f"pattern-{index}", f"Pattern{suffix}", pattern),
        *([Section(f"spread-{index}", f"Spread{suffix}", scattered)] if scattered else []),
        Section(f"symmetry-{index}", f"Symmetry{suffix}", drawn),
    ]


def _viewer(parameter: Parameter, index: int, suffix: str) -> Markup:
    rows, columns = parameter.grid.shape
    nearly = "nearly " if parameter.is_scattered else ""
    same = f"Cells with the same number and colour hold {nearly}the same value."
    words = same if parameter.noun != "slice" else "Slices with the same number and colour are equal."
    if len(parameter.partition.shape) == 1 and rows > 1:
        words += f" They are wrapped into rows of {columns}."
    if parameter.is_cut:
        shape = " × ".join(map(str, parameter.partition.shape))
        words += (
            f" The pattern ({shape}) is larger than this page shows: here are its first {rows} rows and {columns} "
            f"columns, of at most {MAX_SIDE} each. labels.npy and d.partition.labels hold all of it."
        )
    label = f"Pattern{suffix}, {counted(rows, 'row')} and {counted(columns, 'column')}"
    shown = "group" if parameter.values is None else "group and value"
    return Markup(
        paragraph(words) + f'<div class="viewer" data-parameter="{index}">\n'
        f'<div class="tools" role="group" aria-label="View of the pattern{text(suffix)}">'
        '<button type="button" data-act="in">Zoom in</button> '
        '<button type="button" data-act="out">Zoom out</button> '
        '<button type="button" data-act="whole">Whole pattern</button></div>\n'
        f'<canvas tabindex="0" role="application" aria-label="{text(label)}" aria-describedby="keys-{index}">'
        f"{text(label)}; the table below tells the same.</canvas>\n"
        f'<p class="readout" role="status" aria-live="polite">Point at a cell to see its {shown}.</p>\n'
        f'<p class="hint" id="keys-{index}">Arrow keys move from cell to cell, + and − zoom, 0 shows the whole '
        "pattern. Drag to pan; Ctrl and the wheel zoom.</p>\n</div>\n"
        "<noscript><p>The coloured pattern needs JavaScript; the table tells the same.</p></noscript>\n"
        + _as_table(parameter, suffix)
    )


def _as_table(parameter: Parameter, suffix: str) -> str:
    grid = parameter.grid
    if grid.size > _MAX_TABLE_CELLS:
        return paragraph(f"A table of {grid.size:,} cells would be too long here; labels.json holds them.")
    axes = parameter.axes
    header: list[object] = [" \\ ".join([axes[0], " ".join(axes[1:])]) if len(axes) > 1 else "first entry"]
    header += [_position(parameter, column) for column in range(grid.shape[1])]
    starts = np.arange(len(grid)) * (1 if len(axes) > 1 else grid.shape[1])
    rows = [
        [start, *("" if label == NO_GROUP else label for label in row)]
        for start, row in zip(starts.tolist(), grid.tolist(), strict=True)
    ]
    body = table(f"Group of each entry{suffix}", header, rows, row_headers=True)
    return f"<details><summary>The pattern as a table</summary>\n{body}</details>\n"


def _position(parameter: Parameter, column: int) -> str:
    inner = parameter.partition.shape[1:]
    return ", ".join(map(str, np.unravel_index(column, inner))) if inner else str(column)


def _groups(parameter: Parameter, suffix: str) -> Markup:
    sizes = parameter.partition.group_sizes
    shown = range(min(len(sizes), _MAX_GROUPS))
    values = parameter.values
    ends = parameter.extremes
    several = parameter.counted_in[1]
    ranges = [] if ends is None else [f"{several} from", "to"]
    header = ["group", *(["value"] if values is not None else []), *ranges, several]
    rows = [
        [
            Markup(f'<span class="swatch" style="background:{parameter.colours[g]}"></span>{g}'),
            *([number(values[g])] if values is not None else []),
            *([] if ends is None else [f"{end[g]:.4g}" for end in ends]),
            f"{sizes[g]:,}",
        ]
        for g in shown
    ]
    words = "Colours run from dark (low) to light (high) in the order of the values." if values is not None else ""
    if len(sizes) > _MAX_GROUPS:
        words += f" The first {_MAX_GROUPS} of {len(sizes):,} groups; labels.json holds all."
    return Markup((paragraph(words) if words else "") + table(f"Groups{suffix}", header, rows, row_headers=True))
