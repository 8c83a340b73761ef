"""The sentence that tells a person what a symmetry group does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from equishare.partition import Partition
from equishare.symmetry.structure import Structure, readable


def explain(
    structure: Structure,
    factors: Sequence[tuple[Structure, tuple[int, ...]]],
    pattern: Partition,
    gap: int,
    covariance: bool = False,
) -> str:
    """The name, what its elements do, and whether they explain the pattern.

    Args:
        structure: of the whole group.
        factors: structure of each factor that moves points of its own, and how many points of each axis it moves.
        pattern: the partition whose group it is.
        gap: its closure gap.
        covariance: whether outputs and inputs are the same variables.
    """
    if not factors:
        action = "only the identity leaves the pattern unchanged"
    else:
        axes = 1 if covariance else len(pattern.shape)
        counts = Counter(_action(part, moved[:axes], pattern.shape[:axes], covariance) for part, moved in factors)
        action = "; ".join(text if count == 1 else f"{text}, {count} times" for text, count in counts.items())
    return f"{structure}: {action} (order {readable(structure.order)}). {_verdict(pattern, gap)}"


def _action(part: Structure, moved: tuple[int, ...], shape: tuple[int, ...], covariance: bool) -> str:
    if moved[:2] == (0, 0):
        return "isometries of the grid of taps"
    if part.kind in ("dihedral", "symmetric", "alternating") and part.index not in moved:
        what = "a ring" if part.kind == "dihedral" else "a set"
        points = " and ".join(_points(moved, shape, covariance))
        return f"{phrase(part).removesuffix(' of the ring')} of {what} of {part.index}, acting on {points}"
    is_whole = (len(shape) == 2 or covariance) and moved == shape
    scope = "" if is_whole else f" of {' and '.join(_points(moved, shape, covariance))}"
    return phrase(part) + scope


def phrase(part: Structure) -> str:
    """What the elements of a group do."""
    words = _WORDS[part.kind]
    return words if isinstance(words, str) else words(part)


def _cyclic(part: Structure) -> str:
    return "an exchange" if part.index == 2 else "cyclic shifts"


def _dicyclic(part: Structure) -> str:
    if part.index == 2:
        return "multiplications by the quaternions ±1, ±i, ±j, ±k"
    return f"rotations of order {2 * part.index}, and elements that reverse them and whose squares are the half turn"


def _semidirect(part: Structure) -> str:
    p, k = (factor.index for factor in part.parts)
    return f"shifts of a ring of {p}, and multiplications of its positions by {k} numbers modulo {p}"


def _wreath(part: Structure) -> str:
    base, top = part.parts
    within = str(base) if base.kind in ("product", "semidirect", "wreath") else phrase(base)
    # Where the top acts otherwise than its name says, the name tells more than the action.
    above = f"{top} on" if top.degree != part.points else phrase(top) + (", on" if top.kind == "product" else " of")
    return f"{above} {part.points} {part.places}, and {within} within each"


def _product(part: Structure) -> str:
    kinds = {factor.kind for factor in part.parts}
    sizes = " × ".join(str(factor.index) for factor in part.parts)
    if kinds == {"cyclic"} and all(factor.index == 2 for factor in part.parts):
        return f"{len(part.parts)} exchanges, each with or without the others"
    if kinds == {"cyclic"}:
        return f"shifts of a torus of {sizes}"
    if kinds == {"dihedral"}:
        return f"rotations and reflections of a torus of {sizes} along each axis"
    if "symmetric" in kinds and all(factor.order == math.factorial(factor.index) for factor in part.parts):
        axes = "of the rows and of the columns" if len(part.parts) == 2 else "along each axis"
        return f"permutations {axes} of an array of {sizes}"
    return " and, independently, ".join(phrase(factor) for factor in part.parts)


_WORDS: dict[str, str | Callable[[Structure], str]] = {
    "cyclic": _cyclic,
    "dihedral": "rotations and reflections of the ring",
    "dicyclic": _dicyclic,
    "alternating": "even permutations",
    "symmetric": "all permutations",
    "semidirect": _semidirect,
    "wreath": _wreath,
    "unnamed": "a group without a short name",
    "product": _product,
}


def _points(moved: tuple[int, ...], shape: tuple[int, ...], covariance: bool) -> list[str]:
    """Which points a factor moves."""
    entries = ["variables" if covariance else "entries"]
    names = [entries, ["outputs", "inputs"], ["output channels", "input channels", "taps"]][min(len(shape), 3) - 1]
    sizes = [*shape[:2], None]
    return [
        f"the {name}" if count == size or name == "taps" else f"{count} {name}"
        for count, size, name in zip(moved, sizes, names, strict=False)
        if count
    ]


def _verdict(pattern: Partition, gap: int) -> str:
    if gap:
        return f"It leaves ties unexplained: {gap} of {len(pattern)} cells differ between its orbits and the pattern."
    if pattern.num_groups == len(pattern):
        return "No two cells are tied."
    return "It explains every tie."
