"""The rules of imports hold, and breaking one is noticed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="import-linter, which the extra test brings, is not installed")
ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "equishare"

BREACHES = {
    "kept": None,
    "a method imports the report": ("methods/gap.py", "from equishare.report import print_discovery"),
    "the library imports the laboratory": ("search/path.py", "from equishare.lab.studies import patterns"),
    "a problem imports a method": ("problems/means.py", "from equishare.methods import gap"),
    "two files import each other": ("search/segmentation.py", "from equishare.search import path"),
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES)
def test_floors(breach, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "equishare", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if breach is not None:
        with open(tmp_path / "equishare" / breach[0], "a", encoding="utf-8") as file:
            file.write(f"\n{breach[1]}\n")
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run([*lint, "--no-cache"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ("0 broken" in ran.stdout) == (breach is None), ran.stdout + ran.stderr
    assert (ran.returncode == 0) == (breach is None)
