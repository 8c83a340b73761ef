"""The emulation of CUDA blocks on the CPU: that it computes what a device would, and that it finds faults."""

import ctypes
import subprocess

import cuda_cases
import numpy as np
import pytest
from emulated import build_races

ENGINES = pytest.mark.parametrize(
    "options", [{"order": 0}, {"order": 1}, {"order": 2}, {"threads": True}], ids=["up", "down", "shuffled", "threads"]
)


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


@ENGINES
def test_warp_functions(emulation, options):
    blocks, threads = 2, 64
    out = np.zeros((blocks, threads, 8), dtype=np.int64)
    with emulation.options(**options):
        emulation.library.probe_warp_functions(pointer(out), ctypes.c_int64(blocks), threads)
    t = np.arange(threads)
    warp, lane = t // 32 * 32, t % 32
    votes = [sum(1 << i for i in range(32) if (first + i) % 3 == 0) for first in (0, 32)]
    peers = [sum(1 << i for i in range(32) if i % 4 == kind) for kind in range(4)]
    expected = [
        warp + 5,
        warp + (lane ^ 3),
        np.where(lane + 2 < 32, t + 2, t),
        np.where(lane - 2 >= 0, t - 2, t),
        np.array(votes)[t // 32],
        t // 32 == 1,
        t // 32 == 1,
        np.array(peers)[t % 4],
    ]
    assert np.array_equal(out, np.broadcast_to(np.stack(expected, -1), out.shape))


@ENGINES
def test_shared_memory_and_barriers(emulation, options):
    values = np.random.default_rng(0).normal(size=(5, 256))
    out = np.zeros_like(values)
    with emulation.options(**options):
        emulation.library.probe_reverse(pointer(values), pointer(out), ctypes.c_int64(5), 256)
    assert np.array_equal(out, values[:, ::-1])


def test_shared_memory_is_not_zero_before_it_is_written(emulation):
    out = np.zeros(32, dtype=np.float32)
    emulation.library.probe_unwritten(pointer(out))
    assert np.isnan(out).all()


FAULTS = {
    "threads that never come": ((0, 1, 64, 0), "others that never come"),
    "different barriers": ((1, 1, 64, 0), "different barriers"),
    "part of a warp": ((2, 1, 32, 0), "all 32 lanes"),
    "too many threads": ((0, 1, 2048, 0), "invalid launch of 1 blocks of 2048 threads"),
    "half a warp of threads": ((0, 1, 48, 0), "invalid launch"),
    "too much shared memory": ((0, 1, 64, 1 << 16), "65536 bytes of shared memory"),
    "too many blocks": ((0, 1 << 31, 64, 0), "invalid launch"),
}


@pytest.mark.parametrize("threads", [False, True], ids=["fibers", "threads"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_errors_that_name_the_kernel(emulation, fault, threads):
    (kind, blocks, size, shared), message = FAULTS[fault]
    emulation.library.probe_failure.restype = ctypes.c_char_p
    with emulation.options(threads=threads):
        error = emulation.library.probe_failure(kind, ctypes.c_int64(blocks), size, ctypes.c_int64(shared)).decode()
    assert error.startswith("CUDA: probe: ") and message in error


def test_half_precision_is_that_of_numpy(emulation):
    bits = np.arange(1 << 16, dtype=np.uint16)
    out = np.zeros_like(bits)
    emulation.library.probe_halves(pointer(bits), pointer(out), None, ctypes.c_int64(len(bits)))
    is_nan = np.isnan(bits.view(np.float16))
    assert np.array_equal(out[~is_nan], bits[~is_nan]) and np.isnan(out[is_nan].view(np.float16)).all()
    with np.errstate(over="ignore"):
        halves = bits.view(np.float16)[~is_nan].astype(np.float32)
        between = np.nextafter(np.float32(0.5) * (halves + np.roll(halves, -1)), [[-np.inf], [0], [np.inf]])
        floats = np.concatenate((between.ravel(), [65519.9, 65520.0, 1e10, -1e10, 1e-10])).astype(np.float32)
        floats = np.ascontiguousarray(floats[~np.isnan(floats)])
        expected = floats.astype(np.float16).view(np.uint16)
    out = np.zeros(len(floats), dtype=np.uint16)
    emulation.library.probe_halves(None, pointer(out), pointer(floats), ctypes.c_int64(len(floats)))
    assert np.array_equal(out, expected)


def test_every_barrier_is_needed(emulation, monkeypatch):
    """Without any one barrier of the kernels, results are wrong in some order of the threads."""

    def fails(**options):
        with emulation.in_place_of_device(monkeypatch), emulation.options(most_blocks=1, **options):
            try:
                cuda_cases.check_barriers("cpu")
            except (AssertionError, RuntimeError):
                return True
        return False

    assert not fails()
    barriers = [name for name in emulation.barriers() if not name.startswith("probes")]
    assert len(barriers) >= 14
    survivors = [name for name in barriers if not any(fails(order=order, without=name) for order in range(3))]
    # One, in a kernel with a warp a block: emulated warp functions order memory, those of a device do not.
    assert [name.split(":")[0] for name in survivors] == ["segments.cuh"]


def run_races(program, *barrier):
    command = [program, *barrier]
    quiet = "halt_on_error=1 report_signal_unsafe=0 exitcode=66"
    return subprocess.run(command, env={"TSAN_OPTIONS": quiet}, capture_output=True, text=True)


@pytest.fixture(scope="session")
def races(shared_folder):
    folder = shared_folder / "races"
    folder.mkdir(exist_ok=True)
    program = build_races(folder)
    done = run_races(program, "probe")
    if done.returncode != 0:
        pytest.skip(f"the thread sanitizer does not run here: {done.stderr.strip().splitlines()[0]}")
    return program


def test_no_races(races):
    done = run_races(races)
    assert done.returncode == 0, done.stderr[:4000]


def test_the_detector_finds_the_race_where_a_barrier_is_missing(races, emulation, monkeypatch):
    with emulation.in_place_of_device(monkeypatch):
        cuda_cases.check_barriers("cpu")
    done = run_races(races, next(name for name in emulation.barriers() if name.startswith("tiles.cuh")))
    assert done.returncode == 66 and "data race" in done.stderr, done.stderr[:4000]
