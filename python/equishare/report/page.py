"""The report: one HTML file that tells what was found, opens offline and asks nothing of any network."""

from __future__ import annotations

import os
from importlib.resources import files
from string import Template

from equishare.files import written_whole
from equishare.report.answer import answer
from equishare.report.parameter import Parameter, parameters_of
from equishare.report.parameter_section import parameter_sections
from equishare.report.pieces import Markup, Section, json_script, paragraph, text
from equishare.report.sections import (
    confidence_section,
    data_section,
    loss_section,
    losses,
    repeat_section,
    tried_section,
    written_by,
)
from equishare.result.cautions import cautions
from equishare.result.view import View
from equishare.symmetry import SymmetryGroup

_SCATTERED = (
    " Here the entries of a group are close to one number and not equal. d.theta holds that number for each of them; "
    "d.posterior_mean holds what the data say of each, which is what to predict with."
)
_SCRIPTS = ("theme.js", "view.js", "pattern.js")


def write_report(
    view: View,
    path: str | os.PathLike[str],
    groups: dict[str | None, SymmetryGroup],
) -> None:
    """Write the report, whole or not at all.

    Args:
        view: what was found.
        path: the file, ending in .html.
        groups: its symmetry by the parameter's name, None for that of a map or of means; without those that could not
            be computed.

    Raises:
        ValueError: path does not end in .html.
        OSError: the file cannot be written.
    """
    if not str(path).endswith(".html"):
        raise ValueError(f"path must end in .html, got {os.fspath(path)!r}")
    page = _page(view, groups)
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def _page(view: View, groups: dict[str | None, SymmetryGroup]) -> str:
    parameters = parameters_of(view, groups)
    data = None if view.origin is None else view.origin.data
    title = "What is shared" if data is None else f"What is shared in {data}"
    sections = [
        _answer_section(view, parameters),
        *(part for i, p in enumerate(parameters) for part in parameter_sections(p, i)),
        confidence_section(parameters),
        loss_section(view),
        tried_section(view),
        data_section(view),
        repeat_section(view),
    ]
    shown = [one for one in sections if one is not None]
    template = files("equishare.report") / "template"
    return Template((template / "page.html").read_text(encoding="utf-8")).substitute(
        title=text(title),
        style=(template / "style.css").read_text(encoding="utf-8"),
        navigation="".join(one.link() for one in shown),
        body="".join(one.html() for one in shown),
        foot=text(written_by()),
        data=json_script("parameters", [p.document() for p in parameters]),
        script="".join((template / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    )


def _answer_section(view: View, parameters: list[Parameter]) -> Section:
    parts = [Markup(f'<p class="answer">{text(answer(view, p))}</p>\n') for p in parameters]
    parts.append(paragraph(losses(view)))
    parts += [Markup(f'<p class="warning"><strong>Note.</strong> {text(w)}</p>\n') for w in cautions(view)]
    parts.append(
        paragraph(
            "Sharing means that entries are one number, not several that happen to be close. A symmetry is a way to "
            "permute inputs and outputs together that changes nothing: the pattern is the same afterwards."
            + (_SCATTERED if any(p.is_scattered for p in parameters) else "")
        )
    )
    return Section("answer", "Answer", "".join(parts))
