"""The symmetry group of a partition: what :func:`symmetry_group` returns and how it is found."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equishare.partition import Partition, partition_distance
from equishare.symmetry.arguments import checked_same_action, checked_shape
from equishare.symmetry.automorphisms import automorphism_group
from equishare.symmetry.boundary import extension
from equishare.symmetry.factors import direct_factors
from equishare.symmetry.followers import Reduction, without_followers
from equishare.symmetry.names import explain, recognise_pattern
from equishare.symmetry.orbits import cell_orbits
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, cycle_and_exchange, groups_of, moves, orbit_labels
from equishare.symmetry.structure import Structure, decimal_digits, sorted_product, symmetric

__all__ = ["Orbits", "SymmetryGroup", "symmetry_group"]


@dataclass(frozen=True)
class Orbits:
    """What a symmetry group can move where: entries of one orbit share a label.

    Attributes:
        outputs: Partition of the outputs; of the entries, for a vector.
        inputs: Partition of the inputs; None for a vector.
        taps: Partition of the taps of a kernel, in the shape of its grid; None where there is no kernel.
        cells: Partition of all entries, in the shape of the weight.
    """

    outputs: Partition
    inputs: Partition | None
    taps: Partition | None
    cells: Partition


@dataclass(frozen=True, eq=False)
class SymmetryGroup:
    """All permutations that leave a pattern of tied entries unchanged.

        label[p_out[o], p_in[i]] = label[o, i]    (a kernel has p_tap, its taps numbered in C order, as a third one)

    A linear map tied in this pattern is equivariant: permuting its inputs by p_in permutes its outputs by p_out,
    y[p_out[o]] of x[p_in[i]] (Ravanbakhsh, Schneider, Póczos, ICML 2017).

    Attributes:
        partition: the pattern, in its shape.
        same_action: whether outputs and inputs had to be permuted alike.
        order: exact number of elements.
        generators: tuples of int64 permutations, one for each axis: (p_out, p_in) for a weight, (p_out, p_in, p_tap)
            for a kernel, (p,) for a vector; empty for the trivial group.
        orbits: partitions of the outputs, inputs, taps and cells into orbits.
        structure: the isomorphism type, as a tree.
        closure_gap: fewest cells to move from one group to another to turn the orbits on cells into the pattern; 0 if
            the pattern is exactly a symmetry.
        explanation: a sentence for a person.
        extension: the group of the pattern closed to a ring or torus, if it has shift structure up to its boundary.
        verdict: ``exact``; of a pattern that was found in data ``approximate`` where its entries are only nearly equal,
            and ``none`` where the data do not tell that there is a symmetry.
    """

    partition: Partition
    same_action: bool
    order: int
    generators: list[tuple[Permutation, ...]]
    orbits: Orbits
    structure: Structure
    closure_gap: int
    explanation: str
    _reduction: Reduction
    _factors: list[PermutationGroup]
    extension: SymmetryGroup | None = None
    verdict: str = "exact"

    @property
    def name(self) -> str:
        """C_n, D_n (order 2n), Q_8, Dic_n, S_n, A_n, C_p ⋊ C_k, products ×, wreath products ≀, "trivial".

        Or "order N, k generators" where none of these was proved.
        """
        return str(self.structure)

    @property
    def is_trivial(self) -> bool:
        """Whether the identity is the only element."""
        return self.order == 1

    def random_element(self, rng: np.random.Generator) -> tuple[Permutation, ...]:
        """A uniformly distributed element, as a tuple of permutations like the generators."""
        points = np.arange(self._reduction.group.degree)
        for factor in self._factors:
            points = factor.random_element(rng)[points]
        return _split(self._reduction.lift(points), self.partition.shape)

    def __str__(self) -> str:
        return self.explanation

    def __repr__(self) -> str:
        return (
            f"SymmetryGroup({self.name}, order={decimal_digits(self.order)}, shape={self.partition.shape}, "
            f"same_action={self.same_action}, generators={len(self.generators)}, closure_gap={self.closure_gap})"
        )


def symmetry_group(partition: Any, shape: tuple[int, ...] | None = None, same_action: bool = False) -> SymmetryGroup:
    """The group of permutations that leave a partition of the entries of a parameter unchanged.

    A weight (O, I) is moved by pairs of permutations, of its outputs and of its inputs; a convolution kernel
    (O, I, *taps) by permutations of its channels together with an isometry of the grid of its taps; a vector (means, or
    the slices of a stack) by permutations of its entries. Groups are not renamed: every entry keeps its label.

    Args:
        partition: Partition or array of labels.
        shape: shape of the parameter, where the partition has another one, (O * I,) for example.
        same_action: demand the same permutation of outputs and inputs; O = I.

    Raises:
        ValueError: there are no entries, the shape has another number of them or a negative size, or same_action with
            O ≠ I or for a vector; labels that :class:`Partition` refuses.
        TypeError: shape is no tuple of integers, same_action is neither True nor False; labels that
            :class:`Partition` refuses.
        ImportError: igraph or sympy are not installed (``pip install "equishare[symmetry]"``).
    """
    same_action = checked_same_action(same_action)
    pattern = _shaped(partition if isinstance(partition, Partition) else Partition(partition), shape)
    if len(pattern.shape) == 1:
        if same_action:
            raise ValueError("same_action needs a weight (O, I) or a kernel (O, I, *taps), got a vector")
        return _vector_group(pattern)
    found = _weight_group(pattern, same_action)
    if len(pattern.shape) == 2 and found.closure_gap:
        wider = extension(pattern, found.orbits.cells)
        if wider is not None:
            closed = _weight_group(Partition(wider.labels), same_action=False)
            return replace(found, extension=closed, explanation=f"{found.explanation} {wider.sentence(closed.name)}")
    return found


def _shaped(partition: Partition, shape: tuple[int, ...] | None) -> Partition:
    shape = partition.shape if shape is None else checked_shape(shape)
    if not shape or not len(partition) or math.prod(shape) != len(partition):
        raise ValueError(
            f"shape must be that of a vector, a weight or a kernel with the {len(partition)} entries of the partition "
            f"and at least one, got {shape}"
        )
    return Partition(partition.labels.reshape(shape))


def _vector_group(pattern: Partition) -> SymmetryGroup:
    groups = [points for points in groups_of(pattern.labels) if len(points) > 1]
    factors = [
        PermutationGroup(len(pattern), cycle_and_exchange(len(pattern), points), math.factorial(len(points)))
        for points in groups
    ]
    parts = [(symmetric(len(points)), (len(points),)) for points in groups]
    structure = sorted_product(part for part, _ in parts)
    points, every = [p for factor in factors for p in factor.generators], np.arange(len(pattern))
    return SymmetryGroup(
        partition=pattern,
        same_action=False,
        order=structure.order,
        generators=[(p,) for p in points],
        orbits=Orbits(pattern, None, None, pattern),
        structure=structure,
        closure_gap=0,
        explanation=explain(structure, parts, pattern, 0),
        _reduction=Reduction(PermutationGroup(len(pattern), points, structure.order), len(pattern), every, []),
        _factors=factors,
    )


def _weight_group(pattern: Partition, same_action: bool) -> SymmetryGroup:
    triples, order = automorphism_group(pattern.labels, same_action)
    starts = _starts(pattern.shape)
    points = [np.concatenate([p + start for p, start in zip(t, starts[:-1], strict=False)]) for t in triples]
    reduction = without_followers(PermutationGroup(int(starts[-1]), points, order))
    factors = direct_factors(reduction.group)
    moved = [_moved([reduction.lift(p) for p in factor.generators], starts) for factor in factors]
    structure, parts = recognise_pattern(factors, moved, same_action)
    generators = []
    for factor, part in zip(factors, parts, strict=True):
        # The number of generators is part of the name of an unnamed group.
        chosen = factor.random_generators() if part.kind == "unnamed" else factor.few_generators()
        generators += [_split(reduction.lift(p), pattern.shape) for p in chosen]
    cells = Partition(cell_orbits(generators, pattern.shape))
    gap = partition_distance(cells, pattern)
    orbits = orbit_labels(reduction.degree, points)
    axes = [Partition(orbits[a:b]) for a, b in itertools.pairwise(starts)]
    taps = Partition(axes[2].labels.reshape(pattern.shape[2:])) if len(pattern.shape) > 2 else None
    return SymmetryGroup(
        partition=pattern,
        same_action=same_action,
        order=order,
        generators=generators,
        orbits=Orbits(axes[0], axes[1], taps, cells),
        structure=structure,
        closure_gap=gap,
        explanation=explain(structure, list(zip(parts, moved, strict=True)), pattern, gap),
        _reduction=reduction,
        _factors=factors,
    )


def _starts(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """First point of each axis, and the number of points: outputs, inputs and, for a kernel, taps; or entries."""
    return np.cumsum([0, *shape[:2], *([math.prod(shape[2:])] if len(shape) > 2 else [])])


def _split(points: Permutation, shape: tuple[int, ...]) -> tuple[Permutation, ...]:
    """The permutation of each axis."""
    return tuple(points[a:b] - a for a, b in itertools.pairwise(_starts(shape)))


def _moved(generators: list[Permutation], starts: NDArray[np.int64]) -> tuple[int, ...]:
    """How many points of each axis a group moves."""
    moved = np.zeros(starts[-1], dtype=bool)
    for p in generators:
        moved |= moves(p)
    return tuple(int(moved[a:b].sum()) for a, b in itertools.pairwise(starts))
