"""Estimators in the ways of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from equishare.sklearn import (
    LevelMerger,
    SharedCovariance,
    SharedLinearRegression,
    SharedLogisticRegression,
    SharedPoissonRegressor,
)

ESTIMATORS = [SharedLinearRegression(), SharedLogisticRegression(), SharedPoissonRegressor(), LevelMerger()]


@parametrize_with_checks(ESTIMATORS)
def test_estimators_pass_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def drawn(count=300, seed=0):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.standard_normal((count, 6)), columns=list("abcdef"))
    return x, x.to_numpy() @ np.repeat([1.0, -0.5], 3), rng


def test_regressions_find_equal_weights():
    x, eta, rng = drawn()
    linear = SharedLinearRegression().fit(x, eta + 0.3 * rng.standard_normal(len(eta)))
    assert linear.labels_.tolist() == [[0, 0, 0, 1, 1, 1]]
    assert list(linear.feature_names_in_) == list("abcdef")
    assert linear.discovery_.names[1] == tuple("abcdef")
    logistic = SharedLogisticRegression().fit(
        x, np.where(rng.random(len(eta)) < 1 / (1 + np.exp(-2 * eta)), "yes", "no")
    )
    assert logistic.labels_.tolist() == [[0, 0, 0, 1, 1, 1]]
    assert set(logistic.predict(x)) == {"yes", "no"}
    np.testing.assert_allclose(logistic.predict_proba(x).sum(1), 1)
    poisson = SharedPoissonRegressor().fit(x, rng.poisson(np.exp(eta)))
    assert poisson.n_groups_ == 2
    assert (poisson.predict(x) > 0).all()


def test_several_outputs():
    x, eta, rng = drawn()
    y = np.stack([eta, -eta], 1) + 0.1 * rng.standard_normal((len(eta), 2))
    found = SharedLinearRegression().fit(x, y)
    assert found.coef_.shape == (2, 6) and found.predict(x).shape == y.shape


def test_model_selection_and_clones():
    x, eta, rng = drawn()
    y = eta + rng.standard_normal(len(eta))
    ours = cross_val_score(SharedLinearRegression(), x, y, cv=3).mean()
    assert ours > cross_val_score(LinearRegression(), x, y, cv=3).mean()
    search = GridSearchCV(SharedLinearRegression(), {"averaged": [False, True]}, cv=3).fit(x, y)
    scores = [cross_val_score(SharedLinearRegression(averaged=one), x, y, cv=3).mean() for one in (False, True)]
    assert search.best_params_["averaged"] == bool(np.argmax(scores))
    assert search.best_score_ == pytest.approx(max(scores))
    assert clone(SharedLinearRegression(averaged=True)).averaged
    assert "SharedLinearRegression" in SharedLinearRegression()._repr_html_()


def test_averaged_weights_have_an_intercept_of_their_own():
    rng = np.random.default_rng(0)
    x = rng.normal(100, 1, (80, 8))
    y = x @ [1, 1.2, 0.8, 1, -1, -0.9, -1.1, -1] + 3 * rng.standard_normal(80)
    tied, averaged = SharedLinearRegression().fit(x, y), SharedLinearRegression(averaged=True).fit(x, y)
    assert abs(averaged.intercept_ - tied.intercept_) > 1
    assert averaged.predict(x).mean() == pytest.approx(y.mean())
    np.testing.assert_allclose(averaged.predict(x), averaged.discovery_.predict(x, averaged=True)[:, 0])


def test_rates_are_counts_to_a_poisson_regression():
    x, eta, rng = drawn()
    y = rng.poisson(4 * np.exp(eta)) / 4
    found = SharedPoissonRegressor().fit(x, y)
    assert found.predict(x).mean() == pytest.approx(y.mean(), rel=1e-3)
    np.testing.assert_allclose(SharedPoissonRegressor().fit(x, np.full(len(x), 3)).predict(x), 3)


def test_levels_are_merged_in_a_pipeline():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"region": rng.choice(list("abcdefgh"), 400), "job": rng.choice(["x", "y", "z"], 400)})
    high = table["region"].isin(list("efgh")).to_numpy()
    y = 2.0 * high + 0.5 * rng.standard_normal(400)
    merger = LevelMerger().set_output(transform="pandas").fit(table, y)
    out = merger.transform(table)
    assert list(out.columns) == ["region", "job"]
    assert out["region"].to_numpy().tolist() == high.astype(int).tolist()
    assert merger.groups_["job"] == {"x": 0, "y": 0, "z": 0}
    assert list(clone(merger).set_params(drop=True).fit(table, y).get_feature_names_out()) == ["region"]
    new = merger.transform(pd.DataFrame({"region": ["q"], "job": ["x"]}))
    assert new.to_numpy().tolist() == [[-1, 0]]
    model = make_pipeline(
        LevelMerger(family="binomial"), OneHotEncoder(handle_unknown="ignore"), LogisticRegression()
    ).fit(table, rng.random(400) < np.where(high, 0.9, 0.1))
    assert model.predict_proba(table)[high, 1].mean() > 0.8


def test_wrong_calls_say_what_is_wrong():
    x, eta, _ = drawn()
    with pytest.raises(ValueError, match="multiclass"):
        SharedLogisticRegression().fit(x, np.arange(len(x)) % 3)
    with pytest.raises(ValueError, match="counts"):
        SharedPoissonRegressor().fit(x, eta)
    with pytest.raises(ValueError, match="one of gaussian"):
        LevelMerger(family="gamma").fit(x.astype(str), eta)


@pytest.mark.parametrize("kind", [float, object, np.float32])
def test_a_level_has_one_code_whatever_the_rest_of_the_batch_is(kind):
    rng = np.random.default_rng(0)
    size = rng.choice([0, 0.5, 1, 1.5], 300)
    merger = LevelMerger().fit(size[:, None].astype(kind), 2.0 * (size >= 1) + 0.3 * rng.standard_normal(300))
    assert merger.groups_["0"] == {"0": 0, "0.5": 0, "1": 1, "1.5": 1}
    rows = size[:20, None].astype(kind)
    together = merger.transform(rows)
    assert np.array_equal(together, np.concatenate([merger.transform(rows[[i]]) for i in range(20)]))
    assert np.array_equal(together[:, 0], size[:20] >= 1)


def test_without_an_intercept_a_column_of_ones_is_one():
    rng = np.random.default_rng(0)
    x = np.c_[np.ones(300), rng.standard_normal(300)]
    for y in (5 + x[:, 1] + 0.1 * rng.standard_normal(300), np.full(300, 3.0)):
        own = SharedLinearRegression(fit_intercept=False).fit(x, y)
        np.testing.assert_allclose(
            own.coef_, LinearRegression(fit_intercept=False).fit(x, y).coef_, atol=0.02, rtol=1e-6
        )
        assert own.intercept_ == 0
    share = rng.random(300) < 0.8
    logistic = SharedLogisticRegression(fit_intercept=False).fit(x[:, :1], share)
    assert logistic.predict_proba(x[:1, :1])[0, 1] == pytest.approx(share.mean(), abs=0.01)
    counts = SharedPoissonRegressor(fit_intercept=False).fit(x, np.full(300, 3.0))
    np.testing.assert_allclose(counts.predict(x), 3, rtol=0.01)


def test_no_events_at_all():
    x, _, _ = drawn()
    assert (SharedPoissonRegressor().fit(x, np.zeros(len(x))).predict(x) < 1e-6).all()
    with pytest.raises(ValueError, match="zero in all 300 rows"):
        SharedPoissonRegressor(fit_intercept=False).fit(x, np.zeros(len(x)))


@pytest.mark.parametrize("state", [None, 3, np.int64(3), np.random.RandomState(3), np.random.default_rng(3)])
def test_random_states_of_all_kinds(state):
    x, eta, _ = drawn(60)
    assert SharedLinearRegression(random_state=state).fit(x, eta).n_groups_ == 2
    assert set(LevelMerger(random_state=state).fit(x.round().astype(int), eta).groups_) == set("abcdef")
    assert SharedCovariance(random_state=state).fit(x).covariance_.shape == (6, 6)
    for bad in ("a", -1, 0.5, True):
        with pytest.raises(ValueError, match="random_state must be an integer"):
            SharedLinearRegression(random_state=bad).fit(x, eta)


def test_text_is_no_gaussian_outcome():
    with pytest.raises(ValueError, match="got 'yes': family='binomial' takes two classes by name"):
        LevelMerger().fit(np.tile([["a"], ["b"]], (10, 1)), np.tile(["yes", "no"], 10))


def test_levels_in_columns_of_extension_types():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 200)
    whole = pd.array(codes, dtype="Int64")
    whole[3] = pd.NA
    table = pd.DataFrame({"a": whole, "c": pd.Categorical(rng.choice(list("xyz"), 200))})
    merger = LevelMerger().fit(table, (codes > 1) + 0.2 * rng.normal(size=200))
    groups = merger.groups_["a"]
    assert groups["0"] == groups["1"] != groups["2"] == groups["3"]
    np.testing.assert_array_equal(merger.transform(table)[:3, 0], [groups[str(one)] for one in codes[:3]])
