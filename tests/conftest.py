import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# No test depends on the clock: a first call may load what the package leaves until then.
hypothesis.settings.register_profile("equishare", deadline=None)
hypothesis.settings.load_profile("equishare")
# Several test processes share the cores: each has its part of them, and a thread that waits must not spin. Read when
# torch and numpy are loaded.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture
def run_python():
    """Runs code in a fresh interpreter, for what is decided once per process."""

    def run(code, **environment):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """One folder for all test processes of a run, and for those that they start."""
    if given := os.environ.get("EQUISHARE_EMULATED"):
        return Path(given)
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def emulation(shared_folder):
    """The CUDA kernels, compiled for the CPU."""
    from emulated import Emulation, build_module

    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the emulation with")
    return Emulation(build_module(shared_folder))


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request, monkeypatch):
    """Where tensors are made so that operations on them take the CUDA kernels."""
    import torch

    from equishare import _native

    if request.param == "emulated":
        with request.getfixturevalue("emulation").in_place_of_device(monkeypatch):
            yield "cpu"
    elif not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    elif _native.cuda is None:
        pytest.skip("equishare was built without CUDA kernels")
    else:
        yield "cuda"
