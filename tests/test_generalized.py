"""Which weights of logistic and Poisson regressions are equal."""

import numpy as np
import pandas as pd
import pytest

import equishare as es
from equishare.methods import METHODS

LABELS = np.arange(20) % 4


def drawn(seed, family, count=300):
    rng = np.random.default_rng(seed)
    weight = np.array([-1.0, -0.3, 0.3, 1.0])[LABELS] * (0.5 if family == "poisson" else 1.0)
    x = rng.standard_normal((count, 20))
    eta = x @ weight
    y = (rng.random(count) < 1 / (1 + np.exp(-eta))).astype(float) if family == "binomial" else rng.poisson(np.exp(eta))
    return x, y


def test_poisson_groups_are_found():
    x, y = drawn(0, "poisson")
    d = es.discover(es.GeneralizedLinearProblem(x, y, family="poisson"))
    assert es.partition_distance(d.partition, es.Partition(LABELS[None])) == 0
    assert d.validation_loss < d.no_sharing_loss


def test_logistic_regression_is_not_worse_than_without_sharing():
    tied, mean, free = [], [], []
    for seed in range(3):
        x, y = drawn(seed, "binomial")
        new, truth = drawn(seed + 100, "binomial", 4000)
        problem = es.GeneralizedLinearProblem(x, y)
        d, without = es.discover(problem), es.discover(problem, "no_sharing")

        def loss(found, averaged=False, new=new, truth=truth):
            p = found.predict(new, averaged=averaged)[:, 0]
            return -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))

        tied.append(loss(d))
        mean.append(loss(d, averaged=True))
        free.append(loss(without))
        assert d.partition.num_groups < 20
    assert np.mean(tied) < 1.02 * np.mean(free)
    assert np.mean(mean) < np.mean(free)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_unshared_weights_are_those_of_most_likelihood(family):
    x, y = drawn(0, family, 2000)
    d = es.discover(es.GeneralizedLinearProblem(x[:, :3], y, family=family), "no_sharing")
    residual = y - d.predict(x[:, :3])[:, 0]
    # Score equations, but for the weak prior of standard deviation 5.
    assert np.abs(x[:, :3].T @ residual / len(y) - d.theta[0] / 25 / len(y)).max() < 1e-3
    assert abs(residual.mean()) < 1e-6


