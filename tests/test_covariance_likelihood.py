"""The likelihood of a covariance that a group leaves unchanged, integrated exactly; and that of any tied pattern."""

import itertools

import numpy as np
import pytest
import scipy

from equishare.problems.commutant import Commutant, distinct, log_likelihood
from equishare.problems.tied_covariance import fit_tied, mean_errors
from equishare.search.covariance.price import pair_orbits


def quaternion_generators():
    """Left multiplications of Q_8 on two copies of itself: blocks whose parts have quaternionic maps between them."""
    table = {"1": np.eye(2), "i": np.array([[1j, 0], [0, -1j]]), "j": np.array([[0, 1], [-1, 0]])}
    table["k"] = table["i"] @ table["j"]
    elements = [s * table[name] for name in "1ijk" for s in (1, -1)]

    def left(g):
        return [next(n for n, e in enumerate(elements) if np.allclose(e, table[g] @ h)) for h in elements]

    return [np.array([*left(g), *(8 + n for n in left(g))]) for g in "ij"]


def log_marginal(commutant, second, count, target, strength):
    return commutant.log_marginals(second, count, target, np.array([strength]))[0]


GROUPS = {
    "trivial": ([], 4, {1}),
    "exchange": ([np.array([1, 0, 2, 3, 4])], 5, {1}),
    "ring": ([np.roll(np.arange(6), 1)], 6, {1}),
    "two rings turned together": ([np.array([1, 2, 0, 4, 5, 3])], 6, {1, 2}),
    "quaternions": (quaternion_generators(), 16, {1, 4}),
    "all": ([np.array([1, 2, 3, 4, 0]), np.array([1, 0, 2, 3, 4])], 5, {1}),
}


