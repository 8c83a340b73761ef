"""A picture of a covariance: a heat map, its variables in the order of the orbits of the symmetry."""

from __future__ import annotations

import numpy as np
import scipy
from matplotlib import rcParams
from matplotlib.axes import Axes

from equishare.report.figures import tick_names
from equishare.report.parameter import Parameter

_CELL, _LONGEST_SIDE = 0.34, 5.2  # inches


def covariance_size(parameter: Parameter) -> tuple[float, float]:
    """Inches of a figure in which the cells are squares, with room for names and a colour bar."""
    side = min(max(_CELL * len(parameter.partition.labels), 1.6), _LONGEST_SIDE)
    return side + 1.9, side + 1.0


def draw_covariance(axes: Axes, parameter: Parameter) -> None:
    """The values shared, blue below zero and red above, with lines between the orbits of variables.

    Within an orbit neighbours are variables whose covariances are alike.

    Args:
        axes: where to.
        parameter: a covariance with values.
    """
    assert parameter.values is not None
    covariance = parameter.values[parameter.partition.labels]
    group = parameter.group
    is_found = group is not None and group.verdict != "none"
    points = group.orbits.outputs.labels if is_found and group is not None else np.zeros(len(covariance), np.int64)
    order = orbit_order(covariance, points)
    most = float(np.abs(covariance).max())
    image = axes.imshow(covariance[np.ix_(order, order)], cmap="RdBu_r", vmin=-most, vmax=most, interpolation="none")
    for end in np.flatnonzero(np.diff(points[order])) + 0.5:
        for line in (axes.axhline, axes.axvline):
            line(end, color=rcParams["text.color"], linewidth=0.8)
    names = parameter.names_along(0)
    shown = [names[i] if names else str(i) for i in order.tolist()]
    tick_names(axes, "x", shown)
    tick_names(axes, "y", shown)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, aspect=16)
    bar.set_label("covariance", fontsize=8)


def orbit_order(covariance: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(p,) variables orbit by orbit, the largest first; within an orbit as a clustering of covariances has them."""
    found = []
    for orbit in sorted(np.unique(points).tolist(), key=lambda one: (-np.count_nonzero(points == one), one)):
        own = np.flatnonzero(points == orbit)
        if len(own) > 2:
            scale = np.sqrt(np.maximum(np.diag(covariance)[own], np.finfo(float).tiny))
            distance = 1 - covariance[np.ix_(own, own)] / np.outer(scale, scale)
            np.fill_diagonal(distance, 0)
            near = scipy.spatial.distance.squareform(np.maximum(distance, 0), checks=False)
            own = own[scipy.cluster.hierarchy.leaves_list(scipy.cluster.hierarchy.linkage(near, "average", True))]
        found.append(own)
    return np.concatenate(found)
