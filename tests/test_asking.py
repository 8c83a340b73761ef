"""The natural call: arrays and tables in, names and predictions out, and how well the answer rests on the data."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.stats
import torch
from model_cases import linear, linear_data, mse, split

import equishare as es

INPUTS = ["temp_n", "temp_e", "temp_s", "temp_w"]
OUTPUTS = ["flow_a", "flow_b", "flow_c", "flow_d"]
RING = (np.arange(4) - np.arange(4)[:, None]) % 4


def ring_data(samples=200, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 4)) + 3
    return x, x @ np.array([1.0, -0.5, 0.25, 2.0])[RING].T + 7 + noise * rng.normal(size=(samples, 4))


TABLES = {
    "pandas": lambda a, columns: pd.DataFrame(a, columns=columns),
    "polars": lambda a, columns: pl.DataFrame(a, schema=columns),
    "pyarrow": lambda a, columns: pa.table(dict(zip(columns, a.T, strict=True))),
}


class TestNaturalCall:
    def test_x_and_y_are_a_linear_problem(self):
        x, y = ring_data()
        found = es.discover(x, y, seed=3)
        same = es.discover(es.LinearProblem(x, y, seed=3), seed=3)
        assert found.partition == same.partition == es.Partition(RING)
        assert found.validation_loss == same.validation_loss
        assert (found.about.num_train, found.about.num_val) == (100, 100)

    @pytest.mark.parametrize(
        "call", [lambda x, y: es.discover(x, y, "gap"), lambda x, y: es.discover(x, y, method="gap")]
    )
    def test_a_method_may_follow(self, call):
        assert call(*ring_data()).method == "gap"

    def test_by_name(self):
        x, y = ring_data()
        assert es.discover(x=x, y=y, method="gap").partition == es.discover(x, y, "gap").partition

    def test_the_seed_draws_the_halves(self):
        x, y = ring_data()
        one, same, other = (es.LinearProblem(x, y, seed=s) for s in (1, 1, 2))
        assert np.array_equal(one.train.sxy, same.train.sxy)
        assert not np.array_equal(one.train.sxy, other.train.sxy)
        assert np.allclose(one.pooled.sxy, other.pooled.sxy)

    def test_a_vector_is_one_output(self):
        x, y = ring_data()
        assert es.discover(x, y[:, 0]).partition.shape == (1, 4)
        assert es.LinearProblem(x[:9], y[:9, 0], x_val=x[9:], y_val=y[9:, 0]).shape == (1, 4)

    def test_means_split_themselves(self):
        samples = np.random.default_rng(0).normal([0, 0, 5], 1, size=(41, 3))
        found = es.discover(es.MeanProblem(samples))
        assert found.partition == es.Partition([0, 0, 1])
        assert found.about.num_train + found.about.num_val == 41
        assert found.confidence.num_resamples == 20
        assert es.discover(es.MeanProblem(samples), resamples=0).confidence is None


class TestRows:
    def test_tables_in_another_order_are_refused(self):
        x, y = map(pd.DataFrame, ring_data())
        with pytest.raises(ValueError, match="x and y must have the same rows in the same order"):
            es.discover(x, y.sample(frac=1, random_state=0))
        assert es.discover(x[10:], y[10:], "gap").about.num_train == 95


class TestNames:
    @pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
    def test_columns_of_tables(self, table):
        x, y = ring_data()
        found = es.discover(table(x, INPUTS), table(y, OUTPUTS))
        assert found.partition == es.discover(x, y).partition
        assert found.names == (tuple(OUTPUTS), tuple(INPUTS))
        assert es.discover(es.MeanProblem(table(x, INPUTS)), "gap").names == (tuple(INPUTS),)

    def test_data_without_names(self):
        x, y = ring_data()
        assert es.discover(pd.DataFrame(x), y, "gap").names == ((), ())
        assert es.discover(torch.from_numpy(x), pd.Series(y[:, 0], name="flow"), "gap").names == (("flow",), ())

    def test_signs_that_no_page_holds(self, tmp_path):
        x, y = ring_data()
        found = es.discover(pd.DataFrame(x, columns=["a\x07", "b\nc", "d\ufffe", "e"]), y)
        assert found.names[1] == ("a\ufffd", "b c", "d\ufffd", "e")
        assert "b c" in found._repr_html_()
        found.report(tmp_path / "page.html")

    def test_they_are_saved(self, tmp_path):
        x, y = ring_data()
        found = es.discover(pd.DataFrame(x, columns=INPUTS), y)
        found.save(tmp_path / "d.npz")
        loaded = es.Discovery.load(tmp_path / "d.npz")
        assert loaded.names == ((), tuple(INPUTS))
        assert loaded.warnings == found.warnings
        for name in ("unshared", "unshared_errors", "value_errors", "r_squared", "dependence", "loss_error", "notes"):
            assert np.array_equal(getattr(loaded.quality, name), getattr(found.quality, name))

    def test_a_named_column_is_told_in_errors(self):
        table = pd.DataFrame(ring_data()[0], columns=INPUTS).assign(temp_w=1.0)
        with pytest.raises(ValueError, match="no variation in column temp_w; leave out columns that are constant"):
            es.discover(table, ring_data()[1])


class TestPredict:
    def test_a_map(self):
        x, y = ring_data()
        found = es.discover(x, y)
        expected = x @ found.theta.T + found.bias
        assert np.allclose(found.predict(x), expected)
        of_tensor = found.predict(torch.from_numpy(x).float())
        assert of_tensor.dtype == torch.float32
        assert np.allclose(of_tensor, expected, atol=1e-4)

    def test_columns_are_found_by_name(self):
        x, y = ring_data()
        table = pd.DataFrame(x, columns=INPUTS)
        found = es.discover(table, y)
        mixed = table.assign(more="text")[["temp_w", "more", "temp_s", "temp_n", "temp_e"]]
        assert np.array_equal(found.predict(mixed), found.predict(x))
        with pytest.raises(ValueError, match="x must have the columns of the data, got none of the name temp_s"):
            found.predict(table.drop(columns="temp_s"))

    def test_columns_that_pandas_counts(self):
        x, y = ring_data()
        table = pd.DataFrame(x)
        assert np.array_equal(es.discover(table, y).predict(table[[2, 0, 1, 3]]), es.discover(x, y).predict(x))
        mixed = es.discover(table[[2, 0, 1, 3]], y)
        assert np.array_equal(mixed.predict(table), mixed.predict(table[[2, 0, 1, 3]]))

    def test_a_network(self):
        train, val = split(linear_data(), 40)
        found = es.discover(es.ModelProblem(linear(), train, val, mse), steps=5, restarts=1)
        found.model.train()
        predicted = found.predict(train[0])
        assert not predicted.requires_grad
        assert found.model.training
        assert torch.equal(predicted, found.model(train[0]).detach())
        assert torch.equal(found.predict((train[0],)), predicted)

    def test_a_network_takes_tensors(self):
        train, val = split(linear_data(), 40)
        found = es.discover(es.ModelProblem(linear(), train, val, mse), steps=5, restarts=1)
        with pytest.raises(TypeError, match="x must be a tensor, or a tuple of them, for a network, got ndarray"):
            found.predict(train[0].numpy())
        with pytest.raises(ValueError, match="averaged must be False for a network"):
            found.predict(train[0], averaged=True)
        with pytest.raises(ValueError, match="offset must be left out.* this discovery is of a model"):
            found.predict(train[0], offset=1.0)

    def test_what_predicts_nothing(self):
        x, y = ring_data()
        with pytest.raises(
            ValueError, match="predict needs the discovery of a map or of a network; this one is of means"
        ):
            es.discover(es.MeanProblem(x), "gap").predict(x)
        with pytest.raises(ValueError, match=r"x must have 4 columns, got shape \(200, 3\)"):
            es.discover(x, y, "gap").predict(x[:, :3])


class TestQuality:
    def test_dependence_is_the_f_test(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(2, 30, 1))
        y += 0.3 * x
        expected = scipy.stats.linregress(x[:, 0], y[:, 0]).pvalue
        assert np.isclose(es.discover(x, y, "gap").quality.dependence, expected)

    @pytest.mark.parametrize("outputs", [1, 5])
    def test_p_values_of_noise_are_even(self, outputs):
        rng = np.random.default_rng(1)
        common = rng.normal(size=(400, 60, 1))  # outputs depend on each other
        p = [
            es.discover(rng.normal(size=(60, 3)), c + rng.normal(size=(60, outputs)), "no_sharing").quality.dependence
            for c in common
        ]
        assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09
        assert outputs > 1 or scipy.stats.kstest(p, "uniform").pvalue > 1e-3

    @pytest.mark.parametrize("family", ["binomial", "poisson"])
    def test_p_values_of_classes_and_counts_are_even(self, family):
        rng, of_weights, of_levels = np.random.default_rng(2), [], []
        for _ in range(300):
            x, level = rng.normal(size=(60, 3)), rng.integers(0, 4, 60)
            y = rng.random((60, 2)) < 0.3 if family == "binomial" else rng.poisson(3, (60, 2))
            pattern = np.arange(6).reshape(2, 3)
            of_weights.append(es.GeneralizedLinearProblem(x, y, family=family).refit((pattern,)).quality.dependence)
            one = es.FactorProblem({"a": level.astype(str)}, y[:, 0], family=family)
            of_levels.append(one.refit((np.arange(4),)).quality.dependence)
        for p in of_weights, of_levels:
            assert 0.01 < np.mean(np.array(p) < 0.05) < 0.09

    def test_the_score_test_is_the_f_test_of_least_squares_where_all_variances_are_equal(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(60, 3))
        y = (rng.random(60) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
        pattern = (np.arange(3)[None],)
        own = es.GeneralizedLinearProblem(x, y).refit(pattern).quality.dependence
        assert np.isclose(own, es.LinearProblem(x, y).refit(pattern).quality.dependence)

    def test_an_offset_alone_is_no_dependence_on_inputs(self):
        rng = np.random.default_rng(0)
        x, exposure = rng.normal(size=(300, 3)), rng.uniform(0.1, 100, 300)
        y = rng.poisson(2 * exposure)
        for offset, is_seen in ((np.log(exposure), False), (np.log(exposure) + 0.5 * x[:, 0], True)):
            problem = es.GeneralizedLinearProblem(x, y, family="poisson", offset=offset)
            assert (problem.refit((np.arange(3)[None],)).quality.dependence < 1e-6) == is_seen

    def test_one_output_that_depends_on_nothing_does_not_outvote_others(self):
        design = np.array(list(itertools.product([-1.0, 1.0], repeat=4)) * 2)
        x = design[:, :2]
        y = np.column_stack([x.sum(1) + np.random.default_rng(0).normal(size=32), design[:, 2] * design[:, 3]])
        assert es.discover(x, y, "gap").quality.dependence < 1e-6

    def test_inputs_that_stand_twice_count_once(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 1))
        found, twice = (es.discover(own, y, "no_sharing").quality.dependence for own in (x, np.hstack([x, x])))
        assert twice == pytest.approx(found)

    @pytest.mark.parametrize("spread", [np.ones(3), np.array([1.0, 1.0, 20.0])], ids=["even", "uneven"])
    def test_the_error_of_the_loss_is_that_of_draws(self, spread):
        # Sharing that is right but for one weight: the difference of the losses varies with the noise of the outputs.
        labels = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
        weight = np.array([1.0, -1.0])[labels]
        weight[0, 0] += 2
        rng, found = np.random.default_rng(3), []
        x, x_val = rng.normal(size=(2, 400, 3))
        y = x @ weight.T
        for _ in range(200):
            y_val = x_val @ weight.T + spread * rng.normal(size=(400, 3))
            problem = es.LinearProblem(x, y, x_val=x_val, y_val=y_val)
            found.append(es.discover(problem, "oracle", partition=labels))
        deviation = np.std([d.validation_loss - d.no_sharing_loss for d in found])
        assert np.mean([d.quality.loss_error for d in found]) == pytest.approx(deviation, rel=0.2)

    @pytest.mark.parametrize("spread", [1.0, 30.0])
    def test_errors_of_values_where_noise_differs(self, spread):
        labels = (np.arange(4) - np.arange(4)[:, None]) % 4
        x = np.random.default_rng(0).normal(size=(100, 4))
        noise = np.array([1.0, 1.0, spread, 1.0])
        rng, found = np.random.default_rng(4), []
        for _ in range(200):
            y = x @ np.arange(4.0)[labels].T + noise * rng.normal(size=(100, 4))
            found.append(es.discover(x, y, "oracle", partition=labels))
        deviation = np.std([d.values for d in found], axis=0)
        assert np.allclose(np.mean([d.quality.value_errors for d in found], axis=0), deviation, rtol=0.2)

    def test_errors_of_values_are_those_of_draws(self):
        labels = np.array([[0, 1, 1], [1, 0, 1]])
        x = np.random.default_rng(0).normal(size=(100, 3)) @ np.array([[1, 0.6, 0], [0, 1, 0.6], [0, 0, 1]])
        rng, found = np.random.default_rng(2), []
        for _ in range(200):
            y = x @ np.array([1.0, -1.0])[labels].T + rng.normal(size=(100, 2))
            found.append(es.discover(x, y, "oracle", partition=labels))
        deviation = np.std([d.values for d in found], axis=0)
        assert np.allclose(np.mean([d.quality.value_errors for d in found], axis=0), deviation, rtol=0.15)
        free = np.std([d.quality.unshared for d in found], axis=0)
        assert np.allclose(np.mean([d.quality.unshared_errors for d in found], axis=0), free, rtol=0.2)

    def test_r_squared(self):
        x, y = ring_data(noise=1e-9)
        assert es.discover(x, y).quality.r_squared == pytest.approx(1)
        x, y = ring_data(noise=100)
        assert abs(es.discover(x, y).quality.r_squared) < 0.1
        assert np.isnan(es.discover(es.MeanProblem(x), "gap").quality.r_squared)


def told(found):
    return " ".join(found.warnings)


class TestWarnings:
    def test_none_where_all_is_well(self):
        assert es.discover(*ring_data()).warnings == ()

    def test_no_dependence(self):
        rng = np.random.default_rng(0)
        found = es.discover(rng.normal(size=(300, 6)), rng.normal(size=(300, 6)))
        assert "no output depends on any input gives p = 0." in told(found)
        assert found.symmetry().verdict == "none"

    def test_worse_than_the_mean(self):
        found = es.discover(*ring_data())
        worse = dataclasses.replace(found, quality=dataclasses.replace(found.quality, r_squared=-0.1))
        assert "R² is negative" in told(worse) and "R² is negative" not in told(found)

    def test_an_output_among_the_inputs(self):
        x, y = ring_data()
        told_of = told(es.discover(np.column_stack([x, y[:, 0]]), y[:, 0], resamples=0))
        assert "R² is 1: the outputs are exact sums of the inputs. Is one of them among the inputs?" in told_of

    def test_few_samples(self):
        x, y = ring_data(samples=8, noise=0.01)
        assert "There are few samples: 8 for 4 inputs." in told(es.discover(x, y))
        assert "There are few samples, 6." in told(es.discover(es.MeanProblem(x[:6]), resamples=0))

    def test_collinear_inputs(self):
        x, y = ring_data()
        table = pd.DataFrame(x, columns=INPUTS)
        table["temp_w"] = table["temp_s"] + 1e-3 * table["temp_w"]
        assert "Some inputs are nearly combinations of others (temp_s, temp_w)" in told(es.discover(table, y))

    def test_a_continuum_of_values(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(300, 6))
        found = es.discover(x, x @ rng.normal(size=(6, 6)) + rng.normal(size=(300, 6)))
        assert "rather a continuum" in told(found)
        labels = rng.integers(0, 3, (6, 6))
        assert "continuum" not in told(es.discover(x, x @ labels.T + rng.normal(size=(300, 6))))

    def test_ties_across_units(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 4)) * [12, 2e4, 5e3, 1]
        y = x @ [0.06, -8e-5, 0, 0] + rng.normal(size=400)
        assert "ties weights in very different units: alone they have standard errors of" in told(
            es.discover(x, y, resamples=0)
        )
        people = rng.normal(size=(400, 3)) * [0.1, 11, 9000]
        assert "ties covariances in very different units" in told(es.discover(es.CovarianceProblem(people)))
        assert "units" not in told(es.discover(x / x.std(0), y, resamples=0))

    def test_few_samples_of_few_values_are_not_called_a_continuum(self):
        rng = np.random.default_rng(0)
        samples = rng.normal(np.repeat([0, 0.5, 1], 4), size=(60, 12))
        found = es.discover(es.MeanProblem(samples), resamples=0)
        assert 5 < found.belief.continuum_log_odds < 10
        assert "do not tell whether the values are a few numbers or a continuum" in told(found)

    @pytest.mark.parametrize(
        ("values", "says"),
        [
            ([0, 1], "two values only, 0 and 1, as classes do"),
            ([2.5, 7], "two values only, 2.5 and 7, as classes do"),
            ([0, 1, 2], "whole numbers 0 to 2 only, as classes and counts do"),
            ([1, 2, 3, 4, 5], "whole numbers 1 to 5 only, as classes and counts do"),
            ([-0.0, 1, 2], "whole numbers 0 to 2 only"),
            ([-1, 0, 1], None),
            ([0, 0.5, 1], None),
            (range(40), None),
        ],
        ids=str,
    )
    def test_outputs_that_look_like_classes(self, values, says):
        x, y = ring_data()
        steps = np.linspace(y[:, 0].min(), y[:, 0].max(), len(values) + 1)[1:-1]
        found = es.discover(x, np.array(values)[np.searchsorted(steps, y[:, 0])])
        assert (says in told(found)) if says else "measurements" not in told(found)

    def test_values_that_may_be_one(self):
        x, y = ring_data()
        found = es.discover(x, y, "oracle", partition=np.arange(16).reshape(4, 4))
        assert "lie within two standard errors: they may be one" in told(found)

    def test_worse_than_no_sharing(self):
        found = es.discover(*ring_data(), "oracle", partition=np.zeros((4, 4), int))
        assert "The validation loss is higher than without sharing" in told(found)