def test_within_keeps_blocks_apart():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 6))
    weight = np.array([[1, 1, 0, 0, 1, 1]])
    within = [0, 0, 0, 1, 1, 1]
    y = rng.random((300, 1)) < 1 / (1 + np.exp(-3 * x @ weight.T))
    found = es.discover(es.GeneralizedLinearProblem(x, y, within=within)).partition
    assert not set(found.labels[0, :3]) & set(found.labels[0, 3:])
    linear = es.LinearProblem(x, x @ weight.T + 0.1 * rng.standard_normal((300, 1)), within=within)
    assert es.discover(linear).partition == es.Partition([[0, 0, 1, 2, 3, 3]])
    means = es.MeanProblem(rng.standard_normal((100, 4)), within=[0, 0, 1, 1])
    assert es.discover(means).partition == es.Partition([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"shape of the entries, \(1, 4\) or \(4,\), got \(4, 1\)"):
        es.LinearProblem(x[:, :4], x[:, 0], within=[[0], [0], [1], [1]])
    with pytest.raises(ValueError, match=r"shape of the entries, \(2, 3\), got \(3, 2\)"):
        es.LinearProblem(x[:, :3], x[:, :2], within=[[0, 1], [0, 1], [0, 1]])
    with pytest.raises(ValueError, match="shape of the entries"):
        es.MeanProblem(rng.standard_normal((100, 4)), within=[0, 0, 1])
    with pytest.raises(TypeError, match="integers"):
        es.MeanProblem(rng.standard_normal((100, 4)), within=[0.5, 0, 1, 1])


@pytest.mark.parametrize("method", [one for one in METHODS if one not in ("auto", "no_sharing", "oracle")])
def test_methods_that_may_tie_any_entries_refuse_within(method):
    problem = es.MeanProblem(np.random.default_rng(0).standard_normal((20, 4)), within=[0, 0, 1, 1])
    with pytest.raises(ValueError, match=f"left out for method '{method}'.*: auto, no_sharing, oracle keep to it"):
        es.discover(problem, method)


def test_given_patterns_keep_within():
    problem = es.MeanProblem(np.random.default_rng(0).standard_normal((20, 4)), within=[0, 0, 1, 1])
    assert es.discover(problem, "no_sharing").partition.num_groups == 4
    assert es.discover(problem, "oracle", partition=[0, 0, 1, 2]).partition.num_groups == 3
    with pytest.raises(ValueError, match="entries of one number in within"):
        es.discover(problem, "oracle", partition=[0, 0, 0, 1])


def test_blocks_of_inputs_in_any_unit():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 6))
    y = x @ [1, 1, 2, 3, 3, 1] + 0.1 * rng.standard_normal(300)
    within, unit = [0, 0, 0, 1, 1, 1], np.repeat([1.0, 1e-9], 3)
    found = es.discover(es.LinearProblem(x * unit, y, within=within)).partition
    assert found == es.discover(es.LinearProblem(x, y, within=within)).partition == es.Partition([[0, 0, 1, 2, 2, 3]])


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_averaged_weights_have_a_bias_of_their_own(family, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(100, 1, (80, 8))
    eta = (x - 100) @ [1, 1.2, 0.8, 1, -1, -0.9, -1.1, -1] + 3 * rng.standard_normal(80)
    y = eta if family == "gaussian" else (eta > 0) * 1.0
    d = es.discover(es.LinearProblem(x, y) if family == "gaussian" else es.GeneralizedLinearProblem(x, y))
    # The bias of the tied weights would shift the linear predictor by so much.
    assert np.abs((d.posterior_mean - d.theta) @ x.mean(0)).max() > 1
    averaged = d.predict(x, averaged=True)
    assert averaged.mean() == pytest.approx(y.mean(), abs=1e-6 if family == "gaussian" else 0.02)
    own = x @ d.posterior_mean.T + d.posterior_bias
    np.testing.assert_allclose(averaged, own if family == "gaussian" else 1 / (1 + np.exp(-own)))
    d.save(tmp_path / "d.npz")
    np.testing.assert_array_equal(es.Discovery.load(tmp_path / "d.npz").predict(x, averaged=True), averaged)


def test_standard_errors_are_those_of_the_tied_fit():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 12))
    y = rng.random(40) < 1 / (1 + np.exp(-0.5 * x.sum(1)))
    tied = es.discover(es.GeneralizedLinearProblem(x, y), "oracle", partition=np.zeros((1, 12), int))
    # One weight of the sum of all inputs, but for the weak prior.
    alone = es.discover(es.GeneralizedLinearProblem(x.sum(1)[:, None], y), "no_sharing")
    np.testing.assert_allclose(tied.values, alone.values, rtol=0.01)
    np.testing.assert_allclose(tied.quality.value_errors, alone.quality.value_errors, rtol=0.01)


def test_arguments_that_do_not_belong_to_a_problem_are_refused():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 2))
    linear, logistic = (
        es.discover(es.LinearProblem(x, x + x[:, ::-1])),
        es.discover(es.GeneralizedLinearProblem(X, ONE)),
    )
    with pytest.raises(ValueError, match="offset must be left out"):
        linear.predict(x, offset=np.full(40, 100.0))
    with pytest.raises(ValueError, match="numeric must be left out"):
        linear.predict(x, numeric=x)
    for offset in (100.0, ONE[:3], np.c_[ONE, ONE], np.full(20, np.nan)):
        with pytest.raises(ValueError, match="offset must be finite numbers of shape"):
            logistic.predict(X, offset=offset)
    with pytest.raises(TypeError, match="offset"):
        logistic.predict(X, offset=["a"] * 20)


