"""The sessions in README.md and docs/ run and print what they say."""

from __future__ import annotations

import doctest
import html
import json
import re
import runpy
import subprocess
import sys
import warnings
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import equishare
from equishare import cli
from equishare.methods import METHODS
from equishare.report.files import document

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Packages of other people that pages show, and that the extras do not bring.
OTHERS = ("lightning", "transformers")
SESSIONS = [str(page.relative_to(ROOT)) for page in PAGES if ">>> " in page.read_text(encoding="utf-8")]


def anchors(page: Path) -> set[str]:
    """Anchors of the headings: of GitHub, and of the site, which folds signs and spaces together."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    plain = [
        re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    ]
    return {re.sub(pattern, "-", words) for words in plain for pattern in (r"\s", r"[-\s]+")}


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        # Behind a picture an anchor tells the colour scheme that it is for.
        assert not anchor or target.suffix == ".png" or anchor in anchors(target), link


def test_formulas_of_the_site_hold_no_tex():
    convert = pytest.importorskip("latex2mathml.converter", reason="the extra docs is not installed").convert
    assert "\\" in convert(r"\nosuch")  # what it does not know it writes as it is
    hooks = runpy.run_path(str(ROOT / "docs" / "site" / "hooks.py"))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shown = [("div", "[]", f) for f in re.findall(r"^```math\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
        text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        shown += [("span", "()", f) for f in re.findall(r"(?<![$\\])\$([^$\n`]+)\$", text)]
        for tag, (left, right), formula in shown:
            content = f'<{tag} class="arithmatex">\\{left}{html.escape(formula)}\\{right}</{tag}>'
            assert "\\" not in hooks["on_page_content"](content), (page.name, formula)


def test_what_belongs_together_stays_on_a_line():
    pytest.importorskip("latex2mathml", reason="the extra docs is not installed")
    hooks = runpy.run_path(str(ROOT / "docs" / "site" / "hooks.py"))
    content = '<p>a (<span class="arithmatex">\\(x\\)</span>), <code>discover --train-fraction</code>, 1 ± 2 -- 3</p>'
    shown = hooks["on_page_content"](content)
    for part in (
        '<span class="whole">(<span class="formula">',
        "</math></span>),</span>",
        '<code>discover <span class="whole">--train-fraction</span></code>',
        "1 ±&nbsp;2 -- 3",
    ):
        assert part in shown


def test_the_reference_has_a_section_for_each_method():
    pytest.importorskip("latex2mathml", reason="the extra docs is not installed")
    hooks = runpy.run_path(str(ROOT / "docs" / "site" / "hooks.py"))
    page = hooks["on_page_markdown"]((ROOT / "docs" / "reference" / "methods.md").read_text(encoding="utf-8"))
    for name, method in METHODS.items():
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert f"::: equishare.methods.{name}.Options" in section
        assert all(f"| `{field.name}` |" in section for field in fields(method.Options))


def test_the_reference_has_a_section_for_each_command():
    pytest.importorskip("latex2mathml", reason="the extra docs is not installed")
    hooks = runpy.run_path(str(ROOT / "docs" / "site" / "hooks.py"))
    page = hooks["on_page_markdown"]((ROOT / "docs" / "reference" / "command.md").read_text(encoding="utf-8"))
    for heading in ("## equishare discover DATA", "## equishare reproduce EXPERIMENT", "## equishare bench"):
        section = page.partition(f"{heading}\n")[2].partition("\n## ")[0]
        assert "| `--out` |" in section and "| `--seed` | `0` |" in section


def test_names_of_the_package_are_in_the_reference():
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    described = {line.rpartition(".")[2] for line in re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE)}
    modules = {"nn", "ops", "reference", "sharing", "theory"}
    assert set(equishare.__all__) - modules - {"ModelDiscovery", "__version__"} <= described


def test_every_field_of_labels_json_is_described():
    page = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    _, *sections = page.partition("## Reading it")[0].partition("## labels.json")[2].split("| field |")
    told = [set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.+?) \|", one, re.MULTILINE)))) for one in sections]
    rng = np.random.default_rng(0)
    x, region = rng.normal(size=(90, 3)), rng.choice(list("ab"), 90)
    means = equishare.discover(equishare.MeanProblem(x), resamples=2)
    table = {"region": region, "age": x[:, 1]}
    levels = equishare.discover(equishare.FactorProblem(table, x[:, 0], numeric=["age"]))
    documents = [json.loads(document(one.view(), group)) for one, group in ((means, means.symmetry()), (levels, None))]
    assert told[0] == {key for one in documents for key in one}
    assert told[1:] == [set(documents[0]["symmetry"]), set(documents[0]["confidence"])]
    own = re.search(r"^\| `parameters` \|(.*)\|$", page, re.MULTILINE)[1]
    assert set(re.findall(r"`(\w+)`", own)) == set(documents[1]["parameters"]["region"])


def test_pictures_of_the_gallery_are_those_of_the_script():
    gallery = runpy.run_path(str(ROOT / "docs" / "gallery.py"))
    shown = set(
        re.findall(r"\(figures/gallery/(\w+)\.png\)", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8"))
    )
    drawn = gallery["patterns"]()
    assert shown == set(drawn) == {path.stem for path in (ROOT / "docs" / "figures" / "gallery").iterdir()}
    for name, labels in drawn.items():
        kept = Image.open(ROOT / "docs" / "figures" / "gallery" / f"{name}.png").convert("RGBA")
        assert np.array_equal(np.asarray(kept), np.asarray(gallery["picture"](labels))), name


def test_there_are_sessions():
    assert {"README.md", "docs/quickstart.md", "docs/tutorial.md", "docs/models.md"} <= set(SESSIONS)


def installed(text: str) -> str:
    """A page without the sections that need packages which are not installed."""
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return "".join(
        section
        for section in sections
        if all(
            find_spec(one) for one in re.findall(r"^>>> (?:import|from) (\w+)", section, re.MULTILINE) if one in OTHERS
        )
    )


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    text = installed((ROOT / name).read_text(encoding="utf-8"))
    for file, content in re.findall(r'^```python title="(\w+\.py)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL):
        (tmp_path / file).write_text(content, encoding="utf-8")
    names: dict[str, object] = {}
    sessions = re.split(r"^equishare discover (\w+\.\w+ .*)$", text, flags=re.MULTILINE)
    for i, part in enumerate(sessions):
        if i % 2:
            with pytest.raises(SystemExit) as exit:
                cli.main(["discover", *part.split()])
            assert not exit.value.code
            printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
            continue
        for shown in re.findall(r'^```text title="It prints"\n(.*?)^```$', part, re.MULTILINE | re.DOTALL):
            assert " ".join(shown.split()) in " ".join(printed)
        test = doctest.DocTestParser().get_doctest(part, names, name, name, 0)
        runner = doctest.DocTestRunner()
        with warnings.catch_warnings():
            if any(f"import {one}" in text for one in OTHERS):
                warnings.simplefilter("ignore")  # theirs are not for us to mend
            assert runner.run(test, clear_globs=False).failed == 0
        names.update(test.globs)
    assert "es" in names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_sessions_have_types(name, tmp_path):
    examples = doctest.DocTestParser().get_examples((ROOT / name).read_text(encoding="utf-8"))
    (tmp_path / "session.py").write_text("".join(one.source for one in examples), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", str(tmp_path / "cache"), "session.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
