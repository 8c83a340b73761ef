"""The command that installs an extra fits how equishare was installed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

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
