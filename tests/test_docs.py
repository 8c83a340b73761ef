"""The sessions in README.md and docs/ run and print what they say."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from equishare import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SESSIONS = [str(page.relative_to(ROOT)) for page in PAGES if ">>> " in page.read_text(encoding="utf-8")]


def test_there_are_sessions():
    assert {"README.md", "docs/quickstart.md", "docs/tutorial.md", "docs/models.md"} <= set(SESSIONS)


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text(encoding="utf-8")
    names: dict[str, object] = {}
    sessions = re.split(r"^equishare discover (circle\.npz.*)$", text, flags=re.MULTILINE)
    for i, part in enumerate(sessions):
        if i % 2:
            with pytest.raises(SystemExit) as exit:
                cli.main(["discover", *part.split()])
            assert not exit.value.code
            continue
        test = doctest.DocTestParser().get_doctest(part, names, name, name, 0)
        runner = doctest.DocTestRunner()
        assert runner.run(test, clear_globs=False).failed == 0
        names.update(test.globs)
    assert "es" in names
