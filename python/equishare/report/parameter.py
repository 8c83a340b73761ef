"""One shared parameter as the report shows it: its pattern, the values of its groups, and its symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

import numpy as np

from equishare.extras import installing
from equishare.report.grid import NO_GROUP, round_width, wrapped
from equishare.report.palette import ranked_colours, text_colour
from equishare.report.words import plural, shortened
from equishare.result.view import ParameterView, View
from equishare.symmetry import SymmetryGroup

# Of a larger pattern the page shows the first rows and columns: 256 × 256 cells are under 1 MB.
MAX_SIDE = 256
# Letters of the name of a row or a column.
_LONGEST_TICK = 14


def unnamed() -> str:
    """Why a symmetry has no name: packages are missing, or it was not computed, which may take long."""
    if all(find_spec(name) for name in ("igraph", "sympy")):
        return "not computed here: d.symmetry() tells it"
    return f"not named: that needs igraph and sympy, {installing('symmetry')}"


@dataclass(frozen=True, eq=False)
class Parameter(ParameterView):
    """A parameter and what was found for it.

    Attributes:
        group: its symmetry; None where it could not be computed for want of igraph or sympy.
    """

    group: SymmetryGroup | None = None

    @property
    def is_scattered(self) -> bool:
        """Whether the entries of a group are only nearly equal."""
        return self.belief is not None and self.belief.spread > 0

    @property
    def is_covariance(self) -> bool:
        """Whether an entry and its mirror image are one."""
        return self.noun == "covariance"

    @property
    def count(self) -> int:
        """How many entries there are."""
        return int(self.group_sizes.sum())

    @cached_property
    def group_sizes(self) -> np.ndarray:
        """How many entries each group has."""
        if not self.is_covariance:
            return self.partition.group_sizes
        labels = self.partition.labels
        return np.bincount(labels[np.triu_indices(len(labels))], minlength=self.partition.num_groups)

    @property
    def axes(self) -> list[str]:
        """What the axes of the partition are called."""
        if self.is_covariance:
            return ["variable", "variable"]
        taps = len(self.partition.shape) - 2
        if taps < 0:
            return [self.noun]
        if not taps:
            return ["output", "input"]
        return ["output channel", "input channel", *(["tap"] if taps == 1 else [f"tap axis {i}" for i in range(taps)])]

    @property
    def titles(self) -> list[str]:
        """The same of several."""
        return [plural(name) for name in self.axes]

    def names_along(self, axis: int) -> tuple[str, ...]:
        """What the data call the entries along an axis of the partition; empty where they have no names."""
        return self.labels[axis] if self.labels else ()

    @property
    def counted_in(self) -> tuple[str, str]:
        """What the sizes of groups count, one and several."""
        return ("slice", "slices") if self.noun == "slice" else ("entry", "entries")

    @cached_property
    def grid(self) -> np.ndarray:
        """The pattern as rows and columns, NO_GROUP where there is no entry, at most MAX_SIDE each."""
        return self._whole_grid[:MAX_SIDE, :MAX_SIDE]

    @cached_property
    def _sure(self) -> list[float | None] | None:
        """Probability of the cells of the grid as the page tells it, None where a cell has no tie."""
        if self.confidence is None:
            return None
        every = np.append(self.confidence.entries.ravel(), np.nan)
        index = np.arange(len(self.partition)).reshape(self.partition.shape)
        shown = every[self._laid_out(index)[:MAX_SIDE, :MAX_SIDE]].ravel()
        return [None if np.isnan(p) else round(p, 3) for p in shown.tolist()]

    @property
    def is_of_ties(self) -> bool:
        """Whether the group says no more than the sizes of the groups, as that of entries along one axis does.

        Such a group, of means or of the weights of one output, has no probability, and no verdict, of its own.
        """
        return len(self.partition) == max(self.partition.shape)

    @property
    def is_cut(self) -> bool:
        """Whether the grid leaves entries out."""
        return self.grid.size < self._whole_grid.size

    @cached_property
    def _whole_grid(self) -> np.ndarray:
        return self._laid_out(self.partition.labels)

    def _laid_out(self, entries: np.ndarray) -> np.ndarray:
        """What belongs to each entry, in the place of its cell; NO_GROUP in the others."""
        if entries.ndim == 1:
            return wrapped(entries, min(MAX_SIDE, round_width(entries.size)))
        return entries.reshape(len(entries), -1)

    @cached_property
    def colours(self) -> list[str]:
        """A colour for each group, by the rank of its value, or of its number where it has no value."""
        return ranked_colours(np.arange(self.partition.num_groups) if self.values is None else self.values)

    def document(self) -> dict[str, object]:
        """The pattern for the page's script; of its groups those that the grid shows."""
        shown = np.unique(self.grid[self.grid != NO_GROUP])
        position = np.full(self.partition.num_groups + 1, -1)
        position[shown] = np.arange(len(shown))
        sizes = self.group_sizes
        return {
            "rows": self.grid.shape[0],
            "columns": self.grid.shape[1],
            "axes": self.axes,
            "titles": self.titles,
            "names": [list(self.names_along(axis)) for axis in range(len(self.partition.shape))],
            "ticks": [shortened(self.names_along(axis), _LONGEST_TICK) for axis in range(len(self.partition.shape))],
            "countedIn": self.counted_in,
            # Sizes of the axes that lie along a row of the grid.
            "inner": list(self.partition.shape[1:]),
            # NO_GROUP is -1, the last place, which holds -1.
            "cells": position[self.grid].ravel().tolist(),
            "groups": shown.tolist(),
            "values": None if self.values is None else self.values[shown].tolist(),
            "sizes": sizes[shown].tolist(),
            # Of each cell, as its ties need not be alike.
            "sure": self._sure,
            "colours": [self.colours[g] for g in shown],
            "inks": [text_colour(self.colours[g]) for g in shown],
        }


def parameters_of(view: View, groups: dict[str | None, SymmetryGroup]) -> list[Parameter]:
    """What the report shows of a discovery.

    Args:
        view: the answer.
        groups: the symmetry by name of the parameter; without those that could not be computed.
    """
    return [Parameter(**vars(one), group=groups.get(one.name)) for one in view.parameters]


def estimates_of(view: View, parameter: Parameter) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The estimates of the entries when none are tied, and their standard errors; None where they are not known."""
    estimates = view.quality.unshared
    if estimates is None or parameter.values is None or estimates.size != len(parameter.partition):
        return None
    return estimates, view.quality.unshared_errors


def parameter_named(view: View, name: str | None) -> Parameter:
    """The shared parameter of that name; None where there is one alone."""
    found = {parameter.name: parameter for parameter in parameters_of(view, {})}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is None or name not in found:
        names = ", ".join(one for one in found if one is not None) or "no name, for there is one alone"
        raise ValueError(f"name must be that of a shared parameter, {names}; got {name!r}")
    return found[name]
