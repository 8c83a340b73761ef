"""Covariances: groups that are found, none where there is none, and what the answer holds."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import equishare as es
from equishare.methods import METHODS
from equishare.problems import CovarianceProblem


def ring(values):
    values = np.asarray(values)
    return values[(np.arange(len(values))[:, None] - np.arange(len(values))) % len(values)]


def cube():
    corners = np.array([[i >> k & 1 for k in range(3)] for i in range(8)])
    return np.array([1.0, 0.5, 0.2, 0.05])[(corners[:, None] != corners).sum(-1)]


def vignette():
    """All permutations of variables 2, 3 and 4 of five."""
    return np.array(
        [
            [1.0, 0.4, 0.2, 0.2, 0.2],
            [0.4, 1.5, 0.5, 0.5, 0.5],
            [0.2, 0.5, 1.0, 0.6, 0.6],
            [0.2, 0.5, 0.6, 1.0, 0.6],
            [0.2, 0.5, 0.6, 0.6, 1.0],
        ]
    )


TRUTHS = {
    "D_6": (ring([1.1, 0.8, 0.6, 0.4, 0.6, 0.8]), 200),
    "S_3 ≀ S_3": (0.3 + 0.4 * np.kron(np.eye(3), np.ones((3, 3))) + 0.3 * np.eye(9), 200),
    "S_2 × S_4": (cube(), 200),
    "S_3": (vignette(), 1000),
}


def drawn(covariance, count, seed):
    """Samples whose variables have been shuffled, so that their order tells nothing; and the shuffle."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(covariance))
    own = covariance[np.ix_(order, order)]
    return rng.multivariate_normal(np.linspace(-3, 3, len(own)), own, size=count), own


def labels_of(covariance):
    return np.unique(covariance.round(9), return_inverse=True)[1].reshape(covariance.shape)


@pytest.mark.parametrize("name", TRUTHS)
def test_groups_are_found(name):
    covariance, count = TRUTHS[name]
    x, own = drawn(covariance, count, seed=0)
    found = es.discover(es.CovarianceProblem(x))
    truth = es.symmetry_group(es.Partition(labels_of(own)), covariance=True)
    assert found.partition == truth.orbits.cells
    group = found.symmetry()
    assert (group.order, group.verdict, group.same_action) == (truth.order, "exact", True)
    assert group.closure_gap == 0
    assert found.symmetry_probability > 0.7
    free = np.linalg.norm(np.cov(x.T) - own)
    assert np.linalg.norm(found.theta - own) < free
    assert np.linalg.norm(found.posterior_mean - own) < free


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [15, 60, 400])
def test_variables_of_different_variances_have_none(count, seed):
    x = np.random.default_rng([count, seed]).normal(size=(count, 6)) * [1, 1.4, 2, 2.7, 4, 6]
    found = es.discover(es.CovarianceProblem(x))
    group = found.symmetry()
    # Of few samples neighbouring variances may be one; more cannot be told.
    assert (found.symmetry_probability < 0.5) == (group.verdict == "none")
    assert group.verdict == "none"


@pytest.mark.parametrize("count", [5, 30, 300])
def test_a_covariance_without_ties_has_none(count):
    rng = np.random.default_rng(count)
    factors = rng.normal(size=(7, 7))
    x = rng.multivariate_normal(np.zeros(7), factors @ factors.T, size=count)
    assert es.discover(es.CovarianceProblem(x)).symmetry().verdict == "none"


@pytest.mark.slow
def test_fewer_samples_than_variables():
    covariance = 0.7 * np.kron(np.eye(5), np.ones((6, 6))) + 0.3 * np.eye(30)
    x, own = drawn(covariance, 20, seed=1)
    found = es.discover(es.CovarianceProblem(x))
    assert found.symmetry().order == 720**5 * 120
    assert np.linalg.eigvalsh(found.theta)[0] > 0
    assert np.linalg.norm(found.posterior_mean - own) < np.linalg.norm(np.cov(x.T) - own) / 2


@pytest.mark.parametrize("seed", range(4))
def test_few_samples_more_than_variables(seed):
    # That all variances are one, and nearly so, was once a rival of far too great an evidence here.
    rng = np.random.default_rng([15, seed])
    x = rng.normal(size=(15, 3)).repeat(4, 1) + rng.normal(size=(15, 12)) * 0.5
    found = es.discover(es.CovarianceProblem(x))
    assert found.symmetry().order == 24**3 * 6
    assert found.symmetry_probability > 0.8


