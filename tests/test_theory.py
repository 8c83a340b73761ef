"""Bounds for selection on validation: values, limits, errors, and simulation where selection is hard."""

import math

import numpy as np
import pytest
from scipy.special import gammaln, lambertw
from scipy.stats import chi2, norm

from equishare import theory
from equishare.lab.studies import bound
from equishare.methods.brute_force import all_partitions
from equishare.problems.means import tied_means
from equishare.theory import gap_bound, gap_quantile, log_bell, path_miss_probability, risk_bound, simple_bound


def bell(size):
    """Exact Bell number by the Bell triangle."""
    row = [1]
    for _ in range(size - 1):
        following = [row[-1]]
        for value in row:
            following.append(following[-1] + value)
        row = following
    return row[-1]


def mean_chi(freedom):
    return math.sqrt(2) * math.exp(gammaln((freedom + 1) / 2) - gammaln(freedom / 2))


# values


def test_known_bell_numbers():
    assert [round(math.exp(log_bell(k))) for k in range(1, 11)] == [1, 2, 5, 15, 52, 203, 877, 4140, 21147, 115975]


@pytest.mark.parametrize("size", [20, 100, 700])
def test_log_bell_is_exact_for_many_entries(size):
    assert log_bell(size) == pytest.approx(math.log(bell(size)), rel=1e-13)


def test_log_bell_of_a_billion_entries_has_its_asymptotic_size():
    # log Bell(K) / K = log K - log log K - 1 + log log K / log K + 1 / log K + O((log log K / log K)²)
    log, loglog = math.log(1e9), math.log(math.log(1e9))
    expected = log - loglog - 1 + loglog / log + 1 / log
    assert log_bell(10**9) / 1e9 == pytest.approx(expected, abs=2 * (loglog / log) ** 2)


def test_log_bell_of_as_many_entries_as_it_takes():
    # The step from K - 1 entries to K multiplies the Bell number by about K / W(K).
    size = 10**12
    slope = (log_bell(size) - log_bell(size - 10**9)) / 1e9
    assert slope == pytest.approx(math.log(size / lambertw(size).real), rel=1e-4)


@pytest.mark.parametrize(
    "bound_of",
    [
        lambda sigma: simple_bound("all", 9, 3, 30, 70, sigma),
        lambda sigma: gap_bound("path", 9, 3, 30, 70, sigma),
        lambda sigma: gap_bound("path", 9, 3, 30, 70, sigma, spacing=sigma),
        lambda sigma: gap_quantile("path", 9, 3, 30, 70, sigma, spacing=sigma),
        lambda sigma: gap_quantile(7, 9, 1, 30, 70, sigma),
        lambda sigma: risk_bound("all", 9, 70, sigma, 0.0),
    ],
)
def test_bounds_of_any_sigma(bound_of):
    unit = bound_of(1.0)
    assert 0 < unit < math.inf
    for sigma in (1e-100, 1e-150, 1e150):
        assert bound_of(sigma) == pytest.approx(sigma * unit * sigma, rel=1e-12)
    assert bound_of(1e200) == bound_of(1.7e308) == math.inf


def test_nothing_to_select_costs_nothing_at_any_sigma():
    assert gap_bound(1, 9, 3, 30, 70, 1e200) == gap_quantile(1, 9, 3, 30, 70, 1e200) == 0
    assert risk_bound(1, 9, 70, 1e200, 3.0) == 3


def test_groups_far_apart_are_on_the_path():
    assert path_miss_probability(9, 3, 30, 1.0, 1e200) == 0
    assert gap_bound("path", 9, 3, 30, 70, 1.0, spacing=1e200) == gap_bound("path", 9, 3, 30, 70, 1.0, spacing=100.0)


def test_simple_bound_is_the_formula():
    assert simple_bound(7, 9, 3, 30, 70, 2.0) == pytest.approx(8 * 4 * (3 / 30 + (2 * math.log(14) + 2) / 70))
    assert simple_bound("all", 9, 3, 30, 70, 2.0) == pytest.approx(8 * 4 * (3 / 30 + 9 / 70))


