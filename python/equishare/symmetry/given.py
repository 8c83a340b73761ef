"""What people give as a group: a SymmetryGroup, a name, a group of sympy, or a list of permutations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from equishare.arrays import to_numpy
from equishare.partition import Partition
from equishare.symmetry.axes import Element
from equishare.symmetry.group import SymmetryGroup
from equishare.symmetry.named import named_group
from equishare.symmetry.orbits import cell_orbits
from equishare.symmetry.permutations import Permutation

__all__ = ["pattern"]

_ACCEPTED = (
    "a SymmetryGroup, a name such as 'D_6', a sympy PermutationGroup, or a list of permutations p of outputs and "
    "inputs alike, or of pairs (p_out, p_in)"
)


@dataclass(frozen=True)
class Given:
    """A group by its generators.

    Attributes:
        generators: as :attr:`SymmetryGroup.generators`.
        shape: of the parameter whose axes it moves.
        same_action: whether outputs and inputs are the same points.
        group: the SymmetryGroup, where that is what was given, or its name.
    """

    generators: list[Element]
    shape: tuple[int, ...]
    same_action: bool
    group: SymmetryGroup | None = None


def pattern(group: Any) -> Partition:
    """The pattern that a group ties: entries that some element moves to each other are one group.

        label[p_out[o], p_in[i]] = label[o, i]

    These are the labels of a layer that has the symmetry: ``es.nn.SharedLinear(I, O, es.pattern(group))``. The pattern
    may have more symmetries than the group, which :func:`equishare.symmetry_group` tells.

    Args:
        group: a SymmetryGroup; a name for :func:`equishare.named_group`; a ``sympy.combinatorics.PermutationGroup``,
            which moves outputs and inputs alike; or a list of permutations that generate it: arrays p with 0, …, n − 1
            in another order, p[x] the place that x goes to, of outputs and inputs alike, or pairs (p_out, p_in).

    Returns:
        Partition of shape (O, I), or of the parameter that the SymmetryGroup is of.

    Raises:
        TypeError: group is none of these.
        ValueError: an empty list, no permutations, or permutations of different numbers of points; no such name.
    """
    given = as_given(group)
    return given.group.orbits.cells if given.group else Partition(cell_orbits(given.generators, given.shape))


def as_given(group: Any) -> Given:
    """The generators of what was given as a group, checked.

    Raises:
        TypeError: something that is no group.
        ValueError: permutations that do not fit.
    """
    if isinstance(group, str):
        group = named_group(group)
    if isinstance(group, SymmetryGroup):
        # A vector has one axis, which is that of inputs and outputs.
        alike = group.same_action or len(group.partition.shape) == 1
        return Given(group.generators, group.partition.shape, alike, group)
    generators = getattr(group, "generators", group)
    if isinstance(generators, np.ndarray) and generators.ndim > 1:
        generators = list(generators)
    if not isinstance(generators, list | tuple):
        raise TypeError(f"group must be {_ACCEPTED}, got {type(group).__name__}")
    if not generators:
        raise ValueError("group must list a permutation or more, to tell how many points there are: give the identity")
    pairs = [_is_pair(generator) for generator in generators]
    if any(pairs) != all(pairs):
        raise ValueError("group must list either single permutations or pairs (p_out, p_in), got both")
    elements: list[Element] = [
        (_permutation(g[0]), _permutation(g[1])) if pair else (_permutation(g),) * 2
        for g, pair in zip(generators, pairs, strict=True)
    ]
    shapes = {tuple(map(len, element)) for element in elements}
    if len(shapes) > 1:
        raise ValueError(f"group must list permutations of one number of points, got {sorted(shapes)}")
    return Given(elements, shapes.pop(), not any(pairs))


def _is_pair(generator: Any) -> bool:
    if isinstance(generator, np.ndarray):
        return generator.ndim == 2
    return isinstance(generator, list | tuple) and len(generator) == 2 and not np.isscalar(generator[0])


def _permutation(points: Any) -> Permutation:
    p = to_numpy(getattr(points, "array_form", points), "a permutation")
    if p.ndim != 1 or p.dtype.kind not in "iu" or not np.array_equal(np.sort(p), np.arange(len(p))):
        raise ValueError(f"group must hold permutations, arrays of 0, …, n − 1 in another order, got {points!r}")
    return p.astype(np.int64)
