"""A picture of a symmetry: its generators as arrows between points on rings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes

from equishare.report.cycles import arrows, ring
from equishare.report.figures import ACCENT, as_ticks
from equishare.report.words import counted
from equishare.symmetry import SymmetryGroup

# Longer axes, and further generators, are given in cycles alone.
MAX_POINTS = 128
MAX_DRAWN = 6
_WIDTH, _HEIGHT = 3.8, 3.3  # of the place of a ring of radius 1
_INCH = 0.68  # of that unit
_CIRCUMFERENCE = 72 * 2 * np.pi * _INCH  # points, of a ring
_MAX_NAMED, _LONGEST_NAME, _LONGEST_TITLE = 16, 9, 60


def ring_names(group: SymmetryGroup) -> list[str]:
    """What each permutation of a generator permutes."""
    if group.covariance:
        return ["variables"]
    names = {1: ["entries"], 2: ["outputs", "inputs"]}
    return names.get(len(group.partition.shape), ["output channels", "input channels", "taps"])


def group_size(group: SymmetryGroup) -> tuple[float, float]:
    """Inches of a figure for the generators of a group."""
    return _INCH * _WIDTH * len(ring_names(group)), _INCH * _HEIGHT * len(_drawn(group)) + 0.3


def draw_group(axes: Axes, group: SymmetryGroup, labels: Sequence[Sequence[str]] = (), titled: bool = True) -> None:
    """The first six generators in rows, what they permute in columns; hollow points stay where they are.

    Args:
        axes: where to; they get no frame.
        group: of a pattern; longer axes than 128 have no room and are left blank, with a word that says so.
        labels: what the data call the points of each axis; empty where they have no names.
        titled: whether the name and the order of the group stand above.
    """
    names, drawn = ring_names(group), _drawn(group)
    for i, generator in enumerate(drawn):
        for j, (name, p) in enumerate(zip(names, generator[: len(names)], strict=True)):
            centre = np.array([_WIDTH * j, -_HEIGHT * i])
            title = f"generator {i + 1}: {name}" if group.generators else name
            axes.text(centre[0], centre[1] + 1.6, title, ha="center", va="center", fontsize=9)
            own = labels[j] if labels and len(labels[j]) == len(p) <= _MAX_NAMED else ()
            _draw(axes, centre, p, own)
    axes.set(xlim=(-_WIDTH / 2, _WIDTH * (len(names) - 0.5)), ylim=(-_HEIGHT * (len(drawn) - 0.5) + 0.1, 1.85))
    axes.set_aspect("equal")
    axes.set_axis_off()
    if titled:
        order = f"order {group.order}" if group.order < 10**12 else f"order about 10^{len(str(group.order)) - 1}"
        name = group.name if len(group.name) <= _LONGEST_TITLE else f"{group.name[:_LONGEST_TITLE]} …"
        more = len(group.generators) - len(drawn)
        title = f"{name}, {order}" + (f" ({counted(more, 'more generator')})" if more > 0 else "")
        axes.set_title(title, fontsize=10, wrap=True)


def _drawn(group: SymmetryGroup) -> list[tuple[np.ndarray, ...]]:
    """The generators that are drawn; the identity where there are none."""
    shape = group.partition.shape
    counts = [*shape[:2], *([int(np.prod(shape[2:]))] if len(shape) > 2 else [])]
    # Rows of nothing but blanks help nobody.
    drawn = group.generators[: MAX_DRAWN if min(counts) <= MAX_POINTS else 1]
    return drawn or [tuple(np.arange(n) for n in counts)]


def _draw(axes: Axes, centre: np.ndarray, p: np.ndarray, names: Sequence[str]) -> None:
    if len(p) > MAX_POINTS:
        axes.text(centre[0], centre[1], f"{len(p)} points:\ntoo many to draw", ha="center", va="center", fontsize=8)
        return
    points = ring(len(p)) + centre
    spacing = _CIRCUMFERENCE / len(p)
    dot = min(3.5, 0.35 * spacing)
    stays = p == np.arange(len(p))
    for start, end, both in arrows(p):
        style = {
            "arrowstyle": "<|-|>" if both else "-|>",
            "color": ACCENT,
            "linewidth": 0.9,
            "mutation_scale": min(7.0, 0.6 * spacing),
            "shrinkA": 0.7 * dot,
            "shrinkB": 0.7 * dot,
            "connectionstyle": "arc3,rad=0" if both else "arc3,rad=0.12",
        }
        axes.annotate("", xy=tuple(points[end]), xytext=tuple(points[start]), arrowprops=style)
    x, y = points.T
    ink, ground = rcParams["text.color"], rcParams["axes.facecolor"]
    axes.scatter(x[~stays], y[~stays], s=dot**2, color=ink, zorder=3)
    axes.scatter(x[stays], y[stays], s=dot**2, facecolor=ground, edgecolor=ink, linewidth=0.8, zorder=3)
    words = as_ticks(names, _LONGEST_NAME) if names else list(map(str, range(len(p))))
    for i in range(0, len(p), int(np.ceil(len(p) / 32))):
        side = float(points[i, 0] - centre[0])
        # A name leads away from the ring.
        ha = "center" if not names or abs(side) < 0.1 else "left" if side > 0 else "right"
        at = centre + (points[i] - centre) * (1.2 if ha == "center" else 1.12)
        axes.text(at[0], at[1], words[i], ha=ha, va="center", fontsize=7)
