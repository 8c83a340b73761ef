"""The report as a file: valid, complete, safe, small; see test_report_browser.py for how it behaves."""

from __future__ import annotations

import os
import re
import shlex
import sys

import numpy as np
import pytest
import torch
from model_cases import columns, columns_data, mse, split
from report_cases import HOSTILE, Page, believed, confidence, found, of_model, origin, page_of, ring_labels

import equishare as es
from equishare import cli
from equishare.report import page as page_module
from equishare.report.cycles import arrows

EMPTY = {"num_groups": np.array([], dtype=int), "validation_loss": np.array([])}
STEPS = {"step": np.arange(5000), "validation_loss": np.linspace(9, 1, 5000), "entropy": np.ones(5000)}
TRIED = {
    "num_groups": np.array([1, 2, 2]),
    "validation_loss": np.array([0.5, 0.125, np.inf]),
    "evidence": np.array([-3.0, -1.0, -np.inf]),
    "rejected": np.array([True, False, False]),
}
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
        assert [len(page.all(tag)) for tag in ("h1", "main", "header", "footer", "nav")] == [1] * 5
        assert {"h3", "h4", "h5"}.isdisjoint(tag for tag, _ in page.elements)
        assert len(page.all("table")) == len(page.all("caption"))
        assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))

    def test_asks_nothing_of_the_network(self, page):
        for tag, attributes in page.elements:
            assert tag not in ("iframe", "object", "embed", "base", "form", "use", "image")
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
            "The validation loss is 0.106738, and 0.125 without sharing: 15 % lower.",
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
        assert page.text.partition("\nAnswer\n")[2].partition("Answer\n")[2].startswith(start)
        share = "lie about 5 different values" if spread else "share 5 different values"
        assert f"The 64 weights from 8 inputs to 8 outputs {share}." in page.text
        # Nothing that was not found is drawn.
        assert ("Generator 1" in page.text) == (log_odds > 0)
        assert ("may do so by chance" in page.text) == (log_odds < 0)

    def test_entries_stand_about_the_value_of_their_group(self, tmp_path):
        d = believed(found(ring_labels(8)), spread=0.2)
        page = page_of(d, tmp_path / "a.html")
        assert "The entries of a group scatter by 0.2 (0.1 to 0.4) about its value; the range has" in page.text
        dots = [c for c in page.all("circle") if c.get("class") == "entry" and c["cx"] != "13"]
        marks, bands = [
            [
                one
                for one in page.all(tag)
                if one.get("class") == name and one.get("x") != "1" and one.get("d") != "M13 0V14"
            ]
            for tag, name in (("path", "value"), ("rect", "band"))
        ]
        assert (len(dots), len(marks), len(bands)) == (64, 5, 5)
        # All lie on one scale, in the order of the values.
        places = [float(mark["d"][1:].split()[0]) for mark in marks]
        slope, offset = np.polyfit(np.sort(d.values), places, 1)
        order = np.concatenate([np.flatnonzero(d.partition.labels.ravel() == g) for g in np.argsort(d.values)])
        expected = slope * d.posterior_mean.ravel()[order] + offset
        np.testing.assert_allclose(np.sort([float(dot["cx"]) for dot in dots]), np.sort(expected), atol=0.2)
        np.testing.assert_allclose([float(band["width"]) for band in bands], 2 * 0.2 * slope, atol=0.3)
        own = d.posterior_mean[d.partition.labels == 0]
        assert "groupvalueentries fromtoentries" in page.text
        assert f"0{d.values[0]:.6g}{own.min():.4g}{own.max():.4g}8" in page.text
        entry = np.unravel_index(order[np.argmin(d.posterior_mean.ravel()[order[:8]])], (8, 8))
        assert f"output {entry[0]}, input {entry[1]}: {d.posterior_mean[entry]:.6g}" in page.text

    def test_entries_of_large_parameters_are_left_out_and_it_says_so(self, tmp_path):
        labels = np.concatenate([np.zeros(500, int), np.arange(60)])
        page = page_of(believed(found(labels), spread=0.2, log_odds=np.nan), tmp_path / "a.html")
        assert len([c for c in page.all("circle") if c.get("class") == "entry"]) == 1 + 40 + 23
        assert "Of 60 groups the 24 largest are shown. Of larger groups 40 entries are shown, at even" in page.text

    def test_equal_entries_have_no_spread_to_draw(self, tmp_path):
        assert "spread-0" not in [s["id"] for s in page_of(believed(found([0, 1])), tmp_path / "a.html").all("section")]

    def test_history(self, tmp_path):
        page = page_of(found(ring_labels(3), history=TRIED), tmp_path / "a.html")
        for part in ("0.125", "evidence", "-inf", "rejected", "yes", "The candidates. 3 rows.", "F test"):
            assert part in page.text
        # The candidate of infinite loss has no place in the chart.
        assert len([c for c in page.all("circle") if c.get("class") == "tried"]) == 2
        page = page_of(found(ring_labels(3), history=STEPS), tmp_path / "a.html")
        assert "100 of 5,000 rows, at even distances" in page.text
        (line,) = page.all("polyline")
        assert len(line["points"].split()) <= 800

    def test_arrows_are_those_of_the_generators(self, tmp_path):
        d = found(ring_labels(8))
        page = page_of(d, tmp_path / "a.html")
        expected = sum(len(arrows(p)) for generator in d.symmetry().generators for p in generator)
        assert len([path for path in page.all("path") if path.get("class") == "arrow"]) == expected == 22

    def test_kernel_and_slices(self, tmp_path):
        page = page_of(of_model({"k": np.arange(36).reshape(2, 2, 3, 3) // 9, "s": [0, 1, 0]}), tmp_path / "a.html")
        kernel, slices = page.parameters
        assert kernel["axes"] == ["output channel", "input channel", "tap axis 0", "tap axis 1"]
        assert (kernel["rows"], kernel["columns"], kernel["inner"], kernel["values"]) == (2, 18, [2, 3, 3], None)
        assert slices["cells"][:3] == [0, 1, 0]
        for part in ("interrupted", "still falling", "without sharing is not known", "Pattern of k", "Symmetry of s"):
            assert part in page.text

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

    def test_without_the_packages_that_name_groups(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "igraph", None)
        assert "needs igraph and sympy" in page_of(found(ring_labels(8)), tmp_path / "a.html").text

    def test_confidence_is_shown_where_there_is_one(self, tmp_path):
        labels = [0, 1, 0, 0]
        page = page_of(found(labels), tmp_path / "a.html")
        assert "Confidence" not in page.text
        assert page.parameters[0]["sure"] is None
        sure = confidence(labels)
        page = page_of(found(labels, confidence=sure), tmp_path / "a.html")
        assert f"{sure.groups[0]:.3f}" in page.text
        assert "alone" in page.text
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
        assert "Confidence of k" in page.text
        assert "Confidence of s" not in page.text


class TestSafe:
    @pytest.mark.parametrize("name", ["hostile", "hostile model"])
    def test_hostile_strings_are_text(self, name, tmp_path):
        page = page_of(CASES[name](), tmp_path / "a.html")
        assert HOSTILE in page.text
        assert len(page.all("script")) == 2
        assert "onerror" not in {key for _, attributes in page.elements for key in attributes}

    def test_data_of_scripts_cannot_end_them(self):
        script = page_module.json_script("x", {"a": HOSTILE})
        assert script.count("<") == 2
        assert "\u2028" not in script


class TestSize:
    def test_4096_cells(self, tmp_path):
        found(np.arange(4096).reshape(64, 64)).report(tmp_path / "a.html")
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

    def test_needs_no_matplotlib(self, run_python, tmp_path):
        code = f"""
import sys
sys.modules["matplotlib"] = None
from report_cases import found
found([0, 1, 0]).report({str(tmp_path / "a.html")!r})
"""
        done = run_python(code, PYTHONPATH=os.path.dirname(__file__))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "a.html").is_file()


class TestRepeat:
    def test_command_line(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        name = "a 'b' <c>.npy"
        np.save(name, np.random.default_rng(0).normal(size=(40, 4)) + [0, 0, 9, 9])
        arguments = ["discover", name, "--seed", "5", "--out", "my out"]
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
