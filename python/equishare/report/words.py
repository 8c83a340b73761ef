"""Numbers and counts in words, as the terminal and the page tell them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from os.path import commonprefix

import numpy as np

# A word with what separates it from the next.
_WORD = re.compile(r"[^ _.\-/]*[ _.\-/]+|[^ _.\-/]+")


def number(value: float) -> str:
    """Six significant digits."""
    return f"{value:.6g}"


def scatter(spread: float, interval: tuple[float, float]) -> str:
    """How far the entries of a group lie from its value, as a sentence without an end."""
    low, high = interval
    return f"entries of a group scatter by {spread:.2g} ({low:.2g} to {high:.2g}) about its value"


def counted(count: int, noun: str) -> str:
    """``1 group``, ``2 groups``, ``2 entries``."""
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """``groups``, ``entries``; the numbered, as ``tap axis 0``, are one of a kind."""
    return noun if noun[-1].isdigit() else f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def shortened(names: Sequence[str], longest: int) -> list[str]:
    """Names of at most so many letters: of those that are longer what tells them apart stays, else their two ends.

    Whole words stay, as far as they fit.
    """
    long = [name for name in names if len(name) > longest]
    start = len(commonprefix(long)) if len(long) > 1 else 0
    end = len(commonprefix([name[start:][::-1] for name in long])) if len(long) > 1 else 0
    return [name if len(name) <= longest else _cut(name, start, len(name) - end, longest) for name in names]


def _cut(name: str, low: int, high: int, longest: int) -> str:
    """A name cut to what lies between two letters, and to as many whole words about that as fit."""

    def told(low: int, high: int) -> str:
        return "…" * (low > 0) + name[low:high].strip() + "…" * (high < len(name))

    if len(told(low, high)) > longest:
        head = (longest - 1) // 2
        return f"{name[:head]}…{name[head + 1 - longest :]}"
    words = list(_WORD.finditer(name))
    before = [word.start() for word in reversed(words) if word.start() <= low]
    behind = [word.end() for word in words if word.end() >= high]
    # The word that is cut, then those before it, then those behind.
    high = next((one for one in behind[:1] if len(told(low, one)) <= longest), high)
    low = min([low, *takewhile(lambda one: len(told(one, high)) <= longest, before)])
    high = max([high, *takewhile(lambda one: len(told(low, one)) <= longest, behind)])
    if low not in before:  # no word is so short
        low -= min(low, longest - len(told(low, high)))
    return told(low, high)


def p_value(p: float) -> str:
    """A p-value behind the letter p: ``= 0.03``; small ones are no more than an order of magnitude."""
    return f"= {p:.2g}" if p > 1e-4 else f"< 1e{max(int(np.ceil(np.log10(p))), -300)}"
