"""What is decided once per process: the instruction set and the OpenMP runtime."""

import re

from equishare import _native


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
