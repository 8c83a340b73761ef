"""The rules of imports hold, and breaking one is noticed."""

import ast
import importlib
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


HEAVY = ("torch._dynamo", "scipy.stats", "scipy.optimize", "scipy.sparse", "scipy.special", "sympy", "igraph")
EVERY_NAME = "import equishare\nfor name in equishare.__all__: getattr(equishare, name)\n"


@pytest.mark.parametrize("code", ["import equishare\n", EVERY_NAME, "from equishare import *\n"])
def test_what_takes_long_to_load_waits_until_it_is_needed(run_python, code):
    # What torch loads by itself is not for us to avoid.
    watched = (*HEAVY, "matplotlib", "pandas")
    done = run_python(f"import sys, torch\nbefore = set(sys.modules)\n{code}print(*set(sys.modules) - before)")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()).isdisjoint(watched)


@pytest.mark.parametrize(
    "before", ["", "import equishare.discover, equishare.hypergradient", "from equishare.discover import discover"]
)
def test_names_are_those_of_their_modules(run_python, before):
    code = f"""
{before}
import equishare as es
from equishare import Partition, discover, nn
from equishare.partition import Partition as same
import equishare.discover
assert set(es.__all__) <= set(dir(es)) and es.nn is nn and Partition is same
assert es.discover is discover and callable(discover) and callable(es.hypergradient)
assert es.progress.silent(0, 1) is None and not hasattr(es, "nothing")
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_names_for_type_checkers_are_those_at_run_time():
    import equishare

    (block,) = (one for one in ast.parse((PACKAGE / "__init__.py").read_text()).body if isinstance(one, ast.If))
    homes = {name.name: one.module for one in block.body if isinstance(one, ast.ImportFrom) for name in one.names}
    assert sorted(homes) == equishare.__all__ == sorted(equishare.__all__)
    for name, home in homes.items():
        assert getattr(equishare, name) is getattr(importlib.import_module(home), name)
