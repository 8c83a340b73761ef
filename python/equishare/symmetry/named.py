"""From the name of a group to the group, with an action on points."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from equishare.symmetry.extra import prime_factors
from equishare.symmetry.from_pattern import group_of_action
from equishare.symmetry.group import SymmetryGroup
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation, cycle_and_exchange, orbit_labels, order_of
from equishare.symmetry.polyhedra import POLYHEDRA, polyhedron_group
from equishare.symmetry.structure import (
    Structure,
    alternating,
    cyclic,
    dicyclic,
    dihedral,
    product,
    semidirect,
    symmetric,
)

__all__ = ["named_group"]

# The pattern of so many points has 2^24 cells.
_MOST_POINTS = 4096
_TOKEN = re.compile(r"\s*(?:([A-Z][a-z]*)_(\d+)|(\d+)\s+(blocks|coordinates)|(trivial|wr\b|[x×≀⋊+()]|\^\d+))\s*")
_POLYHEDRON = re.compile(r"(\w+)\s+(vertices|edges|faces)(\s+rotations)?")
_SIGNS = {"wr": "≀", "x": "×"}
_GRAMMAR = (
    '"C_8", "D_6", "S_4", "A_5", "Q_8", "Dic_3", "C_7 ⋊ C_3", products "S_3 × S_4" or "S_3 x S_4", powers "C_2^3", '
    'wreath products "S_2 ≀ C_4" or "S_2 wr C_4", disjoint points "S_3 + S_4", '
    '"icosahedron vertices", "cube faces rotations"'
)


@dataclass(frozen=True)
class _Action:
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
    beside: tuple[_Action, ...] = ()

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


def named_group(name: str) -> SymmetryGroup:
    """A group by its name, acting on points; outputs and inputs are these points, moved alike.

    Its ``partition`` is the pattern that it ties, ``order`` that of the group named, also where the pattern has more
    symmetries: A_5 and S_5 tie the same. :attr:`SymmetryGroup.name` of any group is taken, where it is a name that was
    proved. Names and the points they act on:

    - C_n, D_n (n ≥ 3, order 2n): a ring of n. S_n, A_n: n points. "trivial": one.
    - C_p ⋊ C_k: the integers modulo a prime p, shifted and multiplied by numbers u with uᵏ = 1.
    - Q_8, Q_16, …, Dic_n: their own 4n elements.
    - G × H or G x H: the cells of an array, point (g, h) at g · (points of H) + h. A power G^k is k factors.
    - G + H: the points of G, then those of H, each group on its own; G × H as a group.
    - T ≀ P or T wr P: a block of the points of T for each point of P. "(6 blocks)" behind it: P, of order 6, acts on
      itself.
    - a polyhedron and its vertices, edges or faces, such as "cube faces": its isometries, with "rotations" behind it
      those that do not reflect. tetrahedron, cube, octahedron, dodecahedron, icosahedron.

    ≀ and ⋊ bind tighter than ×, × tighter than +; brackets are read.

    Raises:
        TypeError: name is no text.
        ValueError: no such name, or more than 4,096 points.
        ImportError: sympy is not installed (``pip install "equishare[symmetry]"``).
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a text such as {_GRAMMAR.partition(',')[0]}, got {name!r}")
    match = _POLYHEDRON.fullmatch(name.strip())
    action = _of_polyhedron(*match.groups()) if match and match[1] in POLYHEDRA else _Reader(name).read()
    return group_of_action(action.structure, action.parts(), action.degree)


