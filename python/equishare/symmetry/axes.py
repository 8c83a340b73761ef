"""The axes that a group moves: outputs, inputs and, for a kernel, taps; or the entries of a vector.

An element is a tuple of permutations, one for each axis, or one permutation of all their points, axis after axis.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.permutations import Permutation

Element = tuple[Permutation, ...]


def starts_of_axes(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """First point of each axis of a parameter of this shape, and the number of all points."""
    return np.cumsum([0, *shape[:2], *([math.prod(shape[2:])] if len(shape) > 2 else [])])


def as_points(element: Sequence[Permutation], shape: tuple[int, ...]) -> Permutation:
    """The permutation of all points, from one for each axis."""
    return np.concatenate([p + start for p, start in zip(element, starts_of_axes(shape)[:-1], strict=True)])


def as_element(points: Permutation, shape: tuple[int, ...]) -> Element:
    """The permutation of each axis, from (..., points) permutations of all points."""
    return tuple(points[..., a:b] - a for a, b in itertools.pairwise(starts_of_axes(shape)))
