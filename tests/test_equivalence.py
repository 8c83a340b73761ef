"""The test that a function commutes with a group up to a tolerance: its level, its power, what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import equishare as es
from equishare.symmetry.equivalence import _upper_bounds

RNG = np.random.default_rng(0)
RING = es.named_group("D_6")
X = RNG.standard_normal((400, 6))
SHIFT = np.roll(np.eye(6), 1, axis=0)
CIRCULANT = 2 * np.eye(6) + 0.5 * (SHIFT + SHIFT.T)


def nearly(size):
    return CIRCULANT + size * np.random.default_rng(1).standard_normal((6, 6))


def true_defects(weight, group):
    """For x of independent standard normal entries."""
    size = np.linalg.norm(weight)
    return np.array([np.linalg.norm(weight[np.ix_(p, q)] - weight) / size for p, q in group.generators])


def test_what_commutes_is_shown():
    found = es.equivalence_test(lambda x: np.tanh(x @ CIRCULANT), RING, X, 1e-6)
    assert found.holds
    assert max(found.bounds.max(), found.mean_bound) < 1e-12
    assert str(found).startswith("Equivariance up to 1e-06 holds: with 95 % confidence the relative defect is at most ")
    assert str(found).endswith("(400 samples).")


def test_bounds_lie_above_the_defects_and_close_in():
    weight = nearly(0.1)
    true = true_defects(weight, RING)
    widths = []
    for count in (50, 400, 6000):
        x = np.random.default_rng(count).standard_normal((count, 6))
        found = es.equivalence_test(lambda x: x @ weight.T, RING, x, 0.5)
        assert (found.bounds > found.defects).all()
        assert found.mean_bound > found.mean_defect
        np.testing.assert_allclose(found.defects, es.equivariance_error(lambda x: x @ weight.T, RING, x, 1).errors)
        widths.append((found.bounds / true).max())
    assert widths[0] > widths[1] > widths[2] > 1
    assert widths[2] < 1.05


def test_not_refuted_is_not_shown():
    """A function that is nothing like equivariant, on too few samples for the permutation test to say so."""
    weight = nearly(0.3)
    true = true_defects(weight, RING).max()
    found = es.equivalence_test(lambda x: x @ weight.T, RING, X[:20], 0.9 * true)
    assert not found.holds
    assert "is not shown" in str(found)
    assert es.equivalence_test(lambda x: x @ weight.T, RING, X, 1.3 * true).holds


def test_the_mean_is_that_over_the_whole_group():
    weight = nearly(0.2)
    elements = [(p, q) for p, q in (RING.random_element(np.random.default_rng(s)) for s in range(4000))]
    squares = [np.linalg.norm(weight[np.ix_(p, q)] - weight) ** 2 for p, q in elements]
    true = np.sqrt(np.mean(squares)) / np.linalg.norm(weight)
    x = np.random.default_rng(5).standard_normal((20_000, 6))
    found = es.equivalence_test(lambda x: x @ weight.T, RING, x, 1.0)
    assert found.mean_defect == pytest.approx(true, rel=0.04)
    only_generators = es.equivalence_test(lambda x: x @ weight.T, RING.generators, X, 1.0)
    assert only_generators.mean_bound is None
    assert "mean over" not in str(only_generators)


def test_defects_of_products_add_up_where_the_distribution_is_unchanged():
    weight = nearly(0.2)
    shift, reflection = RING.generators
    product = tuple(q[p] for p, q in zip(shift, reflection, strict=True))
    size = np.linalg.norm(weight)
    defect = np.linalg.norm(weight[np.ix_(*product)] - weight) / size
    assert defect <= true_defects(weight, RING).sum()


# Squared defects with long tails, as a multiple of those with mean one: and the most that may be missed at 5 %.
TAILS = {
    "chi-squared, 1": (lambda rng, n: rng.chisquare(1, (n, 2)), 0.07),
    "log-normal, 1": (lambda rng, n: rng.lognormal(-0.5, 1, (n, 2)), 0.09),
    "log-normal, 1.5": (lambda rng, n: rng.lognormal(-1.125, 1.5, (n, 2)), 0.15),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("count", "trials"), [(30, 300), (100, 120), (400, 60)])
def test_bounds_miss_about_as_often_as_the_level_says(tail, count, trials):
    draw, most = TAILS[tail]
    rng, missed = np.random.default_rng(count), 0
    for _ in range(trials):
        spread = rng.chisquare(6, count)
        missed += (_upper_bounds(draw(rng, count), spread, 0.05 / 2, rng) < 1 / 6).any()
    # Three standard errors of a simulation of so many trials.
    assert missed / trials <= most + 3 * np.sqrt(0.05 * 0.95 / trials)


def test_a_function_at_the_tolerance_is_called_equivariant_no_more_often_than_the_level():
    weight = nearly(0.2)
    tolerance = true_defects(weight, RING).max()
    wrong = 0
    for seed in range(200):
        x = np.random.default_rng(seed).standard_normal((60, 6))
        wrong += es.equivalence_test(lambda x: x @ weight.T, RING, x, tolerance, seed=seed).holds
    assert wrong / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_models_invariants_and_trivial_groups():
    model = RING.average(torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Tanh(), torch.nn.Linear(9, 6)))
    assert es.equivalence_test(model, "D_6", X, 1e-4).holds
    assert es.equivalence_test(lambda x: x.max(1), RING, X, 1e-6, invariant=True).holds
    trivial = es.equivalence_test(np.tanh, es.named_group("trivial"), X[:, :1], 1e-6)
    assert trivial.holds
    assert str(trivial) == "The group is trivial: there is nothing to commute with."


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tolerance": 0}, ValueError, "tolerance must be above 0: no sample shows"),
        ({"tolerance": np.nan}, ValueError, "tolerance must be at least 0 and finite, got nan"),
        ({"tolerance": "small"}, TypeError, "tolerance must be a number such as 1e-6, got 'small'"),
        ({"level": "a"}, ValueError, "level must be a finite number above 0, got 'a'"),
        ({"invariant": "no"}, TypeError, "invariant must be True or False, got 'no'"),
        ({"level": 0.7}, ValueError, "level must be above 0 and below 0.5, got 0.7"),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0, got -1"),
        ({"x": X[:19]}, ValueError, "x must have at least 20 samples for a bound, got 19"),
        ({"function": lambda x: 0 * x}, ValueError, "function must vary over x"),
        ({"group": 3}, TypeError, "group must be a SymmetryGroup"),
        ({"function": 3}, TypeError, "function must be callable, got int"),
    ],
)
def test_bad_arguments(change, error, message):
    with pytest.raises(error, match=message):
        es.equivalence_test(**{"function": np.tanh, "group": RING, "x": X, "tolerance": 0.1, **change})
