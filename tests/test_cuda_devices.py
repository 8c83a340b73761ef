"""Which CUDA devices the kernels serve: one that they hold no code for is left to plain PyTorch, in every operation."""

from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from equishare import _native, ops

DEFAULT = "75-real 80-real 90"


@pytest.mark.parametrize(
    ("architectures", "served", "refused"),
    [
        (DEFAULT, ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.1"], ["5.0", "6.1", "7.0", "7.2"]),
        ("75-real 80", ["7.5", "8.0", "9.0", "12.0"], ["7.0"]),
        ("86-real", ["8.6", "8.9"], ["8.0", "9.0", "12.0"]),
        ("75-real 90-real", ["7.5", "9.0"], ["8.0", "8.9", "10.0"]),
        ("80-virtual", ["8.0", "8.6", "12.0"], ["7.5"]),
        ("90a", ["9.0"], ["8.9", "10.0"]),
        ("100-real 120", ["10.0", "10.3", "12.0", "12.1"], ["9.0", "11.0"]),
        ("", [], ["9.0"]),
    ],
)
def test_devices_that_have_code(architectures, served, refused):
    for capabilities, expected in ((served, True), (refused, False)):
        for capability in capabilities:
            major, minor = map(int, capability.split("."))
            assert _native.has_code(architectures, (major, minor)) is expected, capability


@pytest.fixture
def a_device(monkeypatch):
    """Pretends to have a device of some compute capability, and kernels for it that must not be called."""

    def pretend(capability, architectures=DEFAULT):
        def forbidden(*arguments):
            raise AssertionError("a kernel was called")

        sizes = SimpleNamespace(relax_workspace=lambda *sizes: 0, relax_moments=lambda *sizes: 0)
        module = SimpleNamespace(architectures=lambda: architectures, f32=sizes)
        monkeypatch.setattr(_native, "cuda", module)
        monkeypatch.setattr(_native, "_is_served", {})
        monkeypatch.setattr(_native, "_queue", forbidden)
        monkeypatch.setattr(_native, "_addresses", forbidden)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GPU")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)

    return pretend


class Dispatched(TorchDispatchMode):
    """Notes whether an operator of equishare was called, or a kernel."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


def on_device(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="cuda")


# Large enough that a kernel would be taken.
OPERATIONS = {
    "soft_gather": lambda: ops.soft_gather(on_device(300, 100), on_device(100)),
    "soft_scatter": lambda: ops.soft_scatter(on_device(300, 100), on_device(300)),
    "soft_project": lambda: ops.soft_project(on_device(300, 100), on_device(300)),
    "assignment_penalties": lambda: ops.assignment_penalties(on_device(300, 100)),
    "soft_gather_penalties": lambda: ops.soft_gather_penalties(on_device(300, 100), on_device(100)),
    "hard_gather": lambda: ops.hard_gather(on_device(300, dtype=torch.uint8), on_device(100)),
    "hard_scatter": lambda: ops.hard_scatter(on_device(300, dtype=torch.uint8), on_device(300), 100),
    "shared_linear": lambda: ops.shared_linear(
        on_device(2, 300), on_device(200, 300, dtype=torch.uint8), on_device(100)
    ),
    "soft_step_forward": lambda: ops.soft_step_forward(on_device(300, 100), on_device(100)),
    "relax_forward": lambda: ops.relax_forward(on_device(1, 300, 100), on_device(1, 300)),
    "relax_moments": lambda: ops.relax_moments(on_device(1, 300, 100)),
}


def took_kernels(operation):
    with FakeTensorMode(), Dispatched() as dispatched, torch.no_grad():
        try:
            out = operation()
        except AssertionError as error:
            assert str(error) == "a kernel was called"
            return True
        except RuntimeError as error:  # plain torch was asked, and this one is built without CUDA
            assert "not linked with support for cuda" in str(error)
            return False
    if isinstance(out, torch.Tensor) and out.numel() == 0:
        return True  # the moments, whose size a kernel told
    return any(name.startswith("equishare::") for name in dispatched.names)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_older_device_is_left_to_plain_torch(name, a_device):
    a_device((9, 0))
    assert took_kernels(OPERATIONS[name])
    a_device((6, 1))
    assert not took_kernels(OPERATIONS[name])


@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ((9, 0), "built for sm_75, 80, 90; GPU (sm_90) is served"),
        ((6, 1), "built for sm_75, 80, 90; GPU (sm_61) is not in them, plain PyTorch serves it"),
    ],
)
def test_status_of_a_device(capability, said, a_device):
    a_device(capability)
    assert _native.cuda_status() == said


def test_status_without_a_device(a_device, monkeypatch):
    a_device((9, 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _native.cuda_status() == "built for sm_75, 80, 90; not served: PyTorch finds no GPU that it can use"
    monkeypatch.setattr(torch.version, "cuda", None)
    assert _native.cuda_status() == (
        f"built for sm_75, 80, 90; not served: PyTorch {torch.__version__} is built without CUDA"
    )


def test_status_without_kernels(monkeypatch):
    monkeypatch.setattr(_native, "cuda", None)
    monkeypatch.setattr(_native, "core", SimpleNamespace(without_cuda=lambda: "nvcc is of CUDA 11.0"))
    assert _native.cuda_status() == "not built (nvcc is of CUDA 11.0)"
    monkeypatch.setattr(_native, "core", None)
    assert _native.cuda_status() == "not built (there are none for the processor either)"