def test_gap_bound_of_a_family_is_the_formula():
    t = norm.isf(1 / 99)
    expected = 4 * 9 * (2 / 30 + 2 * t * mean_chi(2) / math.sqrt(30 * 70) + t**2 / 70)
    assert gap_bound(100, 40, 3, 30, 70, 3.0) == pytest.approx(expected)
    # Few entries: the dimension is less than the price of the family.
    assert gap_bound("all", 7, 3, 30, 70, 3.0) == pytest.approx(4 * 9 * (2 / 30 + 6 / 70))


def test_gap_bound_of_two_entries_is_the_worst_length():
    z = np.linspace(0.5, 2, 100_001)
    worst = (z**2 * norm.sf(z)).max()
    assert gap_bound("all", 2, 1, 5, 50, 1.0) == pytest.approx(4 * worst / 50, rel=1e-5)
    assert theory._PEAK_SQUARED >= worst
    assert theory._PEAK >= (z * norm.sf(z)).max() > theory._PEAK - 1e-6


def test_one_group_costs_no_more_than_the_training_error():
    assert gap_bound("all", 6, 1, 10_000, 5, 2.0) == pytest.approx(4 * 5 / 10_000)
    assert gap_quantile("all", 6, 1, 10_000, 5, 2.0) == pytest.approx(4 * chi2.isf(0.05, 5) / 10_000)


def test_gap_bound_of_a_path():
    shape = (20, 3, 30, 70, 1.0)
    t = norm.isf(1 / 19)
    held = 4 * (2 / 30 + 2 * t * mean_chi(2) / math.sqrt(30 * 70) + t**2 / 70)
    assert gap_bound(20, *shape) == pytest.approx(held)
    assert gap_bound("path", *shape) == pytest.approx((math.sqrt(held) + math.sqrt(17 / 30)) ** 2)
    level = 30 * 2.5**2 / 8
    missed = 19 * chi2.sf(level, 21)
    assert missed < 17
    assert gap_bound("path", *shape, spacing=2.5) == pytest.approx((math.sqrt(held) + math.sqrt(missed / 30)) ** 2)
    assert path_miss_probability(20, 3, 30, 1.0, 2.5) == pytest.approx(chi2.sf(level, 19))
    assert gap_bound("path", *shape, spacing=100.0) == pytest.approx(held)
    for r in (1, 20):
        assert gap_bound("path", 20, r, 30, 70, 1.0) == gap_bound(20, 20, r, 30, 70, 1.0)
        assert path_miss_probability(20, r, 30, 1.0, 0.01) == 0


def test_quantile_is_the_formula():
    fit, pick, miss = chi2.isf(0.01, 2) / 30, norm.isf(0.01 / 19) ** 2 / 70, chi2.isf(0.01, 17) / 30
    expected = (2 * math.sqrt(fit) + 2 * math.sqrt(pick) + math.sqrt(miss)) ** 2
    assert gap_quantile("path", 20, 3, 30, 70, 1.0, failure=0.03) == pytest.approx(expected)
    apart = gap_quantile("path", 20, 3, 30, 70, 1.0, spacing=50.0, failure=0.03)
    assert apart == pytest.approx((2 * math.sqrt(fit) + 2 * math.sqrt(pick)) ** 2)
    assert gap_quantile(20, 20, 3, 30, 70, 1.0, failure=0.02) == pytest.approx(apart)


def test_risk_bound_is_the_formula():
    t = norm.isf(1 / 99)
    expected = 0.5 + 4 * 3 / math.sqrt(70) * t * math.sqrt(0.5) + 4 * 9 / 70 * t**2
    assert risk_bound(100, 40, 70, 3.0, 0.5) == pytest.approx(expected)
    assert risk_bound(1, 40, 70, 3.0, 0.5) == 0.5


@pytest.mark.parametrize("candidates", [1, "all", "path"])
def test_no_choice_costs_nothing(candidates):
    assert gap_bound(candidates, 1, 1, 3, 4, 1.0) == gap_quantile(candidates, 1, 1, 3, 4, 1.0) == 0


