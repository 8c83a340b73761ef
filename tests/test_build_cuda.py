"""A CUDA compiler that cannot build is a notice under EQUISHARE_CUDA=AUTO, and an error under ON."""

import os
import shutil
import subprocess

import pytest
from test_build import ROOT, configure

VERSION = 'echo "Cuda compilation tools, release {}, V{}.1"'
REAL = shutil.which("nvcc")
UNKNOWN = "echo \"nvcc fatal   : Unsupported gpu architecture '{0}'\" >&2; exit 1"

# name: the script of a compiler, None for none at all; what is said of it, {} its path
BROKEN = {
    "none": (None, "no CUDA compiler is found: put nvcc in PATH or set CUDACXX to it"),
    "fails": ("echo out of order >&2; exit 3", "{} --version ended with '3' and said 'out of order'"),
    "says nothing": ("exit 0", "{} --version names no release of CUDA, but said ''"),
    "old": (VERSION.format("11.0", "11.0"), "{} is of CUDA 11.0, and 11.8 or newer is needed"),
    "does not compile": (
        f'case "$*" in *--version*) {VERSION.format("12.4", "12.4")};; *) exit 1;; esac',
        "{} cannot build a small kernel: ",
    ),
}


def compiler(folder, script):
    path = folder / "nvcc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def wrapper(folder, case, action):
    """The compiler of this machine, but for command lines that match."""
    if REAL is None:
        pytest.skip("no nvcc in PATH")
    return compiler(folder, f'case "$*" in {case}) {action};; esac\nexec {REAL} "$@"')


def try_compiler(folder, nvcc, asked="", choice="AUTO"):
    """What cmake/cuda_compiler.cmake makes of a compiler: architectures, trouble, all that it says."""
    if shutil.which("cmake") is None:
        pytest.skip("no cmake in PATH")
    project = folder / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(trial LANGUAGES NONE)\n"
        f'include("{ROOT}/cmake/cuda_compiler.cmake")\nfile(WRITE "${{CMAKE_BINARY_DIR}}/result" '
        '"${cuda_architectures}\\n${cuda_trouble}\\n")\n'
    )
    definitions = [f"-DEQUISHARE_CUDA={choice}", *([f"-DCMAKE_CUDA_ARCHITECTURES={asked}"] if asked else [])]
    done = subprocess.run(
        ["cmake", "-S", project, "-B", folder / "build", *definitions],
        env={**os.environ, "CUDACXX": str(nvcc)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    architectures, trouble, *_ = (folder / "build" / "result").read_text().split("\n")
    return architectures, trouble, done.stderr


@pytest.mark.parametrize("case", BROKEN)
def test_a_compiler_that_cannot_build(case, tmp_path):
    script, message = BROKEN[case]
    nvcc = tmp_path / "nvcc" if script is None else compiler(tmp_path, script)
    _, trouble, _ = try_compiler(tmp_path, nvcc)
    assert trouble.startswith(message.format(nvcc)), trouble


def test_a_compiler_that_may_not_be_run(tmp_path):
    nvcc = compiler(tmp_path, "exit 0")
    nvcc.chmod(0o644)
    _, trouble, _ = try_compiler(tmp_path, nvcc)
    assert trouble.startswith(f"{nvcc} --version ended with 'Permission denied'"), trouble


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "left"), [("90", "75-real;80"), ("75", "80-real;90")])
def test_an_architecture_that_the_compiler_does_not_know_is_left_out(architecture, left, tmp_path):
    nvcc = wrapper(tmp_path, f"*compute_{architecture}*", UNKNOWN.format(f"compute_{architecture}"))
    architectures, trouble, said = try_compiler(tmp_path, nvcc)
    assert (architectures, trouble) == (left, "")
    assert f"no CUDA kernels for architecture {architecture}" in said and f"'compute_{architecture}'" in said


@pytest.mark.slow
def test_architectures_that_were_asked_for_are_not_left_out_under_on(tmp_path):
    nvcc = wrapper(tmp_path, "*compute_90*", UNKNOWN.format("compute_90"))
    _, trouble, _ = try_compiler(tmp_path, nvcc, "80-real;90", "ON")
    assert trouble.startswith(f"{nvcc} cannot build a small kernel: nvcc fatal") and "'compute_90'" in trouble


@pytest.mark.slow
def test_a_compiler_that_crashes(tmp_path):
    nvcc = wrapper(tmp_path, "*probe.cu*", "kill -SEGV $$")
    _, trouble, _ = try_compiler(tmp_path, nvcc)
    assert trouble.startswith(f"{nvcc} cannot build a small kernel: ") and "fault" in trouble.lower()


@pytest.mark.slow
def test_the_compiler_of_this_machine(tmp_path):
    if REAL is None:
        pytest.skip("no nvcc in PATH")
    assert try_compiler(tmp_path, REAL)[:2] == ("75-real;80-real;90", "")


@pytest.mark.parametrize("choice", ["AUTO", "ON"])
def test_only_on_fails(choice, tmp_path):
    nvcc = compiler(tmp_path, VERSION.format("11.0", "11.0"))
    trouble = f"{nvcc} is of CUDA 11.0, and 11.8 or newer is needed"
    status, said, rules = configure(tmp_path / "build", f"EQUISHARE_CUDA={choice}", nvcc=nvcc)
    if choice == "ON":
        assert status != 0 and f"EQUISHARE_CUDA is ON, but {trouble}" in said
    else:
        assert status == 0 and f"Without CUDA kernels: {trouble}" in said
        assert "_core" in rules and "kernels_cuda" not in rules
        assert trouble in (tmp_path / "build" / "without_cuda.h").read_text()
