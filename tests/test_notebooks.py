"""What a notebook and a prompt show of discoveries, problems, groups and confidences."""

from __future__ import annotations

import re
import sys

import nbformat
import numpy as np
import pytest
from model_cases import columns, columns_data, mse, split
from nbclient import NotebookClient
from report_cases import HOSTILE, Page, believed, confidence, found, measured, named, of_model, ring_labels

import equishare as es

SHOWN = {
    "map": lambda: named(measured(believed(found(ring_labels(3)))), ["a", "b", "c"], [HOSTILE, '"&', "$x"]),
    "scattered": lambda: measured(believed(found(ring_labels(8)), 0.2)),
    "means": lambda: measured(found([0, 1, 0, 2])),
    "large": lambda: found(np.arange(10_000).reshape(100, 100) % 30),
    "not judged": lambda: found(ring_labels(3)),
    "one output": lambda: believed(found(np.array([[0, 0, 1]])), log_odds=np.nan),
    "model": lambda: of_model({"a.weight": ring_labels(4), HOSTILE: [0, 1, 1]}),
}
LINES = {
    "map": "Discovery(9 weights in 2 groups, D_3 exact above 99.9 %, R² 0.750)",
    "scattered": "Discovery(64 weights in 5 groups, D_8 approximate above 99.9 %, R² 0.750)",
    "means": "Discovery(4 means in 3 groups, R² 0.750)",
    "large": "Discovery(10,000 weights in 30 groups)",
    "not judged": "Discovery(9 weights in 2 groups, D_3 of the pattern)",
    "one output": "Discovery(3 weights in 2 groups)",
    "model": f"Discovery(a.weight: 16 entries in 3 groups, {HOSTILE}: 3 entries in 2 groups)",
}


@pytest.mark.parametrize("kind", SHOWN)
class TestDiscoveries:
    def test_html_is_self_contained(self, kind):
        d = SHOWN[kind]()
        page = Page(d._repr_html_())
        assert not {"script", "style", "img", "link"} & {tag for tag, _ in page.elements}
        assert len(page.all("table")) == len(d.partitions)
        assert len(page.all("svg")) == (0 if kind == "large" else len(d.partitions))
        assert "different values" in page.text
        assert (HOSTILE in page.text) == (kind in ("map", "model"))
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))

    def test_line(self, kind):
        assert repr(SHOWN[kind]()) == LINES[kind]

    @pytest.mark.parametrize("missing", ["matplotlib", "jinja2", "igraph", "sympy"])
    def test_without(self, kind, missing, monkeypatch):
        monkeypatch.setitem(sys.modules, missing, None)
        d = SHOWN[kind]()
        assert repr(d).startswith("Discovery(")
        assert (d._repr_html_() is None) == (missing in ("matplotlib", "jinja2"))


def test_a_symmetry_is_computed_once(monkeypatch):
    calls = []
    module = sys.modules["equishare.result.discovery"]
    monkeypatch.setattr(module, "symmetry_group", lambda *a, **k: calls.append(a) or es.symmetry_group(*a, **k))
    d = found(ring_labels(3))
    repr(d), d._repr_html_(), d.symmetry(), repr(d)
    assert len(calls) == 1
    d.symmetry(same_action=True)
    assert len(calls) == 2
    with pytest.raises(TypeError, match="same_action must be True or False, got 1"):
        d.symmetry(same_action=1)


def test_lines_of_the_others():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    model = es.ModelProblem(columns(), *split(columns_data(count=20), 10), mse)
    assert repr(es.MeanProblem(x)) == "MeanProblem(3 means, 20 samples to fit, 20 to validate)"
    linear = es.LinearProblem(x[:30], x[:30, :2], x_val=x[30:], y_val=x[30:, :2])
    assert repr(linear) == "LinearProblem(2 × 3 weights, 30 samples to fit, 10 to validate)"
    told = r"ModelProblem\(\w+: weight 4 slices, bias 4 slices; 10 samples to fit, 10 to validate\)"
    assert re.fullmatch(told, repr(model))
    assert re.fullmatch(
        r"Confidence\(9 entries in 2 groups, 20 resamples, \d+ of 18 ties at least 95 % probable\)",
        repr(confidence(ring_labels(3))),
    )
    assert repr(es.symmetry_group(ring_labels(3))).startswith("SymmetryGroup(D_3, order=6")


@pytest.mark.parametrize(
    "make",
    [
        lambda x, names: es.MeanProblem(dict(zip(names, x.T, strict=True))),
        lambda x, names: es.LinearProblem(x, x[:, :2]),
        lambda x, names: es.GeneralizedLinearProblem(x, (x[:, 0] > 0).astype(int), family="binomial"),
        lambda x, names: es.FactorProblem({names[0]: (x[:, 0] > 0).astype(str)}, x[:, 1]),
        lambda x, names: es.CovarianceProblem(x),
        lambda x, names: es.ModelProblem(columns(), *split(columns_data(count=20), 10), mse),
        lambda x, names: confidence(ring_labels(3)),
        lambda x, names: es.symmetry_group(ring_labels(3)),
    ],
)
def test_html_of_the_others_is_a_line_and_a_table(make):
    one = make(np.random.default_rng(0).normal(size=(40, 3)), (HOSTILE, '"&', "$x"))
    page = Page(one._repr_html_())
    assert {tag for tag, _ in page.elements} <= {"p", "table", "tr", "th", "td"}
    assert page.text.startswith(repr(one)) or isinstance(one, es.SymmetryGroup)
    assert len(page.all("table")) == (0 if isinstance(one, es.SymmetryGroup) else 1)
    if not isinstance(one, es.SymmetryGroup | type(confidence(ring_labels(3)))):
        assert one.about().question in page.text


CELLS = (
    "import numpy as np, equishare as es\n"
    "x = np.random.default_rng(0).normal(size=(200, 3))\n"
    "d = es.discover(x, x @ (np.eye(3) + 0.5) + np.random.default_rng(1).normal(size=(200, 3)))",
    "d",
    "ax = d.plot_estimates()",
    "from equishare.progress import progress_bar\nwith progress_bar('counting') as progress:\n    progress(3, 4)",
)


@pytest.mark.slow
def test_in_a_notebook():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    _, shown, drawn, counted = (cell["outputs"] for cell in notebook["cells"])
    (answer,) = [one["data"] for one in shown]
    assert answer["text/plain"].startswith("Discovery(9 weights in 2 groups, ")
    assert "<svg" in answer["text/html"]
    assert ["image/png" in one["data"] for one in drawn] == [True]
    assert "counting" in "".join(one["text"] for one in counted if one["output_type"] == "stream")
