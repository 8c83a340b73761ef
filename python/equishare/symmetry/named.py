"""From the name of a group to the group, with an action on points."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from equishare.symmetry.actions import (
    Action,
    action_of_family,
    beside,
    on_blocks,
    on_grid,
    on_itself,
    on_polyhedron,
    on_residues,
)
from equishare.symmetry.extra import prime_factors
from equishare.symmetry.from_pattern import group_of_action
from equishare.symmetry.group import SymmetryGroup
from equishare.symmetry.polyhedra import POLYHEDRA
from equishare.symmetry.structure import Places, product

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
# The smallest index of each family.
_LEAST = {"C": 1, "D": 3, "S": 1, "A": 3, "Q": 8, "Dic": 2}


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
        ImportError: sympy is not installed (``pip install 'equishare[symmetry]'``).
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a text such as {_GRAMMAR.partition(',')[0]}, got {name!r}")
    match = _POLYHEDRON.fullmatch(name.strip())
    if match and match[1] in POLYHEDRA:
        action = on_polyhedron(match[1], match[2], bool(match[3]))  # type: ignore[arg-type]
    else:
        action = _Reader(name).read()
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

    def read(self) -> Action:
        action = self.sum()
        if self.tokens:
            raise self.error(f"{self.tokens[0][0]!r} is not expected there")
        return action

    def takes(self, sign: str) -> bool:
        found = bool(self.tokens) and self.tokens[0][0] == sign
        if found:
            del self.tokens[0]
        return found

    def sum(self) -> Action:
        action = self.product()
        while self.takes("+"):
            action = self.checked(beside, action, self.product())
        return action

    def product(self) -> Action:
        action = self.wreath()
        while self.takes("×"):
            action = self.checked(on_grid, action, self.wreath())
        return action

    def wreath(self) -> Action:
        action = self.semidirect()
        while self.takes("≀"):
            top = self.semidirect()
            places: Places = "blocks"
            if len(self.tokens) > 1 and self.tokens[0][0] == "(" and self.tokens[1][0] in ("blocks", "coordinates"):
                word, count = self.tokens[1]
                places = "coordinates" if word == "coordinates" else "blocks"
                del self.tokens[:2]
                if not self.takes(")"):
                    raise self.error("a bracket is not closed")
                if count not in (top.degree, top.structure.order):
                    raise self.error(f"it does not tell how {top.structure} acts on {count} {word}")
                if count != top.degree:
                    top = on_itself(top)
            action = self.checked(partial(on_blocks, places=places), action, top)
        return action

    def semidirect(self) -> Action:
        action = self.atom()
        if not self.takes("⋊"):
            return action
        base, top = action.structure, self.atom().structure
        p, k = base.index, top.index
        if (base.kind, top.kind) != ("cyclic", "cyclic") or k < 3 or (p - 1) % k or prime_factors(p) != [p]:
            raise self.error("⋊ is for C_p ⋊ C_k, p prime, k ≥ 3 a divisor of p − 1")
        return on_residues(p, k)

    def atom(self) -> Action:
        kind, index = self.tokens.pop(0) if self.tokens else ("", 0)
        if kind == "(":
            action = self.sum()
            if not self.takes(")"):
                raise self.error("a bracket is not closed")
        elif kind == "trivial":
            action = Action(product([]), 1, list)
        elif kind in _LEAST and index >= _LEAST[kind] and (kind != "Q" or index & (index - 1) == 0):
            degree = 4 * index if kind == "Dic" else index
            if degree > _MOST_POINTS:
                raise self.too_large(degree)
            action = action_of_family(kind, index)
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
                action = self.checked(on_grid, action, factor)
        return action

    def checked(self, join: Callable[[Action, Action], Action], a: Action, b: Action) -> Action:
        """The two joined, unless that takes too many points."""
        degree = a.degree + b.degree if join is beside else a.degree * b.degree
        if degree > _MOST_POINTS:
            raise self.too_large(degree)
        return join(a, b)

    def too_large(self, degree: int) -> ValueError:
        return ValueError(
            f"name must be that of a group on at most {_MOST_POINTS} points, got {self.name!r}, which has at least "
            f"{degree}. G + H acts on the points of G beside those of H, where G × H takes one for each pair"
        )
