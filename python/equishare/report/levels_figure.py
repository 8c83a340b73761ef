"""A picture of a factor: its groups of levels, each in its colour with its value and a 95 % interval."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes

from equishare.report.answer import members
from equishare.report.parameter import Parameter

# So many groups are drawn, those of most levels, and so many levels of a group are named.
_MAX_GROUPS, _MAX_NAMED = 40, 12
_LINE_LENGTH, _LINE, _BETWEEN = 34, 0.17, 0.16  # letters; inches
_WIDTH = 5.2
# Standard errors on either side of a 95 % interval.
_INTERVAL = 1.96


def levels_size(parameter: Parameter) -> tuple[float, float]:
    """Inches of a figure with room for the names of the levels."""
    lines = sum(len(_named(parameter, group)) for group in _shown(parameter))
    return _WIDTH, 0.7 + _LINE * lines + _BETWEEN * len(_shown(parameter))


def draw_levels(axes: Axes, parameter: Parameter) -> None:
    """A row for each group of levels, the lowest value at the bottom: its names, its value and a 95 % interval.

    Args:
        axes: where to.
        parameter: a factor with values.
    """
    assert parameter.values is not None
    ink, places, names, y = rcParams["text.color"], [], [], 0.0
    for group in _shown(parameter):
        lines = _named(parameter, group)
        height = _LINE * len(lines) + _BETWEEN
        middle, value, colour = y + height / 2, float(parameter.values[group]), parameter.colours[group]
        axes.axhspan(y + 0.02, y + height - 0.02, color=colour, alpha=0.25, linewidth=0)
        if parameter.errors is not None:
            reach = _INTERVAL * float(parameter.errors[group])
            axes.plot([value - reach, value + reach], [middle, middle], color=ink, linewidth=1.6)
        axes.plot([value], [middle], "o", color=colour, markeredgecolor=ink, markersize=8)
        places.append(middle)
        names.append("\n".join(lines))
        y += height
    axes.axvline(0.0, color=rcParams["axes.edgecolor"], linewidth=0.8, zorder=0)
    axes.set(ylim=(0, y), xlabel="effect; 0 is the mean of the samples")
    axes.set_yticks(places, labels=names)
    axes.tick_params(axis="y", length=0)


def _shown(parameter: Parameter) -> list[int]:
    """The groups that are drawn, in the order of their values."""
    assert parameter.values is not None
    largest = np.argsort(-parameter.group_sizes, kind="stable")[:_MAX_GROUPS]
    return [int(group) for group in largest[np.argsort(parameter.values[largest], kind="stable")]]


def _named(parameter: Parameter, group: int) -> list[str]:
    return textwrap.wrap(members(parameter, group, _MAX_NAMED), _LINE_LENGTH) or [str(group)]
