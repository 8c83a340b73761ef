"""Ratio against size: how many times faster than the baseline, by the bytes that a step must move."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from equishare.lab.bench.result import Results

# Okabe and Ito's colours, told apart with any colour vision (https://jfly.uni-koeln.de/color).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#000000")
_MARKERS = "os^Dv<>PX*hp"


def draw(results: Results, path: Path) -> None:
    """Draw to a file; the format goes by the suffix. A line a curve; dashed where the other is torch.compile."""
    figure = Figure(figsize=(10, 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    curves: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for row in results.rows:
        if "eager" in row.quantities:
            curves.setdefault(row.case.curve, []).append((row.case.moved.moved, row.quantities))
    for number, (curve, points) in enumerate(curves.items()):
        points.sort(key=lambda point: point[0])
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        for other, line, face in (("eager", "-", colour), ("compile", "--", "none")):
            shown = [(size, found[other]) for size, found in points if other in found]
            if not shown:
                continue
            label = curve if other == "eager" else f"{curve}, torch.compile"
            axes.plot(
                *zip(*shown, strict=True),
                line,
                color=colour,
                marker=marker,
                markersize=5,
                markerfacecolor=face,
                linewidth=1.2,
                label=label,
            )
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("bytes that the step must read and write")
    axes.set_ylabel("times faster than the baseline")
    m = results.machine
    axes.set_title(f"{m['processor']}, {m['threads']} threads, {m['instruction_set']}, torch {m['torch']}", fontsize=10)
    axes.grid(alpha=0.25)
    if curves:
        figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    figure.savefig(path)
