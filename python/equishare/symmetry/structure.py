"""What a group is called: a tree of named factors, and how it is printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

Kind = Literal[
    "cyclic", "dihedral", "dicyclic", "alternating", "symmetric", "semidirect", "wreath", "unnamed", "product"
]
Places = Literal["blocks", "coordinates"]

_LETTERS = {"cyclic": "C", "dihedral": "D", "alternating": "A", "symmetric": "S"}
_ORDER = list(Kind.__args__)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Structure:
    """An isomorphism type of finite groups.

    Attributes:
        kind: ``product`` without parts is the trivial group.
        order: number of elements.
        index: n of C_n, D_n (order 2n), Dic_n (order 4n), A_n and S_n; number of generators of an unnamed group.
        parts: factors of a product; base and top of a wreath product; C_p and C_k of their semidirect product, in which
            C_k acts faithfully on C_p.
        points: how many copies of the base of a wreath product its top permutes.
        places: what those copies act on, blocks of points or coordinates of points.
    """

    kind: Kind
    order: int
    index: int = 0
    parts: tuple[Structure, ...] = ()
    points: int = 0
    places: Places = field(default="blocks", compare=False)

    @property
    def is_named(self) -> bool:
        """Whether no part is unnamed."""
        return self.kind != "unnamed" and all(part.is_named for part in self.parts)

    @property
    def degree(self) -> int:
        """How many points it moves in the action that the name is known by; 0 where it has none."""
        if self.kind == "unnamed":
            return 0
        if self.kind == "dicyclic":
            return self.order
        if self.kind == "semidirect":
            return self.parts[0].index
        if self.kind == "wreath":
            return self.parts[0].degree * self.points
        if self.kind == "product":
            return math.prod(part.degree for part in self.parts)
        return self.index

    def __str__(self) -> str:
        if self.kind == "unnamed":
            plural = "" if self.index == 1 else "s"
            return f"order {decimal_digits(self.order)}, {self.index} generator{plural}"
        if self.kind in ("wreath", "semidirect"):
            sign = " ≀ " if self.kind == "wreath" else " ⋊ "
            name = sign.join(_in_brackets(part) for part in self.parts)
            # The number of copies makes another group of it where the top acts otherwise than its name says.
            known = self.kind == "semidirect" or self.points == self.parts[1].degree
            return name if known else f"{name} ({self.points} {self.places})"
        if self.kind == "product":
            return " × ".join(_powers(_alike(self.parts))) or "trivial"
        if self.kind == "dicyclic":
            # A power of two makes it a generalised quaternion group, called by its order.
            return f"Dic_{self.index}" if self.index & (self.index - 1) else f"Q_{self.order}"
        return f"{_LETTERS[self.kind]}_{self.index}"


def decimal_digits(number: int) -> str:
    """A natural number in full; ``str`` refuses more than 4,300 digits."""
    limb = 10**4000
    limbs = [number % limb]
    while number := number // limb:
        limbs.append(number % limb)
    return str(limbs[-1]) + "".join(f"{low:04000d}" for low in reversed(limbs[:-1]))


def readable(order: int) -> str:
    """A natural number in full up to a million millions, then "about 1.61e178"."""
    if order < 10**12:
        return f"{order:,}"
    digits = math.floor(math.log10(order))
    return f"about {10 ** (math.log10(order) - digits):.2f}e{digits}"


def preferred(candidates: Iterable[Structure]) -> Structure | None:
    """Of several names of one group: named throughout, then direct products, then short names; None of none."""

    def key(structure: Structure) -> tuple[bool, bool, int, str]:
        name = str(structure)
        return not structure.is_named, structure.kind != "product", len(name), name

    return min(candidates, key=key, default=None)


def cyclic(n: int) -> Structure:
    """C_n."""
    return Structure("cyclic", n, n)


def dihedral(n: int) -> Structure:
    """D_n, of order 2n."""
    return Structure("dihedral", 2 * n, n)


def dicyclic(n: int) -> Structure:
    """Dic_n, of order 4n: ⟨r, s | r²ⁿ = 1, s² = rⁿ, s r s⁻¹ = r⁻¹⟩; the quaternion group for n = 2."""
    return Structure("dicyclic", 4 * n, n)


def alternating(n: int) -> Structure:
    """A_n, n ≥ 3."""
    return Structure("alternating", math.factorial(n) // 2, n)


def semidirect(base: Structure, top: Structure) -> Structure:
    """The semidirect product of cyclic groups in which the top acts faithfully on the base, of prime order."""
    return Structure("semidirect", base.order * top.order, parts=(base, top))


def symmetric(n: int) -> Structure:
    """S_n; C_2 for two points, trivial for fewer."""
    if n < 2:
        return product([])
    return cyclic(2) if n == 2 else Structure("symmetric", math.factorial(n), n)


def product(parts: Iterable[Structure]) -> Structure:
    """Direct product; nested products are written out, a single factor stands for itself."""
    flat = [factor for part in parts for factor in (part.parts if part.kind == "product" else (part,))]
    if len(flat) == 1:
        return flat[0]
    return Structure("product", math.prod(part.order for part in flat), parts=tuple(flat))


def sorted_product(parts: Iterable[Structure]) -> Structure:
    """Direct product with its factors by kind, then by size."""
    whole = product(parts)
    if whole.kind != "product":
        return whole
    factors = sorted(whole.parts, key=lambda part: (_ORDER.index(part.kind), part.index, part.order, str(part)))
    return Structure("product", whole.order, parts=tuple(factors))


def _in_brackets(part: Structure) -> str:
    return f"({part})" if part.kind in ("product", "semidirect", "wreath", "unnamed") else str(part)


def _alike(parts: tuple[Structure, ...]) -> tuple[Structure, ...]:
    """The factors, C_2 written as S_2 beside nothing but larger S_n."""
    larger = [part for part in parts if part != cyclic(2)]
    if not larger or any(part.kind != "symmetric" for part in larger):
        return parts
    return tuple(Structure("symmetric", 2, 2) if part == cyclic(2) else part for part in parts)


def _powers(parts: tuple[Structure, ...]) -> Iterator[str]:
    """Up to three equal neighbours are written out, more of them as a power."""
    for part, equal in groupby(parts):
        count = len(list(equal))
        text = _in_brackets(part)
        yield from [text] * count if count < 4 else [f"{text}^{count}"]
