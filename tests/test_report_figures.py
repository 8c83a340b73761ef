"""The figures for papers: d.plot_pattern() and its sisters."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from model_cases import Columns, columns_data, made, mse, split
from report_cases import found, measured, of_model, ring_labels
from torch.nn.utils.parametrize import remove_parametrizations

import equishare as es
from equishare.report.cycles import arrows
from equishare.report.figures import ACCENT, new_axes
from equishare.report.group_figure import draw_group, group_size
from equishare.report.palette import contrast

PLOTS = ["plot_pattern", "plot_estimates", "plot_history", "plot_group"]
KERNEL = np.arange(36).reshape(2, 2, 3, 3) // 9


def of(group, labels=()):
    axes = new_axes(group_size(group))
    draw_group(axes, group, labels)
    axes.figure.draw_without_rendering()
    return axes


def drawn_arrows(axes) -> list[tuple[list[float], list[float]]]:
    return [(list(a.xyann), list(a.xy)) for a in axes.texts if a.get_text() == ""]


class TestGroup:
    def test_arrows_are_those_of_the_generators(self):
        group = es.symmetry_group(ring_labels(8))
        axes = of(group)
        every = [p for generator in group.generators for p in generator]
        assert len(drawn_arrows(axes)) == sum(len(arrows(p)) for p in every)
        titles = [text.get_text() for text in axes.texts if text.get_text().startswith("generator")]
        assert titles == [f"generator {i}: {name}" for i in (1, 2) for name in ("outputs", "inputs")]
        assert axes.get_title() == "D_8, order 16"
        # The first arrow of the rotation leads from the top to the point where 0 is moved.
        start, end = drawn_arrows(axes)[0]
        angle = 2 * np.pi * group.generators[0][0][0] / 8
        np.testing.assert_allclose([start, end], [[0, 1], [np.sin(angle), np.cos(angle)]], atol=1e-12)

    def test_points_have_the_names_of_the_data(self):
        texts = [text.get_text() for text in of(es.symmetry_group(ring_labels(3)), (("a", "b", "c"), ())).texts]
        assert {"a", "b", "c", "0", "1", "2"} <= set(texts)

    @pytest.mark.parametrize("labels", [[0], np.arange(200) % 3, np.arange(24).repeat(2), KERNEL, ring_labels(64)])
    def test_every_group_has_a_picture_whose_words_fit(self, labels):
        axes = of(es.symmetry_group(labels))
        for text in axes.texts:
            if text.get_text():
                box = text.get_window_extent()
                assert box.x0 >= 0
                assert box.x1 <= axes.figure.bbox.x1
                assert box.y1 <= axes.figure.bbox.y1

    def test_what_is_left_out_is_told(self):
        assert "(18 more generators)" in of(es.symmetry_group(np.arange(24).repeat(2))).get_title()
        texts = [text.get_text() for text in of(es.symmetry_group(np.arange(200) % 3)).texts]
        assert texts == ["generator 1: entries", "200 points:\ntoo many to draw"]


class TestOfDiscoveries:
    def test_map(self):
        d = measured(found(ring_labels(8)))
        for plot in PLOTS:
            assert isinstance(getattr(d, plot)(), Axes)
            own = Figure().add_subplot()
            assert getattr(d, plot)(ax=own) is own
            assert own.has_data() or own.images or own.texts
        assert d.plot_pattern().get_title(loc="left") == "5 groups of 64 weights"
        assert d.plot_group().get_title() == "D_8, order 16"

    def test_pyplot_keeps_no_figure_of_a_script(self):
        d = measured(found(ring_labels(3)))
        d._repr_html_()
        for plot in PLOTS:
            getattr(d, plot)()
        assert pyplot.get_fignums() == []

    def test_model(self):
        d = of_model({"k": KERNEL, "s": [0, 1, 0]})
        axes = d.plot_pattern("k")
        assert axes.get_xlabel() == "input channels × tap axis 0 × tap axis 1"
        assert axes.get_ylabel() == "output channels"
        assert [t.get_text() for t in axes.get_legend().get_texts()] == [f"{g}  (× 9)" for g in range(4)]
        assert axes.get_images()[0].get_array().shape == (2, 18, 4)
        # Neither the loss without sharing, which is NaN, nor the step of a NaN loss is drawn.
        curve, star = d.plot_history().lines
        assert curve.get_xydata().tolist() == [[0, 3], [1, 2], [3, 1], [4, 0.5]]
        assert star.get_xydata().tolist() == [[4, 0.5]]
        assert d.plot_group("s").get_title().startswith("C_2")

    @pytest.mark.parametrize(("tied", "star"), [(True, 2), (False, 4)])
    def test_groups_of_tied_parameters_count_once(self, tied, star):
        model = made(Columns)
        for names in [("weight", "bias")] if tied else ["weight", "bias"]:
            es.share(model, names, dim=0)
        data = split(columns_data(count=20), 10)
        partition = [0, 1, 0, 1] if tied else {"weight": [0, 1, 0, 1], "bias": [0, 1, 0, 1]}
        d = es.discover(es.ModelProblem(model, *data, mse), "oracle", partition=partition, steps=3)
        history = {"num_groups": np.arange(1, 9), "validation_loss": np.arange(9.0, 1, -1)}
        axes = replace(d, history=history).plot_history()
        assert axes.lines[-1].get_xdata().tolist() == [star]
        assert axes.lines[-1].get_label() == f"found: {star} groups"
        if tied:
            remove_parametrizations(d.model, "weight")  # a model that is plain in part tells nothing
            axes = replace(d, history=history).plot_history()
            assert axes.lines[-1].get_label() == f"found: {star} groups"

    def test_numbers_in_cells_are_readable(self):
        axes = found(np.arange(8).reshape(2, 4)).plot_pattern()
        pixels = axes.get_images()[0].get_array()
        for text in axes.texts:
            column, row = map(int, text.get_position())
            assert contrast(to_hex(text.get_color()), to_hex(pixels[row, column])) >= 4.5

    @pytest.mark.parametrize("plot", ["plot_pattern", "plot_estimates", "plot_group"])
    @pytest.mark.parametrize("name", [None, "x"])
    def test_names_of_parameters(self, plot, name):
        with pytest.raises(ValueError, match=f"name must be that of a shared parameter, k, s; got {name!r}"):
            getattr(of_model({"k": KERNEL, "s": [0, 1, 0]}), plot)(name)

    def test_several_candidates_of_one_number_of_groups(self):
        history = {"num_groups": np.array([3, 1, 3, 2]), "validation_loss": np.array([0.5, 4.0, 0.25, 1.0])}
        axes = found([0, 1], history=history).plot_history()
        assert axes.lines[0].get_xydata().tolist() == [[1, 4], [2, 1], [3, 0.25]]

    @pytest.mark.parametrize("plot", PLOTS)
    @pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
    def test_without(self, plot, missing, monkeypatch):
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(ImportError, match=r"pip install .*\[plot\]"):
            getattr(found([0, 1]), plot)()

    def test_lines_stand_out_on_paper(self):
        axes = found([0, 1]).plot_history()
        assert min(contrast(to_hex(line.get_color()), "#ffffff") for line in axes.lines) >= 3
        assert contrast(ACCENT, "#ffffff") >= 3
