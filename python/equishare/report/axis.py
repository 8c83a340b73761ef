"""The axis of a chart: where its values lie, and which of them are told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Scale = Callable[[np.ndarray | float], np.ndarray]


def axis(values: np.ndarray, span: tuple[float, float], ratio: float, whole: bool) -> tuple[np.ndarray, Scale]:
    """Ticks, and where a value lies; logarithmic where the values are positive and more than `ratio` apart.

    Args:
        values: what is to be seen, at least one number.
        span: the places of the least and of the greatest, in pixels.
        ratio: of the greatest to the least; infinite where the axis is never logarithmic.
        whole: whether ticks are whole numbers.
    """
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > ratio * low:
        a, b = np.log10(low), np.log10(high)
        powers = 10.0 ** np.arange(np.floor(a), np.ceil(b) + 1)
        steps = (1,) if b - a > 3 else (1, 2, 5)
        ticks = np.unique(np.outer(powers, steps))
        return ticks[(ticks >= low * 0.999) & (ticks <= high * 1.001)], _scale(np.log10, a, b, span)
    room = 0.0 if whole else 0.05 * (high - low)
    if high - low <= 1e-12 * max(abs(high), abs(low)):
        room = 0.5 if whole else max(abs(high), 1e-300) * 0.05
    low, high = low - room, high + room
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (f * step) <= 8)
    step = max(step, 1.0) if whole else step
    ticks = step * np.arange(np.ceil(low / step), np.floor(high / step) + 1) + 0.0  # no -0
    return ticks, _scale(np.asarray, low, high, span)


def vertical_lines(ticks: np.ndarray, across: Scale, top: float, bottom: float) -> str:
    """SVG of a line and a number for each tick of an axis that goes from left to right."""
    parts = []
    for tick in ticks:
        x = float(across(tick))
        parts.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom:g}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15:g}">{tick:g}</text>')
    return "".join(parts)


def _scale(transform: Callable[..., np.ndarray], low: float, high: float, span: tuple[float, float]) -> Scale:
    return lambda value: span[0] + (transform(value) - low) / (high - low) * (span[1] - span[0])
