"""What was tried, as a curve: the evidence that decided, or the validation loss where none was asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equishare.result.view import View


@dataclass(frozen=True, eq=False)
class Curve:
    """What was tried.

    Attributes:
        name: "step" or "number of groups".
        measure: what decided.
        is_evidence: whether that is the evidence; else it is a loss.
        x, y: (n,) of all that was tried; evidence is told as how far it lies behind the best, so that less is better.
        line_x, line_y: the curve: every step, or the best for each number of groups.
        found: (x, y) of the answer.
        level: loss without sharing, to compare with; NaN where there is none.
    """

    name: str
    measure: str
    is_evidence: bool
    x: np.ndarray
    y: np.ndarray
    line_x: np.ndarray
    line_y: np.ndarray
    found: tuple[float, float]
    level: float


def curve_of(view: View) -> Curve:
    """The history of a discovery; numbers that are not finite are left out."""
    by_step, is_evidence = "step" in view.history, "evidence" in view.history
    name, measured = "step" if by_step else "num_groups", "evidence" if is_evidence else "validation_loss"
    x, y = (np.asarray(view.history.get(column, ()), dtype=float) for column in (name, measured))
    x, y = x[: len(y)], y[: len(x)]  # a file may hold columns of several lengths
    last = x[-1] if len(x) else 0.0
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if is_evidence and len(y):
        y = y.max() - y
    line_x, line_y = x, y
    if not by_step:
        line_x, which = np.unique(x, return_inverse=True)
        line_y = np.full(len(line_x), np.inf)
        np.minimum.at(line_y, which, y)
    found = float(last if by_step else view.num_groups), view.validation_loss
    if is_evidence:
        at = line_y[line_x == found[0]]
        found = found[0], float(at[0]) if len(at) else np.nan
    measure = "log evidence behind the best" if is_evidence else view.about.loss
    level = np.nan if is_evidence else view.no_sharing_loss
    return Curve(
        name.replace("num_groups", "number of groups"), measure, is_evidence, x, y, line_x, line_y, found, level
    )