@pytest.mark.parametrize("count", [3, 4, 8])
def test_posterior_mean_has_an_inverse_where_the_samples_have_none(count):
    x = np.random.default_rng(count).normal(size=(count, 12))
    found = es.discover(es.CovarianceProblem(x))
    values = np.linalg.eigvalsh(found.posterior_mean)
    assert values[0] > 1e-3 * values[-1]
    assert any("fewer samples than variables" in one for one in found.warnings)


def test_means_that_are_known():
    x = np.random.default_rng(0).normal(size=(40, 4)) + 5
    found = es.discover(es.CovarianceProblem(x, center=False), "no_sharing")
    assert np.allclose(found.theta, x.T @ x / 40)
    centred = es.discover(es.CovarianceProblem(x), "no_sharing")
    assert np.allclose(centred.theta, np.cov(x.T))


def test_units_of_all_variables_change_nothing():
    x, _ = drawn(TRUTHS["D_6"][0], 100, seed=2)
    found = es.discover(es.CovarianceProblem(x))
    for unit in (1e-150, 1e-50, 1e-9, 1e6, 1e80, 1e150):
        other = es.discover(es.CovarianceProblem(unit * x))
        assert other.partition == found.partition
        for name in ("posterior_mean", "theta"):
            np.testing.assert_allclose(getattr(other, name) / unit**2, getattr(found, name), rtol=1e-6)
        np.testing.assert_allclose(other.quality.unshared_errors / unit**2, found.quality.unshared_errors)
    for method in ("merge", "no_sharing"):
        one, other = (es.discover(es.CovarianceProblem(unit * x), method) for unit in (1, 1e-120))
        assert one.partition == other.partition
        np.testing.assert_allclose(other.theta / 1e-240, one.theta, rtol=1e-6)


@pytest.mark.parametrize(
    ("covariance", "count"),
    [
        (TRUTHS["S_3 ≀ S_3"][0], 150),
        (0.6 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))), 300),
        (ring([1.1, 0.8, 0.6, 0.4, 0.6, 0.8]), 60),
        (np.diag(np.arange(1.0, 6.0)), 40),
    ],
    ids=["blocks", "line", "ring", "independent"],
)
def test_the_order_of_the_variables_changes_nothing(covariance, count):
    x, _ = drawn(covariance, count, seed=3)
    order = np.random.default_rng(0).permutation(len(covariance))
    one, other = (es.discover(es.CovarianceProblem(own)) for own in (x, x[:, order]))
    assert es.Partition(one.partition.labels[np.ix_(order, order)]) == other.partition
    assert one.symmetry().order == other.symmetry().order
    assert other.symmetry_probability == pytest.approx(one.symmetry_probability, rel=1e-6)
    assert other.symmetry_log_odds == pytest.approx(one.symmetry_log_odds, rel=1e-6)
    np.testing.assert_allclose(other.posterior_mean, one.posterior_mean[np.ix_(order, order)], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("count", [40, 150, 500])
@pytest.mark.parametrize("seed", range(3))
def test_one_factor_with_unequal_loads_has_none(count, seed):
    loads = np.linspace(0.4, 1.3, 8)
    x, _ = drawn(np.outer(loads, loads) + np.eye(8), count, seed)
    found = es.discover(es.CovarianceProblem(x))
    assert found.symmetry().verdict == "none"
    assert found.symmetry_probability < 0.3


@pytest.mark.parametrize("noise", [0.1, 1e-2, 1e-4])
def test_nearly_identical_variables_may_be_exchanged(noise):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(200, 4))
    alike = [z[:, 0] + noise * rng.normal(size=200) for _ in range(3)]
    x = np.column_stack([*alike, 2 * z[:, 1], z[:, 1] + 3 * z[:, 2]])
    found = es.discover(es.CovarianceProblem(x))
    assert found.symmetry().name == "S_3"
    assert found.partition.labels[0, 0] == found.partition.labels[1, 1] == found.partition.labels[2, 2]


@pytest.mark.parametrize("count", [10, 40])
def test_what_looks_like_white_noise_is_told_no_group(count):
    rng = np.random.default_rng(count)
    weak = rng.normal(size=(30, 30)) * 0.025
    x = rng.multivariate_normal(np.zeros(30), np.eye(30) + np.tril(weak, -1) + np.tril(weak, -1).T, size=count)
    assert es.discover(es.CovarianceProblem(x)).symmetry().verdict == "none"


