"""How a discovery is shown: as a report, as pictures, in a notebook, in a line."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from equishare.report import require_matplotlib
from equishare.report.answer import brief
from equishare.report.parameter import estimates_of, parameter_named, parameters_of
from equishare.result.view import View
from equishare.symmetry import SymmetryGroup, symmetry_group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The symmetry of larger parameters takes too long for a line.
_QUICK = 4096


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The axes that were given, or those of a new figure."""
    from equishare.report.figures import new_axes

    if ax is not None and not hasattr(ax, "imshow"):
        raise TypeError(f"ax must be matplotlib axes, one of those of plt.subplots(), got {type(ax).__name__}")
    return new_axes(size, shown=True) if ax is None else ax


class Plotting:
    """The report and the pictures of a discovery, and what a notebook shows of it."""

    def view(self) -> View:
        """The discovery as plain data."""
        raise NotImplementedError

    def symmetry(self, same_action: bool | None = None) -> Any:
        """The group of each pattern."""
        raise NotImplementedError

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one HTML file that tells what was found; it opens offline in any browser.

        It holds the answer in sentences and what to beware of; the coloured pattern of each parameter beside the values
        of its groups; every entry's estimate alone beside the value that it shares; the generators of the symmetry,
        drawn; the evidence that decided, the data and the fit; Python that uses the answer; and what it takes to repeat
        it. Of a pattern of more than 256 rows or columns it shows the first 256, and says so. The same discovery gives
        the same bytes.

        Args:
            path: the file, ending in .html; it is written whole or not at all.

        Raises:
            ValueError: path does not end in .html.
            OSError: the file cannot be written.
            ImportError: matplotlib or jinja2 are not installed (``pip install 'equishare[plot]'``).
        """
        require_matplotlib()
        from equishare.report.page import write_report

        write_report(self.view(), path, self._groups())

    def plot_pattern(self, name: str | None = None, ax: Axes | None = None) -> Axes:
        """The pattern: cells in the colour, and with the number, of their group, in the colours of the report.

        Without ``ax`` the picture gets a figure of its own, which a notebook shows once. In a script nothing keeps it
        but its axes: ``ax.figure.savefig(path)`` writes it, and ``plt.show()`` shows what is drawn on ``ax=plt.gca()``.
        Several pictures side by side need room for their legends: ``plt.subplots(1, 2, layout="constrained")``.

        Args:
            name: of the parameter, where there are several.
            ax: matplotlib axes to draw on.

        Returns:
            The axes.

        Raises:
            TypeError: ax is no axes.
            ValueError: there are several parameters, or none of that name.
            ImportError: matplotlib or jinja2 are not installed (``pip install 'equishare[plot]'``).
        """
        require_matplotlib()
        from equishare.report.figures import draw_pattern, pattern_size

        parameter = parameter_named(self.view(), name)
        axes = _axes(ax, pattern_size(parameter))
        draw_pattern(axes, parameter)
        return axes

    def plot_estimates(self, name: str | None = None, ax: Axes | None = None) -> Axes:
        """Each entry alone, with its standard error, beside the value that its group shares.

        Where entries scatter about the value, the band of the spread is drawn as well. Of more than 24 groups the
        largest are drawn, of large groups some entries at even ranks.

        Args:
            name: of the parameter, where there are several.
            ax: matplotlib axes to draw on; see :meth:`plot_pattern`.

        Returns:
            The axes.

        Raises:
            ValueError: there are several parameters, or none of that name; or the estimates are not known: those of a
                network, of too few samples, or of a file of a former version.
            ImportError: matplotlib or jinja2 are not installed (``pip install 'equishare[plot]'``).
        """
        require_matplotlib()
        from equishare.report.figures import ESTIMATES_SIZE, draw_estimates

        view = self.view()
        parameter = parameter_named(view, name)
        known = estimates_of(view, parameter)
        if known is None:
            raise ValueError("the estimates without sharing are not known: not for networks, nor for too few samples")
        axes = _axes(ax, ESTIMATES_SIZE)
        draw_estimates(axes, parameter, *known)
        return axes

    def plot_history(self, ax: Axes | None = None) -> Axes:
        """What decided over the search: the evidence where it was asked, else the loss beside that without sharing.

        Args:
            ax: matplotlib axes to draw on; see :meth:`plot_pattern`.

        Returns:
            The axes.

        Raises:
            ImportError: matplotlib or jinja2 are not installed (``pip install 'equishare[plot]'``).
        """
        require_matplotlib()
        from equishare.report.figures import HISTORY_SIZE, draw_history

        axes = _axes(ax, HISTORY_SIZE)
        draw_history(axes, self.view())
        return axes

    def plot_group(self, name: str | None = None, ax: Axes | None = None) -> Axes:
        """The generators of the pattern's group: arrows on rings of outputs and of inputs, all on the same axes.

        They are drawn whatever the verdict of :meth:`symmetry`, which tells whether the data bear them out.

        Args:
            name: of the parameter, where there are several.
            ax: matplotlib axes to draw on; see :meth:`plot_pattern`.

        Returns:
            The axes.

        Raises:
            ValueError: there are several parameters, or none of that name.
            ImportError: matplotlib or jinja2, igraph or sympy are not installed
                (``pip install 'equishare[plot,symmetry]'``).
        """
        require_matplotlib()
        from equishare.report.group_figure import draw_group, group_size

        parameter = parameter_named(self.view(), name)
        group = symmetry_group(parameter.partition, covariance=parameter.is_covariance)
        axes = _axes(ax, group_size(group))
        draw_group(axes, group, parameter.labels)
        return axes

    def plot_covariance(self, name: str | None = None, ax: Axes | None = None) -> Axes:
        """A covariance as a heat map, its variables in the order of the orbits of the symmetry.

        Args:
            name: of the sample, where there are several.
            ax: matplotlib axes to draw on; see :meth:`plot_pattern`.

        Returns:
            The axes.

        Raises:
            ValueError: the discovery is of no covariance; there are several samples, or none of that name.
            ImportError: matplotlib or jinja2 are not installed (``pip install 'equishare[plot]'``).
        """
        require_matplotlib()
        from equishare.report.covariance_figure import covariance_size, draw_covariance

        parameter = parameter_named(self.view(), name)
        if not parameter.is_covariance:
            raise ValueError(f"plot_covariance needs the discovery of a covariance; this one is of {parameter.noun}s")
        parameter = replace(parameter, group=self._groups().get(parameter.name))
        axes = _axes(ax, covariance_size(parameter))
        draw_covariance(axes, parameter)
        return axes

    def _groups(self) -> dict[str | None, SymmetryGroup]:
        """The symmetry by name of the parameter; empty where igraph or sympy are missing, or memory is."""
        try:
            found = self.symmetry()
        except (ImportError, MemoryError):
            return {}
        return found if isinstance(found, dict) else {None: found}

    def _quick_groups(self) -> dict[str | None, SymmetryGroup]:
        """The same, without that of parameters whose symmetry takes long."""
        is_quick = all(len(one.partition) <= _QUICK for one in self.view().parameters)
        return self._groups() if is_quick else {}

    def __repr__(self) -> str:
        view = self.view()
        return f"{type(self).__name__}({brief(view, parameters_of(view, self._quick_groups()))})"

    def _repr_html_(self) -> str | None:
        """What a notebook shows; the line of text where matplotlib or jinja2 are missing."""
        try:
            require_matplotlib()
        except ImportError:
            return None
        from equishare.report.page import notebook_html

        return notebook_html(self.view(), self._quick_groups())
