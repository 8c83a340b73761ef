"""Figures of an experiment: one metric against one setting, one line a method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from equishare.lab.studies.result import Table

#: Values below this are drawn on a linear scale where the axis is logarithmic and a value is zero, so that it shows.
LINEAR_BELOW = 0.1
#: Methods are drawn side by side, this part of the axis apart, so that equal values show.
SHIFT = 0.006
# So many values of a logarithmic axis have a tick each.
_FEW_TICKS = 6

#: One look a method, in all figures: colour, marker.
STYLES = {
    "no sharing": ("#999999", "x"),
    "oracle": ("#000000", "+"),
    "best linear map": ("#444444", None),
    "symmetric W": ("#bbaa66", "1"),
    "Bayes limit": ("#000000", None),
    "joint limit": ("#777777", None),
    "Augerino, 3 samples": ("#f0d060", "v"),
    "Augerino, 15 samples": ("#e69f00", "^"),
    "Augerino, 75 samples": ("#009e73", ">"),
    "brute force": ("#cc79a7", "s"),
    "bilevel, release": ("#e69f00", "v"),
    "bilevel, release, no penalties": ("#f0d060", "^"),
    "bilevel": ("#d55e00", "D"),
    "gap": ("#56b4e9", "<"),
    "merge": ("#009e73", ">"),
    "closure": ("#cc79a7", "s"),
    "auto": ("#0040c0", "o"),
    "auto at 95 %": ("#7030a0", "D"),
    "version 0.1": ("#d55e00", "v"),
    "measured gap": ("#0040c0", "o"),
    "bound": ("#d55e00", None),
    "simple bound": ("#999999", None),
    "ties": ("#0040c0", "o"),
    "all pairs": ("#e69f00", "s"),
    "as reported": ("#999999", None),
    "shipped": ("#0040c0", "o"),
    "fitted here": ("#d55e00", "D"),
    "odds as they are": ("#e69f00", "s"),
    "means": ("#0040c0", "o"),
    "maps": ("#d55e00", "D"),
    "logistic": ("#009e73", "s"),
    "entries": ("#0040c0", "o"),
    "slices": ("#d55e00", "D"),
    "weight sharing": ("#56b4e9", "v"),
    "SLOPE": ("#e69f00", "^"),
    "sinkhorn": ("#cc79a7", "s"),
    "weight sharing, one task": ("#56b4e9", "v"),
    "SLOPE, one task": ("#e69f00", "^"),
    "MSR, all tasks": ("#009e73", ">"),
    "bilevel, all tasks": ("#d55e00", "D"),
    "auto, all tasks": ("#0040c0", "o"),
    "gaussian": ("#0040c0", "o"),
    "binomial": ("#d55e00", "D"),
    "poisson": ("#009e73", "s"),
}
NAMES = {
    "mse": "MSE",
    "mae": "mean absolute error",
    "accuracy": "share right after rounding",
    "inference_seconds": "seconds for 100,000 sequences",
    "L": "length L",
    "pd": "partition distance",
    "excess": "excess test error, %",
    "separation": "δ/s, spacing of the values / standard error",
    "gap": r"gap  $E\,\|\hat\theta_{\hat a}-\hat\theta_{a^*}\|^2$",
    "exact": "share of draws found exactly",
    "error": "Frobenius norm of the error",
    "false": "share of draws with a false group",
    "right": "share of draws with a true group",
    "group_holds": "share of these groups that are true",
    "said": "probability of the group",
    "noise": "noise variance",
    "label_noise": "noise on labels of standard deviation 1",
    "train": "training samples of 100",
    "r": "number of groups r",
    "reported": "reported probability of a tie",
    "holds": "share of these pairs that are truly tied",
    "at_95": "share of ties reported at 95 %",
    "true_at_95": "share true of ties reported at 95 %",
}

#: Metrics drawn from 0 to 1, however far their intervals reach.
SHARES = {"false", "right", "exact", "group_holds"}


def draw_figure(table: Table, metric: str, path: Path) -> None:
    """Draw ``metric`` against ``table.x`` with 95 % intervals; the format goes by the suffix.

    Settings other than x that take several values give one panel for each combination. Numbers
    printed in the paper are open stars.
    """
    assert table.x is not None
    panels = _panels(table)
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(1.9 + 4.4 * columns, 3.6 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharey=metric in table.log)
    for axis, (title, rows) in zip(axes.flat, panels, strict=False):
        logarithmic = table.x in table.log
        ends = [end(row[table.x] for row in rows) for end in (min, max)]
        span = np.log(ends[1] / ends[0]) if logarithmic else ends[1] - ends[0]
        methods = dict.fromkeys(row["method"] for row in rows)
        for index, method in enumerate(methods):
            shift = SHIFT * span * (index - (len(methods) - 1) / 2)
            measured = [row for row in rows if row["method"] == method and metric in row]
            if measured:
                _draw_line(axis, measured, table.x, metric, shift, logarithmic)
        if logarithmic:
            axis.set_xscale("log")
            _mark_values(axis, sorted({row[table.x] for row in rows}))
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(NAMES.get(table.x, table.x))
        axis.set_ylabel(NAMES.get(metric, metric.replace("_", " ")))
        axis.grid(alpha=0.25)
        if metric in SHARES:
            axis.set_ylim(-0.03, 1.03)
    if metric in table.log:
        _make_logarithmic(axes, min(row[metric] for row in table.rows if metric in row))
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


def _mark_values(axis: Any, values: list[float]) -> None:
    """Ticks at the values themselves, where they are few: 40 and 320 say more than powers of ten."""
    if len(values) <= _FEW_TICKS:
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()


def _make_logarithmic(axes: np.ndarray, least: float) -> None:
    for axis in axes.flat:
        if least > 0:
            axis.set_yscale("log")
        else:
            axis.set_yscale("symlog", linthresh=LINEAR_BELOW, linscale=0.3)
            axis.set_ylim(bottom=-LINEAR_BELOW / 5)


def _panels(table: Table) -> list[tuple[str, list[dict[str, Any]]]]:
    others = [column for column in table.settings if column != table.x and len({row[column] for row in table.rows}) > 1]
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in table.rows:
        title = ", ".join(f"{column} = {row[column]}" for column in others)
        panels.setdefault(title, []).append(row)
    return list(panels.items())


def _draw_line(axis: Any, rows: list[dict[str, Any]], x: str, metric: str, shift: float, logarithmic: bool) -> None:
    method = rows[0]["method"]
    colour, marker = STYLES[method]
    position = [row[x] * np.exp(shift) if logarithmic else row[x] + shift for row in rows]
    interval = np.array([row[f"{metric}_ci"] for row in rows])
    axis.errorbar(
        position,
        [row[metric] for row in rows],
        yerr=None if np.isnan(interval).all() else interval,
        label=method,
        color=colour,
        marker=marker,
        markersize=4,
        linewidth=1.2,
        linestyle="--" if marker is None else "-",
        capsize=2,
    )
    printed = [(row[x] + shift, row[f"paper_{metric}"]) for row in rows if f"paper_{metric}" in row]
    if printed:
        axis.plot(
            *zip(*printed, strict=True),
            linestyle="none",
            marker="*",
            markersize=11,
            markerfacecolor="none",
            color=colour,
            label=f"paper: {method}",
        )
