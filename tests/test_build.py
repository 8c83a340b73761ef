"""What is decided once: per process, the instruction set and the OpenMP runtime; per build, CUDA."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pybind11
import pytest

from equishare import _native, reference

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


def configure(tmp_path, *definitions, compiler="c++", nvcc="/nowhere/nvcc", source=ROOT):
    """Configure with no other CUDA compiler in reach: the exit status, what CMake says, and the build rules."""
    if shutil.which("cmake") is None:
        pytest.skip("no cmake in PATH")
    path = os.pathsep.join(d for d in os.environ["PATH"].split(os.pathsep) if not os.path.exists(f"{d}/nvcc"))
    definitions = [f"-D{d}" for d in definitions]
    definitions += [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
    done = subprocess.run(
        [shutil.which("cmake"), "-S", source, "-B", tmp_path, *definitions],
        env={**os.environ, "PATH": path, "CUDACXX": str(nvcc), "CXX": shutil.which(compiler) or compiler},
        capture_output=True,
        text=True,
    )
    rules = "".join(file.read_text() for file in tmp_path.glob("*") if file.name in ("Makefile", "build.ninja"))
    return done.returncode, " ".join((done.stdout + done.stderr).split()), rules


@pytest.mark.parametrize("definitions", [(), ("EQUISHARE_CUDA=AUTO",), ("EQUISHARE_CUDA=OFF",)])
def test_cuda_is_left_out_unless_asked_for_or_found(tmp_path, definitions):
    status, said, rules = configure(tmp_path, *definitions)
    assert status == 0, said
    assert "_core" in rules and "kernels_cuda" not in rules
    hint = "Without CUDA kernels; to build them: EQUISHARE_CUDA=ON pip install ."
    assert (hint in said) == ("EQUISHARE_CUDA=AUTO" not in definitions)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (
            "EQUISHARE_CUDA=ON",
            "CUDA is ON, but no CUDA compiler is found: put nvcc in PATH or set CUDACXX to it",
        ),
        ("EQUISHARE_CUDA=SOMETIMES", "EQUISHARE_CUDA must be AUTO, ON or OFF, got 'SOMETIMES'"),
        ("EQUISHARE_KERNELS=MAYBE", "EQUISHARE_KERNELS must be AUTO, ON or OFF, got 'MAYBE'"),
    ],
)
def test_what_cannot_be_built_is_an_error(tmp_path, definition, message):
    status, said, _ = configure(tmp_path, definition)
    assert status != 0 and message in said


@pytest.mark.parametrize(
    ("definitions", "compiler", "warns"), [((), "/nowhere/c++", True), (("EQUISHARE_KERNELS=OFF",), "c++", False)]
)
def test_without_a_compiler_or_on_demand_there_are_no_kernels(tmp_path, definitions, compiler, warns):
    status, said, rules = configure(tmp_path, *definitions, compiler=compiler)
    assert status == 0, said
    assert ("built without kernels" in said) == warns
    assert "_core" not in rules
    if warns:
        status, said, _ = configure(tmp_path / "on", "EQUISHARE_KERNELS=ON", compiler=compiler)
        assert status != 0, said


@pytest.mark.parametrize("flag", ["-std=c++17", "-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON"])
def test_a_compiler_that_cannot_build_the_kernels_is_a_warning_unless_they_are_asked_for(tmp_path, flag):
    definitions = (flag.removeprefix("-D"),)
    trouble = "has no OpenMP"
    if flag.startswith("-std"):
        old = tmp_path / "c++"  # one that knows no newer standard
        old.write_text(f'#!/bin/sh\nexec {shutil.which("c++")} "$@" {flag}\n')
        old.chmod(0o755)
        definitions, trouble = (), "lacks C++20, vector types or a working OpenMP"
    compiler = "c++" if definitions else str(tmp_path / "c++")
    status, said, rules = configure(tmp_path / "auto", *definitions, compiler=compiler)
    assert status == 0 and "built without kernels" in said and trouble in said and "_core" not in rules
    status, said, _ = configure(tmp_path / "on", *definitions, "EQUISHARE_KERNELS=ON", compiler=compiler)
    assert status != 0 and "EQUISHARE_KERNELS is ON, but" in said and trouble in said


# Promises of the kernels, which plain PyTorch does not make: memory, equal bits, and the kernels themselves.
OF_KERNELS = (
    "never_stored or is_stored or equal_bits or do_not_depend_on_threads or spoilt or instruction_set or registr"
)


@pytest.mark.slow
def test_all_answers_are_the_same_without_kernels():
    files = ("ops", "soft", "hard", "relax", "gradients", "compact", "direct", "discovery", "path", "problems")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "without_kernels", "-k", f"not ({OF_KERNELS})", "-m", "not slow"]
        + ["-p", "no:cacheprovider", *(f"tests/test_{file}.py" for file in files)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_without_kernels_one_warning_says_so(run_python):
    code = """
import sys, warnings
sys.modules["equishare._core"] = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import numpy as np, torch, equishare as es
    from equishare import _native
    rng = np.random.default_rng(0)
    samples = rng.normal([0, 0, 3, 3, 6], 1.0, size=(100, 5))
    print(es.discover(es.MeanProblem(train=samples[:50], val=samples[50:])).partition)
    x = rng.normal(size=(200, 3))
    w = np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1.]])
    y = x @ w.T + 0.1 * rng.normal(size=(200, 3))
    print(es.discover(es.LinearProblem(x[:100], y[:100], x_val=x[100:], y_val=y[100:])).symmetry())
    x, y = (torch.tensor(a, dtype=torch.float32) for a in (x, y))
    model = torch.nn.Linear(3, 3, bias=False)
    es.share(model, "weight", 3)
    problem = es.ModelProblem(model, (x[:100], y[:100]), (x[100:], y[100:]), torch.nn.functional.mse_loss)
    found = es.discover(problem, "bilevel", restarts=1, steps=20, fit_steps=50)
    print([p.num_groups for p in found.partitions.values()])
    es.ops.empty_cache()
print([str(one.message) for one in caught])
print(_native.instruction_set(), _native.instruction_sets())
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    means, group, count, warned, kernels = done.stdout.splitlines()
    assert means == "Partition([0, 0, 1, 1, 2], num_groups=3)" and "C_3" in group and count.startswith("[")
    assert warned.count("EQUISHARE_KERNELS=ON pip install .") == 1 and warned.count("', '") == 0
    assert kernels == "none, plain PyTorch []"


def test_plain_segmentation_is_that_of_the_kernel():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 7, 30, 100):
        value, weight = np.sort(rng.normal(size=count).round(1)), rng.uniform(0.5, 2, count)
        starts, cost = np.zeros((count, count), np.int32), np.empty(count)
        addresses = (a.ctypes.data for a in (value, weight, starts, cost))
        _native.core.segmentation_path(count, count, *addresses)
        plain_starts, plain_cost = reference.segmentation_path(value, weight, count)
        np.testing.assert_array_equal(plain_starts, starts)
        np.testing.assert_array_equal(plain_cost, cost)
