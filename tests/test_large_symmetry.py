"""Symmetries of large weights, found by matrix products."""

import tracemalloc

import numpy as np
import pytest

import equishare as es
from equishare.linalg import solve
from equishare.problems.estimates import BlockEstimate
from equishare.search.alignment import Alignment
from equishare.search.large_alignment import LargeAlignment
from equishare.search.orbits import find_symmetries
from equishare.search.price import may_have_symmetry
from equishare.symmetry.boundary import offsets


def torus(side, rng):
    """Kernel of 10 values on a torus, rows and columns in any order."""
    offset = (offsets((side, side), (side, side), 1) - (side - 1)) % side
    weight = rng.integers(10, size=side**2)[offset[0] * side + offset[1]].astype(float)
    return weight[rng.permutation(side**2)][:, rng.permutation(side**2)]


def noisy(weight, error, rng):
    return weight + error * rng.normal(size=weight.shape), np.full(weight.shape, error**2)


@pytest.mark.parametrize("shape", [(5, 7), (6, 6)])
def test_scores_are_those_of_the_table(shape):
    rng = np.random.default_rng(0)
    estimates, variances = noisy(rng.integers(3, size=shape).astype(float), 0.5, rng)
    small, large = Alignment(estimates, variances), LargeAlignment(estimates, variances)
    for _ in range(3):
        outputs, inputs = (rng.permutation(n) for n in shape)
        inputs[:2] = np.sort(inputs[:2])
        table = small._ratio[:, :, outputs, :].astype(float)[np.arange(shape[0]), :, np.arange(shape[0])].sum(0)
        np.testing.assert_allclose(large._gain_inputs(outputs), table, atol=1e-3)
        known = inputs[:4]
        table = sum(small._ratio[:, i, :, j].astype(float) for i, j in zip(np.arange(4), known, strict=True))
        np.testing.assert_allclose(large._gain_outputs(np.arange(4), known), table, atol=1e-3)


@pytest.mark.parametrize("error", [1 / 2, 1 / 6])
def test_shifts_of_a_torus_are_found_in_any_order(error):
    rng = np.random.default_rng(3)
    weight = torus(6, rng)
    found = LargeAlignment(*noisy(weight, error, rng)).search(0)
    right = [(weight[outputs[:, None], inputs] == weight).all() for _, (outputs, inputs) in found]
    assert right[:6] == [True] * 6
    assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)


def test_weights_without_symmetry_have_none():
    rng = np.random.default_rng(0)
    values, variance = noisy(rng.integers(10, size=(70, 70)).astype(float), 1 / 3, rng)
    assert find_symmetries(BlockEstimate.diagonal(values, variance)) == []


def test_orbits_of_a_large_torus_in_memory_in_proportion():
    rng = np.random.default_rng(1)
    weight = torus(9, rng)  # 6561 entries
    estimate = BlockEstimate.diagonal(*noisy(weight, 1 / 3, rng))
    find_symmetries(BlockEstimate.diagonal(*noisy(rng.normal(size=(24, 171)), 1.0, rng)))  # loads modules
    tracemalloc.start()
    symmetries = find_symmetries(estimate)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    orbits = symmetries[0].orbits
    assert orbits.max() == 80 and all(np.ptp(weight[orbits == g]) == 0 for g in range(81))
    assert peak < 80e6  # a table of all pairs would take 172 MB
    truth = np.unique(weight, return_inverse=True)[1].reshape(weight.shape)
    assert any(
        es.partition_distance(np.unique(m, return_inverse=True)[1].reshape(m.shape), truth) < 200
        for m in symmetries[0].merges
    )


def test_which_weights_may_have_a_symmetry():
    assert may_have_symmetry((2, 2)) and may_have_symmetry((64, 64)) and may_have_symmetry((196, 196))
    assert may_have_symmetry((256, 256)) and may_have_symmetry((24, 1000)) and may_have_symmetry((1024, 1024))
    assert not may_have_symmetry((1025, 1024)) and not may_have_symmetry((5, 5000)) and not may_have_symmetry((9,))
    assert not may_have_symmetry((1, 9))


@pytest.mark.parametrize("size", [100, 200])
def test_large_systems_are_solved_like_small_ones(size):
    rng = np.random.default_rng(size)
    root = rng.normal(size=(size, 2 * size)) * 10.0 ** rng.integers(-3, 4, size=size)[:, None]
    matrix, right = root @ root.T, rng.normal(size=(size, 3))
    assert matrix @ solve(matrix, right) == pytest.approx(right, rel=1e-6, abs=1e-6)
    singular = root.copy()
    singular[0] = singular[1]
    matrix = singular @ singular.T
    right = matrix @ rng.normal(size=size)
    found = solve(matrix, right)
    assert matrix @ found == pytest.approx(right, rel=1e-6)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.slow
def test_discovery_of_a_large_torus():
    rng = np.random.default_rng(0)
    weight = torus(10, rng)
    x = rng.normal(size=(400, 100))
    y = x @ weight.T + np.sqrt(400 - 100) / 4 * rng.normal(size=(400, 100))
    found = es.discover(es.LinearProblem(x[:200], y[:200], x_val=x[200:], y_val=y[200:]))
    truth = np.unique(weight, return_inverse=True)[1].reshape(weight.shape)
    assert es.partition_distance(found.partition, truth) == 0
    assert str(found.symmetry()).startswith("C_10 × C_10, exact")
