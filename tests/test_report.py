"""What a person sees of a discovery: the tables, the pictures, the files."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from report_cases import Page, believed, found, measured, named
from rich.console import Console

from equishare.partition import Partition
from equishare.problems.answers import Belief
from equishare.report import print_discovery, write_files
from equishare.report.grid import NO_GROUP, wrapped
from equishare.report.palette import ranked_colours
from equishare.report.words import shortened
from equishare.result.discovery import Discovery

RING = np.array([[min((i - j) % 8, (j - i) % 8) for j in range(8)] for i in range(8)])


def discovery(labels, x_column="num_groups", rows=12, method="auto") -> Discovery:
    x, loss = np.arange(1, rows + 1), 0.1 + np.exp(-np.linspace(0, 5, rows))
    history = {x_column: x, "validation_loss": loss}
    return replace(found(labels, history), validation_loss=float(loss[-1]), method=method)


def random_labels(num_groups: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, num_groups, shape)


@pytest.mark.parametrize(
    ("labels", "width", "expected"),
    [
        ([[0, 1], [1, 0]], 1, [[0, 1], [1, 0]]),
        ([0, 1, 2], 5, [[0, 1, 2]]),
        ([0, 1, 2, 3], 2, [[0, 1], [2, 3]]),
        ([0, 1, 2], 2, [[0, 1], [2, NO_GROUP]]),
        ([0, 1], 0, [[0], [1]]),
    ],
)
def test_wrapped(labels, width, expected):
    np.testing.assert_array_equal(wrapped(np.array(labels), width), expected)


def printed(one: Discovery, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_discovery(one.view(), {None: one.symmetry()}, console)
    return console.file.getvalue()


class TestTables:
    def test_what_is_told(self):
        one = discovery([[0, 1, 1], [1, 0, 1]])
        text = printed(one)
        for part in (
            "The 6 weights from 3 inputs to 2 outputs share 2 different values.",
            "30 to fit, 70 to validate",
            "auto, seed 3",
            f"{one.validation_loss:.6g}",
            "0.125",
            "0 1 1\n1 0 1\n",
        ):
            assert part in text
        rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if re.match(r" +\d ", line)]
        assert rows == [
            ["0", "2", f"{one.values[0]:.6g}", "0 ← 0, 1 ← 1"],
            ["1", "4", f"{one.values[1]:.6g}", "0 ← 1, 0 ← 2, 1 ← 0, 1 ← 2"],
        ]

    @pytest.mark.parametrize(("value", "shown"), [(-1e-9, "0.000 ± 0.010"), (-0.0116, "-0.012 ± 0.010")])
    def test_no_minus_before_a_zero(self, value, shown):
        one = discovery([0, 0])
        quality = replace(one.quality, value_errors=np.array([0.0104]))
        text = printed(replace(one, quality=quality, group_values={one.slots[0].key: np.array([value])}))
        assert f" {shown}" in text

    def test_names_are_cut_and_not_read_as_markup(self):
        one = discovery([[0, 1, 1], [1, 0, 1]])
        slot = replace(one.slots[0], labels=(("b [/s]", ":smile:"), ("speed [m/s]", "wind from the north", "c")))
        text = printed(replace(one, slots=(slot,)), width=60)
        assert "b [/s] ← speed [m/s]" in text
        assert ":smile:" in text
        rows = [line for line in text.splitlines() if "←" in line]
        assert [line.split()[:2] for line in rows] == [["0", "2"], ["1", "4"]]
        assert all(line.rstrip().endswith("…") for line in rows)

    def test_spread(self):
        one = discovery([[0, 1, 1], [1, 0, 1]])
        words = "entries of a group scatter by 0.12 (0.06 to 0.24) about its value"
        assert words in printed(believed(one, 0.12), width=100)
        assert "scatter" not in printed(believed(one, 0.0)) + printed(one)

    @pytest.mark.parametrize(
        ("labels", "width", "part"),
        [
            ([0, 1, 0], 80, "The 3 means share 2 different values."),
            ([0, 0, 1, 1, 0], 60, "0 0 1 1 0\n"),
            (np.arange(12), 45, " 0  1  2  3  4  5  6  7  8  9 10 11\n"),
            (random_labels(2, 100), 60, "\n" + " ".join(["{}"] * 30) + "\n"),
            (np.arange(45).repeat(2), 80, "25 more"),
            (random_labels(3, 50, 3), 80, "The pattern (50 × 3) is too large"),
            (random_labels(3, 3, 50), 80, "The pattern (3 × 50) is too large"),
            (random_labels(3, 3, 50), 99, "group of each weight"),
            (random_labels(3, 10_000), 80, "The pattern (10000) is too large"),
        ],
    )
    def test_fits_the_terminal(self, labels, width, part):
        text = printed(discovery(labels), width)
        assert part.format(*Partition(labels).labels.flat) in text
        assert max(map(len, text.splitlines())) <= width


PATTERNS = {
    "ring": RING,
    "means": [0, 1, 0, 2],
    "wrapped means": random_labels(5, 205),
    "one": [0],
    "ten groups": random_labels(10, 10, 10),
    "hundred groups": random_labels(100, 30, 30),
    "many means": random_labels(100, 10_000),
    "wide": random_labels(3, 1, 60),
    "tall": random_labels(9, 100, 2),
    "large": random_labels(40, 500, 300),
}


def assert_labels_do_not_overlap(axes):
    axes.figure.draw_without_rendering()
    for axis, low, high in ((axes.xaxis, "x0", "x1"), (axes.yaxis, "y0", "y1")):
        texts = [t for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
        boxes = sorted((t.get_window_extent() for t in texts), key=lambda b: getattr(b, low))
        for one, following in pairwise(boxes):
            assert getattr(one, high) <= getattr(following, low)


class TestPattern:
    @pytest.mark.parametrize("labels", PATTERNS.values(), ids=PATTERNS)
    def test_colour_tells_the_group(self, labels):
        one = discovery(labels)
        (image,) = one.plot_pattern().images
        pixels = image.get_array().reshape(-1, 4)[: len(one.partition)]
        _, colour = np.unique(pixels, axis=0, return_inverse=True)
        assert Partition(colour.reshape(one.partition.shape)) == one.partition

    @pytest.mark.parametrize("labels", PATTERNS.values(), ids=PATTERNS)
    def test_labels_do_not_overlap(self, labels):
        assert_labels_do_not_overlap(discovery(labels).plot_pattern())

    def test_legend_and_numbers(self):
        one = discovery([[0, 1], [1, 1]])
        axes = one.plot_pattern()
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        assert legend == [
            f"0: {one.values[0]:.4g}  (× 1)",
            f"1: {one.values[1]:.4g}  (× 3)",
        ]
        assert [text.get_text() for text in axes.texts] == ["0", "1", "1", "1"]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("inputs", "outputs")
        assert axes.get_title(loc="left") == "2 groups of 4 weights"

    def test_names_on_ticks(self):
        one = named(discovery([[0, 1, 1], [1, 0, 1]]), ["$a$", "b"], ["x" * 30, "y", "z"])
        axes = one.plot_pattern()
        axes.figure.draw_without_rendering()
        assert [t.get_text() for t in axes.get_yticklabels()] == [r"\$a\$", "b"]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["x" * 7 + "…" + "x" * 8, "y", "z"]

    @pytest.mark.parametrize(
        "names",
        [
            [f"outside_temperature_of_sensor_{k:02d}" for k in range(40)],
            [f"outside_temperature_{k:02d}_of_the_next_hour" for k in range(40)],
            [f"{k:02d}_of_the_sensors_outside_of_the_house" for k in range(40)],
            [f"{k:02d}_of_the_sensors_outside_of_the_house_{k:02d}" for k in range(40)],
            ["short", *(f"outside_temperature_of_sensor_{k:02d}" for k in range(39))],
            ["outside_temperature", *(f"outside_temperature_{k}" for k in range(39))],
        ],
        ids=["ends", "middles", "beginnings", "both", "one short", "one the beginning of others"],
    )
    @pytest.mark.parametrize("longest", [9, 14, 16])
    def test_long_names_can_be_told_apart(self, names, longest):
        short = shortened(names, longest)
        assert len(set(short)) == len(names)
        assert max(map(len, short)) <= longest
        assert all(part in name for name, own in zip(names, short, strict=True) for part in own.split("…"))

    def test_long_names_are_cut_between_words(self):
        names = [f"Température {one} moyenne" for one in ("nord", "sud", "ouest")]
        assert shortened(names, 14) == ["…nord moyenne", "…sud moyenne", "…ouest moyenne"]
        assert shortened(["strain 0 (µm)", "strain 1 (µm)"], 10) == ["strain 0…", "strain 1…"]
        assert shortened(["abcdefghijklmnop", "abcdefghijklmnoq"], 10) == ["…hijklmnop", "…hijklmnoq"]

    def test_colour_bar_of_many_groups(self):
        one = discovery(np.arange(36).reshape(6, 6))
        _, bar = one.plot_pattern().figure.axes
        texts = [text.get_text() for text in bar.get_yticklabels()]
        assert texts[0] == f"{one.values.min():.4g}"
        assert texts[-1] == f"{one.values.max():.4g}"

    def test_numbers_are_left_out_of_small_cells(self):
        assert not discovery(random_labels(3, 40, 40)).plot_pattern().texts


class TestEstimates:
    def drawn(self, one):
        axes = one.plot_estimates()
        kinds = {}
        for line in axes.lines:
            kind = "bars" if np.isnan(line.get_ydata()).any() else "dots" if line.get_marker() == "o" else "values"
            kinds.setdefault(kind, []).append(line)
        return axes, kinds

    def test_each_entry_with_its_error_beside_the_value_of_its_group(self):
        one = measured(discovery(RING))
        axes, kinds = self.drawn(one)
        order = np.argsort(one.values)
        np.testing.assert_array_equal([line.get_ydata()[0] for line in kinds["values"]], one.values[order])
        for group, dots, bars in zip(order, kinds["dots"], kinds["bars"], strict=True):
            own = np.sort(one.quality.unshared[one.partition.labels == group])
            np.testing.assert_array_equal(dots.get_ydata(), own)
            ends = bars.get_ydata().reshape(-1, 3)[:, :2]
            np.testing.assert_allclose(ends, np.stack([own - 0.1, own + 0.1], 1))
            assert dots.get_markerfacecolor() == ranked_colours(one.values)[group]
        assert [t.get_text() for t in axes.get_xticklabels()] == list(map(str, order))
        assert [t.get_text() for t in axes.get_legend().get_texts()] == [
            "shared value",
            "weight alone ± standard error",
        ]

    def test_band_of_the_spread(self):
        one = measured(believed(discovery(RING), 0.2))
        bands = one.plot_estimates().collections
        heights = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in bands]
        np.testing.assert_allclose(heights, [0.4] * 5)
        assert not measured(believed(discovery(RING))).plot_estimates().collections

    def test_names_of_means(self):
        one = named(measured(discovery([0, 1, 0])), ["apples", "pears", "figs"])
        texts = [t.get_text() for t in one.plot_estimates().get_xticklabels()]
        assert sorted(texts) == ["apples", "figs", "pears"]
        assert texts.index("pears") in (0, 2)

    @pytest.mark.parametrize("labels", [*PATTERNS.values(), np.concatenate([np.zeros(500, int), np.arange(60)])])
    def test_large_ones_are_thinned_out_and_labels_do_not_overlap(self, labels):
        axes, kinds = self.drawn(measured(discovery(labels)))
        assert len(kinds["values"]) <= 24
        assert sum(len(line.get_ydata()) for line in kinds["dots"]) <= 240
        assert_labels_do_not_overlap(axes)

    def test_unknown(self):
        with pytest.raises(ValueError, match="without sharing are not known"):
            discovery(RING).plot_estimates()


class TestHistory:
    @pytest.mark.parametrize(("column", "label", "star"), [("step", "step", 12), ("num_groups", "number of groups", 2)])
    def test_loss_where_no_evidence_was_asked(self, column, label, star):
        one = discovery([0, 1, 1], column)
        axes = one.plot_history()
        curve, no_sharing, chosen = axes.lines
        np.testing.assert_array_equal(curve.get_ydata(), one.history["validation_loss"])
        np.testing.assert_array_equal(curve.get_xdata(), one.history[column])
        assert set(no_sharing.get_ydata()) == {0.125}
        assert chosen.get_xydata().tolist() == [[star, one.validation_loss]]
        assert axes.get_xlabel() == label

    def test_evidence_that_decided(self):
        evidence = {"num_groups": np.array([1, 2, 2, 3]), "evidence": np.array([-np.inf, -1.0, 4.0, 3.0])}
        one = replace(discovery([0, 1, 1]), history={**evidence, "validation_loss": np.ones(4)})
        axes = one.plot_history()
        curve, chosen = axes.lines
        assert curve.get_xydata().tolist() == [[2, 0], [3, 1]]
        assert chosen.get_xydata().tolist() == [[2, 0]]
        bottom, top = axes.get_ylim()
        assert bottom > top  # the best is on top
        assert axes.get_ylabel() == "log evidence behind the best"

    @pytest.mark.parametrize(("rows", "scale"), [(12, "linear"), (200, "log")])
    def test_wide_range_of_groups(self, rows, scale):
        assert discovery([0, 1], rows=rows).plot_history().get_xscale() == scale

    @pytest.mark.parametrize("rows", [1, 2, 12, 64, 900, 10_000])
    def test_labels_do_not_overlap(self, rows):
        assert_labels_do_not_overlap(discovery([0, 1], rows=rows).plot_history())

    def test_one_candidate(self):
        axes = discovery([0, 1], rows=1).plot_history()
        axes.figure.draw_without_rendering()
        assert len(axes.lines) == 2


NAMES = ["history.png", "labels.json", "labels.npy", "pattern.png", "report.html"]


def cell_colours(path) -> set[str]:
    """Colours of more than a hundredth of the pixels of a picture."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    return {
        "#" + bytes(one.tolist()).hex() for one, count in zip(colours, counts, strict=True) if count > len(pixels) / 100
    }


