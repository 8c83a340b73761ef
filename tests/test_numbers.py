"""Numbers at the ends of their range: all instruction sets agree with the plain composition in float64."""

import os
import subprocess
import sys

import number_cases
import pytest

from equishare import _native

HERE = os.path.dirname(__file__)


@pytest.mark.parametrize("instruction_set", _native.instruction_sets())
def test_every_instruction_set(instruction_set):
    done = subprocess.run(
        [sys.executable, "-W", "error", os.path.join(HERE, "number_cases.py")],
        env={**os.environ, "EQUISHARE_ISA": instruction_set},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_emulated_kernels_of_cuda(emulation, monkeypatch):
    with emulation.in_place_of_device(monkeypatch):
        number_cases.check()