class _Reader:
    """Reads a name from left to right, one function for each binding of signs."""

    def __init__(self, name: str) -> None:
        self.name, self.tokens, start = name, [], 0
        while start < len(name):
            match = _TOKEN.match(name, start)
            if match is None:
                raise self.error(f"cannot read {name[start:]!r}")
            letters, index, count, places, sign = match.groups()
            known = (letters, int(index)) if letters else (places, int(count)) if count else (sign, 0)
            self.tokens.append(known if known[0] not in _SIGNS else (_SIGNS[known[0]], 0))
            start = match.end()

    def error(self, reason: str) -> ValueError:
        hint = ""
        if re.search(r"order \d+", self.name):
            hint = " An order alone does not tell a group: take the SymmetryGroup itself."
        return ValueError(f"name must be that of a group, got {self.name!r}: {reason}.{hint} Accepted: {_GRAMMAR}")

    def read(self) -> _Action:
        action = self.sum()
        if self.tokens:
            raise self.error(f"{self.tokens[0][0]!r} is not expected there")
        return action

    def takes(self, sign: str) -> bool:
        found = bool(self.tokens) and self.tokens[0][0] == sign
        if found:
            del self.tokens[0]
        return found

    def sum(self) -> _Action:
        action = self.product()
        while self.takes("+"):
            action = self.checked(_beside, action, self.product())
        return action

    def product(self) -> _Action:
        action = self.wreath()
        while self.takes("×"):
            action = self.checked(_grid, action, self.wreath())
        return action

    def wreath(self) -> _Action:
        action = self.semidirect()
        while self.takes("≀"):
            top = self.semidirect()
            places = "blocks"
            if len(self.tokens) > 1 and self.tokens[0][0] == "(" and self.tokens[1][0] in ("blocks", "coordinates"):
                places, count = self.tokens[1]
                del self.tokens[:2]
                if not self.takes(")"):
                    raise self.error("a bracket is not closed")
                if count not in (top.degree, top.structure.order):
                    raise self.error(f"it does not tell how {top.structure} acts on {count} {places}")
                if count != top.degree:
                    top = _regular(top)
            action = self.checked(partial(_wreath, places=places), action, top)
        return action

    def semidirect(self) -> _Action:
        action = self.atom()
        if not self.takes("⋊"):
            return action
        base, top = action.structure, self.atom().structure
        p, k = base.index, top.index
        if (base.kind, top.kind) != ("cyclic", "cyclic") or k < 3 or (p - 1) % k or prime_factors(p) != [p]:
            raise self.error("⋊ is for C_p ⋊ C_k, p prime, k ≥ 3 a divisor of p − 1")
        u = next(u for u in range(2, p) if order_of(np.arange(p) * u % p) == k)
        return _Action(semidirect(base, top), p, lambda: [(np.arange(p) + 1) % p, np.arange(p) * u % p])

    def atom(self) -> _Action:
        kind, index = self.tokens.pop(0) if self.tokens else ("", 0)
        if kind == "(":
            action = self.sum()
            if not self.takes(")"):
                raise self.error("a bracket is not closed")
        elif kind == "trivial":
            action = _Action(product([]), 1, list)
        elif kind in _LEAST and index >= _LEAST[kind] and (kind != "Q" or index & (index - 1) == 0):
            if index > _MOST_POINTS:
                raise self.too_large(index)
            action = _atom(kind, index)
        elif kind in _LEAST:
            raise self.error(f"{kind}_n needs n ≥ {_LEAST[kind]}{', a power of two' if kind == 'Q' else ''}")
        else:
            raise self.error(f"a group is missing before {kind!r}" if kind else "a group is missing at its end")
        if self.tokens and self.tokens[0][0].startswith("^"):
            count = int(self.tokens.pop(0)[0][1:])
            if not 1 <= count <= _MOST_POINTS:
                raise self.error(f"a power must be from 1 to {_MOST_POINTS}")
            factor = action
            for _ in range(count - 1):
                action = self.checked(_grid, action, factor)
        return action

    def checked(self, join: Callable[[_Action, _Action], _Action], a: _Action, b: _Action) -> _Action:
        """The two joined, unless that takes too many points."""
        degree = a.degree + b.degree if join is _beside else a.degree * b.degree
        if degree > _MOST_POINTS:
            raise self.too_large(degree)
        return join(a, b)

    def too_large(self, degree: int) -> ValueError:
        return ValueError(
            f"name must be that of a group on at most {_MOST_POINTS} points, got {self.name!r}, which has at least "
            f"{degree}. G + H acts on the points of G beside those of H, where G × H takes one for each pair"
        )