class TestFiles:
    def test_picture_and_page_have_the_same_colours(self, tmp_path):
        one = discovery(RING)
        write_files(one.view(), tmp_path)
        (shown,) = Page((tmp_path / "report.html").read_text(encoding="utf-8")).parameters
        assert shown["colours"] == ranked_colours(one.values)
        assert cell_colours(tmp_path / "pattern.png") - {"#ffffff"} == set(shown["colours"])

    def test_everything_can_be_read_back(self, tmp_path):
        one = discovery(RING)
        paths = write_files(one.view(), tmp_path / "a" / "b")
        assert sorted(path.name for path in paths) == NAMES
        assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == NAMES
        contents = {path.name: path for path in paths}
        labels = np.load(contents["labels.npy"])
        np.testing.assert_array_equal(labels, one.partition.labels)
        assert labels.dtype == np.int64
        document = json.loads(contents["labels.json"].read_text(encoding="utf-8"))
        assert document == {
            "version": version("equishare"),
            "method": "auto",
            "seed": 3,
            "num_groups": one.partition.num_groups,
            "names": None,
            "group_sizes": one.partition.group_sizes.tolist(),
            "values": one.values.tolist(),
            "value_errors": None,
            "bias": [1.0] * 8,
            "validation_loss": one.validation_loss,
            "no_sharing_loss": 0.125,
            "r_squared": None,
            "dependence": None,
            "warnings": [],
            "spread": None,
            "spread_interval": None,
            "symmetry": None,
            "labels": labels.tolist(),
        }
        for name in ("pattern.png", "history.png"):
            assert contents[name].read_bytes().startswith(b"\x89PNG")

    def test_what_no_symmetry_is_in_json(self, tmp_path):
        one = replace(discovery(RING), belief=Belief(0.0, (0.0, np.inf), np.zeros((8, 8)), -np.inf, None))
        write_files(one.view(), tmp_path, one.symmetry())
        document = json.loads((tmp_path / "labels.json").read_text(), parse_constant=pytest.fail)
        told = {name: document["symmetry"][name] for name in ("verdict", "probability", "log_odds", "guess", "name")}
        assert told == {"verdict": "none", "probability": 0.0, "log_odds": None, "guess": None, "name": None}
        assert (document["symmetry"]["order"], document["symmetry"]["generators"]) == (None, [])
        assert (document["spread"], document["spread_interval"]) == (0.0, [0.0, None])

    def test_means_have_no_bias(self, tmp_path):
        write_files(discovery([0, 1]).view(), tmp_path)
        assert json.loads((tmp_path / "labels.json").read_text())["bias"] is None

    def test_nothing_half_written(self, tmp_path):
        (tmp_path / "pattern.png").mkdir()
        with pytest.raises(OSError, match=r"pattern\.png"):
            write_files(discovery([0, 1]).view(), tmp_path)
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left == ["labels.json", "labels.npy", "pattern.png"]

    @pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
    def test_without(self, missing, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(
            ImportError, match=rf"need matplotlib and jinja2, and {missing} is .* pip install .*\[plot\]"
        ):
            write_files(discovery([0, 1]).view(), tmp_path / "out")
        assert not (tmp_path / "out").exists()
