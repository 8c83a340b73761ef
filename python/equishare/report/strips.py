"""The entries of each group about its value, as SVG: a row for each group, a dot for each entry."""

from __future__ import annotations

import numpy as np

from equishare.report.axis import Scale, axis, vertical_lines
from equishare.report.parameter import Parameter
from equishare.report.pieces import Markup, counted, number, paragraph, scatter, text

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 420, 80, 14, 8, 48
_ROW = 22.0
# What a page has room for: the largest groups, and of each some entries.
_MAX_ROWS = 24
_MAX_DOTS = 40
# Dots that lie close together are set apart by height.
_HEIGHTS = (0.0, -4.5, 4.5)
_NARROWEST_BAND = 1.5


def strips(parameter: Parameter) -> Markup:
    """A chart of the entries about the values of their groups; nothing where they are equal or not known."""
    belief, values, partition = parameter.belief, parameter.values, parameter.partition
    if belief is None or values is None or not belief.spread:
        return Markup("")
    sizes, means = partition.group_sizes, belief.posterior_mean.ravel()
    largest = np.argsort(-sizes, kind="stable")[:_MAX_ROWS]
    shown = largest[np.argsort(values[largest], kind="stable")]
    entries = [_spaced(np.flatnonzero(partition.labels.ravel() == group), means) for group in shown]
    ends = [values[shown] - belief.spread, values[shown] + belief.spread, means[np.concatenate(entries)]]
    ticks, across = axis(np.concatenate(ends), (_LEFT, _WIDTH - _RIGHT), np.inf, whole=False)
    bottom = _TOP + _ROW * len(shown)
    parts = [_grid(ticks, across, bottom, parameter)]
    for i, (group, own) in enumerate(zip(shown, entries, strict=True)):
        parts.append(_row(_TOP + _ROW * (i + 0.5), int(group), own, across, parameter))
    words = scatter(belief.spread, belief.spread_interval)
    label = f"{counted(len(shown), 'group')} in the order of their values; {words}"
    lead = paragraph(f"The {words}; the range has probability .95. {_left_out(parameter)}".strip())
    chart = (
        f'<svg role="img" aria-label="{text(label)}" viewBox="0 0 {_WIDTH} {bottom + _BOTTOM:.0f}">'
        f"{''.join(parts)}</svg>"
    )
    return Markup(f'{lead}<figure class="curve">{chart}\n<figcaption>{_KEY}</figcaption></figure>\n')


_SAMPLE = '<svg aria-hidden="true" width="26" height="14">'
_KEY = (
    f'<p class="key"><span>{_SAMPLE}<circle class="entry" cx="13" cy="7" r="3"/></svg> an entry</span> '
    f'<span>{_SAMPLE}<path class="value" d="M13 0V14"/></svg> value of the group</span> '
    f'<span>{_SAMPLE}<rect class="band" x="1" y="1" width="24" height="12"/></svg> as far as the spread</span></p>\n'
    '<p class="key">An entry stands at its mean given the data. That is drawn to the value of its group, the more the '
    "less the data say of the entry alone.</p>"
)


def _left_out(parameter: Parameter) -> str:
    words = []
    if parameter.partition.num_groups > _MAX_ROWS:
        words.append(f"Of {parameter.partition.num_groups:,} groups the {_MAX_ROWS} largest are shown.")
    if parameter.partition.group_sizes.max() > _MAX_DOTS:
        words.append(f"Of larger groups {_MAX_DOTS} {parameter.counted_in[1]} are shown, at even ranks.")
    if words:
        words.append("d.posterior_mean holds all.")
    return " ".join(words)


def _spaced(entries: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Entries by their mean, of many some at even ranks, with the least and the greatest."""
    ranked = entries[np.argsort(means[entries], kind="stable")]
    return ranked[np.unique(np.linspace(0, len(ranked) - 1, min(len(ranked), _MAX_DOTS)).round().astype(int))]


def _row(y: float, group: int, entries: np.ndarray, across: Scale, parameter: Parameter) -> str:
    assert parameter.belief is not None and parameter.values is not None
    value, spread, means = parameter.values[group], parameter.belief.spread, parameter.belief.posterior_mean.ravel()
    middle = float(across(value))
    half = max(float(across(value + spread)) - middle, _NARROWEST_BAND)
    places = zip(*np.unravel_index(entries, parameter.partition.shape), means[entries], strict=True)
    dots = "".join(
        f'<circle class="entry" cx="{float(across(mean)):.1f}" cy="{y + _HEIGHTS[i % 3]:.1f}" r="3">'
        f"<title>{text(_where(parameter, place))}: {number(mean)}</title></circle>"
        for i, (*place, mean) in enumerate(places)
    )
    return (
        f'<text class="end" x="{_LEFT - 8}" y="{y:.1f}">group {group}</text>'
        f'<rect class="band" x="{middle - half:.1f}" y="{y - 9:.1f}" width="{2 * half:.1f}" height="18"/>'
        f'<path class="value" d="M{middle:.1f} {y - 9:.1f}V{y + 9:.1f}"/>{dots}'
    )


def _where(parameter: Parameter, place: list[int]) -> str:
    return ", ".join(f"{name} {i}" for name, i in zip(parameter.axes, place, strict=True))


def _grid(ticks: np.ndarray, across: Scale, bottom: float, parameter: Parameter) -> str:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    name = f'<text x="{middle:.1f}" y="{bottom + 38:.1f}">{text(parameter.noun)}</text>'
    return vertical_lines(ticks, across, _TOP, bottom) + name
