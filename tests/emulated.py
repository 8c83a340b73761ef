"""Builds the CUDA kernels for the CPU (tests/cuda_emulation) and puts them in the place of the real ones."""

import ctypes
import importlib.util
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pybind11
import torch
from filelock import FileLock

from equishare import _native

ROOT = Path(__file__).parent.parent
HERE = ROOT / "tests" / "cuda_emulation"
KERNELS = sorted((ROOT / "csrc" / "cuda").glob("*.cu"))
# -U_FORTIFY_SOURCE: it takes the jumps between fibers for corruption of the stack.
FLAGS = ["-std=c++20", "-O1", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-U_FORTIFY_SOURCE"]
FLAGS += [f"-I{HERE}", f"-I{ROOT / 'csrc'}"]
CANARY = 64  # bytes beyond the scratch memory that no kernel may touch


def compile_all(folder, sources, flags):
    """Objects of the sources, two at a time."""

    def compile_one(source):
        target = folder / f"{source.name}.o"
        _check(["g++", *flags, "-x", "c++", "-c", str(source), "-o", str(target)])
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compile_one, sources))


def _check(command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert not done.stderr, done.stderr[-4000:]


def build_module(folder):
    """Path of the emulated module; the first of several test processes builds it for all."""
    target = folder / "_cuda.so"
    with FileLock(folder / "lock"):
        if not target.exists():
            headers = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}"]
            sources = [*KERNELS, HERE / "emulation.cpp", HERE / "probes.cu"]
            objects = compile_all(folder, sources, FLAGS)
            defined = ['-DEQUISHARE_CUDA_ARCHITECTURES="75-real 90"', "-fvisibility=hidden", "-O0"]
            objects += compile_all(folder, [ROOT / "csrc" / "bind_cuda.cpp"], [*FLAGS, *headers, *defined])
            _check(["g++", "-shared", *objects, "-o", str(target), "-pthread"])
    return target


def build_races(folder):
    """Path of a program that runs every kernel under the thread sanitizer."""
    target = folder / "races"
    with FileLock(folder / "lock"):
        if not target.exists():
            flags = [*FLAGS, "-fsanitize=thread", "-g1"]
            objects = compile_all(folder, [*KERNELS, HERE / "emulation.cpp", HERE / "races.cpp"], flags)
            _check(["g++", "-fsanitize=thread", *objects, "-o", str(target), "-pthread"])
    return target


class Emulation:
    """The emulated module and the switches of its emulation."""

    def __init__(self, path):
        # Another name than the real module's, which may be loaded already.
        spec = importlib.util.spec_from_file_location("emulated._cuda", path)
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.library = ctypes.CDLL(str(path))
        self.library.emulation_barrier.restype = ctypes.c_char_p
        self.library.emulation_barriers.restype = ctypes.c_int64

    def barriers(self):
        """Where the barriers reached so far stand, as file:line."""
        count = self.library.emulation_barriers()
        return [Path(self.library.emulation_barrier(ctypes.c_int64(n)).decode()).name for n in range(count)]

    @contextmanager
    def options(self, order=0, most_blocks=1 << 30, without="", threads=False):
        """Order of threads, grid limit, a barrier to leave out (file:line), threads instead of fibers."""
        self._set(order, most_blocks, without, threads)
        try:
            yield
        finally:
            self._set(0, 1 << 30, "", False)

    def _set(self, order, most_blocks, without, threads):
        self.library.emulation_order(order)
        self.library.emulation_most_blocks(ctypes.c_int64(most_blocks))
        self.library.emulation_leave_out(without.encode())
        self.library.emulation_use_threads(int(threads))

    @contextmanager
    def in_place_of_device(self, monkeypatch):
        """Operations on CPU tensors call the emulated kernels."""
        scratch = []
        with monkeypatch.context() as patch:
            patch.setattr(_native, "cuda", self.module)
            patch.setattr(_native, "_on_cuda", lambda tensor: True)
            patch.setattr(_native, "_place", lambda tensor: (0, 0))
            patch.setattr(_native, "_scratch", partial(_guarded, scratch))
            yield
        for size, memory in scratch:
            assert (memory[size:] == 0xFF).all(), "a kernel wrote beyond its scratch memory"


def _guarded(made, size, like):
    # Filled with what read as a float is NaN.
    memory = torch.full((size + CANARY,), 0xFF, dtype=torch.uint8)
    made[:] = [*made[-20:], (size, memory)]
    return memory
