"""The evidence that slices are equal."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import equishare as es
from equishare.problems.estimates import BlockEstimate
from equishare.search.price import Structure, log_prior
from equishare.search.slices import log_odds_of_slices

LABELS = es.Partition(np.arange(8) % 4).labels


def estimate(places, error, of_groups=1.0, within=0.0, seed=0):
    rng = np.random.default_rng(seed)
    slices = of_groups * rng.normal(size=(4, places))[LABELS] + within * rng.normal(size=(8, places))
    return dense(slices + error * rng.normal(size=slices.shape), error)


def dense(values, error):
    return BlockEstimate.dense(values, error**2 * np.eye(values.size))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("error", [1e-3, 0.1, 0.5])
def test_equal_slices_are_told_from_a_continuum(error, seed):
    assert log_odds_of_slices(estimate(30, error, seed=seed), LABELS) > 5
    assert log_odds_of_slices(estimate(30, error, 0.0, 1.0, seed=seed), LABELS) < -5


@pytest.mark.parametrize("seed", range(5))
def test_slices_that_only_lie_near_each_other_are_not_equal(seed):
    assert log_odds_of_slices(estimate(30, 0.01, 0.3, 0.2, seed=seed), LABELS) < -5


def test_noise_alone_shows_no_pattern():
    assert max(log_odds_of_slices(estimate(10, 1.0, 0.0, seed=seed), LABELS) for seed in range(20)) < -5


def test_many_places_tell_what_one_does_not():
    noisy = estimate(30, 0.5).values
    each = [log_odds_of_slices(dense(noisy[:, [c]], 0.5), LABELS) for c in range(30)]
    assert max(each) < 0 < log_odds_of_slices(dense(noisy, 0.5), LABELS)


def test_the_odds_of_one_place_are_those_of_normal_densities():
    values, labels, error = np.array([[0.3], [0.5], [2.0]]), np.array([0, 0, 1]), 0.2
    spreads = np.geomspace(error / 4, values.std(), 12)
    found = []
    for alike in (labels[:, None] == labels, np.eye(3)):
        # Values of the place are drawn from a normal so wide that their prior is flat.
        covariances = [error**2 * np.eye(3) + spread**2 * alike + 1e6 for spread in spreads]
        densities = [multivariate_normal(np.zeros(3), one).pdf(values.ravel()) for one in covariances]
        found.append(np.log(np.mean(densities)))
    flat = log_prior(labels, Structure(), False)[0] + np.log(2) - log_prior(np.zeros(3, int), Structure(), False)[0]
    assert log_odds_of_slices(dense(values, error), labels) == pytest.approx(found[0] - found[1] + flat, abs=1e-3)


def test_directions_that_are_not_known_tell_nothing():
    # The sum of all values of each slice is not known: it may differ by anything, and does.
    one = estimate(6, 0.1)
    moved = one.values + 3 * np.random.default_rng(1).normal(size=(8, 1))
    covariance = 0.01 * np.eye(48) + 10 * np.kron(np.eye(8), np.ones((6, 6)))
    assert log_odds_of_slices(dense(moved, 0.1), LABELS) < -5
    assert log_odds_of_slices(BlockEstimate.dense(moved, covariance), LABELS) > 5


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_neither_the_unit_nor_an_offset_matters(unit):
    one = estimate(5, 0.3).values
    moved = log_odds_of_slices(dense(unit * (one + 7), unit * 0.3), LABELS)
    assert moved == pytest.approx(log_odds_of_slices(dense(one, 0.3), LABELS), rel=1e-6)


def test_places_where_all_slices_are_alike_do_not_speak_against_a_pattern():
    values = estimate(30, 0.1).values
    values[:, ::2] = 0.0
    assert log_odds_of_slices(dense(values, 0.1), LABELS) > 5