@pytest.mark.parametrize("candidates", ["all", "path", 2, 3, 5, 9, 10, 300, 10**12])
@pytest.mark.parametrize("num_groups", [1, 2, 10, 30])
def test_bounds_move_the_right_way(candidates, num_groups):
    shape = (30, num_groups, 20, 50, 1.5)
    for function in (gap_bound, gap_quantile, *([simple_bound] if candidates != "path" else [])):
        value = function(candidates, *shape)
        assert 0 < value < math.inf
        assert function(candidates, 30, num_groups, 40, 100, 1.5) == pytest.approx(value / 2)  # rates 1 / n
        assert function(candidates, 30, num_groups, 20, 50, 3.0) == pytest.approx(4 * value)
        assert function(candidates, 30, num_groups, 21, 50, 1.5) <= value
        assert function(candidates, 30, num_groups, 20, 51, 1.5) <= value
        if isinstance(candidates, int):
            assert function(candidates + 1, *shape) >= value
            assert function(candidates, 30, min(30, num_groups + 1), 20, 50, 1.5) >= value
    if candidates != "path":
        assert gap_bound(candidates, *shape) <= simple_bound(candidates, *shape)
    assert gap_quantile(candidates, *shape, failure=0.2) < gap_quantile(candidates, *shape, failure=0.01)


@pytest.mark.parametrize("num_entries", [300, 100_000])
def test_many_entries_give_finite_bounds(num_entries):
    for candidates in ("all", "path", 10**300):
        assert 0 < gap_bound(candidates, num_entries, 3, 20, 50, 1.0) < math.inf
        assert 0 < gap_quantile(candidates, num_entries, 3, 20, 50, 1.0) < math.inf


# errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: log_bell(0), ValueError, "num_entries must be at least 1, got 0"),
        (lambda: log_bell(2.0), TypeError, r"num_entries must be an integer, got 2\.0"),
        (lambda: log_bell(True), TypeError, "num_entries must be an integer, got True"),
        (lambda: gap_bound("some", 5, 2, 3, 4, 1.0), ValueError, "candidates must be 'all', 'path' or a number"),
        (lambda: gap_bound(0, 5, 2, 3, 4, 1.0), ValueError, "candidates must be at least 1, got 0"),
        (lambda: gap_bound(53, 5, 2, 3, 4, 1.0), ValueError, "at most the Bell number of 5 entries, got 53"),
        (lambda: gap_bound(5.0, 5, 2, 3, 4, 1.0), TypeError, r"candidates must be an integer, got 5\.0"),
        (lambda: gap_bound("all", 5, 6, 3, 4, 1.0), ValueError, r"num_groups must lie in 1\.\.5"),
        (lambda: gap_bound("all", 5, 2, 0, 4, 1.0), ValueError, "num_train must be at least 1, got 0"),
        (lambda: gap_bound("all", 5, 2, 3, -4, 1.0), ValueError, "num_val must be at least 1, got -4"),
        (lambda: gap_bound("all", 5, 2, 3, 4, 0.0), ValueError, r"sigma must be positive, got 0\.0"),
        (lambda: gap_bound("all", 5, 2, 3, 4, math.nan), ValueError, "sigma must be finite, got nan"),
        (lambda: gap_bound("all", 5, 2, 3, 4, "1"), TypeError, "sigma must be a number, got '1'"),
        (
            lambda: gap_bound("all", 5, 2, 3, 4, 1.0, 2.0),
            ValueError,
            r"spacing is for candidates 'path' only, got 2\.0",
        ),
        (lambda: gap_bound("path", 5, 2, 3, 4, 1.0, -2.0), ValueError, r"spacing must be positive, got -2\.0"),
        (lambda: gap_quantile("all", 5, 2, 3, 4, 1.0, failure=1.0), ValueError, "failure must lie between 0 and 1"),
        (lambda: simple_bound("path", 5, 2, 3, 4, 1.0), ValueError, "got 'path', which may miss"),
        (lambda: risk_bound("all", 5, 4, 1.0, -1.0), ValueError, r"best must not be negative, got -1\.0"),
        (lambda: path_miss_probability(5, 2, 3, 1.0, 0.0), ValueError, r"spacing must be positive, got 0\.0"),
        (lambda: log_bell(10**400), ValueError, r"num_entries must be at most 1e\+12, got 1000"),
        (lambda: gap_bound("all", 5, 2, 10**13, 4, 1.0), ValueError, r"num_train must be at most 1e\+12, got 1000"),
        (
            lambda: gap_bound("all", 5, 2, 3, 4, 10**400),
            ValueError,
            r"sigma must be at most 1.8e308 in size",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# simulation


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 9, 50, 200])
def test_lengths_that_are_selected(count):
    """Lemma 2, the longest length that its direction exceeds, for equal and for spread lengths."""
    rng = np.random.default_rng(count)
    g = rng.standard_normal((20_000, count))
    first, second = theory._selection_moments(math.log(count + 1), 10_000)
    best = 0.0
    for length in np.linspace(0.2, 1.5 * second**0.5 + 1.5, 20):
        for lengths in (np.full(count, length), length * np.linspace(0.5, 1.5, count)):
            selected = np.where(g >= lengths, lengths, 0).max(1)
            error = 4 * selected.std() / math.sqrt(len(g)), 4 * (selected**2).std() / math.sqrt(len(g))
            assert selected.mean() - error[0] <= first
            assert (selected**2).mean() - error[1] <= second
            best = max(best, (selected**2).mean())
    assert best > 0.4 * second  # the lengths can come near, or the test says little


