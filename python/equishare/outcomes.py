"""One column of a person's table explained by others: factors where there is text, weights where all are numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from equishare.columns import chosen, ignoring, listed, option, quoted
from equishare.files import BadFile
from equishare.openfiles import Columns, check_distinct, index_columns, note_of_indices, opened
from equishare.problems import FactorProblem, GeneralizedLinearProblem, LinearProblem, Problem
from equishare.problems.families import Family
from equishare.problems.levels import MISSING, has_fractions, named_levels
from equishare.tablefiles import Table, readers

__all__ = ["outcome_problem"]


def outcome_problem(
    path: str | os.PathLike[str],
    outcome: str,
    *,
    family: str | None = None,
    inputs: Columns | None = None,
    ignore: Columns | None = None,
    factors: Columns | None = None,
    sheet: str | None = None,
    seed: int = 0,
) -> tuple[Problem, tuple[str, ...]]:
    """The problem of one column of a table explained by others, and sentences on how these were taken.

    Columns of text are factors, whose levels may be tied; columns of numbers have a weight each. With a factor in the
    table these weights are never tied (:class:`equishare.FactorProblem`); without one they are what is asked of
    (:class:`equishare.LinearProblem`, :class:`equishare.GeneralizedLinearProblem`).

    Args:
        path: a table with names of columns.
        outcome: name of the column to explain.
        family: ``gaussian``, ``binomial`` or ``poisson``; None: binomial for a column of two values, else gaussian.
        inputs: columns that explain; None for all others.
        ignore: columns that are left out.
        factors: columns of numbers that are categories.
        sheet: name of the sheet of a spreadsheet.
        seed: of the split into samples to fit and to validate.

    Raises:
        OSError, ValueError, TypeError, ImportError: as :func:`read_data`; an outcome that the family cannot have.
    """
    known = readers(Path(path), sheet)
    with opened(Path(path), known, "outcome needs a table of columns, a file") as table:
        return _of_outcome(table, outcome, family, {"inputs": inputs, "ignore": ignore, "factors": factors}, seed)


def _of_outcome(
    table: Table, outcome: str, family: str | None, asked: dict[str, Columns | None], seed: int
) -> tuple[Problem, tuple[str, ...]]:
    names = table.names
    if not names:
        raise ValueError("outcome must name a column, and the file has no line of names above its rows")
    (target,) = chosen([outcome], names, "outcome")
    picked = {argument: chosen(own, names, argument) for argument, own in asked.items() if own is not None}
    check_distinct(names, picked.get("ignore", ()))
    excluded = {target, *picked.get("ignore", ())}
    used = [name for name in picked.get("inputs", names) if name not in excluded]
    coded = picked.get("factors", [])
    if other := [name for name in coded if name not in set(used)]:
        raise ValueError(f"factors must be columns that explain the outcome, got {listed(other)}: name an input")
    indices = [] if "inputs" in picked else [name for name in index_columns(used) if name not in coded]
    used = [name for name in used if name not in set(indices)]
    frame = table.frame
    columns = {name: frame.iloc[:, table.places[name]] for name in used}
    numeric = [name for name in used if name not in coded and table.has_numbers(table.places[name])]
    y, family, notes = _outcome(target, table, family)
    Family(family).checked(y, f"outcome {target!r}")
    if broken := [name for name in coded if has_fractions(columns[name])]:
        raise ValueError(f"factors must be categories, and columns hold numbers with fractions: {listed(broken)}")
    factors = [name for name in used if name not in set(numeric)]
    notes = ([table.note] if table.note else []) + note_of_indices(indices) + notes
    for name in numeric:
        try:
            table.numbers([table.places[name]])
        except BadFile as error:
            raise BadFile(f"{error}, or take it as categories ({option('factors', quoted(name))})") from None
    if counting := [name for name in numeric if "inputs" not in picked and _counts_rows(columns[name])]:
        notes.append(f"Taken as numbers, but counting the rows: {listed(counting)} ({ignoring(*counting)} leaves out).")
    if not used:
        raise ValueError(f"inputs must leave a column beside the outcome {target!r}")
    if factors:
        kinds = "Columns of text" if "factors" not in picked else "Columns of text and of --factors"
        notes.append(f"{kinds} are factors, whose levels may have one effect: {listed(factors)}.")
        notes.append(f"Values are effects on {Family(family).scale}, on average zero over the rows.")
        if numeric:
            notes.append(f"Columns of numbers have a weight each, never tied: {listed(numeric)}.")
        return FactorProblem(columns, y, family=family, numeric=numeric, seed=seed), tuple(notes)
    x, named = table.numbers([table.places[name] for name in used]), type(frame)({target: y})
    notes.append(f"All inputs are numbers: asked is which of their weights are equal: {listed(used)}.")
    if family == "gaussian":
        return LinearProblem(x, named, seed=seed), tuple(notes)
    return GeneralizedLinearProblem(x, named, family=family, seed=seed), tuple(notes)


def _outcome(name: str, table: Table, family: str | None) -> tuple[np.ndarray, str, list[str]]:
    """The outcome as numbers, its family, and what to say of both."""
    column = table.frame.iloc[:, table.places[name]]
    kinds, codes = named_levels(column)
    if MISSING in kinds:
        count = int((codes == list(kinds).index(MISSING)).sum())
        raise ValueError(f"outcome {name!r} has no value in {count} rows: leave these rows out")
    notes = []
    if family is None:
        family = "binomial" if len(kinds) == 2 else "gaussian"
        notes.append(f"The family is {family}: outcome {name!r} has {len(kinds)} values (--family chooses another).")
    values = np.asarray(column)
    is_text = values.dtype.kind not in "fiub"
    if is_text or (family == "binomial" and len(kinds) == 2 and set(kinds) != {"0", "1"}):
        if family != "binomial" or len(kinds) != 2:
            if table.has_numbers(table.places[name]):
                table.numbers([table.places[name]])  # says which is none
            counted = f"{len(kinds)} value{'s' * (len(kinds) > 1)}"
            raise ValueError(
                f"outcome {name!r} must hold numbers, or two classes for family binomial, got {counted} such "
                f"as {', '.join(list(kinds)[:3])}"
            )
        notes.append(f"What is explained is the probability of {name} = {list(kinds)[1]}.")
        return codes.astype(float), family, notes
    return values.astype(float), family, notes


def _counts_rows(column: Any) -> bool:
    """Whether a column of numbers is one more in each row, as identifiers are."""
    steps = np.diff(np.asarray(column, float))
    return len(steps) > 1 and bool((steps == 1).all())
