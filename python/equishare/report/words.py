"""Numbers and counts in words, as the terminal and the page tell them."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix

import numpy as np


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
    """Names of at most so many letters: of those that are longer what tells them apart stays, else their two ends."""
    long = [name for name in names if len(name) > longest]
    start = len(commonprefix(long))
    end = len(commonprefix([name[start:][::-1] for name in long]))
    found = []
    for name in names:
        own = name[start : len(name) - end]
        room = longest - len(own) - 1 - bool(end)
        if len(name) <= longest:
            found.append(name)
        elif len(long) > 1 and room >= 0:
            found.append(f"{'…' * bool(start)}{name[max(start - room, 0) : start]}{own}{'…' * bool(end)}")
        else:
            head = (longest - 1) // 2
            found.append(f"{name[:head]}…{name[head + 1 - longest :]}")
    return found


def p_value(p: float) -> str:
    """A p-value behind the letter p: ``= 0.03``; small ones are no more than an order of magnitude."""
    return f"= {p:.2g}" if p > 1e-4 else f"< 1e{max(int(np.ceil(np.log10(p))), -300)}"
