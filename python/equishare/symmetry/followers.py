"""Orbits that follow another one: where an element moves the points of one orbit tells where it moves the follower's.

A group is known by what it does without its followers. Usually outputs and inputs move alike, and half of the points
can go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, random_subproduct
from equishare.symmetry.transversal import spanning_tree


@dataclass(frozen=True)
class Reduction:
    """A group on the points that matter, and the way back to all points.

    Attributes:
        group: the action on the kept points, numbered in their order; it is faithful.
        degree: the number of all points.
        kept: (k,) the kept points, increasing.
        followers: pairs (a, b) of arrays of points, a kept and b not: an element that moves a[x] to a[y] moves b[x] to
            b[y].
    """

    group: PermutationGroup
    degree: int
    kept: NDArray[np.int64]
    followers: list[tuple[NDArray[np.int64], NDArray[np.int64]]]

    def lift(self, p: Permutation) -> Permutation:
        """The element of the group on all points that acts as p on the kept ones; also of a batch (..., k) of them."""
        lifted = np.empty((*p.shape[:-1], self.degree), dtype=np.int64)
        lifted[...] = np.arange(self.degree)
        lifted[..., self.kept] = self.kept[p]
        image = np.arange(self.degree)
        for leader, follower in self.followers:
            image[leader] = follower
            lifted[..., follower] = image[lifted[..., leader]]
        return lifted


def without_followers(group: PermutationGroup) -> Reduction:
    """Leave out every orbit that follows a longer one, or an earlier one of the same length."""
    orbits = sorted(group.moved_orbits(), key=len, reverse=True)
    movers = [np.array([bool((p[orbit] != orbit).any()) for p in group.generators]) for orbit in orbits]
    leaders: list[int] = []
    followers = []
    for number, orbit in enumerate(orbits):
        for leader in leaders:
            # A generator that fixes all points of the leader must fix those of a follower.
            if len(orbits[leader]) % len(orbit) or (movers[number] & ~movers[leader]).any():
                continue
            image = _equivariant_map(group, orbits[leader], orbit)
            if image is not None:
                followers.append((orbits[leader], image))
                break
        else:
            leaders.append(number)
    kept = np.sort(np.concatenate([orbits[leader] for leader in leaders])) if leaders else np.empty(0, np.int64)
    return Reduction(group.acting_on(kept, group.order), group.degree, kept, followers)


def _equivariant_map(
    group: PermutationGroup, leader: NDArray[np.int64], follower: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """A map f of an orbit onto another with f(p(x)) = p(f(x)) for all elements p, as (leader,) images; None if none is.

    The image of one point determines f: all images that it can have are tried at once.
    """
    rng = np.random.default_rng(0)
    # Two random elements leave few maps to be tried with each generator.
    elements = [*(random_subproduct(group.generators, rng) for _ in range(2)), *group.generators]
    number = np.full(group.degree, -1)
    number[leader], number[follower] = np.arange(len(leader)), np.arange(len(follower))
    own, other = ([number[p[orbit]] for p in elements] for orbit in (leader, follower))
    images = np.empty((len(leader), len(follower)), dtype=np.int32)
    images[0] = np.arange(len(follower))
    for point, before, step in spanning_tree(own, 0):
        images[point] = other[step][images[before]]
    for p, q in zip(own, other, strict=True):
        images = images[:, (images[p] == q[images]).all(axis=0)]
        if not images.shape[1]:
            return None
    return follower[images[:, 0]]
