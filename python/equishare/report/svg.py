"""A matplotlib picture as SVG inside a page: in the colours of its theme, with ids of its own, the same each time."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equishare.report.figures import ACCENT, WARM, new_axes

# Colours that stand for those of the theme; no group has one of them. Outside a page a reader's own ink has to do.
_INK, _RULE, _GROUND = "#010101", "#020202", "#030303"
_THEME = {
    _INK: "var(--ink, currentColor)",
    _RULE: "var(--rule, #888888)",
    _GROUND: "var(--page, Canvas)",
    ACCENT: f"var(--accent, {ACCENT})",
    WARM: f"var(--warm, {WARM})",
}
_STYLE: dict[str, Any] = {
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"], _INK),
    **dict.fromkeys(["axes.edgecolor", "grid.color", "legend.edgecolor"], _RULE),
    **dict.fromkeys(["axes.facecolor", "figure.facecolor"], _GROUND),
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "equishare",
}
# Words of 9 points are a little smaller than those of a page.
_REM = 6.9
_REFERENCE = re.compile(r"(?<=#)[^)]+")


def inline_svg(draw: Callable[[Axes], None], size: tuple[float, float], label: str, identifier: str) -> Markup:
    """What a function draws on axes, as an <svg> without size of its own.

    Args:
        draw: the function.
        size: of the figure in inches.
        label: what a reader who does not see it is told.
        identifier: unique in the page; its ids begin with it.
    """
    written = io.StringIO()
    # The page is the same whatever style its writer has set.
    with style.context(["default", _STYLE]):
        axes = new_axes(size)
        draw(axes)
        nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
        assert isinstance(axes.figure, Figure)
        axes.figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(written.getvalue())
    for parent in root.iter():
        for child in [one for one in parent if one.tag.endswith("}style")]:
            parent.remove(child)  # a style would hold for the whole page
    used = {name for one in root.iter() for text in one.attrib.values() for name in _REFERENCE.findall(text)}
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
        kept = {name.rpartition("}")[2]: text for name, text in one.attrib.items()}
        if kept.get("id") not in used:
            kept.pop("id", None)
        one.attrib = {name: _themed(name, text, identifier, used) for name, text in kept.items()}
    root.attrib = {"role": "img", "aria-label": label, "viewBox": root.attrib["viewBox"], "class": "plot"}
    root.attrib["style"] = f"max-width: {_REM * size[0]:.1f}rem"
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=False))


def _themed(name: str, text: str, identifier: str, used: set[str]) -> str:
    if name == "id":
        return f"{identifier}-{text}"
    if name == "href" or "url(" in text:
        return _REFERENCE.sub(lambda match: f"{identifier}-{match[0]}" if match[0] in used else match[0], text)
    if name == "style":
        text = re.sub(r"#\w{6}", lambda match: _THEME.get(match[0], match[0]), text)
        return re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", text)
    return text
