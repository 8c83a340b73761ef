"""Sets of variables that are independent of each other: their likelihood, how they are found, and the groups beside."""

import numpy as np
import pytest
import scipy

import equishare as es
from equishare.problems.commutant import Commutant, distinct
from equishare.search.covariance.evidence import terms_of
from equishare.search.covariance.independent import independent_sets
from equishare.search.covariance.near import unequal_terms
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


def test_scales_far_from_equal_are_no_nearly_equal_ones():
    # Laplace's method about equal scales would give these a likelihood that no covariance near them has.
    second, orbits = np.diag([0.05, 1.0, 1.0, 20.0]), orbits_of_blocks(np.zeros(4, np.int64))
    commutant = Commutant(orbits)
    terms = unequal_terms(terms_of(commutant, second, 500), second, np.zeros(4, np.int64))
    free = terms_of(Commutant(distinct(4)), second, 500)
    assert terms.log_evidence < free.log_evidence