@pytest.mark.parametrize("name", GROUPS)
def test_blocks_count_the_orbits(name):
    generators, size, kinds = GROUPS[name]
    orbits = pair_orbits(generators, size)
    blocks = Commutant(orbits).blocks
    free = sum(b.count + b.numbers * b.count * (b.count - 1) // 2 for b in blocks)
    assert free == orbits.max() + 1
    assert sum(b.count * b.dimension for b in blocks) == size
    assert {b.numbers for b in blocks} == kinds


def test_eigenvalues_that_nearly_coincide_by_chance_are_of_parts_of_their_own():
    # Of 49 variables some may be exchanged: two eigenvalues of the first random element lie 1e-7 apart.
    sets = ((0, 10, 29), (1, 4), (3, 11, 12, 13), (5, 16, 38), (9, 32), (14, 22), (17, 24), (21, 25))
    swaps = []
    for a, b in [pair for one in sets for pair in itertools.pairwise(one)]:
        swaps.append(np.arange(49))
        swaps[-1][[a, b]] = b, a
    blocks = Commutant(pair_orbits(swaps, 49)).blocks
    assert all(b.basis.shape == (49, b.count * b.dimension) for b in blocks)
    assert sum(b.count + b.numbers * b.count * (b.count - 1) // 2 for b in blocks) == 711


@pytest.mark.parametrize("name", GROUPS)
def test_samples_one_after_the_other_are_as_probable_as_together(name):
    # The posterior given the first samples is the prior of the others: this tests every normalising constant.
    generators, size, _ = GROUPS[name]
    commutant, rng = Commutant(pair_orbits(generators, size)), np.random.default_rng(0)
    first, second = (rng.normal(size=(n, size)) for n in (3, 4))
    a, b = (commutant.project(x.T @ x / len(x)) for x in (first, second))
    target, strength = commutant.project(np.cov(rng.normal(size=(50, size)).T)), 2.5
    together = log_marginal(commutant, (3 * a + 4 * b) / 7, 7, target, strength)
    learnt = (strength * target + 3 * a) / (strength + 3)
    apart = log_marginal(commutant, a, 3, target, strength) + log_marginal(commutant, b, 4, learnt, strength + 3)
    assert together == pytest.approx(apart, abs=1e-8)


def test_the_density_of_a_sample_integrates_to_one():
    commutant = Commutant(np.array([[0, 1], [1, 0]]))
    grid = np.linspace(-60, 60, 161)
    step = grid[1] - grid[0]
    target = np.array([[1.0, 0.3], [0.3, 1.0]])
    density = [
        np.exp(log_marginal(commutant, commutant.project(np.outer(x, x)), 1, target, 6.0))
        for x in itertools.product(grid, grid)
    ]
    assert sum(density) * step**2 == pytest.approx(1, abs=2e-3)


def test_without_a_group_it_is_the_inverse_wishart():
    rng = np.random.default_rng(1)
    x, target, nu, p = rng.normal(size=(6, 3)), np.diag([1.0, 2.0, 0.5]), 3.0, 3
    freedom = nu + p + 1
    scatter = x.T @ x
    expected = (
        scipy.special.multigammaln((freedom + 6) / 2, p)
        - scipy.special.multigammaln(freedom / 2, p)
        + freedom / 2 * np.linalg.slogdet(nu * target)[1]
        - (freedom + 6) / 2 * np.linalg.slogdet(nu * target + scatter)[1]
        - 9 * np.log(np.pi)
    )
    assert log_marginal(Commutant(distinct(3)), scatter / 6, 6, target, nu) == pytest.approx(expected)


@pytest.mark.parametrize("name", GROUPS)
def test_many_strengths_at_once(name):
    generators, size, _ = GROUPS[name]
    commutant, rng = Commutant(pair_orbits(generators, size)), np.random.default_rng(2)
    second = commutant.project(np.cov(rng.normal(size=(30, size)).T))
    target = commutant.project(np.cov(rng.normal(size=(30, size)).T))
    strengths = np.array([1.0, 8.0, 1e4, np.inf])
    found = commutant.log_marginals(second, 29, target, strengths)
    assert found == pytest.approx([log_marginal(commutant, second, 29, target, nu) for nu in strengths])
    assert found[-1] == pytest.approx(log_likelihood(target, second, 29))
    # With so strong a prior the covariance is the target, too.
    assert commutant.log_marginals(second, 29, target, np.array([1e9])) == pytest.approx(found[-1:], abs=1e-3)


@pytest.mark.parametrize("name", GROUPS)
def test_the_mean_of_the_group_is_the_projection(name):
    generators, size, _ = GROUPS[name]
    commutant, matrix = (
        Commutant(pair_orbits(generators, size)),
        np.cov(np.random.default_rng(3).normal(size=(40, size)).T),
    )
    every = [np.arange(size)]
    while True:
        more = {tuple(g[p]) for p in map(np.array, every) for g in generators} | set(map(tuple, every))
        if len(more) == len(every):
            break
        every = sorted(more)
    mean = sum(matrix[np.ix_(p, p)] for p in map(np.array, every)) / len(every)
    assert np.allclose((mean + mean.T) / 2, commutant.project(matrix))


def toeplitz(size):
    return np.abs(np.arange(size)[:, None] - np.arange(size))


@pytest.mark.parametrize(
    "labels",
    [
        toeplitz(6),
        np.where(np.eye(5, dtype=bool), np.arange(5), 5),
        np.where(np.eye(4, dtype=bool), 0, 1 + distinct(4)),
    ],
    ids=["line", "one covariance", "one variance"],
)
def test_no_neighbour_is_likelier(labels):
    rng = np.random.default_rng(4)
    second = np.cov(rng.normal(size=(40, len(labels))).T) + 0.3
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    values = fit_tied(labels, second)
    best = log_likelihood(values[labels], second, 1)
    for group in range(len(values)):
        for change in (-1e-3, 1e-3):
            moved = values + change * (np.arange(len(values)) == group)
            assert log_likelihood(moved[labels], second, 1) < best


def test_of_orbits_the_means_are_likeliest():
    labels, rng = pair_orbits([np.roll(np.arange(6), 1)], 6), np.random.default_rng(5)
    second = np.cov(rng.normal(size=(20, 6)).T)
    means = np.bincount(labels.ravel(), second.ravel()) / np.bincount(labels.ravel())
    assert np.allclose(fit_tied(labels, second), means, atol=1e-6)


def test_no_covariance_has_all_entries_equal():
    assert fit_tied(np.zeros((3, 3), int), np.eye(3)) is None


def test_errors_of_the_means_of_groups():
    labels, rng = toeplitz(4), np.random.default_rng(6)
    covariance = 0.6 ** toeplitz(4)
    draws = []
    for _ in range(3000):
        x = rng.multivariate_normal(np.zeros(4), covariance, size=25)
        draws.append(np.bincount(labels.ravel(), (x.T @ x / 25).ravel()) / np.bincount(labels.ravel()))
    assert mean_errors(labels, covariance, 25) == pytest.approx(np.std(draws, axis=0), rel=0.05)
