"""The results as a table on the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from equishare._native import instruction_set
from equishare.lab.bench.result import Results, Row

__all__ = ["print_results"]

_CONTENDERS = ("ours", "eager", "compile", "copy")
_VERDICTS = {True: ("met", "green"), False: ("missed", "red"), None: ("not measured", "")}
_LEGEND = """\
Median milliseconds a call. step: forward and backward through autograd. eager: the baseline, which is the plain
composition where the name of the row tells no other. × eager, × compile: times faster than that. × floor: ours over
copy, which moves the bytes that the step must read and write. required: bounds of the instruction set in use; dim,
after its name, those of another (v4: AVX-512, v3: AVX2), which EQUISHARE_ISA puts in its place.
"""
_BASELINES = {
    "bare Function": "the autograd Function around the kernel; overhead: microseconds more than it",
    "release": "the formula of the authors' code, O(K³)",
    "lean": "the O(KG) composition",
    "dense": "F.linear with its weight ready, or nn.Linear",
    "bytes": "shared_linear with labels of one byte",
    "indexed": "F.linear(x, values[labels])",
    "index_add_": "zeros(G).index_add_(0, int64 labels, x)",
}


def print_results(results: Results, console: Console) -> None:
    """One line a row: times in milliseconds, ratios, what is required and whether it is met."""
    m = results.machine
    title = f"{m['processor']}, {m['threads']} threads, {m['instruction_set']}, torch {m['torch']}"
    table = Table(
        title=Text(title + (" (quick: times mean little)" if results.quick else "")),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("row", min_width=24)
    for column in ("ours", "eager", "compile", "copy", "×\neager", "×\ncompile", "×\nfloor"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("required")
    previous = None
    for row in results.rows:
        if previous is not None and previous != row.case.curve:
            table.add_section()
        previous = row.case.curve
        table.add_row(_name(row), *_numbers(row), _required(row))
    console.print(table)
    baselines = dict.fromkeys(row.case.against for row in results.rows if row.case.against in _BASELINES)
    legend = _LEGEND + "".join(f"{name}: {_BASELINES[name]}.\n" for name in baselines)
    console.print(legend.rstrip(), style="dim", highlight=False, markup=False)
    for note in dict.fromkeys(row.note for row in results.rows if row.note):
        console.print(note, style="dim", highlight=False, markup=False)


def _name(row: Row) -> Text:
    case = row.case
    text = Text(case.name)
    if row.error:
        text.append(f"\n{row.error}", style="red")
    return text


def _numbers(row: Row) -> list[str]:
    if row.held is not None:
        ours, baseline = (f"{size / 2**20:.3g} MiB" for size in row.held)
        return [ours, baseline, "", "", f"{1 / row.quantities['memory']:.3g}", "", ""]
    times = [f"{1e3 * row.samples[name].median:.3g}" if name in row.samples else "–" for name in _CONTENDERS]
    ratios = [
        f"{row.quantities[name]:.3g}" if name in row.quantities else "–" for name in ("eager", "compile", "floor")
    ]
    return [*times, *ratios]


def _required(row: Row) -> Text:
    lines = []
    for bound, met in row.judged:
        if bound.on not in ("", instruction_set()):
            lines.append(Text(f"{bound.on}: {bound}", style="dim"))
            continue
        value = f" ({row.quantities['overhead']:.3g} µs)" if bound.quantity == "overhead" and row.quantities else ""
        lines.append(Text.assemble(f"{bound}: ", _VERDICTS[met], value))
    return Text("\n").join(lines)
