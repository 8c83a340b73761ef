"""A picture of a symmetry: its generators as arrows between points on rings."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equishare.report.cycles import arrows, ring
from equishare.report.diagram import MAX_DRAWN, MAX_POINTS, ring_names
from equishare.report.figures import COLOURS
from equishare.symmetry import SymmetryGroup

_PANEL = 2.6  # inches
_CIRCUMFERENCE = 420.0  # points, of the rings
_LONGEST_TITLE = 60  # characters


def group_figure(group: SymmetryGroup) -> Figure:
    """The first six generators in rows, the axes they permute in columns; hollow points stay where they are.

    Args:
        group: of a pattern; longer axes than 128 have no room and are left blank, with a word that says so.
    """
    names = ring_names(group)
    # Rows of nothing but blanks help nobody.
    drawn = group.generators[: MAX_DRAWN if min(_counts(group)) <= MAX_POINTS else 1]
    rows = max(len(drawn), 1)
    figure = Figure(figsize=(_PANEL * len(names), _PANEL * rows + 0.6), dpi=150, layout="constrained")
    panels = figure.subplots(rows, len(names), squeeze=False)
    identity = tuple(np.arange(n) for n in _counts(group))
    for i, generator in enumerate(drawn or [identity]):
        for axes, name, p in zip(panels[i], names, generator, strict=True):
            axes.set_title(f"generator {i + 1}: {name}" if drawn else name, fontsize=9)
            _draw(axes, p)
    order = f"order {group.order}" if group.order < 10**12 else f"order about 10^{len(str(group.order)) - 1}"
    name = group.name if len(group.name) <= _LONGEST_TITLE else f"{group.name[:_LONGEST_TITLE]} …"
    more = len(group.generators) - len(drawn)
    figure.suptitle(f"{name}, {order}" + (f" ({more} more generators)" if more else ""), fontsize=10, wrap=True)
    return figure


def _counts(group: SymmetryGroup) -> list[int]:
    """How many points each axis has."""
    shape = group.partition.shape
    return [*shape[:2], *([int(np.prod(shape[2:]))] if len(shape) > 2 else [])]


def _draw(axes: Axes, p: np.ndarray) -> None:
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
    if len(p) > MAX_POINTS:
        axes.text(0, 0, f"{len(p)} points:\ntoo many to draw", ha="center", va="center", fontsize=8)
        return
    points = ring(len(p))
    spacing = _CIRCUMFERENCE / len(p)
    dot = min(3.5, 0.35 * spacing)
    stays = p == np.arange(len(p))
    for start, end, both in arrows(p):
        style = {
            "arrowstyle": "<|-|>" if both else "-|>",
            "color": COLOURS[0],
            "linewidth": 0.9,
            "mutation_scale": min(7.0, 0.6 * spacing),
            "shrinkA": 0.7 * dot,
            "shrinkB": 0.7 * dot,
            "connectionstyle": "arc3,rad=0" if both else "arc3,rad=0.12",
        }
        axes.annotate("", xy=tuple(points[end]), xytext=tuple(points[start]), arrowprops=style)
    x, y = points.T
    axes.scatter(x[~stays], y[~stays], s=dot**2, color="black", zorder=3)
    axes.scatter(x[stays], y[stays], s=dot**2, facecolor="white", edgecolor="black", linewidth=0.8, zorder=3)
    for i in range(0, len(p), int(np.ceil(len(p) / 32))):
        axes.text(1.2 * x[i], 1.2 * y[i], str(i), ha="center", va="center", fontsize=7)
