"""Errors of the vector functions in units in the last place, as csrc/vec_math.h states them."""

import numpy as np
import pytest
import torch

from equishare._native import core

MODULES = {torch.float32: core.f32, torch.float64: core.f64}


def call(name, x):
    out = torch.empty_like(x)
    getattr(MODULES[x.dtype], name)(x.numel(), x.data_ptr(), out.data_ptr())
    return out.numpy()


def worst(ours, exact, dtype, bound):
    digits = np.finfo(ours.dtype).nmant
    unit = np.exp2(np.floor(np.log2(np.abs(exact))) - digits)
    return float((np.abs(ours.astype(exact.dtype) - exact) / unit / bound).max())


def spread(low, high, dtype):
    """Numbers at equal distances, and closer and closer to 0."""
    near = torch.logspace(-12, 0, 200_001, dtype=torch.float64)
    return torch.cat((torch.linspace(low, high, 2_000_001, dtype=torch.float64), near, -near)).to(dtype)


@pytest.mark.parametrize(("dtype", "low", "high"), [(torch.float32, -87.3, 87.9), (torch.float64, -708.3, 708.9)])
def test_exp(dtype, low, high):
    x = spread(low, high, dtype)
    exact = np.exp(x.numpy().astype(np.longdouble))
    assert worst(call("exp", x), exact, dtype, 2.5 + 1.25 * x.abs().numpy()) <= 1


@pytest.mark.parametrize(("dtype", "largest"), [(torch.float32, 38), (torch.float64, 300)])
def test_log(dtype, largest):
    x = torch.cat((torch.logspace(0, largest, 1_000_001, dtype=torch.float64), 1 + spread(0, 3, torch.float64).abs()))
    x = x.to(dtype).clamp_min(1)
    x = x[x > 1]
    assert worst(call("log", x), np.log(x.numpy().astype(np.longdouble)), dtype, 2) <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends_of_the_range(dtype):
    inf, nan = float("inf"), float("nan")
    assert call("exp", torch.tensor([-inf, torch.finfo(dtype).min, -1e5, 0], dtype=dtype)).tolist() == [0, 0, 0, 1]
    assert (call("exp", torch.tensor([inf, torch.finfo(dtype).max, 1e5], dtype=dtype)) >= 1e38).all()
    assert np.isnan(call("exp", torch.tensor([nan], dtype=dtype))[0])
    assert call("log", torch.tensor([1], dtype=dtype))[0] == 0
    assert np.isnan(call("log", torch.tensor([nan], dtype=dtype))[0])
