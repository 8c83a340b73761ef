"""Colours of groups, for page and pictures: ordered by value, told apart with any colour vision, each with an ink."""

from __future__ import annotations

from functools import cache

import numpy as np

# Eleven steps of matplotlib's viridis: perceptually uniform, lightness rises with the value.
_VIRIDIS = "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725".split()
# Nobody tells more shades apart; some of 256 would be the same after rounding.
_SHADES = 200


def ranked_colours(values: np.ndarray) -> list[str]:
    """One colour ``#rrggbb`` a group, spaced by the rank of its value: groups of near values stay apart.

    Of more than 200 groups those of neighbouring ranks have one colour.
    """
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    shades = ramp()
    return [shades[i] for i in (ranks * (_SHADES - 1) // max(len(values) - 1, 1)).tolist()]


@cache
def ramp() -> list[str]:
    """The shades from low to high."""
    steps = np.array([_channels(colour) for colour in _VIRIDIS])
    position = np.linspace(0, len(steps) - 1, _SHADES)
    channels = [np.interp(position, np.arange(len(steps)), channel) for channel in steps.T]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.stack(channels, 1).round().astype(int).tolist()]


@cache
def text_colour(colour: str) -> str:
    """Black or white, whichever has the greater contrast with a background (WCAG 2.2); it is 4.5 or more."""
    return "#000000" if contrast(colour, "#000000") >= contrast(colour, "#ffffff") else "#ffffff"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = np.array(_channels(colour.removeprefix("#"))) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _channels(digits: str) -> list[int]:
    return [int(digits[i : i + 2], 16) for i in (0, 2, 4)]
