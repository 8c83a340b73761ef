"""Data are read where they lie: problems of least squares take a part of them in float64 at a time, and no copy."""

import tracemalloc

import numpy as np
import pytest

import equishare as es


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["means", "map", "means with validation"])
def test_no_copy_of_the_samples(kind, dtype):
    x = np.random.default_rng(0).standard_normal((500_000, 20), dtype=dtype)
    calls = {
        "means": lambda: es.MeanProblem(x),
        "map": lambda: es.LinearProblem(x[:, :15], x[:, 15:]),
        "means with validation": lambda: es.MeanProblem(x[:300_000], x[300_000:]),
    }
    calls[kind]()  # what is loaded at a first call is not counted
    tracemalloc.start()
    try:
        calls[kind]()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Some parts of a million numbers, and two numbers for each row: its place in the split.
    assert peak < 12 * (1 << 20) * 8 + 2 * 8 * len(x)


def test_parts_give_the_same_answer(monkeypatch):
    from equishare.problems import moments

    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4)).astype(np.float32) + 1000
    y = x @ np.array([[1.0, 1, 3, 3], [3, 1, 1, 3]]).T + rng.normal(size=(300, 2))
    whole = [es.discover(es.LinearProblem(x, y)), es.discover(es.MeanProblem(x))]
    monkeypatch.setattr(moments, "_CHUNK_NUMBERS", 50)
    for found, one in zip([es.discover(es.LinearProblem(x, y)), es.discover(es.MeanProblem(x))], whole, strict=True):
        assert found.partition == one.partition
        np.testing.assert_allclose(found.values, one.values, rtol=1e-9)
        assert found.validation_loss == pytest.approx(one.validation_loss, rel=1e-9)