def test_separated_classes_have_finite_weights_and_are_told(tmp_path):
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.standard_normal((100, 3)), columns=["a", "b", "c"])
    d = es.discover(es.GeneralizedLinearProblem(x, (x["a"] > 0).astype(int)))
    assert np.isfinite(d.theta).all()
    assert any("separate the classes" in one for one in d.warnings)
    d.save(tmp_path / "d.npz")
    np.testing.assert_array_equal(es.Discovery.load(tmp_path / "d.npz").predict(x), d.predict(x))
    d.report(tmp_path / "d.html")
    few = es.discover(es.GeneralizedLinearProblem(x[:4], [0, 1, 0, 1]))
    assert np.isfinite(few.theta).all()


def test_several_outputs_offsets_weights_resamples():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 4))
    weight = np.array([[0.5, 0.5, -0.5, -0.5], [0.5, 0.5, -0.5, -0.5]])
    exposure = rng.uniform(1, 5, 400)
    y = rng.poisson(exposure[:, None] * np.exp(x @ weight.T))
    problem = es.GeneralizedLinearProblem(x, y, family="poisson", offset=np.log(exposure), weights=np.ones(400))
    d = es.discover(problem, resamples=2)
    assert d.partition == es.Partition([[0, 0, 1, 1], [0, 0, 1, 1]])
    assert d.confidence.num_resamples == 2
    total = d.predict(x, offset=np.tile(np.log(exposure)[:, None], (1, 2))).sum(0)
    np.testing.assert_allclose(total, y.sum(0), rtol=1e-4)


