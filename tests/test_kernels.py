"""The kernels in C++ alone (tests/kernels): with each compiler and on each processor that can be had.

The nightly size of the fuzzer, 10^6 calls on every instruction set, takes about an hour:

    cmake -S tests/kernels -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build && build/fuzz 1000000
"""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "kernels"
ARM = "aarch64-linux-gnu"
# What the address sanitizer sees at the access itself is not asked a second time: it doubles the time of compiling.
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize=null,object-size,pointer-overflow -fno-sanitize-recover=all"
# Compiler, options, definitions, and what runs the programs. -O1 takes a third of the time of -O3, which the build that
# all other tests use has. At -O0 no product is fused into a sum unless the code says so.
BUILDS = {
    "gcc unoptimised": ("g++", "-O0", [], []),
    "gcc sanitizers": ("g++", f"-O1 {SANITIZERS}", [], []),
    "clang": ("clang++", "-O1", [], []),
    "aarch64": (
        f"{ARM}-g++",
        "-O1",
        ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"],
        ["qemu-aarch64", "-L", f"/usr/{ARM}"],
    ),
}


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "options", "definitions", "runner"), BUILDS.values(), ids=BUILDS)
def test_every_kernel_agrees_with_plain_loops(tmp_path, compiler, options, definitions, runner):
    for program in ("cmake", compiler, *runner[:1]):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} in PATH")
    flags = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_CXX_FLAGS_RELEASE={options}", "-DCMAKE_CXX_FLAGS=-Werror"]
    run("cmake", "-S", HERE, "-B", tmp_path, f"-DCMAKE_CXX_COMPILER={compiler}", *definitions, *flags)
    run("cmake", "--build", tmp_path, "--parallel", 2)
    assert "baseline: " in run(*runner, tmp_path / "agreement")
    assert "baseline: 500 calls" in run(*runner, tmp_path / "fuzz", 500)
