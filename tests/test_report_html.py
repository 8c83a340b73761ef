"""The report as a file: valid, complete, safe, small; see test_report_browser.py for how it behaves."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import style
from model_cases import columns, columns_data, mse, split
from report_cases import (
    HOSTILE,
    Page,
    believed,
    confidence,
    found,
    measured,
    named,
    of_model,
    origin,
    page_of,
    ring_labels,
)  # fmt: skip

import equishare as es
from equishare import cli
from equishare.report import page as page_module
from equishare.result.verdict import percent

EMPTY = {"num_groups": np.array([], dtype=int), "validation_loss": np.array([])}
STEPS = {"step": np.arange(5000), "validation_loss": np.linspace(9, 1, 5000), "entropy": np.ones(5000)}
TRIED = {
    "num_groups": np.array([1, 2, 2]),
    "validation_loss": np.array([0.5, 0.125, np.inf]),
    "evidence": np.array([-3.0, -1.0, -np.inf]),
    "rejected": np.array([True, False, False]),
}
NAMES = (["<script>alert(1)</script>", "\"& '", "c"], [HOSTILE, "<b>x</b>", "$y$"])
CASES = {
    "ring": lambda: found(ring_labels(8), origin=origin()),
    "means": lambda: found([0, 1, 0, 2]),
    "wrapped means": lambda: found(np.arange(205) % 5),
    "one": lambda: found([[0]], history=EMPTY),
    "nothing shared": lambda: found(np.arange(6).reshape(2, 3)),
    "steps": lambda: found(ring_labels(3), history=STEPS),
    "tried": lambda: found(ring_labels(3), history=TRIED),
    "hostile": lambda: found(ring_labels(3), origin=origin(HOSTILE, HOSTILE)),
    "model": lambda: of_model(
        {"a.weight": ring_labels(4), "b": [0, 1, 1], "c": np.arange(36).reshape(2, 2, 3, 3) // 9}
    ),
    "hostile model": lambda: of_model({HOSTILE: ring_labels(3), "x": [0, 0]}),
    "exact": lambda: believed(found(ring_labels(8), origin=origin())),
    "approximate": lambda: believed(found(ring_labels(8), origin=origin()), spread=0.2),
    "none": lambda: believed(found(ring_labels(8), origin=origin()), log_odds=-100.0),
    "means that scatter": lambda: believed(found([0, 1, 0, 2]), spread=0.2, log_odds=np.nan),
    "measured": lambda: named(measured(found(ring_labels(3), origin=origin())), *NAMES),
    "measured means": lambda: named(measured(found([0, 1, 0])), [HOSTILE, 'a "b" & c', "$x$ \\\\"]),
    "scattered": lambda: measured(believed(found(ring_labels(8)), spread=0.2)),
    "old file": lambda: es.Discovery.load(Path(__file__).parent / "data" / "map-0.1.npz"),
    "all separate": lambda: found(np.arange(4096).reshape(64, 64)),
}


@pytest.fixture(scope="module", params=CASES)
def page(request, tmp_path_factory) -> Page:
    return page_of(CASES[request.param](), tmp_path_factory.mktemp("page") / "report.html")


class TestValid:
    def test_identifiers_are_unique_and_found(self, page):
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            for name in ("aria-labelledby", "aria-describedby"):
                assert attributes.get(name, ids[0]) in ids
            if attributes.get("href", "").startswith("#"):
                assert attributes["href"][1:] in ids

    def test_everything_has_a_name(self, page):
        assert page.all("html")[0]["lang"] == "en"
        for tag, attributes in page.elements:
            named = bool(attributes.get("aria-label") or attributes.get("aria-labelledby"))
            if tag in ("canvas", "nav", "section", "pre") or attributes.get("role") in ("region", "img", "group"):
                assert named, (tag, attributes)
            if tag == "svg":
                assert named or attributes.get("aria-hidden") == "true"
            assert tag != "img"
            assert attributes.get("tabindex", "0") in ("0", "-1")
        assert [len(page.all(tag)) for tag in ("h1", "main", "header", "footer")] == [1] * 4
        assert len(page.all("nav")) == (len(page.all("canvas")) > 1)
        assert {"h3", "h4", "h5"}.isdisjoint(tag for tag, _ in page.elements)
        assert len(page.all("table")) == len(page.all("caption"))
        assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))

    def test_asks_nothing_of_the_network(self, page):
        for tag, attributes in page.elements:
            assert tag not in ("iframe", "object", "embed", "base", "form", "image")
            assert not {"src", "srcset", "action", "data", "xlink:href"} & attributes.keys()
            assert re.match(r"(#|data:,$)", attributes.get("href", "#"))
        (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
        assert "default-src 'none'" in policy


class TestContent:
    def test_pattern(self, tmp_path):
        d = found(ring_labels(8))
        (shown,) = page_of(d, tmp_path / "a.html").parameters
        assert (shown["rows"], shown["columns"], shown["axes"]) == (8, 8, ["output", "input"])
        assert shown["cells"] == d.partition.labels.ravel().tolist()
        assert shown["values"] == d.values.tolist()
        assert shown["sizes"] == d.partition.group_sizes.tolist()
        assert len(set(shown["colours"])) == 5

    def test_what_is_told(self, tmp_path):
        text = page_of(found(ring_labels(8), origin=origin()), tmp_path / "a.html").text
        for part in (
            "What is shared in a.npz",
            "The 64 weights from 8 inputs to 8 outputs share 5 different values. ",
            "The symmetry group of the pattern is D_8: rotations and reflections of the ring (order 16). It explains",
            "0.106738 (−15 %); 0.125 without sharing",
            "(0 1 2 3 4 5 6 7)",
            "30 to fit, 70 to validate",
            "equishare discover a.npz",
            "2.6.0",
            "auto, seed 3",
        ):
            assert part in text

    @pytest.mark.parametrize(
        ("spread", "log_odds", "start"),
        [
            (0.0, 100.0, "The symmetry is D_8, exact: it holds with probability above 99.9 %. Rotations"),
            (0.2, 100.0, "The symmetry is D_8, approximate: it holds nearly, with probability above 99.9 %. Rotations"),
            (0.2, -100.0, "No symmetry can be told from these data. The best guess is D_8, with probability below 0.1"),
        ],
    )
    def test_the_first_sentence_is_the_verdict(self, spread, log_odds, start, tmp_path):
        page = page_of(believed(found(ring_labels(8)), spread, log_odds), tmp_path / "a.html")
        assert page.text.partition("Dark colours")[2].lstrip().startswith(start)
        share = "lie about 5 different values" if spread else "share 5 different values"
        assert f"The 64 weights from 8 inputs to 8 outputs {share}." in page.text
        # Nothing that was not found is drawn.
        assert ("generator 1" in page.text) == (log_odds > 0)

    def test_each_sentence_is_told_once(self, page):
        sentences = [one for one in re.split(r"(?<=\.)\s+", page.text) if len(one) > 30 and ":" not in one]
        assert len(sentences) > 3
        assert len(set(sentences)) >= len(sentences) - 4 * page.text.count("Pattern of")

    def test_order_of_the_page(self, tmp_path):
        d = measured(believed(found(ring_labels(8), history=TRIED, origin=origin())))
        text = page_of(replace(d, complete=False), tmp_path / "a.html").text
        parts = ("The symmetry is D_8", "was interrupted", "Pattern", "Groups", "Each weight alone", "Symmetry")
        further = ("How far to trust it", "Use it", "What was tried", "Repeat it")
        places = [text.index(part) for part in (*parts, *further)]
        assert places == sorted(places)

    def test_groups_with_errors_probability_and_members(self, tmp_path):
        labels = [[0, 1], [1, 2]]
        d = named(measured(found(labels, confidence=confidence(labels))), ["u", "v"], ["a", "b"])
        text = page_of(d, tmp_path / "a.html").text
        assert "groupvalue ± s.e.probabilityentrieswhich" in text
        assert f"0{d.values[0]:.2f} ± 0.10–1u\u00a0←\u00a0a\n" in text
        told = percent(float(d.confidence.groups[1]))
        assert f"1{d.values[1]:.3f} ± 0.071{told}2u\u00a0←\u00a0b, v\u00a0←\u00a0a\n" in text

    def test_quality_is_told(self, tmp_path):
        text = page_of(measured(found(ring_labels(3))), tmp_path / "a.html").text
        assert "R²0.750, the share of" in text
        assert "p-value< 1e-9, of no output depending on any input" in text

    @pytest.mark.parametrize(
        ("name", "lines"),
        [
            ("ring", ["d.predict(x)", "d.theta ", "d.partition.labels"]),
            ("means", ["d.theta ", "d.partition.labels"]),
            ("scattered", ["d.posterior_mean"]),
            ("model", ["model=model)", "d.predict(x)", "d.theta['a.weight']", "d.partitions['a.weight'].labels"]),
        ],
    )
    def test_python_that_uses_the_answer(self, name, lines, tmp_path):
        text = page_of(CASES[name](), tmp_path / "a.html").text.partition("Use it")[2].partition("What was")[0]
        assert all(line in text for line in lines)
        assert ("d.predict" in text) == (name != "means")
        assert ("d.posterior_mean" in text) == (name == "scattered")

    def test_the_same_bytes_whatever_the_style(self, tmp_path):
        d = measured(believed(found(ring_labels(3), history=TRIED), 0.1))
        d.report(tmp_path / "a.html")
        with style.context("dark_background"):
            d.report(tmp_path / "b.html")
        assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()

    def test_history(self, tmp_path):
        page = page_of(found(ring_labels(3), history=TRIED), tmp_path / "a.html")
        for part in ("0.125", "evidence", "-inf", "rejected", "yes", "Rejected: the pattern fits worse", "(F test)"):
            assert part in page.text
        page = page_of(found(ring_labels(3), history=STEPS), tmp_path / "a.html")
        assert "100 of 5,000 rows, at even distances" in page.text
        assert (tmp_path / "a.html").stat().st_size < 5e5

    def test_names_are_on_the_page(self, tmp_path):
        page = page_of(CASES["measured"](), tmp_path / "a.html")
        assert page.parameters[0]["names"] == [list(own) for own in NAMES]
        for name in (*NAMES[0], *NAMES[1]):
            assert name in page.text

    def test_kernel_and_slices(self, tmp_path):
        page = page_of(of_model({"k": np.arange(36).reshape(2, 2, 3, 3) // 9, "s": [0, 1, 0]}), tmp_path / "a.html")
        kernel, slices = page.parameters
        assert kernel["axes"] == ["output channel", "input channel", "tap axis 0", "tap axis 1"]
        assert (kernel["rows"], kernel["columns"], kernel["inner"], kernel["values"]) == (2, 18, [2, 3, 3], None)
        assert slices["cells"][:3] == [0, 1, 0]
        for part in ("interrupted", "still falling", "without sharing not known", "Pattern of k"):
            assert part in page.text
        assert "Symmetry of s" not in page.text  # of slices that are equal it says no more than the groups

    def test_values_of_a_model(self, tmp_path):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False))
        es.share(model, "0.weight")
        x = torch.randn(20, 3)
        problem = es.ModelProblem(model, (x[:10], x[:10]), (x[10:], x[10:]), mse)
        d = es.discover(problem, "oracle", partition=ring_labels(3), steps=3)
        page = page_of(d, tmp_path / "a.html")
        (shown,) = page.parameters
        theta = d.theta["0.weight"]
        assert shown["values"] == [float(theta[0, 0]), float(theta[0, 1])]
        assert "equishare.discover(problem, method='oracle', seed=0, partition=" in page.text
        assert "10 to fit, 10 to validate" in page.text

    def test_slices_of_a_model_have_no_value(self, tmp_path):
        data = split(columns_data(count=20), 10)
        d = es.discover(es.ModelProblem(columns(), *data, mse), "oracle", partition=[0, 1, 0, 1], steps=3)
        page = page_of(d, tmp_path / "a.html")
        assert all(shown["values"] is None for shown in page.parameters)
        assert all(shown["countedIn"] == ["slice", "slices"] for shown in page.parameters)
        for part in (
            "The 4 slices of weight share 2 different slices.",
            "Point at a cell to see its group.",
            "parameter bias4 slices",
        ):
            assert part in page.text

    def test_ties_along_one_axis_are_no_symmetry_to_draw(self, tmp_path):
        for labels in ([[0, 0, 1, 1]], [[0], [0], [1]], [0, 0, 1]):
            page = page_of(believed(found(np.array(labels)), log_odds=np.nan), tmp_path / "a.html")
            assert not [one for one in page.all("section") if one["id"].startswith("symmetry")]
            assert "The symmetry group of the pattern is " in page.text
            assert ", exact" not in page.text

    def test_without_the_packages_that_name_groups(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "igraph", None)
        assert "needs igraph and sympy" in page_of(found(ring_labels(8)), tmp_path / "a.html").text

    def test_confidence_is_shown_where_there_is_one(self, tmp_path):
        labels = [0, 1, 0, 0]
        page = page_of(found(labels), tmp_path / "a.html")
        assert "probability" not in page.text
        assert page.parameters[0]["sure"] is None
        sure = confidence(labels)
        page = page_of(found(labels, confidence=sure), tmp_path / "a.html")
        assert percent(float(sure.groups[0])) in page.text
        shown = page.parameters[0]["sure"]
        assert shown[1] is None
        assert shown[2:] == sure.entries[2:].round(3).tolist()

    def test_confidence_of_each_parameter_of_a_model(self, tmp_path):
        patterns = {"k": np.arange(36).reshape(2, 2, 3, 3) // 9, "s": [0, 1, 0]}
        d = of_model(patterns)
        # What a model says of itself is a dict by name; a parameter may be missing.
        object.__setattr__(d, "confidences", {"k": confidence(patterns["k"])})
        page = page_of(d, tmp_path / "a.html")
        kernel, slices = page.parameters
        assert kernel["sure"] == d.confidence["k"].entries.reshape(-1).round(3).tolist()
        assert slices["sure"] is None
        assert page.text.count("groupprobabilityentrieswhich") == 1


class TestSafe:
    @pytest.mark.parametrize("name", ["hostile", "hostile model", "measured", "measured means"])
    def test_hostile_strings_are_text(self, name, tmp_path):
        page = page_of(CASES[name](), tmp_path / "a.html")
        assert HOSTILE in page.text
        assert len(page.all("script")) == 2
        assert "onerror" not in {key for _, attributes in page.elements for key in attributes}

    def test_nothing_of_a_name_is_markup(self, tmp_path):
        for name in ("measured", "measured means"):
            CASES[name]().report(tmp_path / "a.html")
            text = (tmp_path / "a.html").read_text(encoding="utf-8")
            assert not re.search("<script>(alert|throw)|<b>x|<img", text)


class TestSize:
    @pytest.mark.parametrize("labels", [np.arange(4096).reshape(64, 64), np.arange(256 * 256).reshape(256, 256) % 300])
    def test_many_cells(self, labels, tmp_path):
        d = measured(believed(found(labels), 0.1))
        page_module.write_report(d.view(), tmp_path / "a.html", {})
        assert (tmp_path / "a.html").stat().st_size < 5e6

    @pytest.mark.parametrize("shape", [(1000, 1000), (3, 70_000), (200_000,)])
    def test_large_weights_are_cut_and_it_says_so(self, shape, tmp_path):
        d = found(np.arange(np.prod(shape)).reshape(shape))
        # Without the symmetry of so many entries, which takes long.
        page_module.write_report(d.view(), tmp_path / "a.html", {})
        page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
        (shown,) = page.parameters
        assert max(shown["rows"], shown["columns"]) == 256
        corner = d.partition.labels[:256, :256] if len(shape) == 2 else d.partition.labels[: len(shown["cells"])]
        assert [shown["groups"][cell] for cell in shown["cells"]] == corner.ravel().tolist()
        assert shown["values"] == d.values[corner.ravel()].tolist()
        assert "is larger than this page shows" in page.text
        assert (tmp_path / "a.html").stat().st_size < 5e6


class TestFile:
    def test_whole_or_not_at_all(self, tmp_path, monkeypatch):
        def broken(*given):
            raise OSError("disk full")

        path = tmp_path / "a.html"
        found([0, 1]).report(path)
        before = path.read_bytes()
        monkeypatch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="disk full"):
            found([0, 0]).report(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["report", "report.pdf"])
    def test_another_ending_is_refused(self, tmp_path, name):
        with pytest.raises(ValueError, match=r"path must end in \.html, got "):
            found([0, 1]).report(tmp_path / name)

    @pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
    def test_without(self, missing, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, missing, None)
        with pytest.raises(ImportError, match=rf"{missing} is not installed: pip install .*\[plot\]"):
            found([0, 1]).report(tmp_path / "a.html")


class TestRepeat:
    def test_command_line(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        name = "a 'b' <c>.npy"
        np.save(name, np.random.default_rng(0).normal(size=(40, 4)) + [0, 0, 9, 9])
        arguments = ["discover", name, "--means", "--seed", "5", "--out", "my out"]
        with pytest.raises(SystemExit) as exit:
            cli.main(arguments)
        assert not exit.value.code
        assert f"wrote {os.path.join('my out', 'report.html')}" in capsys.readouterr().out
        text = Page((tmp_path / "my out" / "report.html").read_text(encoding="utf-8")).text
        assert shlex.join(["equishare", *arguments]) in text
        assert f"What is shared in {name}" in text
        loaded = es.Discovery.load("my out/discovery.npz")
        assert shlex.split(loaded.origin.call) == ["equishare", *arguments]
        assert page_of(loaded, tmp_path / "again.html").text == text

    def test_python_call(self):
        x = np.random.default_rng(0).normal(size=(40, 3))
        d = es.discover(es.MeanProblem(x[:10], x[10:]), "gap", seed=2)
        assert d.origin.call == "equishare.discover(problem, method='gap', seed=2)"
        assert (d.about.num_train, d.about.num_val, d.origin.data) == (10, 30, None)
        assert d.origin.versions["numpy"] == np.__version__

    def test_long_options_are_named_by_their_type(self):
        x = np.random.default_rng(0).normal(size=(40, 300))
        d = es.discover(es.MeanProblem(x[:10], x[10:]), "oracle", partition=np.arange(300))
        assert d.origin.call == "equishare.discover(problem, method='oracle', seed=0, partition=<ndarray>)"

    def test_files_of_former_versions_are_read(self, tmp_path):
        d = found([0, 1])
        d.save(tmp_path / "a.npz")
        loaded = es.Discovery.load(tmp_path / "a.npz")
        assert loaded.origin is None
        assert "were not recorded" in page_of(loaded, tmp_path / "a.html").text
