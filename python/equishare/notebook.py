"""What a notebook shows of an object that has no page of its own: a line, and a table."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def shown(line: str, rows: Iterable[tuple[str, str]] = ()) -> str:
    """HTML of a line of text and of a table with a name and a text in each row."""
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<p>{escape(line)}</p>" + (f"<table>{cells}</table>" if cells else "")
