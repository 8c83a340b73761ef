"""The figures for papers: d.plot_pattern(), d.plot_history(), d.plot_group()."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from model_cases import Columns, columns_data, made, mse, split
from report_cases import found, of_model, ring_labels
from torch.nn.utils.parametrize import remove_parametrizations

import equishare as es
from equishare.report import figures
from equishare.report.cycles import arrows
from equishare.report.group_figure import group_figure
from equishare.report.palette import contrast

KERNEL = np.arange(36).reshape(2, 2, 3, 3) // 9


def drawn_arrows(axes) -> list[tuple[list[float], list[float]]]:
    return [(list(a.xyann), list(a.xy)) for a in axes.texts if a.get_text() == ""]


class TestGroup:
    def test_arrows_are_those_of_the_generators(self):
        group = es.symmetry_group(ring_labels(8))
        figure = group_figure(group)
        figure.draw_without_rendering()
        every = [p for generator in group.generators for p in generator]
        assert len(figure.axes) == len(every) == 4
        for axes, p in zip(figure.axes, every, strict=True):
            assert len(drawn_arrows(axes)) == len(arrows(p))
        assert figure.get_suptitle() == "D_8, order 16"
        # The first arrow of the rotation leads from the top to the point where 0 is moved.
        start, end = drawn_arrows(figure.axes[0])[0]
        angle = 2 * np.pi * group.generators[0][0][0] / 8
        np.testing.assert_allclose([start, end], [[0, 1], [np.sin(angle), np.cos(angle)]], atol=1e-12)

    @pytest.mark.parametrize("labels", [[0], np.arange(200) % 3, np.arange(24).repeat(2), KERNEL, ring_labels(64)])
    def test_every_group_has_a_figure_whose_titles_fit(self, labels):
        figure = group_figure(es.symmetry_group(labels))
        figure.draw_without_rendering()
        for text in (figure._suptitle, *(axes.title for axes in figure.axes)):
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.x1
            assert box.y1 <= figure.bbox.y1

    def test_what_is_left_out_is_told(self):
        assert "(18 more generators)" in group_figure(es.symmetry_group(np.arange(24).repeat(2))).get_suptitle()
        long = group_figure(es.symmetry_group(np.arange(200) % 3))
        assert [text.get_text() for text in long.axes[0].texts] == ["200 points:\ntoo many to draw"]


class TestOfDiscoveries:
    def test_map(self):
        d = found(ring_labels(8))
        assert all(isinstance(f, Figure) for f in (d.plot_pattern(), d.plot_history(), d.plot_group()))
        assert d.plot_pattern().axes[0].get_title(loc="left") == "5 groups of 64 weights (auto)"
        assert d.plot_group().get_suptitle() == "D_8, order 16"

    def test_model(self):
        d = of_model({"k": KERNEL, "s": [0, 1, 0]})
        (axes,) = d.plot_pattern("k").axes
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("input channel, tap axis 0, tap axis 1", "output channel")
        assert [t.get_text() for t in axes.get_legend().get_texts()] == [f"{g}  (× 9)" for g in range(4)]
        assert axes.get_images()[0].get_array().shape == (2, 18, 3)
        (axes,) = d.plot_history().axes
        # Neither the loss without sharing, which is NaN, nor the step of a NaN loss is drawn.
        curve, star = axes.lines
        assert curve.get_xydata().tolist() == [[0, 3], [1, 2], [3, 1], [4, 0.5]]
        assert star.get_xydata().tolist() == [[4, 0.5]]
        assert d.plot_group("s").get_suptitle().startswith("C_2")

    @pytest.mark.parametrize(("tied", "star"), [(True, 2), (False, 4)])
    def test_groups_of_tied_parameters_count_once(self, tied, star):
        model = made(Columns)
        for names in [("weight", "bias")] if tied else ["weight", "bias"]:
            es.share(model, names, dim=0)
        data = split(columns_data(count=20), 10)
        partition = [0, 1, 0, 1] if tied else {"weight": [0, 1, 0, 1], "bias": [0, 1, 0, 1]}
        d = es.discover(es.ModelProblem(model, *data, mse), "oracle", partition=partition, steps=3)
        history = {"num_groups": np.arange(1, 9), "validation_loss": np.arange(9.0, 1, -1)}
        (axes,) = replace(d, history=history).plot_history().axes
        assert axes.lines[-1].get_xdata().tolist() == [star]
        assert axes.lines[-1].get_label() == f"found: {star} groups"
        if tied:
            remove_parametrizations(d.model, "weight")  # a model that is plain in part tells nothing
            (axes,) = replace(d, history=history).plot_history().axes
            assert axes.lines[-1].get_label() == f"found: {star} groups"

    def test_numbers_in_cells_are_readable(self):
        (axes,) = found(np.arange(8).reshape(2, 4)).plot_pattern().axes
        pixels = axes.get_images()[0].get_array()
        for text in axes.texts:
            column, row = map(int, text.get_position())
            assert contrast(to_hex(text.get_color()), to_hex(pixels[row, column])) >= 4.5

    @pytest.mark.parametrize("plot", ["plot_pattern", "plot_group"])
    @pytest.mark.parametrize("name", [None, "x"])
    def test_names_of_parameters(self, plot, name):
        with pytest.raises(ValueError, match=f"name must be that of a shared parameter, k, s; got {name!r}"):
            getattr(of_model({"k": KERNEL, "s": [0, 1, 0]}), plot)(name)

    def test_several_candidates_of_one_number_of_groups(self):
        history = {"num_groups": np.array([3, 1, 3, 2]), "validation_loss": np.array([0.5, 4.0, 0.25, 1.0])}
        (axes,) = found([0, 1], history=history).plot_history().axes
        assert axes.lines[0].get_xydata().tolist() == [[1, 4], [2, 1], [3, 0.25]]

    @pytest.mark.parametrize("plot", ["plot_pattern", "plot_history", "plot_group"])
    def test_without_matplotlib(self, plot, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match=r"pip install 'equishare\[plot\]'"):
            getattr(found([0, 1]), plot)()

    def test_lines_stand_out_on_paper(self):
        (axes,) = found([0, 1]).plot_history().axes
        assert min(contrast(to_hex(line.get_color()), "#ffffff") for line in axes.lines) >= 3
        assert contrast(figures.COLOURS[0], "#ffffff") >= 3
