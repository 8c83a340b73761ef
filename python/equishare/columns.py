"""Columns of a table by what a person writes of their names, and what to write for names that are at hand."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["chosen", "ignoring", "listed", "option", "quoted", "suggested"]

# temp_n belongs to temp_*, flow6 to flow*.
_FAMILY = re.compile(r"(.*[_.\- ])[^_.\- ]+|(.*\D)\d+")
_MAX_LISTED = 8


def chosen(asked: str | Sequence[str], names: Sequence[str], argument: str) -> list[str]:
    """The columns that somebody asks for, in the order in which they are asked for, each once.

    Args:
        asked: parts, or one string of parts with commas between them. A part is a name, a pattern such as ``temp_*``
            (the star stands for any characters) or a range such as ``temp_n:temp_w`` (in the order of the table, both
            ends included). A part with a comma stands in double quotes. A name comes before what it may mean else, so
            that names with colons and stars need nothing.
        names: of all columns, in the order of the table.
        argument: what an error calls ``asked``.

    Raises:
        ValueError: no part, a part that no column matches, or a range that runs backwards.
    """
    if not isinstance(asked, str | Sequence) or not all(isinstance(part, str) for part in asked):
        raise TypeError(f"{argument} must be a string or a list of names, got {asked!r}")
    try:
        parts = next(csv.reader([asked], skipinitialspace=True), []) if isinstance(asked, str) else list(asked)
    except csv.Error:
        raise ValueError(f"{argument} must be one line of names, got {asked!r}: give a list of names") from None
    if not any(part.strip() for part in parts):
        raise ValueError(f"{argument} must name a column at least, got {asked!r}: the columns are {listed(names)}")
    places = {name: i for i, name in enumerate(names)}
    return list(dict.fromkeys(name for part in parts if part.strip() for name in _matched(part, places, argument)))


def _matched(part: str, places: dict[str, int], argument: str) -> list[str]:
    for name in (part, part.strip()):
        if name in places:
            return [name]
    names = list(places)
    part = part.strip()
    for colon in [i for i, sign in enumerate(part) if sign == ":"]:
        ends = part[:colon].strip(), part[colon + 1 :].strip()
        if all(end in places for end in ends):
            first, last = (places[end] for end in ends)
            if last < first:
                raise ValueError(
                    f"{argument} must hold ranges in the order of the table, got {part!r}: write {ends[1]}:{ends[0]}"
                )
            return names[first : last + 1]
    if "*" in part:
        pattern = re.compile(".*".join(map(re.escape, part.split("*"))), re.DOTALL)
        found = [name for name in names if pattern.fullmatch(name)]
        if found:
            return found
        raise ValueError(f"{argument} must match a column, and none is of the form {part!r}: {listed(names)}")
    unknown = next((end for end in part.split(":") if end.strip() not in names), part)
    near = get_close_matches(unknown, names, n=3)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"the columns are {listed(names)}"
    with_comma = next((name for name in names if part in map(str.strip, name.split(",")[:-1])), None)
    if with_comma is not None:
        remedy = f"a name with a comma stands in double quotes, {quoted(with_comma)}"
    raise ValueError(f"{argument} must name columns of the table, and none is named {unknown!r}: {remedy}")


def listed(names: Sequence[str]) -> str:
    """The names in one line, the first of them where they are many."""
    more = f", … ({len(names)} in all)" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def option(name: str, parts: str) -> str:
    """An option of the command line and its columns as a shell reads them."""
    return f"--{name} {shlex.quote(parts)}"


def ignoring(*names: str) -> str:
    """What to type to leave columns out."""
    return option("ignore", ",".join(map(quoted, names)))


def quoted(part: str) -> str:
    """A part as :func:`chosen` reads it among others."""
    plain = part == part.strip() and not set(part) & set(',"')
    return part if plain else '"{}"'.format(part.replace('"', '""'))


def suggested(names: Sequence[str], numeric: Sequence[str]) -> tuple[str | None, str]:
    """Inputs and outputs that somebody may mean, as parts that :func:`chosen` reads; None for all other columns.

    Names that fall into families, such as temp_n, temp_s, flow1, flow2, are told by their beginnings. The last family
    or the last column is the outputs.

    Args:
        names: of all columns, in the order of the table.
        numeric: those that hold numbers, at least two.
    """
    families: dict[str, list[str]] = {}
    for name in numeric:
        match = _FAMILY.fullmatch(name)
        families.setdefault(f"{match[1] or match[2]}*" if match else name, []).append(name)
    several = [quoted(part) for part, own in families.items() if len(own) > 1 and chosen([part], names, "") == own]
    *most, output = numeric
    if len(several) > 1:
        return ",".join(several[:-1]), several[-1]
    if several and [output] in families.values():
        return several[0], quoted(output)
    if several and len(families) > 1:
        return None, several[0]
    part = most[0] if len(most) == 1 else f"{most[0]}:{most[-1]}"
    return (quoted(part) if chosen([part], names, "") == most else None), quoted(output)
