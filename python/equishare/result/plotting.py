"""What discoveries of every kind can be asked for by a person who wants to see them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from equishare.symmetry import symmetry_group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from equishare.discover import Discovery, ModelDiscovery


class Shown:
    """The report and the figures of a discovery."""

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

        itself = self._itself()
        try:
            found: Any = itself.symmetry()
        except ImportError:  # igraph or sympy; the report says so
            found = {}
        write_report(itself, path, found if isinstance(found, dict) else {None: found})

    def plot_pattern(self, name: str | None = None) -> Figure:
        """The pattern as a matplotlib figure: cells in the colour, and with the number, of their group.

        Args:
            name: of the parameter, where a model has several.

        Raises:
            ValueError: the model has several parameters, or none of that name.
            ImportError: matplotlib is not installed (``pip install "equishare[plot]"``).
        """
        _require_matplotlib()
        from equishare.report.figures import pattern_figure

        return pattern_figure(self._itself(), name)

    def plot_history(self) -> Figure:
        """The validation loss over the search as a matplotlib figure, beside the loss without sharing.

        Raises:
            ImportError: matplotlib is not installed (``pip install "equishare[plot]"``).
        """
        _require_matplotlib()
        from equishare.report.figures import loss_figure

        return loss_figure(self._itself())

    def plot_group(self, name: str | None = None) -> Figure:
        """The generators of the symmetry as a matplotlib figure: arrows on rings of outputs and of inputs.

        Args:
            name: of the parameter, where a model has several.

        Raises:
            ValueError: the model has several parameters, or none of that name.
            ImportError: matplotlib (``pip install "equishare[plot]"``), igraph or sympy
                (``pip install "equishare[symmetry]"``) are not installed.
        """
        _require_matplotlib()
        from equishare.report.figures import parameter_named
        from equishare.report.group_figure import group_figure

        return group_figure(symmetry_group(parameter_named(self._itself(), name).partition))

    def _itself(self) -> Discovery | ModelDiscovery:
        return cast("Discovery | ModelDiscovery", self)


def _require_matplotlib() -> None:
    from equishare.report import require_matplotlib

    require_matplotlib()
