"""Names that people give: shown on one line, without signs that command a terminal, and each once."""

from __future__ import annotations

from collections.abc import Iterable


def printable(name: str) -> str:
    """A name on one line, without control characters, and in characters that every encoding of Unicode has.

    Names come from files of others: an escape sequence in one must not reach a terminal. White space becomes a space,
    all else that is not printable the replacement character U+FFFD.
    """
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in name)


def repeated(names: Iterable[str]) -> str | None:
    """The first name that was there before; None where each is there once. Takes time linear in their number."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def is_number(text: str | bytes) -> bool:
    """Whether a text reads as a number, NaN and infinity too."""
    try:
        float(text)
    except ValueError:
        return False
    return True
