"""Sections of the report that concern the discovery as a whole."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from equishare.report.curve import curve
from equishare.report.history import loss_history
from equishare.report.parameter import Parameter
from equishare.report.pieces import Markup, Section, counted, facts, number, paragraph, table, text
from equishare.result.view import View

# Of a longer history rows at even distances are shown.
_MAX_ROWS = 100
_COLUMNS = {
    "num_groups": "groups",
    "step": "step",
    "validation_loss": "validation loss",
    "evidence": "evidence",
    "rejected": "rejected",
    "entropy": "entropy of the assignment",
    "column_norm": "column norm of the assignment",
}
_MEANING = {
    "evidence": "Evidence: log probability of all data under a pattern, up to a constant; the greatest wins.",
    "rejected": "Rejected: the pattern as a whole fits worse than chance allows (F test); it can only win if all are.",
}


def losses(view: View) -> str:
    """The validation loss beside that without sharing, as a sentence."""
    loss, unshared = view.validation_loss, view.no_sharing_loss
    sentence = f"The validation loss is {number(loss)}"
    if not np.isfinite(unshared):
        return f"{sentence}; that without sharing is not known."
    sentence += f", and {number(unshared)} without sharing"
    if not unshared > 0 or loss == unshared:
        return f"{sentence}."
    change = 100 * (loss / unshared - 1)
    return f"{sentence}: {abs(change):.2g} % {'higher' if change > 0 else 'lower'}."


def loss_section(view: View) -> Section:
    """The curve of the history."""
    history = loss_history(view)
    drawn = curve(history, view.validation_loss, view.no_sharing_loss)
    return Section("loss", "Loss", paragraph(losses(view)) + drawn)


def tried_section(view: View) -> Section | None:
    """The history as a table; None where there is none."""
    history = view.history
    length = min((len(column) for column in history.values()), default=0)
    if not length:
        return None
    rows = np.arange(length)
    words = f"{counted(length, 'row')}."
    if length > _MAX_ROWS:
        rows = np.unique(np.linspace(0, length - 1, _MAX_ROWS).round().astype(int))
        words = f"{len(rows)} of {length:,} rows, at even distances; discovery.npz and d.history hold all."
    if "num_groups" in history:
        each = len(np.unique(history["num_groups"])) == length
        words = f"{'The best candidate for each number of groups' if each else 'The candidates'}. {words}"
    words = " ".join([words, *(meaning for name, meaning in _MEANING.items() if name in history)])
    cells = [[_cell(column[row]) for column in history.values()] for row in rows]
    header = [_COLUMNS.get(name, name) for name in history]
    return Section("tried", "What was tried", paragraph(words) + table("What was tried", header, cells, True))


def _cell(value: np.generic) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int | np.integer) else number(float(value))


def confidence_section(parameters: list[Parameter]) -> Section | None:
    """How sure each group is; None where that was not asked for."""
    known = [p for p in parameters if p.confidence is not None]
    if not known:
        return None
    words = "The probability that two entries of a group truly hold one value, on average over its pairs."
    return Section("confidence", "Confidence", paragraph(words) + "".join(map(_stability, known)))


def _stability(parameter: Parameter) -> str:
    assert parameter.confidence is not None
    stability = parameter.confidence.groups
    rows = [(g, f"{p:.3f}" if np.isfinite(p) else "alone") for g, p in enumerate(stability[:_MAX_ROWS])]
    words = ""
    if len(stability) > _MAX_ROWS:
        words = paragraph(f"The first {_MAX_ROWS} of {len(stability):,} groups; d.confidence holds all.")
    caption = "Confidence" + ("" if parameter.name is None else f" of {parameter.name}")
    return words + table(caption, ("group", "probability"), rows, True)


def data_section(view: View) -> Section:
    """What the answer was found from."""
    origin, about = view.origin, view.about
    pairs: list[tuple[str, object]] = []
    if origin is not None and origin.data is not None:
        pairs.append(("file", Markup(f"<code>{text(origin.data)}</code>")))
    pairs += [("question", about.question), *about.facts]
    if about.num_train is not None and about.num_val is not None:
        pairs.append(("samples", f"{about.num_train:,} to fit, {about.num_val:,} to validate"))
    else:
        pairs.append(("samples", "not recorded" if origin is None else "number not known"))
    return Section("data", "Data", facts(pairs))


def repeat_section(view: View) -> Section:
    """Command and versions."""
    origin = view.origin
    method = f"{view.method}, seed {view.seed}"
    if origin is None:
        body = paragraph("The call and the versions were not recorded with this view.")
        return Section("repeat", "Repeat it", body + facts([("method", method)]))
    lead = paragraph(
        "The same data, command and versions give the same answer."
        if origin.data is not None
        else "The same problem, call and versions give the same answer; problem holds the data."
    )
    command = (
        f'<pre tabindex="0" role="group" aria-label="Command to repeat it"><code>{text(origin.call)}</code></pre>\n'
    )
    pairs = [("method", method), *origin.versions.items()]
    return Section("repeat", "Repeat it", lead + command + facts(pairs))


def written_by() -> str:
    """The line at the foot of the page."""
    return f"Written by equishare {version('equishare')}."
