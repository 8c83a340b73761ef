"""Pieces of HTML that several sections of the report are made of. Text is escaped here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

# None of these may occur inside <script>, where character references mean nothing.
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Markup(str):
    """Text that is HTML already."""


def text(value: object) -> Markup:
    """Any value as HTML."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def table(
    caption: str, header: Sequence[object], rows: Iterable[Sequence[object]], row_headers: bool = False
) -> Markup:
    """A table that scrolls inside its own box, which the keyboard can reach.

    Args:
        caption: its name.
        header: names of the columns.
        rows: their cells.
        row_headers: whether the first cell of a row is its name.
    """
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{text(cell)}</th>' if row_headers and i == 0 else f"<td>{text(cell)}</td>"
            for i, cell in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    name = text(caption)
    return Markup(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">\n<table><caption>{name}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Names and what they are."""
    return Markup(
        '<dl class="facts">\n'
        + "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n" for name, value in pairs)
        + "</dl>\n"
    )


@dataclass(frozen=True)
class Section:
    """A landmark with a heading.

    Attributes:
        identifier: unique in the page.
        title: plain text.
        body: HTML.
    """

    identifier: str
    title: str
    body: str

    def html(self) -> str:
        """The section."""
        name = f"{self.identifier}-title"
        return (
            f'<section id="{self.identifier}" aria-labelledby="{name}">\n'
            f'<h2 id="{name}">{text(self.title)}</h2>\n{self.body}</section>\n'
        )

    def link(self) -> str:
        """A link to it."""
        return f'<li><a href="#{self.identifier}">{text(self.title)}</a></li>\n'


def paragraph(words: str) -> Markup:
    """A paragraph of plain text."""
    return Markup(f"<p>{text(words)}</p>\n")


def json_script(identifier: str, document: Any) -> Markup:
    """Data for scripts. The document must hold finite numbers, which keep all their digits."""
    data = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":")).translate(_UNSAFE)
    return Markup(f'<script type="application/json" id="{identifier}">{data}</script>\n')


def number(value: float) -> str:
    """Six significant digits."""
    return f"{value:.6g}"


def scatter(spread: float, interval: tuple[float, float]) -> str:
    """How far the entries of a group lie from its value, as a sentence without an end."""
    low, high = interval
    return f"entries of a group scatter by {spread:.2g} ({low:.2g} to {high:.2g}) about its value"


def counted(count: int, noun: str) -> str:
    """``1 group``, ``2 groups``, ``2 entries``."""
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else several}"
