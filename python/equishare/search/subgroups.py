"""What contradicts a symmetry: the orbits of its subgroups, and its pattern with rows or columns exchanged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from equishare.partition import Partition
from equishare.problems.estimates import BlockEstimate
from equishare.search.alignment import Permutations
from equishare.search.price import is_tabled
from equishare.symmetry.orbits import cell_orbits
from equishare.symmetry.permutations import joined, moves

# Subgroups of a symmetry that are looked at: without one generator, and of random elements, of large parameters fewer.
_DROPPED = 16
_RANDOM_SUBGROUPS, _RANDOM_OF_LARGE, _FEWEST_OF_FACTOR = 96, 12, 12
# So many of them are judged, those that the estimates speak for most. A value more costs about so much.
_JUDGED_SUBGROUPS = 24
_COST_OF_VALUE = 3.0
# Where rows and columns have so many exchanges, so many of the best with two of them exchanged are judged.
_MOST_EXCHANGES, _REARRANGED = 20_000, 8


def orbits_of_subgroups(partition: Partition, maps: list[Permutations], rng: np.random.Generator) -> list[Partition]:
    """The orbits of some proper subgroups of the symmetry of a partition, which maps generate."""
    count = _RANDOM_SUBGROUPS if is_tabled(partition.shape) else _RANDOM_OF_LARGE
    found = dict.fromkeys(Partition(cell_orbits(own, partition.shape)) for own in _subgroups(maps, rng, count))
    found.pop(Partition(cell_orbits(maps, partition.shape)), None)
    return list(found)


def likely_parts(
    estimate: BlockEstimate, partition: Partition, maps: list[Permutations], parts: Sequence[Partition]
) -> list[Partition]:
    """Those orbits of subgroups that the estimates speak for most, and the partition with its groups split by these.

    Args:
        estimate: of the entries.
        partition: with a symmetry.
        maps: generators of it.
        parts: orbits of its subgroups.
    """
    whole = cell_orbits(maps, partition.shape)
    split = {one: _split(partition.labels, whole, one.labels) for one in parts}
    likely = sorted(split, key=lambda one: _cost(estimate, split[one]))[:_JUDGED_SUBGROUPS]
    return [*likely, *(split[one] for one in likely)]


def rearranged(estimate: BlockEstimate, partition: Partition) -> list[Partition]:
    """The partition with two rows, or two columns, or both exchanged: of few samples its order may be wrong."""
    if math.prod(1 + math.comb(size, 2) for size in partition.shape) > _MOST_EXCHANGES:
        return []
    pairs = itertools.product(*(_exchanges(size) for size in partition.shape))
    found = dict.fromkeys(Partition(partition.labels[np.ix_(*pair)]) for pair in pairs)
    return sorted((one for one in found if one != partition), key=lambda one: _cost(estimate, one))[:_REARRANGED]


def _cost(estimate: BlockEstimate, partition: Partition) -> float:
    """About what the evidence has against a partition, by the variances of the entries alone."""
    weights, values, labels = 1 / estimate.variance.ravel(), estimate.values.ravel(), partition.labels.ravel()
    explained = np.bincount(labels, weights * values) ** 2 / np.bincount(labels, weights)
    return _COST_OF_VALUE * partition.num_groups - 0.5 * float(explained.sum())


def _subgroups(maps: list[Permutations], rng: np.random.Generator, count: int) -> list[list[Permutations]]:
    """Generators of subgroups: all but one of those given, and about ``count`` of random elements of one factor."""
    chosen = rng.permutation(len(maps))[:_DROPPED].tolist() if len(maps) > 1 else []
    found = [[one for i, one in enumerate(maps) if i != left_out] for left_out in chosen]
    factors = _factors(maps)
    for own, others in factors:
        # Of a small factor the same come up again and again.
        drawn: dict[bytes, list[Permutations]] = {}
        for _ in range(max(count // len(factors), _FEWEST_OF_FACTOR)):
            some = [_product(own, rng) for _ in range(int(rng.integers(1, 3)))]
            drawn[b"".join(p.tobytes() for one in some for p in one)] = some
        found += [[*others, *some] for some in drawn.values()]
    return found


def _exchanges(size: int) -> list[np.ndarray]:
    """The identity and all exchanges of two points."""
    found = [np.arange(size)]
    for pair in itertools.combinations(range(size), 2):
        found.append(np.arange(size))
        found[-1][list(pair)] = pair[::-1]
    return found


def _split(labels: np.ndarray, whole: np.ndarray, part: np.ndarray) -> Partition:
    """A pattern with those groups in the orbits of a subgroup, of which these split some orbit of the group."""

    def number(orbits: np.ndarray) -> np.ndarray:
        pairs = np.unique(np.stack([labels.ravel(), orbits.ravel()]), axis=1)
        return np.bincount(pairs[0])

    is_split = number(part) > number(whole)
    return Partition(np.where(is_split[labels], labels.max() + 1 + part, labels))


def _factors(maps: list[Permutations]) -> list[tuple[list[Permutations], list[Permutations]]]:
    """Generators that move rows or columns in common, directly or through others, beside all that do not."""
    moved = np.array([np.concatenate([moves(p) for p in one]) for one in maps])
    labels = joined(np.arange(len(maps)), [np.argwhere(moved.astype(int) @ moved.T)])
    parts = [[one for one, own in zip(maps, labels, strict=True) if own == label] for label in np.unique(labels)]
    return [(part, [one for other in parts if other is not part for one in other]) for part in parts]


def _product(maps: list[Permutations], rng: np.random.Generator) -> Permutations:
    """A product of several generators, chosen at random."""
    outputs, inputs = (np.arange(len(p)) for p in maps[0])
    for i in rng.integers(len(maps), size=2 * len(maps) + 2):
        outputs, inputs = maps[i][0][outputs], maps[i][1][inputs]
    return outputs, inputs