def test_several_samples_have_one_group_and_values_of_their_own():
    rng = np.random.default_rng(4)
    both = [ring([1.1, 0.8, 0.6, 0.4, 0.6, 0.8]), ring([2.0, -0.3, 0.1, 0.5, 0.1, -0.3])]
    samples = [rng.multivariate_normal(np.zeros(6), own, size=80) for own in both]
    found = es.discover(es.CovarianceProblem(samples))
    assert list(found.partitions) == ["sample 0", "sample 1"]
    assert found.partition == es.Partition(labels_of(both[0]))
    for name, own in zip(found.partitions, both, strict=True):
        assert found.symmetry()[name].order == 12
        assert np.linalg.norm(found.theta[name] - own) < 1
        assert np.linalg.norm(found.posterior_mean[name] - own) < 1


@pytest.mark.parametrize("kind", ["pandas", "polars", "torch"])
def test_names_and_kinds_of_data(kind, tmp_path):
    x, _ = drawn(vignette(), 1000, seed=0)
    names = ["height", "width", "$a_1$", "b", "c"]
    data = {
        "pandas": lambda: pd.DataFrame(x, columns=names),
        "polars": lambda: pl.DataFrame(x, schema=names),
        "torch": lambda: torch.tensor(x),
    }[kind]()
    found = es.discover(es.CovarianceProblem(data))
    expected = () if kind == "torch" else tuple(names)
    assert found.names == (expected, expected)
    assert found.symmetry().order == 6
    found.save(tmp_path / "found.npz")
    loaded = es.Discovery.load(tmp_path / "found.npz")
    assert loaded.names == found.names
    assert np.array_equal(loaded.posterior_mean, found.posterior_mean)
    assert loaded.symmetry_probability == found.symmetry_probability
    assert loaded.symmetry().explanation == found.symmetry().explanation


@pytest.mark.parametrize("method", ["gap", "merge", "no_sharing"])
def test_other_methods(method):
    x, _ = drawn(TRUTHS["D_6"][0], 100, seed=5)
    found = es.discover(es.CovarianceProblem(x), method)
    labels = found.partition.labels
    assert np.array_equal(labels, labels.T)
    assert np.isfinite(found.validation_loss)


def test_a_pattern_that_is_given():
    covariance = TRUTHS["D_6"][0]
    x = np.random.default_rng(6).multivariate_normal(np.zeros(6), covariance, size=50)
    found = es.discover(es.CovarianceProblem(x), "oracle", partition=labels_of(covariance))
    assert found.symmetry().order == 12
    own = np.cov(x.T)
    assert found.theta[0, 3] == pytest.approx((own[0, 3] + own[1, 4] + own[2, 5]) / 3)


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(CovarianceProblem.Session.takes)))
def test_methods_that_cannot(method):
    with pytest.raises(
        ValueError, match=r"method must be one of auto, gap, merge, no_sharing, oracle for a CovarianceProblem"
    ):
        es.discover(es.CovarianceProblem(np.random.default_rng(0).normal(size=(20, 3))), method)


def test_nothing_is_predicted():
    found = es.discover(es.CovarianceProblem(np.random.default_rng(0).normal(size=(20, 3))), "no_sharing")
    with pytest.raises(ValueError, match="predict needs the discovery of a map or of a network; this one is of cov"):
        found.predict(np.ones((2, 3)))


@pytest.mark.slow
def test_resamples_tell_how_sure_ties_are():
    x, _ = drawn(TRUTHS["D_6"][0], 300, seed=7)
    found = es.discover(es.CovarianceProblem(x), resamples=3)
    assert found.confidence.num_resamples == 3


def with_nan():
    x = np.random.default_rng(0).normal(size=(10, 3))
    x[4, 1] = np.nan
    return x


