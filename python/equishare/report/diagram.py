"""Generators of a symmetry as arrows between points on rings, one ring for each axis that they permute."""

from __future__ import annotations

import numpy as np

from equishare.report.cycles import arrows, cycle_notation, ring
from equishare.report.pieces import Markup, counted, paragraph, text
from equishare.symmetry import SymmetryGroup

# Longer axes, and further generators, are given in cycles alone.
MAX_POINTS = 128
MAX_DRAWN = 6
_MAX_LISTED = 40
_MAX_CYCLES = 400  # characters

_DOT = 3.5
_SPACE_PER_POINT = 15.0  # along the ring, where there is room
_DIGIT = 7.0
_OUTSIDE = 14.0  # labels, of the ring
_MARGIN = 26.0
_FIXED = ' class="fixed"'


def ring_names(group: SymmetryGroup) -> list[str]:
    """What each permutation of a generator permutes."""
    names = {1: ["entries"], 2: ["outputs", "inputs"]}
    return names.get(len(group.partition.shape), ["output channels", "input channels", "taps"])


def generators(group: SymmetryGroup) -> Markup:
    """Each generator with its rings and its cycles."""
    count = len(group.generators)
    if not count:
        return paragraph("There is nothing to draw: no permutation but the identity leaves the pattern unchanged.")
    listed = group.generators[:_MAX_LISTED]
    made = "a power of one generator" if count == 1 else f"a product of {count:,} generators"
    parts = [
        paragraph(
            f"Every element of the group is {made}. An arrow leads from a point to "
            "where it is moved; a line with two heads is an exchange; hollow points stay."
        ),
        '<div class="generators">\n',
        *(_generator(i, generator, group) for i, generator in enumerate(listed)),
        "</div>\n",
    ]
    if count > len(listed):
        parts.append(paragraph(f"{counted(count - len(listed), 'more generator')}: d.symmetry().generators holds all."))
    return Markup("".join(parts))


def _generator(index: int, generator: tuple[np.ndarray, ...], group: SymmetryGroup) -> str:
    names = ring_names(group)
    drawn = ""
    if index < MAX_DRAWN:
        drawn = "".join(
            _ring(p, f"Generator {index + 1} on the {name}", name)
            for name, p in zip(names, generator, strict=True)
            if len(p) <= MAX_POINTS
        )
    words = "".join(
        f'<br>{text(name)}: <span class="cycles">{text(cycle_notation(p, _MAX_CYCLES))}</span>'
        for name, p in zip(names, generator, strict=True)
    )
    return (
        f'<figure class="generator"><div class="rings">{drawn}</div>\n'
        f"<figcaption><strong>Generator {index + 1}</strong>{words}</figcaption></figure>\n"
    )


def _ring(p: np.ndarray, title: str, name: str) -> str:
    radius = float(np.clip(_SPACE_PER_POINT * len(p) / (2 * np.pi), 54, 140))
    size = 2 * (radius + _MARGIN)
    # SVG counts y downwards.
    points = (ring(len(p)) * (1, -1) if len(p) > 1 else np.zeros((1, 2))) * radius
    width = _DIGIT * len(str(len(p) - 1)) + 2
    every = int(np.ceil(width * len(p) / (2 * np.pi * (radius + _OUTSIDE)) - 1e-9))
    lines = "".join(_arrow(points[i], points[j], both) for i, j, both in arrows(p))
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_DOT}"{_FIXED if p[i] == i else ""}/>'
        for i, (x, y) in enumerate(points)
    )
    outside = points * (1 + _OUTSIDE / radius) if len(p) > 1 else points + (0, _OUTSIDE)
    labels = "".join(f'<text x="{x:.1f}" y="{y:.1f}">{i}</text>' for i, (x, y) in list(enumerate(outside))[::every])
    return (
        f'<div class="ring"><svg role="img" aria-label="{text(title)}" width="{size:.0f}" height="{size:.0f}" '
        f'viewBox="{-size / 2:.1f} {-size / 2:.1f} {size:.1f} {size:.1f}">{lines}{dots}{labels}</svg>'
        f'<span class="ring-name">{text(name)}</span></div>'
    )


def _arrow(start: np.ndarray, end: np.ndarray, both: bool) -> str:
    """A curve that bends a little towards the middle, from the rim of one dot to that of another."""
    length = float(np.hypot(*(end - start)))
    middle = (start + end) / 2
    if not both:
        middle = middle * (1 - 0.2 * length / max(float(np.hypot(*middle)), length))
    gap = min(_DOT + 1.5, length / 4)
    a = start + (middle - start) * gap / max(float(np.hypot(*(middle - start))), 1e-9)
    b = end + (middle - end) * gap / max(float(np.hypot(*(middle - end))), 1e-9)
    heads = ' marker-start="url(#head)"' if both else ""
    return (
        f'<path class="arrow" d="M{a[0]:.1f} {a[1]:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {b[0]:.1f} {b[1]:.1f}"'
        f'{heads} marker-end="url(#head)"/>'
    )
