"""Read a person's data file, choose what is asked of it, and split it into a problem."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from equishare.arrays import sample_matrix
from equishare.blocks import ENDINGS, SEPARATORS, head_of
from equishare.columns import chosen, ignoring, listed, option, suggested
from equishare.files import BadFile
from equishare.naming import printable
from equishare.npz import check_header, read_arrays
from equishare.openfiles import Columns, Reader, check_distinct, index_columns, note_of_indices, opened, shown
from equishare.problems import CovarianceProblem, LinearProblem, MeanProblem
from equishare.problems.split import check_rows, halves
from equishare.progress import Progress
from equishare.table import names_in
from equishare.tablefiles import Table, readers
from equishare.textfiles import head_rows

__all__ = ["Data", "read_data", "split_problem"]

# Files from so many bytes on are read in blocks; their columns are told by so many rows.
_STREAMED, _HEAD = 1 << 27, 1000
_IN_BLOCKS = "Read twice in blocks of rows; the number of a row tells whether it is used to fit or to validate."
_INPUT_OR_OUTPUT = re.compile(r"([xy])(?:[ _.\-]?\d*|\[\d+\]|\(\d+\))", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


@dataclass(frozen=True)
class Data:
    """Samples as a file holds them, finite float32 or float64.

    Attributes:
        x: (n, I) inputs, or (n, K) samples whose means may be shared when there is no y: an array, or a pandas
            DataFrame from a table, whose names go into the answer.
        y: (n, O) outputs, or None.
        covariance: whether the covariance of the samples is asked for, not their means.
        notes: sentences on what was taken of the file, where that was not said.
    """

    x: Any
    y: Any = None
    notes: tuple[str, ...] = ()
    covariance: bool = False


def read_data(
    path: str | os.PathLike[str],
    *,
    inputs: Columns | None = None,
    outputs: Columns | None = None,
    ignore: Columns | None = None,
    means: bool = False,
    covariance: bool = False,
    sheet: str | None = None,
) -> Data:
    """Read inputs and outputs, or samples, from a file; the name's ending tells the format.

    - ``.npz``: arrays named x and y (others are left alone), or exactly one array of samples.
    - ``.npy``: one array of samples.
    - ``.csv``, ``.tsv`` (both also with ``.gz``), ``.xlsx`` (its first sheet, or the one of that name), ``.parquet``: a
      table of columns, in text with or without a line of names. They need ``pip install 'equishare[tables]'``.

    Columns are chosen by name: a list, or a string with commas, of names, patterns such as ``temp_*`` and ranges such
    as ``temp_n:temp_w`` in the order of the file; one with a comma stands in double quotes. Where only one of
    inputs and outputs is given, the other is all other columns with numbers. Where neither is, columns named x0, x1, …
    and y0, y1, … are inputs and outputs.

    Args:
        path: the file.
        inputs: columns of the inputs of a map, or with ``means`` those whose means are compared.
        outputs: columns of the outputs of a map.
        ignore: columns that are left out, whatever else is said of them.
        means: ask which means are equal, of ``inputs`` or of all columns with numbers.
        covariance: ask the same of the covariances of these columns.
        sheet: name of the sheet of a spreadsheet.

    Raises:
        OSError: the file cannot be read.
        ValueError: another ending; a damaged file; data that are not finite real numbers in at least two rows; x and y
            with different numbers of rows; columns that are not there or are asked for twice; a file that does not
            tell what is asked of it.
        ImportError: a table without ``pip install 'equishare[tables]'``.
    """
    path = Path(path)
    if means and covariance:
        raise ValueError("means and covariance are two questions: ask one of them")
    given = {"inputs": inputs, "outputs": outputs, "ignore": ignore}
    asked = {argument: own for argument, own in given.items() if own is not None}
    known: dict[str, Reader] = {".npz": _read_npz, ".npy": _read_npy, **readers(path, sheet)}
    with opened(path, known, "data must be a file") as read:
        of_samples = "means" if means else "covariance" if covariance else ""
        own = _of_table if isinstance(read, Table) else _of_arrays
        data = replace(own(path, read, asked, of_samples), covariance=covariance)
        if len(data.x) < 2:
            raise ValueError(f"at least two samples (rows) are needed, got {len(data.x)}")
    return data


def split_problem(
    data: Data, train_fraction: float, seed: int, bias: bool = True
) -> MeanProblem | LinearProblem | CovarianceProblem:
    """Shuffle the samples, split them into training and validation, and state the problem.

    Args:
        data: what :func:`read_data` gives.
        train_fraction: share of the samples used to fit, between 0 and 1 exclusive; at least one
            sample falls on each side.
        seed: of the shuffle, not negative.
        bias: whether a map y = W x + b has a b.

    Raises:
        ValueError: an argument out of range, or data the problem refuses.
    """
    if data.covariance:
        halves(len(data.x), seed, "data", train_fraction)  # checks them
        if train_fraction != 0.5:
            raise ValueError(
                f"train_fraction must be 0.5 for covariances, whose loss takes one half, got {train_fraction}"
            )
        return CovarianceProblem(data.x, seed=seed)
    if data.y is None:
        return MeanProblem(data.x, seed=seed, train_fraction=train_fraction)
    return LinearProblem(data.x, data.y, bias=bias, seed=seed, train_fraction=train_fraction)


def is_streamed(path: Path, covariance: bool = False) -> bool:
    """Whether a file is so large that it is read in blocks of rows; a folder of Parquet files always is.

    Covariances need all samples at once.
    """
    if path.is_dir():
        return True
    return not covariance and path.suffix.lower() in ENDINGS and path.stat().st_size >= _STREAMED


def stream_problem(
    path: Path,
    *,
    inputs: Columns | None = None,
    outputs: Columns | None = None,
    ignore: Columns | None = None,
    means: bool = False,
    covariance: bool = False,
    train_fraction: float = 0.5,
    seed: int = 0,
    bias: bool = True,
    sheet: str | None = None,
    progress: Progress | None = None,
) -> tuple[MeanProblem | LinearProblem, tuple[str, ...]]:
    """The problem of a file larger than memory, read twice in blocks of rows, and sentences on what was taken of it.

    Columns are chosen as by :func:`read_data`; the first thousand rows tell which hold numbers. Rows are drawn to fit
    or to validate by their number.

    Raises:
        OSError, ValueError, ImportError: as of :func:`read_data`; covariances, which need all samples at once.
    """
    readers(path, sheet)  # refuses a sheet of what is no spreadsheet
    if covariance:
        raise ValueError(
            f"{shown(path)}: covariances need all samples at once, and a folder is read in blocks of rows: give one "
            "file, whose rows fit into memory"
        )
    given = {"inputs": inputs, "outputs": outputs, "ignore": ignore}
    asked = {argument: own for argument, own in given.items() if own is not None}
    options: dict[str, Any] = {"train_fraction": train_fraction, "seed": seed, "progress": progress}
    kind = "means" if means else ""
    try:
        if path.suffix.lower() == ".npy":
            _of_arrays(path, {"samples": np.load(path, mmap_mode="r", allow_pickle=False)[:_HEAD]}, asked, kind)
            return MeanProblem.from_batches(path, **options), (_IN_BLOCKS,)
        head = _of_table(path, _head(path), asked, kind)
        x, y = (None if own is None else list(own.columns) for own in (head.x, head.y))
        notes = (*head.notes, _IN_BLOCKS)
        if y is None:
            return MeanProblem.from_batches(path, columns=x, **options), notes
        return LinearProblem.from_batches(path, inputs=x, outputs=y, bias=bias, **options), notes
    except (TypeError, ValueError) as error:
        raise ValueError(f"{shown(path)}: {error}") from None


def _head(path: Path) -> Table:
    """The first rows of a table."""
    note, separator = "", SEPARATORS.get(path.suffix.lower())
    if separator is not None and not path.is_dir():
        first, *below = head_rows(path, separator)
        names, note = names_in(first, below)
        if not names:
            raise ValueError("must have a line of names above its numbers, as it is so large that it is read in blocks")
    frame = head_of(path, _HEAD)
    return Table(frame, lambda row, column: (f"row {row} counted from 0", str(frame.iloc[row, column])), note)


def _read_npz(file: BinaryIO, stack: ExitStack) -> dict[str, np.ndarray]:
    if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
        raise BadFile("not a .npz file but a single array; name it .npy")
    return read_arrays(file, _data_among)


def _data_among(names: list[str]) -> list[str]:
    if {"x", "y"} <= set(names):
        return ["x", "y"]
    if len(names) != 1:
        found = listed([printable(name) for name in names]) or "none"
        raise BadFile(f"must hold arrays named x and y, or exactly one array of samples; found {found}")
    return names


def _read_npy(file: BinaryIO, stack: ExitStack) -> dict[str, np.ndarray]:
    if file.read(2) == b"PK":
        raise BadFile("not a .npy file but an archive of arrays; name it .npz")
    file.seek(0)
    check_header(file, "the array", os.fstat(file.fileno()).st_size)
    file.seek(0)
    return {"samples": np.load(file, allow_pickle=False)}


def _of_arrays(
    path: Path, arrays: dict[str, Any], asked: dict[str, Columns], of_samples: str, options: Sequence[str] = ()
) -> Data:
    """Data without names; ``of_samples`` is what is asked of samples, "means" or "covariance", empty for a map."""
    if asked:
        raise ValueError(
            f"{', '.join(asked)} must choose among named columns, and this file has no names: write a line of names "
            "above the numbers of a .csv file, or save arrays x and y in a .npz file"
        )
    x, *y = [sample_matrix(array, name) for name, array in arrays.items()]
    if y:
        check_rows((x, y[0]), ("x", "y"))
    if y and of_samples:
        raise ValueError(
            f"{of_samples} must be asked of one array of samples, got x and y: leave --{of_samples} out, or x or y"
        )
    if not y and not of_samples:
        raise ValueError(
            f"must be told what to ask of one array of {x.shape[1]} columns: which means are equal "
            f"({_call(path, *options, '--means')}), or which covariances ({_call(path, *options, '--covariance')}); "
            "for the weights of a map, save its inputs x and outputs y in one .npz file"
        )
    return Data(x, y[0] if y else None)


def _of_table(path: Path, table: Table, asked: dict[str, Columns], of_samples: str) -> Data:
    """The columns that were asked for."""
    names = table.names
    if not names:
        samples = table.numbers(range(table.frame.shape[1]))
        return _of_arrays(path, {"samples": samples}, asked, of_samples, table.options)
    picked = {argument: chosen(own, names, argument) for argument, own in asked.items()}
    check_distinct(names, picked.get("ignore", ()))
    x, y = picked.get("inputs", []), picked.get("outputs", [])
    ignored, wanted = set(picked.get("ignore", ())), {*x, *y}
    indices = [name for name in index_columns(names) if name not in ignored | wanted]
    left = [name for name in names if name not in ignored.union(indices)]
    numeric = [name for name in left if table.has_numbers(table.places[name])]
    x, y = ([name for name in own if name not in ignored] for own in (x, y))
    notes = ([table.note] if table.note else []) + note_of_indices(indices)
    if of_samples and "outputs" in asked:
        raise ValueError(
            f"{of_samples} must be asked of columns of one kind, got outputs: choose them by inputs, or not at all"
        )
    if not of_samples and not {"inputs", "outputs"} & set(asked):
        x, y = _named_so(left) or _refused(path, table, left, numeric, asked)
    for argument, own, others in (("inputs", x, y), ("outputs", y, x)):
        if argument in asked and not own:
            raise ValueError(f"{argument} must leave a column, and ignore names all of {listed(picked[argument])}")
        if not own and not (of_samples and argument == "outputs"):
            taken = set(others)
            own += [name for name in numeric if name not in taken]
            if not own:
                raise ValueError(f"{argument} must be columns with numbers, and there are no others: {listed(names)}")
            if not of_samples:
                notes.append(f"{argument.capitalize()} are all other columns with numbers: {listed(own)}.")
        notes += _of_order(argument, own, table.places)
    both = [name for name in x if name in set(y)] if y else []
    if both:
        raise ValueError(f"inputs and outputs must be different columns, got {listed(both)} in both: name it in one")
    used = {*x, *y}
    unused = [name for name in left if name not in used]
    if unused:
        notes.append(f"Not used: {listed(unused)}.")
    data = [table.numbers([table.places[name] for name in own]) if own else None for own in (x, y)]
    if of_samples and len(x) < 2:
        rest = f" (not used: {listed(unused)})" if unused else ""
        raise ValueError(f"{of_samples} must be asked of two columns of numbers at least, got {listed(x)}{rest}")
    return Data(data[0], data[1], tuple(notes))


def _of_order(argument: str, own: Sequence[str], places: dict[str, int]) -> list[str]:
    """A notice where columns x1, x10, x2 stand in the order of the file, which is not that of their numbers."""
    found = [_NUMBERED.fullmatch(name) for name in own]
    if None in found or len({(match[1], match[3]) for match in found if match}) != 1:
        return []
    numbers, order = [int(match[2]) for match in found if match], [places[name] for name in own]
    if numbers == sorted(numbers) or order != sorted(order):
        return []
    return [
        f"{argument.capitalize()} are in the order of the file, not of their numbers: {listed(own)} "
        f"(--{argument} takes them in any order, one after another)."
    ]


def _named_so(names: list[str]) -> tuple[list[str], list[str]] | None:
    """Inputs and outputs where the columns are named x… and y…."""
    kinds = [match[1].lower() if (match := _INPUT_OR_OUTPUT.fullmatch(name)) else None for name in names]
    if not {"x", "y"} <= set(kinds):
        return None
    if None in kinds:
        other = names[kinds.index(None)]
        raise ValueError(
            f"column {other!r} stands beside columns x… and y…: leave it out ({ignoring(other)}), or choose columns by "
            "--inputs and --outputs"
        )
    x, y = ([name for name, own in zip(names, kinds, strict=True) if own == kind] for kind in ("x", "y"))
    return x, y


def _refused(path: Path, table: Table, names: list[str], numeric: list[str], asked: dict[str, Columns]) -> NoReturn:
    """Say what to type, for the file does not tell what is asked of it."""
    kept = [*table.options, *(option("ignore", own) for own in asked.values() if isinstance(own, str))]
    # A map takes numbers alone; a column of text is an outcome of two classes, or a factor that an outcome depends on.
    texts = [name for name in names if name not in set(numeric)]
    outcomes = [*numeric, *(name for name in texts if table.frame.iloc[:, table.places[name]].nunique() == 2)]
    others = ""
    if len(names) > 1 and outcomes:
        outcome = max(outcomes, key=names.index)
        included = ", text included" if texts else ""
        others = f"; what explains a column{included}: {_call(path, option('outcome', outcome), *kept)}"
    if len(numeric) < 2:
        raise ValueError(f"at least two columns of numbers are needed, got {listed(numeric) or 'none'}{others}")
    guess = zip(("inputs", "outputs"), suggested(names, numeric), strict=True)
    line = _call(path, *(option(argument, parts) for argument, parts in guess if parts is not None), *kept)
    of_samples = [_call(path, kind, *kept) for kind in ("--means", "--covariance")]
    raise ValueError(
        f"must be told what to ask of the columns {listed(numeric)}: the weights of a map ({line}) or which means are "
        f"equal ({of_samples[0]}) or which covariances ({of_samples[1]}){others}"
    )


def _call(path: Path, *options: str) -> str:
    return " ".join(["equishare discover", shlex.quote(shown(path)), *options])
