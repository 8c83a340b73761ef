"""Averages over partitions of levels: draws that leave the posterior as it is, chains that forget their start."""

import numpy as np
import pytest
import scipy

from equishare.lab.studies import factors
from equishare.search.averaging import averaged
from equishare.search.by_factor import FactorSearch
from equishare.search.mixture import Values, log_likelihood, resampled
from equishare.search.spacing import gap_sums, log_alone, log_even, width_sums

CHAINS = 64


def log_independent(at):
    """Log density of ascending values that are N(0, 1) each."""
    number = at.active.sum(-1)
    normal = -0.5 * (np.where(at.active, at.values, 0) ** 2).sum(-1) - 0.5 * number * np.log(2 * np.pi)
    return normal + scipy.special.gammaln(number + 1)


def states(log_number, pull, weight, rounds):
    rng = np.random.default_rng(0)
    most = len(log_number)
    state = Values(np.zeros((CHAINS, most)), np.tile(np.where(np.arange(most) == 0, 0.0, -np.inf), (CHAINS, 1)))
    pull, weight = np.tile(pull, (CHAINS, 1)), np.tile(weight, (CHAINS, 1))
    for _ in range(rounds):
        state = resampled(state, pull, weight, np.ones(CHAINS), log_number, log_independent, rng)
        yield state


def test_without_data_the_number_of_values_has_its_prior():
    prior = np.array([0.5, 0.3, 0.2])
    counts = np.zeros(3)
    for round_, state in enumerate(states(np.log(prior), np.zeros(5), np.full(5, 1e-9), 250)):
        if round_ >= 20:
            counts += np.bincount(state.active.sum(1) - 1, minlength=3)
    np.testing.assert_allclose(counts / counts.sum(), prior, atol=0.03)


def test_means_are_those_of_numerical_integration():
    weight = np.array([4.0, 6.0, 2.0, 5.0])
    pull = weight * np.array([-0.9, -0.5, 0.2, 1.1])
    log_number = np.log([0.4, 0.6])
    # One value and two, on a grid of values and shares.
    grid, share = np.linspace(-4, 4, 81), (np.arange(40) + 0.5) / 40
    one = Values(np.stack([grid, 0 * grid], 1), np.tile([0.0, -np.inf], (81, 1)))
    low, high, part = (own.ravel() for own in np.meshgrid(grid, grid, share, indexing="ij"))
    kept = low < high
    two = Values(np.stack([low, high], 1)[kept], np.log(np.stack([part, 1 - part], 1)[kept]))
    step = grid[1] - grid[0]
    total, mean = 0.0, np.zeros(4)
    for number, at, cell in ((1, one, step), (2, two, step**2 / 40)):
        log_p = log_likelihood(Values(at.values[None], at.log_share[None]), pull[None], weight[None])[0]
        p = np.exp(log_p + log_independent(at) + log_number[number - 1]) * cell
        total += p.sum()
        mean += p @ level_means(at, pull, weight)
    drawn = [level_means(state, pull, weight).mean(0) for state in states(log_number, pull, weight, 300)][20:]
    np.testing.assert_allclose(np.mean(drawn, axis=0), mean / total, atol=0.02)


def level_means(at, pull, weight):
    """(…, L) mean effect of each level given values and shares."""
    values = at.values[:, None, :]
    p = np.exp(at.log_share[:, None, :] + (pull[:, None] - 0.5 * weight[:, None] * values) * values)
    return (p * values).sum(2) / p.sum(2)


def test_gaps_of_other_factors_tell_how_far_apart_values_lie():
    active = np.ones((1, 3), bool)
    even = gap_sums(np.array([[-3.0, 0.0, 3.0]]), active)
    odd = gap_sums(np.array([[-3.0, 2.5, 3.0]]), active)
    narrow = gap_sums(np.array([[-0.1, 0.0, 0.1]]), active)
    none, unit = np.zeros((3, 1)), np.log([0.5])
    assert log_even(even, none, unit) > log_even(odd, none, unit)
    assert log_even(even, even, unit) > log_even(even, none, unit) > log_even(even, narrow, unit)
    assert log_even(even, even, unit) > log_alone(np.array([[-3.0, 0.0, 3.0]]), active, np.array([9.0]))


@pytest.mark.parametrize("is_even", [False, True])
def test_what_values_tell_of_their_width(is_even):
    values, active = np.array([-1.0, 0.5, 2.0, 0.0]), np.array([True, True, True, False])
    own, number = values[active], active.sum()
    widths = np.array([0.3, 1.0, 4.0])
    # Independent values, or a mean and gaps of a scale of their own.
    normal = scipy.stats.norm.logpdf
    log_p = [
        normal(own.mean(), scale=np.sqrt(w2 / number)) if is_even else normal(own, scale=np.sqrt(w2)).sum()
        for w2 in widths
    ]
    count, squares = width_sums(values, active, np.array(is_even))
    np.testing.assert_allclose(np.diff(log_p), np.diff(-0.5 * (count * np.log(widths) + squares / widths)))


@pytest.mark.parametrize("noise", [6.25, 100.0])
def test_averages_do_not_depend_on_their_start(noise):
    (problem,) = factors.draw(np.random.default_rng(1), 1, setting=1, noise=noise).problems
    estimate = problem.estimate()
    search = FactorSearch.of(estimate.effects, estimate.ordered)
    sizes = search.quadratic.sizes
    tied = tuple(np.zeros(size, np.int64) for size in sizes)
    active = np.repeat([0, 1, 2], factors.SIZES[1])
    true = tuple(active if j < factors.ACTIVE else own for j, own in enumerate(tied))
    pairs = tuple(np.arange(size) // 2 for size in sizes)
    starts = [
        averaged(search.tied(one, estimate.effects), one, estimate.ordered, search.width2) for one in (tied, true)
    ]
    starts.append(averaged(estimate.effects, pairs, estimate.ordered, search.width2))
    effects = np.array([one.effects for one in starts])
    assert (effects.std(0) ** 2).sum() < 0.06 * (effects.mean(0) ** 2).sum()