rows = np.random.default_rng(1).normal(size=(10, 3))
BAD = {
    "one sample": (rows[:1], r"x must hold at least 3 samples \(rows\), got 1"),
    "two samples": (rows[:2], r"x must hold at least 3 samples"),
    "a constant": (rows * [1, 0, 1], "x must vary in every variable, and column 1 does not: leave it out"),
    "a named constant": (pd.DataFrame(rows * [1, 0, 1], columns=["a", "b", "c"]), "and b does not"),
    "NaN": (with_nan(), "x must be finite, got nan at row 4"),
    "one variable": (rows[:, :1], r"x must have 2 to 200 variables \(columns\), got 1"),
    "too many variables": (np.random.default_rng(0).normal(size=(5, 201)), "x must have 2 to 200 variables"),
    "a name twice": (pd.DataFrame(rows, columns=["a", "b", "a"]), "got 'a' twice"),
    "other variables": ([rows, rows[:, :2]], "samples of one list must have the same variables, got 3, 2"),
    "other names": (
        [pd.DataFrame(rows, columns=["a", "b", "c"]), pd.DataFrame(rows, columns=["a", "c", "b"])],
        "must have the same columns in the same order",
    ),
    "too large": (rows * 1e200, "too large or too small to be squared"),
    "units far apart": (rows * [1, 1e9, 1], "got column 1 that varies .e.09 times as much as column [02]: divide"),
    "named units": (pd.DataFrame(rows * [1e-9, 1, 1], columns=["km", "b", "c"]), "got [bc] .* as much as km: divide"),
    "a covariance": (
        np.cov(rows.T),
        "x must hold samples, one a row, and this is a covariance matrix: symmetric, 3 × 3",
    ),
    "a correlation": (np.corrcoef(rows.T).astype(np.float32), "this is a covariance matrix"),
    "a table of them": ([rows, pd.DataFrame(rows, columns=list("abc")).cov()], r"x\[1\] must hold samples"),
    "a vector": (rows[:, 0], "two-dimensional matrix"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data(name):
    data, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        es.CovarianceProblem(data)


def test_text_is_no_number():
    with pytest.raises(TypeError, match="real numbers"):
        es.CovarianceProblem(np.array([["a", "b"]] * 4))


def test_a_switch_is_true_or_false():
    with pytest.raises(TypeError, match="center"):
        es.CovarianceProblem(rows, center="yes")


rows_of_four = np.random.default_rng(0).normal(size=(40, 4))
COMBINED = {
    "a column twice": np.column_stack([rows_of_four, rows_of_four[:, 0]]),
    "a column twice, few samples": np.column_stack([rows_of_four, rows_of_four[:, 0]])[:8],
    "a sum": np.column_stack([rows_of_four, rows_of_four[:, 0] + rows_of_four[:, 1]]),
    "shares of a whole": np.eye(3)[np.random.default_rng(0).integers(0, 3, 50)],
}


@pytest.mark.parametrize("name", COMBINED)
def test_columns_that_are_combinations_of_others(name):
    x = COMBINED[name]
    found = es.discover(es.CovarianceProblem(x))
    assert np.isfinite(found.posterior_mean).all()
    assert np.isfinite(found.theta).all()
    assert any("exact combinations of others" in one for one in found.warnings)
    is_free = found.partition.num_groups == x.shape[1] * (x.shape[1] + 1) // 2
    assert is_free == any("want of variation" in one for one in found.warnings)


def test_a_sum_of_columns_and_one_with_a_little_noise_have_one_probability():
    noise = np.random.default_rng(1).normal(size=40)
    exact, noisy = COMBINED["a sum"], COMBINED["a sum"].copy()
    noisy[:, 4] += 1e-3 * noise
    both = [es.discover(es.CovarianceProblem(x)) for x in (exact, noisy)]
    assert both[0].partition == both[1].partition
    # Of odds as they are: the curve is steep where they are even.
    assert both[0].symmetry_log_odds == pytest.approx(both[1].symmetry_log_odds, abs=0.4)


def test_a_covariance_alone_has_mirrored_entries():
    with pytest.raises(ValueError, match="covariance needs a symmetric matrix of labels"):
        es.symmetry_group(np.array([[0, 1], [2, 0]]), covariance=True)


@pytest.mark.parametrize("kind", ["one of four classes", "shares of a whole", "a column and its negative"])
def test_variables_that_are_exact_combinations(kind):
    rng = np.random.default_rng(0)
    if kind == "one of four classes":
        x, name = np.eye(4)[rng.integers(0, 4, 60)], "S_4"
    elif kind == "shares of a whole":
        parts = np.exp(0.3 * rng.normal(size=(200, 4)))
        x, name = parts / parts.sum(1, keepdims=True), "S_4"
    else:
        z = rng.normal(size=(50, 4))
        x, name = np.column_stack([z, -z[:, 0]]), None
    found = es.discover(es.CovarianceProblem(x))
    assert np.isfinite(found.posterior_mean).all()
    assert name is None or found.symmetry().name == name
