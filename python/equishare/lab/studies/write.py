"""Show an experiment on the terminal and write it as JSON, CSV and figures."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equishare.files import made_folder, written_whole
from equishare.lab.studies.result import Experiment, Table
from equishare.report.files import require_matplotlib

if TYPE_CHECKING:
    from rich.console import Console


def print_tables(experiment: Experiment, console: Console) -> None:
    """Print every table; metrics as mean ± 95 % confidence interval."""
    from rich import box
    from rich import table as rich_table
    from rich.text import Text

    for table in experiment.tables:
        # Narrow, so that most tables fit a terminal of 80 columns; where one does not, numbers wrap and stay whole.
        shown = rich_table.Table(
            title=Text(table.title), title_justify="left", box=box.HORIZONTALS, padding=(0, 1, 0, 0)
        )
        references = [column for column in table.references if not column.endswith("_ci")]
        for column in (*table.settings, "method"):
            shown.add_column(column, overflow="fold")
        for column in (*table.metrics, *references, "trials", "seconds"):
            shown.add_column(column.replace("_", " "), justify="right", overflow="fold")
        previous = None
        for row in table.rows:
            cell = [row[column] for column in table.settings]
            if previous is not None and cell != previous:
                shown.add_section()
            previous = cell
            values = [_with_interval(row, column) for column in (*table.metrics, *references)]
            texts = [_plain(value) for value in (*cell, row["method"])]
            shown.add_row(*texts, *values, _plain(row["trials"]), _plain(row["seconds"]))
        console.print(shown)


def write_experiment(experiment: Experiment, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``<name>.json``, one CSV a table, and a PNG for each metric of a table with an x.

    Each file appears whole or not at all. The folder is made if it is missing.

    Returns:
        The paths written.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the folder cannot be made or written.
    """
    require_matplotlib()
    from equishare.lab.studies.figures import draw_figure

    folder = made_folder(folder)
    paths = [folder / f"{experiment.name}.json"]
    with written_whole(paths[0]) as temporary:
        text = json.dumps(_document(experiment), indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    for table in experiment.tables:
        paths.append(folder / f"{experiment.name}_{table.name}.csv")
        with written_whole(paths[-1]) as temporary:
            _write_csv(table, temporary)
        for metric in table.metrics if table.x is not None else ():
            paths.append(folder / f"{experiment.name}_{table.name}_{metric}.png")
            with written_whole(paths[-1]) as temporary:
                draw_figure(table, metric, temporary)
    return paths


def columns_of(table: Table) -> list[str]:
    """Return the columns of a table in the order of its CSV file."""
    measured = [column for metric in table.metrics for column in (metric, f"{metric}_ci")]
    return [*table.settings, "method", *measured, *table.references, "trials", "seconds"]


def _write_csv(table: Table, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns_of(table), restval="")
        writer.writeheader()
        writer.writerows(table.rows)


def _document(experiment: Experiment) -> dict[str, Any]:
    return {
        "experiment": experiment.name,
        "seed": experiment.seed,
        "seconds": experiment.seconds,
        "tables": [
            {"name": t.name, "title": t.title, "rows": [_finite(row) for row in t.rows]} for t in experiment.tables
        ],
    }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    # JSON has no NaN; the interval of a single trial is one.
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _with_interval(row: dict[str, Any], column: str) -> str:
    interval = row.get(f"{column}_ci")
    text = _plain(row.get(column))
    return text if interval is None or math.isnan(interval) else f"{text} ± {_plain(interval)}"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 1 else f"{value:.2f}"
    return str(value)
