"""Colours and arrows of the report: contrast, order, cycles."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np

from equishare.report.cycles import arrows, cycle_notation, ring
from equishare.report.palette import contrast, ranked_colours, text_colour


class TestColours:
    def test_text_on_cells_is_readable_and_order_is_that_of_lightness(self):
        ramp = ranked_colours(np.arange(200))
        assert len(set(ramp)) == 200
        assert min(contrast(colour, text_colour(colour)) for colour in ramp) >= 4.5
        lightness = [contrast(colour, "#000000") for colour in ramp]
        assert lightness == sorted(lightness)
        low, middle, high = ranked_colours(np.arange(3))
        assert ranked_colours(np.array([2.0, -1.0, 5.0])) == [middle, low, high]

    def test_contrast_of_the_page(self):
        style = (files("equishare.report") / "template" / "style.css").read_text(encoding="utf-8")
        triples = re.findall(r"--(\w+): light-dark\((#\w+), (#\w+)\)", style)
        for colours in ({t[0]: t[scheme] for t in triples} for scheme in (1, 2)):
            for ground in ("page", "panel"):
                assert min(contrast(colours[ink], colours[ground]) for ink in ("ink", "soft", "accent", "warm")) >= 4.5


class TestCycles:
    def test_arrows(self):
        assert arrows(np.array([1, 2, 0, 4, 3, 5])) == [(0, 1, False), (1, 2, False), (2, 0, False), (3, 4, True)]

    def test_notation(self):
        assert cycle_notation(np.array([1, 2, 0, 4, 3, 5]), 100) == "(0 1 2)(3 4)"
        assert cycle_notation(np.arange(3), 100) == "none move"
        assert cycle_notation(np.roll(np.arange(100), -1), 20) == "(0 1 2 3 4 5 6 7 8 …"

    def test_ring(self):
        np.testing.assert_allclose(ring(4), [[0, 1], [1, 0], [0, -1], [-1, 0]], atol=1e-12)
