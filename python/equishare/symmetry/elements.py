"""All elements of a group, in batches: they are numbered, and none is held that is not asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.permutation_group import PermutationGroup


def element_batches(factors: Sequence[PermutationGroup], degree: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Batches (at most ``size``, degree) of the elements of a product of groups that move different points.

    An element is a product u_1 u_2 … u_k with one u from each transversal of the stabiliser chains, u_k first. Its
    number is written in digits, one for each transversal: the digits choose the u.

    Args:
        factors: the groups, each on all points.
        degree: number of points.
        size: elements of a batch.
    """
    levels = [level.elements() for factor in factors for level in factor.chain().levels if len(level) > 1]
    order = math.prod(map(len, levels))
    for start in range(0, order, size):
        rest = np.arange(start, min(start + size, order))
        batch = np.broadcast_to(np.arange(degree), (len(rest), degree))
        for level in reversed(levels):
            rest, digit = np.divmod(rest, len(level))
            batch = np.take_along_axis(level[digit], batch, axis=1)
        yield batch