X = np.random.default_rng(0).standard_normal((20, 2))
ONE = (np.arange(20) % 2).astype(float)
WRONG = {
    "gaussian": ((X, ONE), {"family": "gaussian"}, ValueError, "LinearProblem"),
    "family": ((X, ONE), {"family": "gamma"}, ValueError, "family must be one of"),
    "classes": ((X, ONE + 1), {}, ValueError, "0 or 1"),
    "one class": ((X, 0 * ONE), {}, ValueError, "one class"),
    "negative": ((X, -ONE), {"family": "poisson"}, ValueError, "counts"),
    "rates": ((X, ONE / 2), {"family": "poisson"}, ValueError, "counts 0, 1, 2, … .*got 0.5"),
    "equal counts": ((X, 3 + 0 * ONE), {"family": "poisson"}, ValueError, "the same count in all 20 rows"),
    "one weight": ((X, ONE), {"weights": np.eye(20)[0]}, ValueError, "at least two samples"),
    "constant": ((X * [1, 0], ONE), {}, ValueError, "constant column 1"),
    "rows": ((X[:3], ONE), {}, ValueError, "as many rows"),
    "positional": ((X, ONE, X), {}, TypeError, "by name"),
    "validation": ((X, ONE), {"x_val": X}, TypeError, "together"),
    "huge weights": ((X, ONE), {"weights": np.full(20, 1e200)}, ValueError, "divide them by their mean"),
    "weights": ((X, ONE), {"weights": -ONE}, ValueError, "weights"),
    "offset": ((X, ONE), {"offset": ONE[:3]}, ValueError, "offset"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_say_what_is_wrong(case):
    arguments, options, error, match = WRONG[case]
    with pytest.raises(error, match=match):
        es.GeneralizedLinearProblem(*arguments, **options)


def test_samples_that_validate_may_be_of_one_class():
    x, y = drawn(0, "binomial")
    for outcome in (0, 1):
        d = es.discover(es.GeneralizedLinearProblem(x, y, x_val=x[:3], y_val=[outcome] * 3), "no_sharing")
        p = es.discover(es.GeneralizedLinearProblem(x, y), "no_sharing").predict(x[:3])[:, 0]
        assert d.validation_loss == pytest.approx(-np.log(p if outcome else 1 - p).mean(), rel=1e-4)


def test_weights_and_offsets_belong_to_the_rows():
    x, y = drawn(0, "binomial")
    with pytest.raises(ValueError, match="y must vary, got one class"):
        es.GeneralizedLinearProblem(x, y, weights=(y == 1) * 1.0)
    other = pd.Series(np.ones(len(y)), index=np.arange(len(y))[::-1])
    for name in ("weights", "offset"):
        with pytest.raises(ValueError, match=f"y and {name} must have the same rows"):
            es.GeneralizedLinearProblem(x, pd.Series(y), **{name: other})
        with pytest.raises(ValueError, match=f"x and {name} must have the same rows"):
            es.GeneralizedLinearProblem(pd.DataFrame(x), y, **{name: other})


def test_equal_counts_tell_the_weights_where_there_is_no_bias():
    x = np.c_[np.random.default_rng(0).standard_normal((200, 2)), np.ones(200)]
    d = es.discover(es.GeneralizedLinearProblem(x, np.full(200, 3), family="poisson", bias=False))
    np.testing.assert_allclose(d.predict(x), 3, rtol=0.01)
    with pytest.raises(ValueError, match="zero in all"):
        es.GeneralizedLinearProblem(x, np.zeros(200), family="poisson", bias=False)


@pytest.mark.parametrize("unit", [1e-20, 1e-6, 1e12, 1e20])
def test_exposures_in_other_units_change_nothing(unit):
    rng = np.random.default_rng(0)
    x, exposure = rng.normal(size=(200, 4)), rng.uniform(50, 200, 200)
    y = rng.poisson(exposure * np.exp(0.3 * x @ [1.0, 1, -1, -1]))
    plain = es.discover(es.GeneralizedLinearProblem(x, y, family="poisson", offset=np.log(exposure)))
    own = exposure * unit
    for found in (
        es.discover(es.GeneralizedLinearProblem(x, y / own, family="poisson", weights=own)),
        es.discover(es.GeneralizedLinearProblem(x, y, family="poisson", offset=np.log(own))),
    ):
        assert found.partition == plain.partition
        np.testing.assert_allclose(found.theta, plain.theta, rtol=1e-4)
        np.testing.assert_allclose(found.bias + np.log(unit), plain.bias, atol=1e-4)


def test_counts_that_are_very_large():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = np.round(1e15 * np.exp(0.3 * x[:, 0] - 0.3 * x[:, 1]))
    found = es.discover(es.GeneralizedLinearProblem(x, y, family="poisson"), "no_sharing")
    np.testing.assert_allclose(found.theta, [[0.3, -0.3]], atol=1e-6)
    np.testing.assert_allclose(found.predict(x)[:, 0], y, rtol=1e-5)


def test_rates_are_drawn_anew_with_the_scatter_of_their_exposures():
    rng = np.random.default_rng(0)
    x, exposure = rng.normal(size=(2000, 2)), np.full(2000, 400.0)
    y = rng.poisson(2 * exposure) / exposure
    drawn = es.GeneralizedLinearProblem(x, y, family="poisson", weights=exposure).resampled(rng).samples.y
    assert 0.05 < drawn.std() < 0.1  # the square root of 2/400 is 0.07; that of counts of mean 2 is 1.4


def test_weights_of_few_values_are_not_cut_like_a_continuum():
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(600, 6))
        y = rng.poisson(np.exp(x @ np.array([1.0, 1, 1, 2, 2, 0]) / 3))
        found.append(es.discover(es.GeneralizedLinearProblem(x, y, family="poisson"), resamples=0).partition)
    assert [one.num_groups for one in found] == [3, 3, 3, 3]
    assert all(one == es.Partition([[0, 0, 0, 1, 1, 2]]) for one in found)
