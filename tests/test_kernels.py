"""The kernels in C++ alone (tests/kernels): with each compiler and on each processor that can be had."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "kernels"
ARM = "aarch64-linux-gnu"
# Compiler, definitions, and what runs the program.
BUILDS = {
    "gcc": ("g++", [], []),
    "clang": ("clang++", [], []),
    "aarch64": (
        f"{ARM}-g++",
        ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"],
        ["qemu-aarch64", "-L", f"/usr/{ARM}"],
    ),
}


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "definitions", "runner"), BUILDS.values(), ids=BUILDS)
def test_every_kernel_agrees_with_plain_loops(tmp_path, compiler, definitions, runner):
    for program in ("cmake", compiler, *runner[:1]):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} in PATH")
    # A third of the time of -O3, which the build that all other tests use has.
    flags = ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DCMAKE_CXX_FLAGS=-Werror"]
    run("cmake", "-S", HERE, "-B", tmp_path, f"-DCMAKE_CXX_COMPILER={compiler}", *definitions, *flags)
    run("cmake", "--build", tmp_path, "--parallel", 2)
    assert "baseline: " in run(*runner, tmp_path / "agreement")
