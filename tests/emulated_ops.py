"""A pytest plugin (``-p emulated_ops``): operations on CPU tensors call the emulated CUDA kernels.

So the tests of the operations run over the path that tensors on a device take: the order of arguments, the
scratch memory, registration and derivatives.
"""

import pytest


@pytest.fixture(autouse=True)
def emulated(emulation, monkeypatch):
    from equishare.ops import hard, soft

    # No composition of torch functions in place of a kernel.
    monkeypatch.setattr(soft, "_PLAIN", 0)
    monkeypatch.setattr(hard, "_FEW_ENTRIES", -1)
    with emulation.in_place_of_device(monkeypatch):
        yield
