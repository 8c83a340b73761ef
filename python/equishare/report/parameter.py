"""One shared parameter as the report shows it: its pattern, the values of its groups, and its symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equishare.discovery import Discovery, ModelDiscovery
from equishare.partition import Partition
from equishare.report.grid import NO_GROUP, wrapped
from equishare.report.palette import ranked_colours, text_colour
from equishare.symmetry import SymmetryGroup

# Of a larger pattern the page shows the first rows and columns: 256 × 256 cells are under 1 MB.
MAX_SIDE = 256


@dataclass(frozen=True, eq=False)
class Parameter:
    """A parameter and what was found for it.

    Attributes:
        name: qualified name in its model; None for the one parameter of a map or of means.
        partition: which entries share a value.
        values: (G,) value of each group; None for slices, which hold several numbers each, and without a model.
        noun: what one entry is.
        group: its symmetry; None where it could not be computed for want of igraph or sympy.
    """

    name: str | None
    partition: Partition
    values: np.ndarray | None
    noun: str
    group: SymmetryGroup | None

    @property
    def axes(self) -> list[str]:
        """What the axes of the partition are called."""
        taps = len(self.partition.shape) - 2
        if taps < 0:
            return [self.noun]
        if not taps:
            return ["output", "input"]
        return ["output channel", "input channel", *(["tap"] if taps == 1 else [f"tap axis {i}" for i in range(taps)])]

    @cached_property
    def grid(self) -> np.ndarray:
        """The pattern as rows and columns, NO_GROUP where there is no entry, at most MAX_SIDE each."""
        return self._whole_grid[:MAX_SIDE, :MAX_SIDE]

    @property
    def is_cut(self) -> bool:
        """Whether the grid leaves entries out."""
        return self.grid.size < self._whole_grid.size

    @cached_property
    def _whole_grid(self) -> np.ndarray:
        labels = self.partition.labels
        if labels.ndim == 1:
            return wrapped(labels, min(MAX_SIDE, max(20, 10 * int(np.ceil(np.sqrt(4 * labels.size) / 10)))))
        return labels.reshape(len(labels), -1)

    @cached_property
    def colours(self) -> list[str]:
        """A colour for each group, by the rank of its value, or of its number where it has no value."""
        return ranked_colours(np.arange(self.partition.num_groups) if self.values is None else self.values)

    def document(self) -> dict[str, object]:
        """The pattern for the page's script; of its groups those that the grid shows."""
        shown = np.unique(self.grid[self.grid != NO_GROUP])
        position = np.full(self.partition.num_groups + 1, -1)
        position[shown] = np.arange(len(shown))
        sizes = self.partition.group_sizes
        return {
            "rows": self.grid.shape[0],
            "columns": self.grid.shape[1],
            "axes": self.axes,
            # Sizes of the axes that lie along a row of the grid.
            "inner": list(self.partition.shape[1:]),
            # NO_GROUP is -1, the last place, which holds -1.
            "cells": position[self.grid].ravel().tolist(),
            "groups": shown.tolist(),
            "values": None if self.values is None else self.values[shown].tolist(),
            "sizes": sizes[shown].tolist(),
            "colours": [self.colours[g] for g in shown],
            "inks": [text_colour(self.colours[g]) for g in shown],
        }


def parameters_of(discovery: Discovery | ModelDiscovery, groups: dict[str | None, SymmetryGroup]) -> list[Parameter]:
    """What the report shows of a discovery.

    Args:
        discovery: the answer.
        groups: the symmetry by name of the parameter; without those that could not be computed.
    """
    if isinstance(discovery, Discovery):
        noun = "weight" if len(discovery.partition.shape) == 2 else "mean"
        return [Parameter(None, discovery.partition, discovery.values, noun, groups.get(None))]
    theta = {} if discovery.model is None else discovery.theta
    found = []
    for name, partition in discovery.partitions.items():
        tensor = theta.get(name)
        values = None
        if tensor is not None and tuple(tensor.shape) == partition.shape:
            _, first = np.unique(partition.labels, return_index=True)
            values = tensor.double().cpu().numpy().ravel()[first]
        noun = "entry" if tensor is None or values is not None else "slice"
        found.append(Parameter(name, partition, values, noun, groups.get(name)))
    return found
