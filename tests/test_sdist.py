"""The sdist holds what the build needs, and nothing else."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from test_build import ROOT, configure

HELD = ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "cmake", "csrc", "python")
IGNORED = (".so", ".pyc")


def files(path):
    """A file, or all files of a folder, but for what a build or a run leaves there."""
    if path.is_file():
        return [path]
    return [one for one in path.rglob("*") if one.is_file() and one.suffix not in IGNORED]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    pytest.importorskip("scikit_build_core", reason="scikit-build-core makes the sdist")
    folder = tmp_path_factory.mktemp("sdist")
    code = f"from scikit_build_core.build import build_sdist; print(build_sdist({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, **({"filter": "data"} if sys.version_info >= (3, 12) else {}))
    (root,) = (one for one in folder.iterdir() if one.is_dir())
    return root


def test_what_it_holds(unpacked):
    held = {one.relative_to(unpacked).as_posix() for one in unpacked.rglob("*") if one.is_file()}
    expected = {one.relative_to(ROOT).as_posix() for name in HELD for one in files(ROOT / name)}
    assert held == expected | {"PKG-INFO"}


def test_it_is_all_that_the_kernels_need(unpacked, tmp_path):
    status, said, rules = configure(tmp_path, "EQUISHARE_KERNELS=ON", source=unpacked)
    assert status == 0, said
    assert "_core" in rules


@pytest.mark.slow
def test_a_wheel_is_built_from_it(unpacked, tmp_path):
    code = f"from scikit_build_core.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=unpacked,
        env={**os.environ, "EQUISHARE_KERNELS": "OFF"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    done = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True
    ).stdout.split()
    package = unpacked / "python"
    held = {Path(one).as_posix() for one in done if one.startswith("equishare/")}
    assert held == {one.relative_to(package).as_posix() for one in files(package)}