HARD = [
    bound.Setting("full search", 2, 2, "equal", 1000, 10, 0.2, 4.0),
    bound.Setting("full search", 6, 3, "equal", 100, 20, 1.0, 2.5),
    bound.Setting("full search", 7, 2, "one large", 30, 70, 7.0, 3.0),
    bound.Setting("full search", 6, 1, "equal", 10, 90, 1.0, 0.0),
    bound.Setting("intervals", 10, 2, "equal", 100, 20, 1.0, 3.0),
    bound.Setting("blocks", 24, 3, "equal", 1000, 10, 0.2, 1.0),
    bound.Setting("merge path", 24, 3, "one large", 100, 20, 1.0, 1.0),
    bound.Setting("merge path", 24, 2, "equal", 30, 70, 1.0, 8.0),
]


@pytest.mark.parametrize("setting", HARD, ids=lambda s: f"{s.search}-{s.K}-{s.r}")
def test_simulated_gaps_lie_below_the_bounds_and_not_far(setting):
    row = bound.measure(setting, 2000, np.random.default_rng(7))
    # A bound 50 times smaller would be found out.
    assert row["gap"] + row["gap_ci"] <= row["bound"] < (row["gap"] - row["gap_ci"]) * 50
    assert row["gap_held"] + row["gap_held_ci"] <= row["bound_held"] <= row["simple_bound"]
    assert row["risk"] + row["risk_ci"] <= row["risk_bound"] <= row["risk"] * 50
    assert row["above_limit"] <= bound.FAILURE


def test_a_path_misses_the_true_partition_and_the_simple_form_does_not_hold():
    setting = bound.Setting("merge path", 64, 3, "equal", 10, 90, 1.0, 4.0)
    row = bound.measure(setting, 100, np.random.default_rng(0))
    assert row["gap"] - row["gap_ci"] > 1.3 * row["simple_bound"]
    assert row["gap"] - row["gap_ci"] > 1.3 * row["bound_held"]
    assert row["gap"] + row["gap_ci"] < row["bound"]
    assert row["gap_held"] == 0


def test_a_path_holds_the_true_partition_as_often_as_stated():
    for separation in (2.0, 6.0, 12.0):
        setting = bound.Setting("merge path", 8, 3, "equal", 50, 50, 1.0, separation)
        missed = 1 - bound.simulate(setting, 300, np.random.default_rng(1)).held.mean()
        assert missed <= path_miss_probability(8, 3, 50, 1.0, setting.spacing)
    assert missed == 0
    assert path_miss_probability(8, 3, 50, 1.0, setting.spacing) < 0.05


# the experiment


def test_tied_means_are_projections():
    labels = all_partitions(4)
    means = np.random.default_rng(0).standard_normal((4, 3))
    for partition, fitted in zip(labels, tied_means(labels, means), strict=True):
        expected = [means[partition == label].mean(0) for label in partition]
        np.testing.assert_allclose(fitted, expected)


def test_families_are_what_they_say():
    intervals = bound.family("intervals", 6)
    assert len({tuple(row) for row in intervals}) == len(intervals) == 32
    assert (intervals[:, 0] == 0).all() and set(np.diff(intervals).ravel()) == {0, 1}
    assert bound.family("blocks", 6).tolist() == [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1], [0] * 6]
    assert len(bound.family("full search", 6)) == 203


def test_the_true_partition_is_a_candidate_of_every_fixed_family():
    for setting in bound.grid():
        labels = setting.labels()
        assert len(labels) == setting.K and labels.max() + 1 == setting.r
        if setting.search != "merge path":
            assert bound.simulate(setting, 2, np.random.default_rng(0)).held.all()
