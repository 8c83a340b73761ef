"""A permutation for the eye: its points on a ring, its arrows, and its cycles in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equishare.symmetry.permutations import cycles


def ring(count: int) -> np.ndarray:
    """(count, 2) points on the unit circle, clockwise from the top, y upwards."""
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def arrows(p: np.ndarray) -> list[tuple[int, int, bool]]:
    """Start, end, and whether it goes both ways: one arrow for each point that moves, one for an exchange."""
    moved = [(i, int(j)) for i, j in enumerate(p) if i != j]
    return [(i, j, int(p[j]) == i) for i, j in moved if not (int(p[j]) == i and j < i)]


def cycle_notation(p: np.ndarray, longest: int, names: Sequence[str] = ()) -> str:
    """``(0 1 2)(4 5)``, "none move" for the identity; cut with … after about `longest` characters."""
    text = "".join(f"({' '.join(names[i] if names else str(i) for i in cycle)})" for cycle in cycles(p))
    if len(text) > longest:
        return f"{text[:longest].rsplit(' ', 1)[0]} …"
    return text or "none move"
