"""Progress of long work: a function that is called with it, and a bar on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

__all__ = ["Progress", "part_of", "progress_bar", "silent"]

#: Called with the work done and the work in total.
Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def part_of(progress: Progress, before: int, count: int, total: int) -> Progress:
    """Progress of ``count`` of ``total`` pieces of work, ``before`` of which are done."""
    return lambda done, whole: progress(before + round(count * done / whole), total)


@contextmanager
def progress_bar(description: str, is_shown: bool = True) -> Iterator[Progress]:
    """A progress bar on stderr, silent where that is neither a terminal nor a notebook, or where it is not shown."""
    console = Console(stderr=True)
    if console.is_jupyter:
        # A line that is written over needs no widgets.
        console = Console(stderr=True, force_jupyter=False, force_terminal=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, disable=not (is_shown and console.is_terminal)) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
