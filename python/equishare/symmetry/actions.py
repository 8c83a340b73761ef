"""Groups with known names, as they act on points, and what can be made of two of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, cycle_and_exchange, orbit_labels, order_of
from equishare.symmetry.polyhedra import Part, polyhedron_group
from equishare.symmetry.structure import (
    Places,
    Structure,
    alternating,
    cyclic,
    dicyclic,
    dihedral,
    product,
    semidirect,
    symmetric,
)


@dataclass(frozen=True)
class Action:
    """A group with a known name on so many points.

    Attributes:
        structure: what it is called.
        degree: number of points.
        generators: makes them, once it is clear that there are not too many points.
        beside: two groups that it is the product of, each on points of its own; the points of the first come first.
    """

    structure: Structure
    degree: int
    generators: Callable[[], list[Permutation]]
    beside: tuple[Action, ...] = ()

    def parts(self) -> list[tuple[Structure, PermutationGroup]]:
        """The groups that move different points, each on all points."""
        if not self.beside:
            generators = self.generators()
            whole = PermutationGroup(self.degree, generators, self.structure.order)
            return [(self.structure, whole)] if generators else []
        found, start, every = [], 0, np.arange(self.degree)
        for action in self.beside:
            stop = start + action.degree
            for structure, part in action.parts():
                moved = [np.concatenate([every[:start], p + start, every[stop:]]) for p in part.generators]
                found.append((structure, PermutationGroup(self.degree, moved, part.order)))
            start = stop
        return found


def action_of_family(kind: str, n: int) -> Action:
    """C_n, D_n, S_n or A_n on n points; Q_n (of order n) or Dic_n on its own elements."""
    points = np.arange(n)
    shift, reflection = np.roll(points, -1), -points % n
    if kind == "C":
        return Action(cyclic(n) if n > 1 else product([]), n, lambda: [shift][: n - 1])
    if kind == "D":
        return Action(dihedral(n), n, lambda: [shift, reflection])
    if kind == "S":
        return Action(symmetric(n), n, lambda: cycle_and_exchange(n, points) if n > 1 else [])
    if kind == "A":
        # A cycle of three, and one of all points or of all but the first, whichever is even.
        even = points[1 - n % 2 :]
        return Action(
            alternating(n) if n > 3 else cyclic(3), n, lambda: [cycle_and_exchange(n, c)[0] for c in (points[:3], even)]
        )
    return _dicyclic(n if kind == "Dic" else n // 4)


def _dicyclic(n: int) -> Action:
    """Dic_n on its elements rʲ sᵏ, number j + 2nk: multiplied from the left by r, and by s, where s rʲ = r⁻ʲ s."""
    j, k = np.arange(4 * n) % (2 * n), np.arange(4 * n) // (2 * n)
    r, s = (j + 1) % (2 * n) + 2 * n * k, (n * k - j) % (2 * n) + 2 * n * (1 - k)
    return Action(dicyclic(n), 4 * n, lambda: [r, s])


def on_residues(p: int, k: int) -> Action:
    """C_p ⋊ C_k on the integers modulo a prime p, k a divisor of p − 1."""
    points = np.arange(p)
    u = next(u for u in range(2, p) if order_of(points * u % p) == k)
    return Action(semidirect(cyclic(p), cyclic(k)), p, lambda: [(points + 1) % p, points * u % p])


def beside(a: Action, b: Action) -> Action:
    """The direct product on the points of a, then those of b."""
    whole = Action(product([a.structure, b.structure]), a.degree + b.degree, list, beside=(a, b))
    return replace(whole, generators=lambda: [p for _, part in whole.parts() for p in part.generators])


def on_grid(a: Action, b: Action) -> Action:
    """The direct product on pairs of points, in C order."""
    cells = np.arange(a.degree * b.degree).reshape(a.degree, b.degree)
    return Action(
        product([a.structure, b.structure]),
        cells.size,
        lambda: [*(cells[p].ravel() for p in a.generators()), *(cells[:, p].ravel() for p in b.generators())],
    )


def on_blocks(base: Action, top: Action, places: Places = "blocks") -> Action:
    """The wreath product on a block of the points of the base for each point of the top."""
    blocks = np.arange(base.degree * top.degree).reshape(top.degree, base.degree)

    def generators() -> list[Permutation]:
        between = top.generators()
        within = []
        # The blocks of one orbit can be reached from the first of them.
        for block in np.unique(orbit_labels(top.degree, between), return_index=True)[1]:
            for p in base.generators():
                moved = blocks.copy()
                moved[block] = blocks[block][p]
                within.append(moved.ravel())
        return [*within, *(blocks[p].ravel() for p in between)]

    base_order, top_order, count = base.structure.order, top.structure.order, top.degree
    structure = Structure(
        "wreath", base_order**count * top_order, parts=(base.structure, top.structure), points=count, places=places
    )
    if base_order == 1 or count == 1:
        structure = top.structure if base_order == 1 else base.structure
    elif top_order == 1:
        structure = product([base.structure] * count)
    return Action(structure, blocks.size, generators)


def on_itself(action: Action) -> Action:
    """The same group on its own elements, by multiplication from the left."""

    def generators() -> list[Permutation]:
        own = action.generators()
        elements = PermutationGroup(action.degree, own, action.structure.order).elements()
        number = {p.tobytes(): place for place, p in enumerate(elements)}
        return [np.array([number[p[q].tobytes()] for q in elements]) for p in own]

    return Action(action.structure, action.structure.order, generators)


# By their orders: rotations of the tetrahedron; its isometries, and the rotations of the cube; rotations of the
# icosahedron; the isometries of the cube and of the icosahedron, with the reflection at the centre as C_2.
_POLYHEDRAL = {
    12: alternating(4),
    24: symmetric(4),
    60: alternating(5),
    48: product([cyclic(2), symmetric(4)]),
    120: product([cyclic(2), alternating(5)]),
}


def on_polyhedron(polyhedron: str, part: Part, rotations_only: bool) -> Action:
    """The isometries of a polyhedron, or its rotations, on its vertices, edges or faces."""
    group = polyhedron_group(polyhedron, part, rotations_only)
    return Action(_POLYHEDRAL[group.order], group.degree, lambda: group.generators)
