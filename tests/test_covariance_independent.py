"""Sets of variables that are independent of each other: their likelihood, how they are found, and the groups beside."""

import numpy as np
import pytest
import scipy

import equishare as es
from equishare.problems.commutant import Commutant, distinct
from equishare.search.covariance.independent import independent_sets
from equishare.search.covariance.price import orbits_of_blocks, pair_orbits


def alike(size, variance, covariance):
    return (variance - covariance) * np.eye(size) + covariance


def drawn(covariance, count, seed):
    x = np.random.default_rng(seed).standard_normal((count, len(covariance)))
    return x @ np.linalg.cholesky(covariance).T


TWO_TRIPLES = [np.array([1, 2, 0, 3, 4, 5]), np.array([1, 0, 2, 3, 4, 5]), np.array([3, 4, 5, 0, 1, 2])]


def test_the_likelihood_is_that_of_each_set():
    second, target = np.cov(drawn(np.eye(5), 30, 0).T), np.diag([1.0, 2.0, 0.5, 1.0, 3.0])
    strengths = np.array([0.5, 8.0, np.inf])
    found = Commutant(distinct(5), np.array([0, 0, 1, 1, 1])).log_marginals(second, 30, target, strengths)
    parts = [np.ix_(own, own) for own in ([0, 1], [2, 3, 4])]
    each = [Commutant(distinct(len(at[0]))).log_marginals(second[at], 30, target[at], strengths) for at in parts]
    np.testing.assert_allclose(found, sum(each), rtol=1e-12)


def test_sets_that_the_group_exchanges_are_samples_of_one():
    orbits, sets = pair_orbits(TWO_TRIPLES, 6), np.array([0, 0, 0, 1, 1, 1])
    commutant = Commutant(orbits, sets)
    second = commutant.project(np.cov(drawn(np.eye(6), 25, 1).T))
    assert not second[:3, 3:].any() and np.array_equal(second[:3, :3], second[3:, 3:])
    strengths, target = np.array([0.5, 8.0, np.inf]), scipy.linalg.block_diag(alike(3, 2.0, 0.7), alike(3, 2.0, 0.7))
    found = commutant.log_marginals(second, 25, target, strengths)
    one = Commutant(orbits_of_blocks(np.zeros(3, np.int64)))
    alone = one.log_marginals(second[:3, :3], 50, target[:3, :3], 2 * strengths)
    np.testing.assert_allclose(found, alone, rtol=1e-12)


def test_sets_are_found():
    covariance = scipy.linalg.block_diag(alike(3, 2.0, 1.0), alike(2, 1.0, -0.4), np.eye(2))
    second = np.cov(drawn(covariance, 500, 2).T)
    found = independent_sets(distinct(7), [(second, 500)])
    assert np.array_equal(found.apart, covariance == 0)
    mean = found.terms[0].mean()
    assert not mean[found.apart].any()
    np.testing.assert_allclose(mean, covariance, atol=0.25)
    # Of two samples with the same sets.
    assert np.array_equal(independent_sets(distinct(7), [(second, 500)] * 2).apart, found.apart)
    assert independent_sets(distinct(3), [(alike(3, 2.0, 1.0), 500)]) is None
    assert independent_sets(distinct(3), [(np.diag([1.0, 2.0, 3.0]), 500)]) is None


@pytest.mark.parametrize("seed", range(3))
def test_exchangeable_variables_beside_independent_ones(seed):
    # One common factor with equal unique variances explains the first as well, but for the equal loads.
    x = drawn(scipy.linalg.block_diag(alike(3, 2.0, 1.0), np.eye(2)), 2400, seed)
    found = es.discover(es.CovarianceProblem(x))
    assert found.symmetry().name == "S_2 × S_3" or found.symmetry().name == "S_3 × S_2"
    assert np.abs(found.posterior_mean[:3, 3:]).max() < 0.02
    other = drawn(scipy.linalg.block_diag(alike(3, 2.0, 1.0), np.diag([0.5, 1.0, 2.0])), 6000, seed)
    assert es.discover(es.CovarianceProblem(other)).symmetry().name == "S_3"


def test_equal_sets_may_be_exchanged():
    x = drawn(scipy.linalg.block_diag(alike(3, 2.0, 1.0), alike(3, 2.0, 1.0)), 600, 0)
    found = es.discover(es.CovarianceProblem(x))
    assert found.symmetry().order == 72 and found.symmetry_probability > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_independent_sets_without_ties_have_no_group(seed):
    rng = np.random.default_rng(seed)
    factors = [rng.normal(size=(2 * size, size)) for size in (4, 3)]
    x = drawn(scipy.linalg.block_diag(*(one.T @ one / len(one) for one in factors)), 300, seed)
    assert es.discover(es.CovarianceProblem(x)).symmetry().verdict == "none"


def test_the_mean_is_right_where_a_group_is_far_off():
    # Laplace's method about equal scales gave a covariance far from them a likelihood that it does not have.
    scales = np.sqrt([1.78, 0.27, 0.78, 0.69, 0.62, 1.12])
    correlation = scipy.linalg.block_diag(alike(4, 1.0, 0.3), np.eye(2))[np.ix_([0, 4, 1, 2, 3, 5], [0, 4, 1, 2, 3, 5])]
    covariance = correlation * np.outer(scales, scales)
    found = es.discover(es.CovarianceProblem(drawn(covariance, 2400, 3))).posterior_mean
    ratio = np.linalg.solve(found, covariance)
    divergence = 0.5 * (np.trace(ratio) - 6 - np.linalg.slogdet(ratio)[1])
    assert divergence * 2400 < 21
