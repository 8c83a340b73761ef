"""The validation loss over the search, as the page and the figure draw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equishare.result.view import View


@dataclass(frozen=True, eq=False)
class LossHistory:
    """What was tried.

    Attributes:
        name: "step" or "number of groups".
        x, y: (n,) that and the validation loss, of all that was tried.
        line_x, line_y: the curve: every step, or the least loss for each number of groups.
        found: where on the axis of x the answer lies.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    line_x: np.ndarray
    line_y: np.ndarray
    found: float


def loss_history(view: View) -> LossHistory:
    """The history of a discovery; losses that are not finite are left out."""
    by_step = "step" in view.history
    x, y = (
        np.asarray(view.history.get(name, ()), dtype=float)
        for name in ("step" if by_step else "num_groups", "validation_loss")
    )
    found = float(view.num_groups) if not by_step else float(x[-1]) if len(x) else 0.0
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if by_step:
        return LossHistory("step", x, y, x, y, found)
    line_x, which = np.unique(x, return_inverse=True)
    line_y = np.full(len(line_x), np.inf)
    np.minimum.at(line_y, which, y)
    return LossHistory("number of groups", x, y, line_x, line_y, found)
