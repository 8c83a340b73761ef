"""From a pattern of tied entries to its group, and from an action that is known to its group."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equishare.partition import Partition, partition_distance
from equishare.symmetry.arguments import checked_same_action, checked_shape
from equishare.symmetry.automorphisms import automorphism_group
from equishare.symmetry.axes import as_element, as_points, starts_of_axes
from equishare.symmetry.boundary import extension
from equishare.symmetry.factors import direct_factors
from equishare.symmetry.followers import Reduction, without_followers
from equishare.symmetry.group import Orbits, SymmetryGroup
from equishare.symmetry.names import explain, recognise_pattern
from equishare.symmetry.orbits import cell_orbits
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, cycle_and_exchange, groups_of, joined, moves, orbit_labels
from equishare.symmetry.structure import Structure, sorted_product, symmetric

# Numbers that the generators of a group of a vector hold together, at most: two permutations of all entries a group.
_MOST_NUMBERS = 1 << 26

__all__ = ["group_of_action", "part_of_symmetry", "symmetry_group"]


def symmetry_group(
    partition: Any, shape: tuple[int, ...] | None = None, same_action: bool = False, *, covariance: bool = False
) -> SymmetryGroup:
    """The group of permutations that leave a partition of the entries of a parameter unchanged.

    A weight (O, I) is moved by pairs of permutations, of its outputs and of its inputs; a convolution kernel
    (O, I, *taps) by permutations of its channels together with an isometry of the grid of its taps; a vector (means, or
    the slices of a stack) by permutations of its entries. Groups are not renamed: every entry keeps its label.

    Args:
        partition: Partition or array of labels.
        shape: shape of the parameter, where the partition has another one, (O * I,) for example.
        same_action: demand the same permutation of outputs and inputs; O = I.
        covariance: the pattern is that of a covariance: one permutation moves its variables, and an entry and its
            mirror image are one.

    Raises:
        ValueError: there are no entries, the shape has another number of them or a negative size, or same_action with
            O ≠ I or for a vector; covariance with labels that are no symmetric matrix; labels that
            :class:`Partition` refuses.
        TypeError: shape is no tuple of integers, same_action is neither True nor False; labels that
            :class:`Partition` refuses.
        MemoryError: the generators of the group of a vector would take more than half a GiB.
        ImportError: igraph or sympy are not installed (``pip install 'equishare[symmetry]'``).
    """
    same_action = checked_same_action(same_action)
    pattern = _shaped(partition if isinstance(partition, Partition) else Partition(partition), shape)
    if covariance:
        if len(pattern.shape) != 2 or not np.array_equal(pattern.labels, pattern.labels.T):
            raise ValueError(f"covariance needs a symmetric matrix of labels, got one of shape {pattern.shape}")
        return _weight_group(pattern, same_action=True, covariance=True)
    if len(pattern.shape) == 1:
        if same_action:
            raise ValueError("same_action needs a weight (O, I) or a kernel (O, I, *taps), got a vector")
        return _vector_group(pattern)
    found = _weight_group(pattern, same_action)
    if len(pattern.shape) == 2 and found.closure_gap:
        wider = extension(pattern, found.orbits.cells)
        if wider is not None:
            closed = _weight_group(Partition(wider.labels), same_action=False)
            closed = replace(closed, explanation=wider.sentence(closed.name))
            return replace(found, extension=closed, explanation=f"{found.explanation} {closed.explanation}")
    return found


def part_of_symmetry(
    pattern: Partition, finer: Partition, same_action: bool, covariance: bool = False
) -> SymmetryGroup | None:
    """That part of the symmetry of a pattern (O, I) which is the whole symmetry of a finer one.

    Args:
        pattern: whose ties the closure gap and the explanation count.
        finer: the finer pattern.
        same_action: demand the same permutation of outputs and inputs.
        covariance: as in :func:`symmetry_group`.

    Returns:
        The group; None where the pattern has not all of the symmetry of the other one.
    """
    found = _weight_group(pattern, same_action, finer, covariance)
    is_kept = all((pattern.labels[np.ix_(*maps)] == pattern.labels).all() for maps in found.generators)
    return found if is_kept else None


def group_of_action(
    structure: Structure, factors: list[tuple[Structure, PermutationGroup]], degree: int
) -> SymmetryGroup:
    """A group whose name is known, acting on outputs and inputs alike, with the pattern that it ties.

    Args:
        structure: of the group; its order is that of the action.
        factors: groups that move different points, each with its name and on all points, whose product it is.
        degree: number of points.
    """
    generators = [p for _, factor in factors for p in factor.generators]
    group = PermutationGroup(degree, generators, structure.order)
    every, shape = np.arange(degree), (degree, degree)
    pairs = [(p, p) for p in generators]
    points = Partition(orbit_labels(degree, generators))
    pattern = Partition(cell_orbits(pairs, shape))
    parts = [(name, (len(factor.moved_points()),) * 2) for name, factor in factors]
    return SymmetryGroup(
        partition=pattern,
        same_action=True,
        order=structure.order,
        generators=[*pairs],
        orbits=Orbits(points, points, None, pattern),
        structure=structure,
        closure_gap=0,
        explanation=explain(structure, parts, pattern, 0),
        _reduction=Reduction(group, 2 * degree, every, [(every, every + degree)]),
        _factors=[factor for _, factor in factors],
    )


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
    if 2 * len(groups) * len(pattern) > _MOST_NUMBERS:
        raise MemoryError(
            f"the symmetry of a vector with {len(pattern):,} entries in {len(groups):,} groups of several is the "
            f"product of all permutations of each group; its generators would take "
            f"{16 * len(groups) * len(pattern):.1e} bytes, and are made up to {8 * _MOST_NUMBERS:.1e}"
        )
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


def _weight_group(
    pattern: Partition, same_action: bool, finer: Partition | None = None, covariance: bool = False
) -> SymmetryGroup:
    triples, order = automorphism_group((finer or pattern).labels, same_action)
    starts = starts_of_axes(pattern.shape)
    # The taps of a weight are one point, which is left out.
    points = [as_points(triple[: len(starts) - 1], pattern.shape) for triple in triples]
    reduction = without_followers(PermutationGroup(int(starts[-1]), points, order))
    factors = direct_factors(reduction.group)
    moved = [_moved([reduction.lift(p) for p in factor.generators], starts) for factor in factors]
    structure, parts = recognise_pattern(factors, moved, same_action)
    generators = []
    for factor, part in zip(factors, parts, strict=True):
        # The number of generators is part of the name of an unnamed group.
        chosen = factor.random_generators() if part.kind == "unnamed" else factor.few_generators()
        generators += [as_element(reduction.lift(p), pattern.shape) for p in chosen]
    cells = Partition(cell_orbits(generators, pattern.shape))
    if covariance:  # an entry and its mirror image are one
        links = np.column_stack([cells.labels.ravel(), cells.labels.T.ravel()])
        cells = Partition(joined(np.arange(cells.num_groups), [links])[cells.labels])
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
        explanation=explain(structure, list(zip(parts, moved, strict=True)), pattern, gap, covariance),
        _reduction=reduction,
        _factors=factors,
        covariance=covariance,
    )


def _moved(generators: list[Permutation], starts: NDArray[np.int64]) -> tuple[int, ...]:
    """How many points of each axis a group moves."""
    moved = np.zeros(starts[-1], dtype=bool)
    for p in generators:
        moved |= moves(p)
    return tuple(int(moved[a:b].sum()) for a, b in itertools.pairwise(starts))
