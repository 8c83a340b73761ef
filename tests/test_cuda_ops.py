"""The tests of the operations, on the path that tensors on a CUDA device take."""

import os
import subprocess
import sys

import pytest
import torch

HERE = os.path.dirname(__file__)
# Of instruction sets and numbers of threads. (test_hard.py passes over them too, in minutes: pytest -p emulated_ops.)
ELSEWHERE = "not every_instruction_set and not equal_bits"


def test_the_operations_over_emulated_kernels(emulation, shared_folder):
    files = [os.path.join(HERE, file) for file in ("test_ops.py", "test_soft.py", "test_relax.py", "test_gradients.py")]
    plugins = ["-p", "emulated_ops", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *plugins, "-k", ELSEWHERE, *files],
        env={**os.environ, "PYTHONPATH": HERE, "EQUISHARE_EMULATED": str(shared_folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_every_operation_is_registered_for_devices():
    from equishare import ops  # noqa: F401

    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("equishare::")]
    assert len(names) >= 10
    for name in names:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(name, "CUDA"), name


@pytest.mark.cuda
@pytest.mark.parametrize("index", [0, 1])
def test_operations_on_a_device_queue_on_the_current_stream(index):
    if torch.cuda.device_count() <= index:
        pytest.skip(f"no CUDA device of index {index}")
    from equishare import _native, ops

    if _native.cuda is None:
        pytest.skip("equishare was built without CUDA kernels")
    place = torch.device("cuda", index)
    logits, values = torch.randn(300, 100, device=place), torch.randn(100, device=place)
    with torch.cuda.device(0), torch.cuda.stream(torch.cuda.Stream(place)):
        theta = ops.soft_gather(logits * 2, values)
        assert torch.cuda.current_device() == 0
    torch.cuda.synchronize(place)
    torch.testing.assert_close(theta, torch.softmax(logits * 2, -1) @ values)


def test_without_cuda_kernels_a_device_has_none(monkeypatch):
    from equishare import _native

    class OnDevice:
        is_cpu, is_cuda = False, True

    monkeypatch.setattr(_native, "cuda", None)
    assert not _native.serves(OnDevice())


def test_the_module_tells_its_architectures(emulation):
    assert emulation.module.architectures() == "75-real 90"
