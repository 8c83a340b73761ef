"""The report and the figures of a discovery."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from equishare.report import require_matplotlib
from equishare.report.page import write_report
from equishare.report.parameter import parameter_named
from equishare.result.view import View
from equishare.symmetry import symmetry_group

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plotting:
    """The report and the figures of a discovery."""

    def view(self) -> View:
        """The discovery as plain data."""
        raise NotImplementedError

    def symmetry(self, same_action: bool = False) -> Any:
        """The group of each pattern."""
        raise NotImplementedError

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one HTML file that tells what was found; it opens offline in any browser.

        It holds the answer in a sentence, the verdict on the symmetry first, the coloured pattern of each parameter,
        entries that scatter about the value of their group, the symmetry with generators drawn, the losses, what was
        tried, the data, and what it takes to repeat it. Of a pattern of more than 256 rows or columns it shows the
        first 256, and says so.

        Args:
            path: the file, ending in .html; it is written whole or not at all.

        Raises:
            ValueError: path does not end in .html.
            OSError: the file cannot be written.
        """
        try:
            found = self.symmetry()
        except ImportError:  # igraph or sympy; the report says so
            found = {}
        write_report(self.view(), path, found if isinstance(found, dict) else {None: found})

    def plot_pattern(self, name: str | None = None) -> Figure:
        """The pattern as a matplotlib figure: cells in the colour, and with the number, of their group.

        Args:
            name: of the parameter, where there are several.

        Raises:
            ValueError: there are several parameters, or none of that name.
            ImportError: matplotlib is not installed (``pip install "equishare[plot]"``).
        """
        require_matplotlib()
        from equishare.report.figures import pattern_figure

        return pattern_figure(self.view(), name)

    def plot_history(self) -> Figure:
        """The validation loss over the search as a matplotlib figure, beside the loss without sharing.

        Raises:
            ImportError: matplotlib is not installed (``pip install "equishare[plot]"``).
        """
        require_matplotlib()
        from equishare.report.figures import loss_figure

        return loss_figure(self.view())

    def plot_group(self, name: str | None = None) -> Figure:
        """The generators of the pattern's group as a matplotlib figure: arrows on rings of outputs and of inputs.

        They are drawn whatever the verdict of :meth:`symmetry`, which tells whether the data bear them out.

        Args:
            name: of the parameter, where there are several.

        Raises:
            ValueError: there are several parameters, or none of that name.
            ImportError: matplotlib (``pip install "equishare[plot]"``), igraph or sympy
                (``pip install "equishare[symmetry]"``) are not installed.
        """
        require_matplotlib()
        from equishare.report.group_figure import group_figure

        return group_figure(symmetry_group(parameter_named(self.view(), name).partition))
