"""Pictures of a discovery, each drawn once: for papers, for the folder of files and for the page.

Ink and ground are those of the style that is set, so that a picture follows a dark style, and the page its theme.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from equishare.report.grid import NO_GROUP, round_width, wrapped
from equishare.report.history import curve_of
from equishare.report.palette import ramp, text_colour
from equishare.report.parameter import Parameter
from equishare.report.words import counted, shortened
from equishare.result.view import View

# Okabe and Ito's blue and vermilion, told apart with any colour vision (https://jfly.uni-koeln.de/color).
ACCENT, WARM = "#0072b2", "#d55e00"
ESTIMATES_SIZE, HISTORY_SIZE = (5.2, 3.1), (5.2, 3.1)  # inches
_LONGEST_SIDE = 6.5
_LARGEST_CELL = 0.5
_LEGEND_HEIGHT = 2.1
_SMALLEST_CELL_WITH_NUMBER = 0.24
_MAX_LEGEND = 8
# What a picture has room for: names along an axis and their length, groups, and entries of all groups together.
_MAX_NAMES, _LONGEST_NAME = 40, 16
_MAX_GROUPS, _MAX_ENTRIES = 24, 240


def new_axes(size: tuple[float, float], shown: bool = False) -> Axes:
    """Axes of a new figure.

    Args:
        size: of the figure, in inches.
        shown: whether a notebook shows the figure, once: there it is one of pyplot's. Elsewhere no figure is, and it
            goes with its axes.
    """
    if shown and hasattr(builtins, "__IPYTHON__"):
        from matplotlib import pyplot

        return pyplot.figure(figsize=size, dpi=150, layout="constrained").add_subplot()
    return Figure(figsize=size, dpi=150, layout="constrained").add_subplot()


def pattern_size(parameter: Parameter, legend: bool = True) -> tuple[float, float]:
    """Inches of a figure in which the cells of a pattern are squares, with room for names and a legend."""
    shape = _grid(parameter).shape
    height, width = (max(_cell(shape) * n, _LARGEST_CELL) for n in shape)
    return 0.75 + width + (2.4 if legend else 0.4), max(0.65 + height + 0.35, _LEGEND_HEIGHT if legend else 0)


def draw_pattern(axes: Axes, parameter: Parameter, legend: bool = True) -> None:
    """The entries of a parameter in rows and columns, each cell in the colour of its group.

    Colours go by the rank of the value. Up to eight groups have a legend, more a colour bar.
    """
    labels, values, grid = parameter.partition.labels, parameter.values, _grid(parameter)
    lines, columns = grid.shape
    colours = np.array([to_rgb(colour) for colour in parameter.colours])
    image = np.ones((*grid.shape, 4))
    image[grid != NO_GROUP, :3] = colours[grid[grid != NO_GROUP]]
    image[grid == NO_GROUP] = 0
    is_thin = max(grid.shape) > 12 * min(grid.shape)
    # Left as they are, pixels become cells of a vector picture.
    axes.imshow(image, aspect="auto" if is_thin else "equal", interpolation="none")
    if _cell(grid.shape) >= _SMALLEST_CELL_WITH_NUMBER:
        _number_cells(axes, grid, parameter.colours)
    axes.set_title(f"{counted(len(colours), 'group')} of {counted(parameter.count, parameter.noun)}", loc="left")
    _ticks(axes, "x", columns, parameter.names_along(-1))
    if labels.ndim >= 2:
        _ticks(axes, "y", lines, parameter.names_along(0))
        axes.set(xlabel=" × ".join(parameter.titles[1:]), ylabel=parameter.titles[0])
    elif lines == 1:
        axes.set(xlabel=parameter.counted_in[0], yticks=[])
    else:
        at = _round(lines)
        axes.set_yticks(at, labels=[str(i * columns) for i in at])
        axes.set(xlabel="entry, counted from the first of its row", ylabel="first entry of the row")
    if legend and len(colours) <= _MAX_LEGEND:
        _legend(axes, parameter)
    elif legend and values is not None:
        _colour_bar(axes, values)


def draw_estimates(axes: Axes, parameter: Parameter, estimates: np.ndarray, errors: np.ndarray | None) -> None:
    """Each entry alone beside the value that its group shares, and the band of the spread where there is one.

    Groups stand in the order of their values, entries in that of their estimates. Of more than 24 groups the largest
    are drawn, of large groups some entries at even ranks.

    Args:
        axes: where to.
        parameter: with values.
        estimates: of the entries when none are tied, in the shape of the parameter.
        errors: their standard errors.
    """
    values, sizes, found = parameter.values, parameter.partition.group_sizes, parameter.partition.labels.ravel()
    assert values is not None
    largest = np.argsort(-sizes, kind="stable")[:_MAX_GROUPS]
    shown = largest[np.argsort(values[largest], kind="stable")]
    most, flat, ink = max(3, _MAX_ENTRIES // len(shown)), estimates.ravel(), rcParams["text.color"]
    start, places = 0.0, []
    entries: list[tuple[float, int]] = []
    for group, value in zip(shown.tolist(), values[shown].tolist(), strict=True):
        own = np.flatnonzero(found == group)
        own = own[np.argsort(flat[own], kind="stable")]
        own = own[np.unique(np.linspace(0, len(own) - 1, min(len(own), most)).round().astype(int))]
        x = start + np.arange(len(own))
        ends = [x[0] - 0.9, x[-1] + 0.9]
        if parameter.belief is not None and parameter.is_scattered:
            tau = parameter.belief.spread
            axes.fill_between(ends, value - tau, value + tau, color=ACCENT, alpha=0.2, linewidth=0, label="± spread")
        if errors is not None:
            # One line with gaps: a path for each entry would make a large file.
            bars = np.stack([flat[own], flat[own], flat[own]], 1) + np.outer(errors.ravel()[own], [-1, 1, np.nan])
            axes.plot(np.repeat(x, 3), bars.ravel(), color=ink, linewidth=0.8)
        axes.plot(ends, [value, value], color=WARM, linewidth=1.8, label="shared value")
        dots = {"markerfacecolor": parameter.colours[group], "markeredgecolor": ink, "markeredgewidth": 0.6}
        alone = f"{parameter.noun} alone{'' if errors is None else ' ± standard error'}"
        axes.plot(x, flat[own], "o", color=ink, markersize=4.5, label=alone, **dots)
        places.append(float(x.mean()))
        entries += zip(x.tolist(), own.tolist(), strict=True)
        start = x[-1] + 2.5
    names = parameter.names_along(-1)
    if names and len(parameter.partition.shape) == 1 and len(entries) <= _MAX_NAMES:
        axes.set_xticks([x for x, _ in entries], labels=as_ticks([names[i] for _, i in entries]), rotation=90)
    else:
        told = _apart(places, 0.05 * (start + 1))
        axes.set_xticks([places[i] for i in told], labels=[str(shown[i]) for i in told])
        axes.set_xlabel("group")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "ncols": 3, "frameon": False}
    axes.legend(list(handles.values()), list(handles), handlelength=1.2, columnspacing=1.0, **above)
    axes.set_ylabel(parameter.noun)
    axes.grid(axis="y", alpha=0.5)
    axes.set_axisbelow(True)


def draw_history(axes: Axes, view: View) -> None:
    """The evidence by number of groups; where it was not asked, the loss by these or by step, beside no sharing."""
    curve = curve_of(view)
    by_step, x = curve.name == "step", curve.x
    if len(curve.line_x) > 1:
        line = ".-" if len(x) <= 100 else "-"
        axes.plot(curve.line_x, curve.line_y, line, color=ACCENT, label="best tried" if not by_step else "tried")
    if np.isfinite(curve.level):
        ink = rcParams["text.color"]
        axes.axhline(curve.level, color=ink, linestyle="--", linewidth=1, label="no sharing")
    found = f"found: {counted(view.num_groups, 'group')}"
    axes.plot(*curve.found, "*", markersize=13, color=WARM, label=found)
    axes.set(xlabel=curve.name, ylabel=curve.measure)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if not by_step and len(x) and x.max() > 50 * x.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if x.max() < 1000 * x.min() else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    levels = np.array([v for v in (*curve.y, curve.level) if np.isfinite(v)])
    if curve.is_evidence:
        # The best is on top, and what is far behind it still in the picture.
        axes.set_yscale("symlog", linthresh=10, linscale=0.7)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_ylim(1.5 * max(levels.max(initial=0.0), 10), -2)
    elif len(levels) and levels.min() > 0 and levels.max() > 10 * levels.min():
        axes.set_yscale("log")
    axes.grid(alpha=0.5)
    axes.legend()


def _grid(parameter: Parameter) -> np.ndarray:
    labels = parameter.partition.labels
    return wrapped(labels if labels.ndim <= 2 else labels.reshape(len(labels), -1), round_width(labels.size))


def _cell(shape: tuple[int, ...]) -> float:
    return min(_LARGEST_CELL, _LONGEST_SIDE / max(shape))


def _round(count: int) -> list[int]:
    """At most ten positions 0, step, 2 step, …, the step 1, 2 or 5 times a power of ten."""
    steps = (factor * 10**power for power in range(count) for factor in (1, 2, 5))
    return list(range(0, count, next(step for step in steps if 10 * step >= count)))


def as_ticks(names: Sequence[str], longest: int = _LONGEST_NAME) -> list[str]:
    """Names as ticks: cut where they are long, and without mathematics, which matplotlib would set between dollars."""
    return [name.replace("$", r"\$") for name in shortened(names, longest)]


def _ticks(axes: Axes, which: str, count: int, names: Sequence[str]) -> None:
    if len(names) != count or count > _MAX_NAMES:
        getattr(axes, f"set_{which}ticks")(_round(count))
        return
    tick_names(axes, which, names)


def tick_names(axes: Axes, which: str, names: Sequence[str]) -> None:
    """Names along an axis, one a cell; of more than 40 some at even distances."""
    at = list(range(0, len(names), -(-len(names) // _MAX_NAMES)))
    words = as_ticks([names[i] for i in at])
    turned = {"rotation": 90} if which == "x" and max(map(len, words)) > 3 else {}
    getattr(axes, f"set_{which}ticks")(at, labels=words, **turned)


def _number_cells(axes: Axes, grid: np.ndarray, colours: list[str]) -> None:
    for (row, column), group in np.ndenumerate(grid):
        if group != NO_GROUP:
            ink = text_colour(colours[group])
            axes.text(column, row, str(group), ha="center", va="center", fontsize=8, color=ink)


def _legend(axes: Axes, parameter: Parameter) -> None:
    sizes, values = parameter.group_sizes, parameter.values
    handles = [
        Patch(color=colour, label=f"{group}{'' if values is None else f': {values[group]:.4g}'}  (× {sizes[group]})")
        for group, colour in enumerate(parameter.colours)
    ]
    title = f"group{'' if values is None else ': value'} (× {parameter.counted_in[1]})"
    small: dict[str, Any] = {"fontsize": 8, "title_fontsize": 8, "frameon": False}
    axes.legend(handles=handles, title=title, loc="upper left", bbox_to_anchor=(1.0, 1.0), **small)


def _colour_bar(axes: Axes, values: np.ndarray) -> None:
    last = len(values) - 1
    scale = ScalarMappable(Normalize(0, last), ListedColormap(ramp()))
    ticks = np.unique(np.linspace(0, last, 6).round().astype(int))
    bar = axes.figure.colorbar(scale, ax=axes, shrink=0.9, aspect=12)
    bar.set_ticks(ticks.tolist(), labels=[f"{value:.4g}" for value in np.sort(values)[ticks]])
    bar.set_label("value of the group,\nspaced by rank", fontsize=8)


def _apart(places: list[float], least: float) -> list[int]:
    """Those of ascending places that stand so far apart that their names do not touch."""
    kept = [0]
    for i, place in enumerate(places):
        if place - places[kept[-1]] >= least:
            kept.append(i)
    return kept
