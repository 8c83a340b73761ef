"""Which levels of factors have the same effect: partitions, predictions, and what may be wrong with a table."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import equishare as es

EFFECTS = np.repeat([-3.0, 0.0, 3.0], [10, 4, 10])


def simulated(seed, noise, count=500, factors=10):
    """Ten independent factors of 24 levels, of which three have effects −3, 0 and 3 (setting 1 of SCOPE's paper)."""
    rng = np.random.default_rng(seed)
    codes, new = rng.integers(24, size=(2, count, factors))
    truth = EFFECTS[new[:, :3]].sum(1)
    return codes, EFFECTS[codes[:, :3]].sum(1) + noise * rng.standard_normal(count), new, truth


def regions(seed=0, count=400, family="gaussian"):
    rng = np.random.default_rng(seed)
    region = rng.choice(list("abcdefgh"), count)
    age = rng.normal(40, 10, count)
    eta = np.array([{"a": 0, "b": 0, "c": 0, "d": 2, "e": 2, "f": 2}.get(one, 5) for one in region]) + 0.05 * age
    if family == "gaussian":
        y = eta + rng.standard_normal(count)
    elif family == "binomial":
        y = (rng.random(count) < 1 / (1 + np.exp(4.5 - eta))).astype(int)
    else:
        y = rng.poisson(np.exp(eta / 3))
    return pd.DataFrame({"region": region, "job": rng.choice(["x", "y", "z"], count), "age": age}), y


def test_levels_far_apart_are_told_and_idle_factors_drop_out():
    codes, y, new, truth = simulated(0, 1.0)
    d = es.discover(es.FactorProblem(codes, y))
    for j in range(3):
        assert es.partition_distance(d.partitions[str(j)], es.Partition(EFFECTS.astype(int))) == 0
    assert all(d.partitions[str(j)].num_groups == 1 for j in range(3, 10))
    # Seven parameters: one 500th of the noise each.
    assert np.mean((d.predict(new) - truth) ** 2) < 3 * 7 / 500
    assert np.mean((d.predict(new, averaged=True) - truth) ** 2) < 3 * 7 / 500


def test_where_noise_is_large_the_average_predicts_better_than_one_pattern():
    hard, average = [], []
    for seed in range(2):
        codes, y, new, truth = simulated(seed, 5.0)
        d = es.discover(es.FactorProblem(codes, y))
        hard.append(np.mean((d.predict(new) - truth) ** 2))
        average.append(np.mean((d.predict(new, averaged=True) - truth) ** 2))
    assert np.mean(average) < np.mean(hard)
    assert np.mean(average) < 4.6  # least squares has 21, the best single patterns published 4.1 to 6.3


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_every_family(family, tmp_path):
    table, y = regions(family=family)
    d = es.discover(es.FactorProblem(table, y, family=family, numeric=["age"]))
    assert d.partitions["region"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert d.levels["region"] == tuple("abcdefgh")
    predicted = d.predict(table)
    assert predicted.shape == y.shape
    assert predicted.mean() == pytest.approx(y.mean(), rel=0.02)
    assert np.corrcoef(d.predict(table, averaged=True), predicted)[0, 1] > 0.98
    path = tmp_path / "d.npz"
    d.save(path)
    loaded = es.Discovery.load(path)
    for averaged in (False, True):
        np.testing.assert_array_equal(loaded.predict(table, averaged=averaged), d.predict(table, averaged=averaged))
    assert loaded.levels == d.levels
    assert {name: own.shape for name, own in d.posterior_mean.items()} == {"region": (8,), "job": (3,)}


def test_effects_have_the_mean_zero_over_the_samples_and_add_up_to_the_prediction():
    table, y = regions()
    d = es.discover(es.FactorProblem(table, y, numeric="age"))
    total = d.bias[0] + d.predictor.coefficients[0] * table["age"].to_numpy()
    for name in ("region", "job"):
        codes = np.array([d.levels[name].index(one) for one in table[name]])
        assert d.theta[name][codes].mean() == pytest.approx(0, abs=1e-9)
        assert d.posterior_mean[name][codes].mean() == pytest.approx(0, abs=1e-9)
        total = total + d.theta[name][codes]
    np.testing.assert_allclose(d.predict(table), total)


@pytest.mark.parametrize("kind", ["pandas", "polars", "dict", "array"])
def test_tables_of_all_kinds_have_one_answer(kind):
    table, y = regions()
    table = table.drop(columns="age")
    given = {
        "pandas": table,
        "polars": pl.DataFrame(table.to_dict("list")),
        "dict": {name: table[name].tolist() for name in table},
        "array": table.to_numpy(),
    }[kind]
    d = es.discover(es.FactorProblem(given, y))
    expected = es.discover(es.FactorProblem(table, y))
    assert list(d.partitions.values()) == list(expected.partitions.values())
    np.testing.assert_allclose(d.predict(given), expected.predict(table))


def test_order_of_rows_and_names_of_levels_do_not_matter():
    table, y = regions()
    shuffled = np.random.default_rng(1).permutation(len(y))
    d = es.discover(es.FactorProblem(table[["region"]], y))
    other = es.discover(es.FactorProblem(table[["region"]].iloc[shuffled].reset_index(drop=True), y[shuffled]))
    assert d.partitions == other.partitions
    renamed = table["region"].map(lambda one: f"{chr(200 - ord(one))}!")
    again = es.discover(es.FactorProblem({"region": renamed}, y))
    assert again.levels["region"] == tuple(f"{chr(200 - ord(one))}!" for one in "hgfedcba")
    assert again.partitions["region"].labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]


def test_large_numbers_and_units_do_not_matter():
    table, y = regions()
    d = es.discover(es.FactorProblem(table, y, numeric="age"))
    for scale, shift in ((1e140, 0.0), (1e-140, 0.0), (1.0, 1e8)):
        other = es.discover(es.FactorProblem(table, y * scale + shift, numeric="age"))
        assert other.partitions == d.partitions
        np.testing.assert_allclose(other.predict(table), d.predict(table) * scale + shift, rtol=1e-6)
        np.testing.assert_allclose(other.theta["region"], d.theta["region"] * scale, rtol=1e-5)


def test_unseen_levels_have_the_expected_effect_and_warn_once():
    table, y = regions()
    d = es.discover(es.FactorProblem(table[["region"]], y))
    with pytest.warns(UserWarning, match=r"never seen .* region \(2 rows\)") as caught:
        found = d.predict({"region": ["z", "a", "q"]})
    assert len(caught) == 1
    assert found[0] == found[2] != found[1]
    values, sizes = d.values["region"], d.partitions["region"].group_sizes
    expected = (values * (sizes + 1)).sum() / (sizes + 1).sum()
    assert found[0] == pytest.approx(d.bias[0] + expected)


def test_ordered_factors_tie_neighbours_only():
    rng = np.random.default_rng(1)
    size = rng.choice(["s", "m", "l", "xl"], 600)
    effect = {"s": 0.0, "m": 2.0, "l": 2.0, "xl": 0.0}
    y = np.array([effect[one] for one in size]) + 0.5 * rng.standard_normal(600)
    free = es.discover(es.FactorProblem({"size": size}, y))
    assert free.partitions["size"].num_groups == 2
    order = ["s", "m", "l", "xl"]
    for problem in (
        es.FactorProblem({"size": size}, y, ordered={"size": order}),
        es.FactorProblem({"size": pd.Categorical(size, order, ordered=True)}, y),
        es.FactorProblem(pl.DataFrame({"size": pl.Series(size, dtype=pl.Enum(order))}), y),
    ):
        d = es.discover(problem)
        assert d.levels["size"] == tuple(order)
        assert d.partitions["size"].labels.tolist() == [0, 1, 1, 2]


def test_missing_values_are_a_level():
    table, y = regions()
    holes = table["region"].where(np.arange(len(y)) % 5 > 0, None)
    d = es.discover(es.FactorProblem({"region": holes}, y))
    assert "missing" in d.levels["region"]
    assert any("level of their own, 'missing': region" in one for one in d.warnings)
    assert np.isfinite(d.predict({"region": [None, np.nan, "a"]})).all()


def test_the_answer_tells_what_became_of_odd_values():
    table, y = regions()
    rows = np.arange(len(y))
    region = table["region"].where(rows % 5 > 0, None)
    plain = es.discover(es.FactorProblem({"region": region}, y))
    assert not any("read alike" in one or "comes last" in one for one in plain.warnings)
    mixed = np.where(rows % 7 == 1, "missing", region)
    number = np.array([str(i % 3) if i % 2 else i % 3 for i in rows], dtype=object)
    d = es.discover(es.FactorProblem({"region": mixed, "number": number}, y, ordered=["region"]))
    assert d.levels["number"] == ("0", "1", "2")
    assert any("are one level: region (missing), number (0, 1, 2)" in one for one in d.warnings)
    assert any("'missing' comes last, and may be tied with the greatest only: region" in one for one in d.warnings)


@pytest.mark.parametrize("kind", [list, pd.Series, lambda own: [list(one) for one in own]])
def test_tuples_are_levels(kind):
    code = np.arange(120) % 4
    for column in ([(int(one), 1) for one in code], [(0,) * (int(one) + 1) for one in code]):
        noise = 0.1 * np.random.default_rng(0).standard_normal(120)
        d = es.discover(es.FactorProblem({"a": kind(column)}, (code > 1) + noise))
        groups = dict(zip(d.levels["a"], d.partitions["a"].labels, strict=True))
        of_codes = [groups[str(one)] for one in column[:4]]
        assert es.Partition(of_codes) == es.Partition([0, 0, 1, 1])
        assert d.predict({"a": column[:1]}).shape == (1,)


def test_only_rows_with_weight_count():
    table, y = regions()
    problem = es.FactorProblem(table[["region"]], y)
    for half in (problem._train, problem._val):
        d = es.discover(es.FactorProblem(table[["region"]], y, weights=np.isin(np.arange(len(y)), half) * 1.0))
        assert np.isfinite([d.validation_loss, d.no_sharing_loss]).all()
        assert d.partitions["region"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    two = es.discover(es.FactorProblem(table[["region"]], y, weights=(np.arange(len(y)) < 2) * 1.0))
    assert np.isfinite(two.posterior_mean["region"]).all()


def test_a_factor_that_tells_the_same_as_another_drops_out():
    table, y = regions()
    d = es.discover(es.FactorProblem({"region": table["region"], "copy": table["region"]}, y))
    assert sorted(one.num_groups for one in d.partitions.values()) == [1, 3]


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_separated_levels_have_finite_effects(family):
    a = np.tile(list("abcd"), 50)
    d = es.discover(es.FactorProblem({"a": a}, (a == "a").astype(int), family=family))
    assert d.partitions["a"].labels.tolist() == [0, 1, 1, 1]
    assert np.isfinite(d.theta["a"]).all()
    assert any("a weak prior keeps their values finite" in one for one in d.warnings)


@pytest.mark.parametrize("count", [24, 1000, 100_000])
@pytest.mark.parametrize("noise", [0.0, 1e-8, 1e-5])
def test_an_outcome_that_the_factors_determine(count, noise):
    rng = np.random.default_rng(0)
    a, b = rng.permutation(count) % 6, rng.integers(4, size=count)
    y = a // 2 + noise * rng.standard_normal(count)
    d = es.discover(es.FactorProblem({"a": a}, y))
    assert d.partitions["a"].labels.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(d.predict({"a": a}), y, atol=1e-6 + 5 * noise)
    np.testing.assert_allclose(d.predict({"a": a}, averaged=True), y, atol=1e-4)
    if count > 24:
        both = es.discover(es.FactorProblem({"a": a, "b": b}, y + 0.5 * (b > 1)))
        assert [one.labels.tolist() for one in both.partitions.values()] == [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1]]
    levels = np.arange(count) % 4
    for order in (None, ["a"]):
        exact = es.discover(es.FactorProblem({"a": levels}, 3.0 * (levels >= 2), ordered=order))
        assert exact.partitions["a"].labels.tolist() == [0, 0, 1, 1]


def test_few_rows_many_levels():
    rng = np.random.default_rng(0)
    d = es.discover(es.FactorProblem({"a": np.arange(20), "b": rng.integers(3, size=20)}, rng.standard_normal(20)))
    assert np.isfinite(d.predict({"a": np.arange(20), "b": np.zeros(20, int)})).all()
    assert any("less than 3 rows" in one for one in d.warnings)
    assert np.isfinite(es.discover(es.FactorProblem({"a": ["x", "y"]}, [1.0, 2.0])).bias).all()


@pytest.mark.slow
def test_ten_thousand_levels():
    rng = np.random.default_rng(0)
    a = np.arange(20_000) % 5000
    y = 3.0 * (a % 2) + 0.5 * rng.standard_normal(len(a))
    d = es.discover(es.FactorProblem({"a": a, "b": rng.integers(4, size=len(a))}, y))
    assert d.partitions["a"].num_groups == 2
    assert np.mean((d.predict({"a": a, "b": np.zeros(len(a), int)}) - 3.0 * (a % 2)) ** 2) < 0.05


def test_weights_count_rows_and_offsets_are_added():
    table, y = regions(count=200)
    keep = np.arange(200) < 150
    weighted = es.FactorProblem(table[["region"]], y, weights=keep.astype(float))
    part = es.FactorProblem(table[["region"]][keep], y[keep])
    labels = (np.array([0, 0, 0, 1, 1, 1, 2, 2]),)
    np.testing.assert_allclose(weighted.refit(labels).values["region"], part.refit(labels).values["region"], rtol=1e-6)
    exposure = np.log(np.random.default_rng(0).uniform(1, 9, 200))
    counts = np.random.default_rng(1).poisson(np.exp(exposure))
    d = es.discover(es.FactorProblem(table[["job"]], counts, family="poisson", offset=exposure))
    assert d.predict(table[["job"]], offset=exposure).sum() == pytest.approx(counts.sum(), rel=1e-3)


@pytest.mark.parametrize("level", [-11.5, 8.0, 1e8])
@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_offsets_far_from_zero_move_the_bias_alone(family, level):
    rng = np.random.default_rng(0)
    codes = np.arange(600) % 6
    effect, own = np.repeat([-2.0, 0.0, 2.0], 2), rng.standard_normal(600)
    eta = effect[codes] + own
    y = eta + rng.standard_normal(600)
    if family != "gaussian":
        y = rng.random(600) < 1 / (1 + np.exp(-eta)) if family == "binomial" else rng.poisson(np.exp(eta))
    near = es.discover(es.FactorProblem(codes, y, family=family, offset=own))
    far = es.discover(es.FactorProblem(codes, y, family=family, offset=level + own))
    assert far.partitions["0"].labels.tolist() == near.partitions["0"].labels.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(far.theta["0"], near.theta["0"], atol=1e-3)
    assert far.bias[0] == pytest.approx(near.bias[0] - level, abs=1e-3)
    assert far.predict(codes, offset=level + own).mean() == pytest.approx(y.mean(), rel=1e-2)
    assert far.predict(codes, offset=level + own, averaged=True).mean() == pytest.approx(y.mean(), rel=5e-2)


def test_r_squared_weighs_samples_as_the_loss_does():
    rng = np.random.default_rng(0)
    codes, counts = np.arange(400) % 2, np.arange(400) % 4 > 1
    y = np.where(counts, codes, 1e3) + rng.standard_normal(400)
    found = es.discover(es.FactorProblem(codes, y, weights=np.where(counts, 1.0, 1e-9)))
    # Effects 0 and 1 of noise of variance 1 explain a fifth.
    assert found.quality.r_squared == pytest.approx(0.2, abs=0.1)


def test_samples_without_weight_are_left_out_of_both_halves():
    weights = np.where(np.arange(40) < 3, 1.0, 0.0)
    d = es.discover(es.FactorProblem({"a": A}, Y, weights=weights), "no_sharing")
    assert d.about.num_train + d.about.num_val == 3
    assert np.isfinite(d.validation_loss)


def test_numeric_columns_given_apart_are_given_apart_to_predict():
    table, y = regions()
    codes, age = table[["region", "job"]].to_numpy(), table[["age"]].to_numpy()
    apart = es.discover(es.FactorProblem(codes, y, numeric=age))
    together = es.discover(es.FactorProblem(table, y, numeric="age"))
    for averaged in (False, True):
        found = apart.predict(codes, numeric=age, averaged=averaged)
        np.testing.assert_allclose(found, together.predict(table, averaged=averaged), rtol=1e-6)
    with pytest.raises(ValueError, match=r"lacks numeric 0: predict\(table, numeric=...\)"):
        apart.predict(codes)
    with pytest.raises(ValueError, match="a row for each of 400 samples, got 3"):
        apart.predict(codes, numeric=age[:3])
    with pytest.raises(ValueError, match="columns numeric 0, got numeric 0, numeric 1"):
        apart.predict(codes, numeric=np.c_[age, age])
    with pytest.raises(ValueError, match="the data, which had none, got x"):
        es.discover(es.FactorProblem({"a": A}, Y)).predict({"a": A}, numeric={"x": Y})


def test_rates_need_weights_and_equal_counts_need_exposures():
    exposure = np.tile([1.0, 1.0, 4.0, 4.0], 50)
    levels = {"a": np.tile(list("abcd"), 50)}
    alike = np.full(200, 4)
    d = es.discover(es.FactorProblem(levels, alike, family="poisson", offset=np.log(exposure)))
    assert d.partitions["a"].labels.tolist() == [0, 0, 1, 1]
    rates = es.discover(es.FactorProblem(levels, alike / exposure, family="poisson", weights=exposure))
    assert rates.partitions == d.partitions
    np.testing.assert_allclose(rates.predict(levels), d.predict(levels), rtol=1e-6)
    with pytest.raises(ValueError, match="y less offset must vary"):
        es.FactorProblem(levels, exposure, offset=exposure)


def test_oracle_no_sharing_and_resamples():
    table, y = regions()
    problem = es.FactorProblem(table[["region", "job"]], y)
    free = es.discover(problem, "no_sharing")
    means = {one: y[table["region"] == one].mean() for one in "abcdefgh"}
    alone = es.discover(es.FactorProblem(table[["region"]], y), "no_sharing")
    np.testing.assert_allclose(alone.bias[0] + alone.theta["region"], list(means.values()), rtol=1e-6)
    assert free.partitions["job"].num_groups == 3
    given = {"region": [0, 0, 0, 0, 1, 1, 1, 1], "job": [0, 0, 0]}
    assert es.discover(problem, "oracle", partition=given).partitions["region"].num_groups == 2
    d = es.discover(problem, resamples=3)
    assert d.confidence["region"].num_resamples == 3
    with pytest.raises(ValueError, match="2 parameters, 'region', 'job'"):
        es.discover(problem, "gap")


def test_report_tells_levels_by_name(tmp_path):
    table, y = regions()
    d = es.discover(es.FactorProblem(table, y, numeric="age"))
    d.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "job drops out" in page and "a, b, c" in page
    # A picture for the factor with groups, none for the one that drops out; no strip of cells to point at.
    assert page.count("Value and 95 % interval of each group of levels of") == 1
    assert "interval of each group of levels of region" in page and 'class="viewer"' not in page
    from equishare.report import document

    found = json.loads(document(d.view(), None))
    assert found["parameters"]["region"]["names"] == {"entries": list("abcdefgh")}
    assert len(found["parameters"]["region"]["value_errors"]) == 3


A = np.tile(list("abcd"), 10)
Y = np.arange(40.0)
REVERSED = pd.Series(np.ones(40), index=np.arange(40)[::-1])
WRONG = {
    "no table": (("abc", Y), {}, TypeError, "table must be a data frame"),
    "empty": (({}, Y), {}, ValueError, "at least one column"),
    "one level": (({"a": ["x"] * 40}, Y), {}, ValueError, "at least two levels"),
    "lengths": (({"a": A[:9]}, Y), {}, ValueError, "as many rows"),
    "ragged": (({"a": A, "b": A[:9]}, Y), {}, ValueError, "columns of one length"),
    "names": ((pd.DataFrame(np.c_[A, A], columns=["a", "a"]), Y), {}, ValueError, "'a' twice"),
    "fractions": (({"a": Y + 0.5}, Y), {}, ValueError, "numeric="),
    "family": (({"a": A}, Y), {"family": "gamma"}, ValueError, "family must be one of"),
    "one class": (({"a": A}, np.ones(40)), {"family": "binomial"}, ValueError, "one class"),
    "classes": (({"a": A}, Y), {"family": "binomial"}, ValueError, "0 or 1"),
    "zeros": (({"a": A}, np.zeros(40)), {"family": "poisson"}, ValueError, "zero in all"),
    "negative": (({"a": A}, -Y), {"family": "poisson"}, ValueError, "counts"),
    "rates": (({"a": A}, Y / 4), {"family": "poisson"}, ValueError, "counts 0, 1, 2, … .*got 0.25.*offset="),
    "equal counts": (({"a": A}, Y * 0 + 3), {"family": "poisson"}, ValueError, "the same count in all 40 rows"),
    "one weight": (({"a": A}, Y), {"weights": (Y == 3) * 1.0}, ValueError, "at least two samples"),
    "offset nan": (({"a": A}, Y), {"offset": np.where(Y > 3, np.nan, Y)}, ValueError, "offset must be finite, got nan"),
    "indices": (
        (pd.DataFrame({"a": A}), pd.Series(Y, index=Y + 1)),
        {},
        ValueError,
        "table and y must have the same rows .*y = y.loc",
    ),
    "constant": (({"a": A}, np.ones(40)), {}, ValueError, "must vary"),
    "text": (({"a": A}, A), {"family": "binomial"}, TypeError, "must hold numbers"),
    "two classes": (({"a": A}, np.where(Y > 3, "yes", "no")), {}, TypeError, "y == 'yes' with family='binomial'"),
    "named classes": (
        ({"a": A}, np.where(Y > 3, "ill", "ok")),
        {"family": "binomial"},
        TypeError,
        "of two classes, y == 'ok'",
    ),
    "nan": (({"a": A}, np.where(Y > 3, np.nan, Y)), {}, ValueError, "finite"),
    "two outcomes": (({"a": A}, np.c_[Y, Y]), {}, ValueError, "one outcome"),
    "numeric": (({"a": A, "x": Y}, Y), {"numeric": ["y"]}, ValueError, "numeric must name"),
    "constant numeric": (({"a": A, "x": 0 * Y}, Y), {"numeric": ["x"]}, ValueError, "'x' is constant"),
    "weights": (({"a": A}, Y), {"weights": -Y}, ValueError, "weights"),
    "offset": (({"a": A}, Y), {"offset": Y[:3]}, ValueError, "offset"),
    "weights of one class": (
        ({"a": A}, Y > 20),
        {"family": "binomial", "weights": (Y > 20) * 1.0},
        ValueError,
        "one cl",
    ),
    "weights of zeros": (({"a": A}, Y // 20), {"family": "poisson", "weights": (Y < 20) * 1.0}, ValueError, "zero in"),
    "weights of one row": (({"a": A}, Y), {"weights": (Y == 3) * 1.0}, ValueError, "at least two samples"),
    "index of weights": (
        (pd.DataFrame({"a": A}), Y),
        {"weights": REVERSED},
        ValueError,
        "table and weights must have the",
    ),
    "index of offset": (({"a": A}, pd.Series(Y)), {"offset": REVERSED}, ValueError, "y and offset must have the same"),
    "too small": (({"a": A}, Y * 1e-200), {}, ValueError, "y varies by about .e-199, which is too large or too small"),
    "too large": (({"a": A}, Y * 1e200), {}, ValueError, "too large or too small to be squared"),
    "one value": (({"a": A, "b": 1}, Y), {}, TypeError, "column 'b' must be a list of one value a row, got 1"),
    "one text": (({"a": "x"}, Y), {}, TypeError, "column 'a' must be a list of one value a row, got 'x'"),
    "a set": (({"a": set(A)}, Y), {}, TypeError, "list of one value a row"),
    "two columns in one": (({"a": np.c_[A, A]}, Y), {}, TypeError, r"one value a row, got shape \(40, 2\)"),
    "dicts": (({"a": [{1: 2}] * 40}, Y), {}, TypeError, "levels must be text, numbers or tuples of them, got dict"),
    "ordered": (({"a": A}, Y), {"ordered": ["b"]}, ValueError, "ordered must name"),
    "ordered lists": (({"a": A}, Y), {"ordered": [["a"]]}, TypeError, "ordered must be names of factors"),
    "ordered twice": (
        ({"a": A}, Y),
        {"ordered": {"a": list("abcda")}},
        ValueError,
        "each level of column 'a' once.*'a' tw",
    ),
    "infinite": (({"a": np.r_[np.inf, Y[1:]]}, Y), {}, ValueError, "'a' of table holds inf: leave such rows out"),
    "order": (({"a": A}, Y), {"ordered": {"a": ["a", "b"]}}, ValueError, "lacks c, d"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_say_what_is_wrong(case):
    arguments, options, error, match = WRONG[case]
    with pytest.raises(error, match=match):
        es.FactorProblem(*arguments, **options)


def test_the_outcome_among_the_inputs_is_refused():
    table = pd.DataFrame({"a": A, "claim": (Y > 20).astype(int)})
    with pytest.raises(ValueError, match="must not hold the outcome"):
        es.FactorProblem(table, table["claim"], family="binomial")


def test_predict_names_the_column_that_is_missing():
    d = es.discover(es.FactorProblem({"colour": A}, Y))
    with pytest.raises(ValueError, match="lacks colour"):
        d.predict({"color": A})
    with pytest.raises(TypeError, match="column 'colour' must be a list of one value a row, got 'a'"):
        d.predict({"colour": "a"})


@pytest.mark.parametrize("unit", [1e-45, 1e45])
def test_units_of_weights_change_nothing(unit):
    rng = np.random.default_rng(0)
    level = rng.integers(0, 5, 200)
    y = np.array([0.0, 0, 1, 1, 2])[level] + 0.5 * rng.normal(size=200)
    weights = rng.uniform(0.5, 2, 200)
    plain, other = (es.discover(es.FactorProblem({"a": level}, y, weights=own)) for own in (weights, weights * unit))
    assert other.partition == plain.partition
    np.testing.assert_allclose(other.predict({"a": level}), plain.predict({"a": level}), rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-20, 1e12])
def test_units_of_exposures_change_nothing(unit):
    rng = np.random.default_rng(0)
    level, exposure = rng.integers(0, 4, 200), rng.uniform(50, 200, 200)
    y = rng.poisson(exposure * np.array([1.0, 1, 2, 2])[level])
    plain, other = (
        es.discover(es.FactorProblem({"a": level}, y / own, family="poisson", weights=own))
        for own in (exposure, exposure * unit)
    )
    assert other.partition == plain.partition == es.Partition([0, 0, 1, 1])
    np.testing.assert_allclose(other.predict({"a": level}) * unit, plain.predict({"a": level}), rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_outcomes_of_torch(dtype):
    level = np.arange(80) % 4
    y = torch.tensor(level // 2 + 0.25 * (np.arange(80) % 3), dtype=dtype, requires_grad=True)
    assert es.discover(es.FactorProblem({"a": level}, y)).partition == es.Partition([0, 0, 1, 1])