# The smallest index of each family.
_LEAST = {"C": 1, "D": 3, "S": 1, "A": 3, "Q": 8, "Dic": 2}


def _atom(kind: str, n: int) -> _Action:
    points = np.arange(n)
    shift, reflection = np.roll(points, -1), -points % n
    if kind == "C":
        return _Action(cyclic(n) if n > 1 else product([]), n, lambda: [shift][: n - 1])
    if kind == "D":
        return _Action(dihedral(n), n, lambda: [shift, reflection])
    if kind == "S":
        return _Action(symmetric(n), n, lambda: cycle_and_exchange(n, points) if n > 1 else [])
    if kind == "A":
        # A cycle of three, and one of all points or of all but the first, whichever is even.
        even = points[1 - n % 2 :]
        return _Action(
            alternating(n) if n > 3 else cyclic(3), n, lambda: [cycle_and_exchange(n, c)[0] for c in (points[:3], even)]
        )
    return _dicyclic(n if kind == "Dic" else n // 4)


def _dicyclic(n: int) -> _Action:
    """Dic_n on its elements rʲ sᵏ, number j + 2nk: multiplied from the left by r, and by s, where s rʲ = r⁻ʲ s."""
    j, k = np.arange(4 * n) % (2 * n), np.arange(4 * n) // (2 * n)
    r, s = (j + 1) % (2 * n) + 2 * n * k, (n * k - j) % (2 * n) + 2 * n * (1 - k)
    return _Action(dicyclic(n), 4 * n, lambda: [r, s])


def _beside(a: _Action, b: _Action) -> _Action:
    whole = _Action(product([a.structure, b.structure]), a.degree + b.degree, list, beside=(a, b))
    return replace(whole, generators=lambda: [p for _, part in whole.parts() for p in part.generators])


def _grid(a: _Action, b: _Action) -> _Action:
    cells = np.arange(a.degree * b.degree).reshape(a.degree, b.degree)
    return _Action(
        product([a.structure, b.structure]),
        cells.size,
        lambda: [*(cells[p].ravel() for p in a.generators()), *(cells[:, p].ravel() for p in b.generators())],
    )


def _wreath(base: _Action, top: _Action, places: str) -> _Action:
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
    structure = Structure("wreath", base_order**count * top_order, parts=(base.structure, top.structure), points=count)
    if base_order == 1 or count == 1:
        structure = top.structure if base_order == 1 else base.structure
    elif top_order == 1:
        structure = product([base.structure] * count)
    elif places == "coordinates":
        structure = replace(structure, places="coordinates")
    return _Action(structure, blocks.size, generators)


def _regular(action: _Action) -> _Action:
    """The same group on its own elements, by multiplication from the left."""

    def generators() -> list[Permutation]:
        own = action.generators()
        elements = PermutationGroup(action.degree, own, action.structure.order).elements()
        number = {p.tobytes(): place for place, p in enumerate(elements)}
        return [np.array([number[p[q].tobytes()] for q in elements]) for p in own]

    return _Action(action.structure, action.structure.order, generators)


def _of_polyhedron(polyhedron: str, part: str, rotations: str | None) -> _Action:
    group = polyhedron_group(polyhedron, part, bool(rotations))  # type: ignore[arg-type]
    return _Action(_POLYHEDRAL[group.order], group.degree, lambda: group.generators)


# Rotations of the tetrahedron; its isometries, or the rotations of the cube; those of the icosahedron; isometries.
_POLYHEDRAL = {
    12: alternating(4),
    24: symmetric(4),
    60: alternating(5),
    48: product([cyclic(2), symmetric(4)]),
    120: product([cyclic(2), alternating(5)]),
}
