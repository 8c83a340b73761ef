"""What is decided once: per process, the instruction set and the OpenMP runtime; per build, CUDA."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
import pytest

from equishare import _native

ROOT = Path(__file__).parent.parent


def test_an_unknown_instruction_set_is_refused(run_python):
    done = run_python("import equishare._native", EQUISHARE_ISA="avx9")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert (
        last == f"ImportError: EQUISHARE_ISA is 'avx9'; this machine accepts: {', '.join(_native.instruction_sets())}"
    )


def test_one_openmp_runtime(run_python):
    code = """
import torch
from equishare import ops
torch.set_num_threads(2)
ops.soft_gather(torch.zeros(1000, 100), torch.zeros(100)) + torch.zeros(1000) @ torch.zeros(1000, 1000)
print(open("/proc/self/maps").read())
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    libraries = {line.split()[-1] for line in done.stdout.splitlines() if re.search(r"lib(g|i)?omp", line)}
    assert len(libraries) == 1, libraries


def configure(tmp_path, value):
    """Configure without a CUDA compiler in reach: the exit status, what CMake says, and the build rules."""
    if shutil.which("cmake") is None:
        pytest.skip("no cmake in PATH")
    path = os.pathsep.join(d for d in os.environ["PATH"].split(os.pathsep) if not os.path.exists(f"{d}/nvcc"))
    definitions = [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
    done = subprocess.run(
        [shutil.which("cmake"), "-S", ROOT, "-B", tmp_path, *definitions, f"-DEQUISHARE_CUDA={value}"],
        env={**os.environ, "PATH": path, "CUDACXX": "/nowhere/nvcc"},
        capture_output=True,
        text=True,
    )
    rules = "".join(file.read_text() for file in tmp_path.glob("*") if file.name in ("Makefile", "build.ninja"))
    return done.returncode, " ".join((done.stdout + done.stderr).split()), rules


@pytest.mark.parametrize("value", ["AUTO", "OFF"])
def test_cuda_is_left_out_where_there_is_no_compiler(tmp_path, value):
    status, said, rules = configure(tmp_path, value)
    assert status == 0, said
    assert "_core" in rules and "kernels_cuda" not in rules


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ON", "EQUISHARE_CUDA is ON, but no CUDA compiler works: put nvcc in PATH or set CUDACXX to it"),
        ("SOMETIMES", "EQUISHARE_CUDA must be AUTO, ON or OFF, got 'SOMETIMES'"),
    ],
)
def test_cuda_that_cannot_be_built_is_an_error(tmp_path, value, message):
    status, said, _ = configure(tmp_path, value)
    assert status != 0 and message in said
