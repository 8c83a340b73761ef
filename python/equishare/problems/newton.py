"""Newton's method for concave functions, whose steps are halved where they go too far."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_MOST_STEPS = 50
_LEAST_SIZE = 1e-6


def maximised(
    start: np.ndarray,
    objective: Callable[[np.ndarray], float],
    step: Callable[[np.ndarray], np.ndarray],
    tolerance: float,
) -> tuple[np.ndarray, float]:
    """The point where a concave function is greatest, and its value there.

    Args:
        start: (n,) where to begin.
        objective: the function.
        step: the Newton step at a point.
        tolerance: gains of so small a part of the value end it.
    """
    point, best = start, objective(start)
    for _ in range(_MOST_STEPS):
        whole, size = step(point), 1.0
        while True:
            moved = point + size * whole
            value = objective(moved)
            if value >= best - 1e-12 * abs(best) or size < _LEAST_SIZE:
                break
            size /= 2
        gain, best, point = value - best, value, moved
        if gain < tolerance * (1 + abs(best)):
            break
    return point, best
