"""What discoveries of every kind can be asked for by a person who wants to see them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from equishare.discovery import Discovery, ModelDiscovery


class Shown:
    """The report of a discovery."""

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one HTML file that tells what was found; it opens offline in any browser.

        It holds the answer in a sentence, the coloured pattern of each parameter, its symmetry with generators
        drawn, the losses, what was tried, the data, and what it takes to repeat it. Of a pattern of more than 256
        rows or columns it shows the first 256, and says so.

        Args:
            path: the file, ending in .html; it is written whole or not at all.

        Raises:
            ValueError: path does not end in .html.
            OSError: the file cannot be written.
        """
        from equishare.report.page import write_report

        itself = cast("Discovery | ModelDiscovery", self)
        try:
            found: Any = itself.symmetry()
        except ImportError:  # igraph or sympy; the report says so
            found = {}
        write_report(itself, path, found if isinstance(found, dict) else {None: found})
