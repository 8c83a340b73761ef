"""The command that installs an extra fits how equishare was installed."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from equishare import extras

WAYS = {
    "from an index": (None, "pip install 'equishare[plot]'"),
    "a folder": ({"url": "file:///home/a%20b/equishare", "dir_info": {}}, "pip install '/home/a b/equishare[plot]'"),
    "a folder that is worked in": (
        {"url": "file:///src/equishare", "dir_info": {"editable": True}},
        "pip install -e '/src/equishare[plot]'",
    ),
    "a wheel": (
        {"url": "file:///tmp/equishare-0.1.0.whl", "archive_info": {}},
        "pip install 'equishare[plot] @ file:///tmp/equishare-0.1.0.whl'",
    ),
    "a repository": (
        {"url": "https://example.org/equishare", "vcs_info": {"vcs": "git"}},
        "pip install 'equishare[plot] @ git+https://example.org/equishare'",
    ),
}


@pytest.mark.parametrize(("origin", "command"), WAYS.values(), ids=WAYS)
def test_installed_from(origin, command, monkeypatch):
    class Installed:
        @staticmethod
        def read_text(name):
            assert name == "direct_url.json"
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr(extras, "distribution", lambda name: Installed)
    assert extras.installing("plot") == command


def test_not_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    assert extras.installing("plot") == "pip install 'equishare[plot]'"


ROOT = Path(__file__).parent.parent
PLACES = [*sorted((ROOT / "python").rglob("*.py")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_extras_are_named_in_one_way():
    project = (ROOT / "pyproject.toml").read_text()
    known = re.findall(
        r"^(\w+) = \[", project.split("[project.optional-dependencies]")[1].split("\n[")[0], re.MULTILINE
    )
    seen = 0
    for path in PLACES:
        text = path.read_text()
        assert "the extra ``" not in text, path
        for one in re.finditer(r"equishare\[([^]{}]+)\]", text):
            if path.name != "extras.py":
                seen += 1
                assert text[: one.start()].endswith("pip install '"), (path, one[0])
                assert set(one[1].split(",")) <= {*known, "..."}, (path, one[0])
    assert len(known) > 5 and seen > 10
