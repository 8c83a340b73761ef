"""Pictures of a discovery: the pattern coloured by group, and the curve of the validation loss."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from equishare.report.grid import NO_GROUP, round_width, wrapped
from equishare.report.history import loss_history
from equishare.report.palette import text_colour
from equishare.report.parameter import Parameter, parameter_named
from equishare.report.pieces import counted
from equishare.result.view import View

# Okabe and Ito's colours, told apart with any colour vision (https://jfly.uni-koeln.de/color).
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#999999",
)
_LONGEST_SIDE = 6.5  # inches
_LARGEST_CELL = 0.5
_LEGEND_HEIGHT = 2.1
_SMALLEST_CELL_WITH_NUMBER = 0.24


def pattern_figure(view: View, name: str | None = None) -> Figure:
    """The entries of a parameter in rows and columns, each cell in the colour of its group.

    Up to eight groups have distinct colours and a legend; more are coloured by the rank of their
    value.

    Args:
        view: what was found.
        name: of the parameter, where a model has several.

    Raises:
        ValueError: the model has several parameters, or none of that name.
    """
    parameter = parameter_named(view, name)
    labels, values = parameter.partition.labels, parameter.values
    grid = wrapped(labels if labels.ndim <= 2 else labels.reshape(len(labels), -1), round_width(labels.size))
    lines, columns = grid.shape
    height, width = _panel_size(grid.shape)
    figure, axes = _panel(height, width)
    colours = _colours(np.arange(parameter.partition.num_groups) if values is None else values)
    image = np.ones((*grid.shape, 3))
    image[grid != NO_GROUP] = colours[grid[grid != NO_GROUP]]
    axes.imshow(image, aspect="auto", interpolation="nearest")
    if min(height / lines, width / columns) >= _SMALLEST_CELL_WITH_NUMBER:
        _number_cells(axes, grid, colours)
    groups = counted(parameter.partition.num_groups, "group")
    title = f"{groups} of {counted(labels.size, parameter.noun)} ({view.method})"
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xticks(_ticks(columns))
    axes.set_yticks(_ticks(lines))
    if labels.ndim >= 2:
        axes.set(xlabel=", ".join(parameter.axes[1:]), ylabel=parameter.axes[0])
    elif lines == 1:
        axes.set(xlabel=parameter.counted_in[0], yticks=[])
    else:
        axes.set_yticks(_ticks(lines), labels=[str(i * columns) for i in _ticks(lines)])
        axes.set(xlabel="entry, counted from the first of its row", ylabel="first entry of the row")
    if len(colours) <= len(COLOURS):
        _legend(axes, parameter, colours)
    elif values is not None:
        _colour_bar(figure, axes, values)
    return figure


def loss_figure(view: View) -> Figure:
    """The validation loss by step or by number of groups, beside the loss without sharing."""
    history = loss_history(view)
    by_step, x = history.name == "step", history.x
    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    if len(history.line_x) > 1:
        axes.plot(
            history.line_x,
            history.line_y,
            ".-" if len(x) <= 100 else "-",
            color=COLOURS[0],
            label="validation loss",
        )
    if np.isfinite(view.no_sharing_loss):
        axes.axhline(view.no_sharing_loss, color="black", linestyle="--", linewidth=1, label="no sharing")
    axes.plot(
        history.found,
        view.validation_loss,
        "*",
        markersize=13,
        color=COLOURS[5],
        label=f"found: {counted(view.num_groups, 'group')}",
    )
    axes.set_xlabel(history.name)
    axes.set_ylabel(view.about.loss)
    axes.set_title(f"Validation loss ({view.method})", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if not by_step and len(x) and x.max() > 50 * x.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if x.max() < 1000 * x.min() else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    shown = np.array([v for v in (*history.y, view.no_sharing_loss) if np.isfinite(v)])
    if len(shown) and shown.min() > 0 and shown.max() > 10 * shown.min():
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _panel_size(shape: tuple[int, int]) -> tuple[float, float]:
    cell = min(_LARGEST_CELL, _LONGEST_SIDE / max(shape))
    height, width = (max(cell * n, _LARGEST_CELL) for n in shape)
    return height, width


def _panel(height: float, width: float) -> tuple[Figure, Axes]:
    """Axes of that size in inches, with room for labels, and for a legend at the right."""
    left, bottom, right, top = 0.75, 0.65, 2.4, 0.35
    total_width = left + width + right
    total_height = max(bottom + height + top, _LEGEND_HEIGHT)
    figure = Figure(figsize=(total_width, total_height), dpi=150)
    below = total_height - top - height
    axes = figure.add_axes((left / total_width, below / total_height, width / total_width, height / total_height))
    return figure, axes


def _ticks(count: int) -> list[int]:
    """At most ten positions 0, step, 2 step, …, the step 1, 2 or 5 times a power of ten."""
    steps = (factor * 10**power for power in range(count) for factor in (1, 2, 5))
    return list(range(0, count, next(step for step in steps if 10 * step >= count)))


def _colours(values: np.ndarray) -> np.ndarray:
    """One colour a group (G, 3): distinct ones, or by rank of value where they do not suffice."""
    if len(values) <= len(COLOURS):
        return np.array([to_rgb(colour) for colour in COLOURS[: len(values)]])
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return colormaps["viridis"](np.linspace(0, 1, len(values)))[ranks, :3]


def _number_cells(axes: Axes, grid: np.ndarray, colours: np.ndarray) -> None:
    inks = [text_colour(to_hex(colour)) for colour in colours]
    for (row, column), group in np.ndenumerate(grid):
        if group != NO_GROUP:
            axes.text(column, row, str(group), ha="center", va="center", fontsize=8, color=inks[group])


def _legend(axes: Axes, parameter: Parameter, colours: np.ndarray) -> None:
    sizes, values = parameter.partition.group_sizes, parameter.values
    handles = [
        Patch(color=colour, label=f"{group}{'' if values is None else f': {values[group]:.4g}'}  (× {sizes[group]})")
        for group, colour in enumerate(colours)
    ]
    axes.legend(
        handles=handles,
        title=f"group{'' if values is None else ': value'} (× {parameter.counted_in[1]})",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.5,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )


def _colour_bar(figure: Figure, axes: Axes, values: np.ndarray) -> None:
    last = len(values) - 1
    panel = axes.get_position()
    inch = 1 / figure.get_figwidth()
    # Thin panels get a bar that is higher than they are.
    height = max(panel.height, 1.5 / figure.get_figheight())
    bar_axes = figure.add_axes((panel.x1 + 0.2 * inch, panel.y1 - height, 0.2 * inch, height))
    scale = ScalarMappable(Normalize(0, last), "viridis")
    ticks = np.unique(np.linspace(0, last, 6).round().astype(int))
    bar = figure.colorbar(scale, cax=bar_axes)
    bar.set_ticks(ticks.tolist(), labels=[f"{value:.4g}" for value in np.sort(values)[ticks]])
    bar.set_label("value of the group,\nspaced by rank", fontsize=8)
