"""The validation loss of what was tried, as SVG."""

from __future__ import annotations

import numpy as np

from equishare.report.axis import Scale, axis, vertical_lines
from equishare.report.history import LossHistory
from equishare.report.pieces import Markup, number, text

_WIDTH, _HEIGHT = 420, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 14, 14, 48
# As many points as a screen can tell apart.
_MAX_POINTS = 800
_MAX_DOTS = 100


def curve(history: LossHistory, found: float, no_sharing: float) -> Markup:
    """A chart of the losses, with the answer and the loss without sharing.

    Args:
        history: what was tried.
        found: the loss of the answer.
        no_sharing: a level to compare with; left out where it is not finite.
    """
    x, y, line_x, line_y = history.x, history.y, history.line_x, history.line_y
    if len(line_x) > _MAX_POINTS:
        keep = np.unique(np.linspace(0, len(line_x) - 1, _MAX_POINTS).round().astype(int))
        line_x, line_y = line_x[keep], line_y[keep]
    levels = np.array([v for v in (*y, found, no_sharing) if np.isfinite(v)])
    if not len(levels):
        return Markup("")
    x_ticks, across = axis(np.append(x, history.found), (_LEFT, _WIDTH - _RIGHT), 50.0, whole=True)
    y_ticks, up = axis(levels, (_HEIGHT - _BOTTOM, _TOP), 10.0, whole=False)
    parts = [_grid(x_ticks, y_ticks, across, up, history.name)]
    if np.isfinite(no_sharing):
        level = float(up(no_sharing))
        parts.append(f'<path class="level" d="M{_LEFT} {level:.1f}H{_WIDTH - _RIGHT}"/>')
    if len(line_x) > 1:
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across(line_x), up(line_y), strict=True))
        parts.append(f'<polyline class="loss" points="{points}"/>')
    if len(x) <= _MAX_DOTS:
        parts += [
            f'<circle class="tried" cx="{across(a):.1f}" cy="{up(b):.1f}" r="3.5">'
            f"<title>{text(history.name)} {a:g}: {number(b)}</title></circle>"
            for a, b in zip(x, y, strict=True)
        ]
    if np.isfinite(found):
        a, b = float(across(history.found)), float(up(found))
        parts.append(
            f'<path class="found" transform="translate({a:.1f} {b:.1f})" d="M-7 0L0 -7L7 0L0 7Z">'
            f"<title>found: {number(found)}</title></path>"
        )
    label = f"Validation loss against {history.name}; found {number(found)}, without sharing {number(no_sharing)}"
    sample = '<svg aria-hidden="true" width="26" height="14">'
    key = (
        f'<p class="key"><span>{sample}<path class="loss" d="M1 7H25"/></svg> validation loss</span> '
        f'<span>{sample}<path class="level" d="M1 7H25"/></svg> no sharing</span> '
        f'<span>{sample}<path class="found" d="M6 7L13 0L20 7L13 14Z"/></svg> found</span></p>'
    )
    return Markup(
        f'<figure class="curve"><svg role="img" aria-label="{text(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f"{''.join(parts)}</svg>\n<figcaption>{key}</figcaption></figure>\n"
    )


def _grid(x_ticks: np.ndarray, y_ticks: np.ndarray, across: Scale, up: Scale, x_name: str) -> str:
    parts = []
    digits = 6 if len({f"{tick:.6g}" for tick in y_ticks}) == len(y_ticks) else 9
    for tick in y_ticks:
        y = float(up(tick))
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 8}" y="{y:.1f}">{tick:.{digits}g}</text>')
    parts.append(vertical_lines(x_ticks, across, _TOP, _HEIGHT - _BOTTOM))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 10}">{text(x_name)}</text>')
    return "".join(parts)
