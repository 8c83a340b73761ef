"""Ctrl-C is one line and exit code 130, at whatever moment it comes: while torch is loaded as well as later."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGINT to send on this system")

# An import hook sends Ctrl-C when a module is asked for: moments that do not hang on the clock. Tests that run in the
# background inherit that Ctrl-C is ignored.
CODE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
wanted = sys.argv[1]
class Moment:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Moment())
sys.argv = ["equishare", *sys.argv[2:]]
from equishare.cli import main
main()
"""

MOMENTS = ["typer", "rich.console", "numpy", "torch", "torch.nn", "torch._C", "torch.distributed", "scipy", "pandas"]


@pytest.mark.parametrize("module", [*MOMENTS, "equishare.discover", "equishare.report.page", "equishare.methods.auto"])
def test_while_modules_are_loaded(tmp_path, module):
    np.savetxt(tmp_path / "d.csv", np.random.default_rng(0).normal(size=(30, 3)), delimiter=",", header="a,b,c")
    command = [sys.executable, "-c", CODE, module, "discover", tmp_path / "d.csv", "--means", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "equishare: interrupted\n")
    left = os.listdir(tmp_path / "out") if (tmp_path / "out").exists() else []
    assert not [name for name in left if name.startswith(".")]  # whole files or none


@pytest.mark.parametrize(
    "arguments", [["--version"], ["reproduce", "bound", "--trials", "1"], ["bench", "--quick", "--no-compile"]]
)
def test_in_every_command(arguments):
    command = [sys.executable, "-c", CODE, "torch", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "equishare: interrupted\n")


def test_as_a_module():
    """``python -m equishare``, interrupted while its command line is loaded."""
    code = CODE.replace("from equishare.cli import main\nmain()", "import runpy\nrunpy.run_module('equishare')")
    done = subprocess.run([sys.executable, "-c", code, "typer"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "equishare: interrupted\n")


@pytest.mark.parametrize("handler", ["SIG_IGN", "lambda number, frame: None"])
def test_handlers_of_others_are_left_alone(run_python, handler):
    code = f"""
import os, signal
from signal import SIG_IGN
mine = {handler}
signal.signal(signal.SIGINT, mine)
from equishare.interrupts import loading
with loading():
    assert signal.getsignal(signal.SIGINT) is mine or signal.getsignal(signal.SIGINT) == mine
    os.kill(os.getpid(), signal.SIGINT)
assert signal.getsignal(signal.SIGINT) == mine
print("done")
"""
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_other_threads_may_load(run_python):
    code = """
import signal, threading
from equishare.interrupts import loading
def work():
    with loading():
        print(signal.getsignal(signal.SIGINT) is before)
before = signal.getsignal(signal.SIGINT)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
