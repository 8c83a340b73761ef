"""Problems: the statistics they keep, the uncertainty they estimate, and what they refuse."""

import numpy as np
import pytest
import torch

import equishare as es
from equishare.problems.least_squares import fit_values
from equishare.problems.moments import Moments
from equishare.search.polish import misfit

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))


@pytest.mark.parametrize("centred", [False, True])
def test_moments_of_parts_pool_to_moments_of_all(centred):
    pooled = Moments.of(X[:15], Y[:15], centred).pooled_with(Moments.of(X[15:], Y[15:], centred))
    for got, want in zip(vars(pooled).values(), vars(Moments.of(X, Y, centred)).values(), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_loss_from_moments_is_the_loss_on_the_data():
    weight, bias = RNG.normal(size=(2, 3)), RNG.normal(size=2)
    direct = ((Y - X @ weight.T - bias) ** 2).mean()
    assert Moments.of(X, Y, True).loss(weight, bias) == pytest.approx(direct)


def test_shared_values_are_the_least_squares_solution():
    labels = np.array([[0, 1, 0], [2, 0, 1]])
    moments = Moments.of(X, Y, True)
    xc, yc = X - X.mean(0), Y - Y.mean(0)
    design = np.zeros((40, 2, 3))
    for o in range(2):
        for i in range(3):
            design[:, o, labels[o, i]] += xc[:, i]
    want = np.linalg.lstsq(design.reshape(-1, 3), yc.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(fit_values(moments, labels, 3, np.ones(2)), want)
    weights = np.array([1.0, 0.25])
    root = np.sqrt(weights)[:, None]
    want = np.linalg.lstsq((root * design).reshape(-1, 3), (yc * root.T).reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(fit_values(moments, labels, 3, weights), want)


@pytest.mark.parametrize("noise", ["equal", "of each output", "growing with x"])
def test_variances_of_estimates_are_those_of_repeated_draws(noise):
    samples = 2000 if noise == "growing with x" else 120
    rng = np.random.default_rng(1)
    draws, claimed = [], []
    for _ in range(300):
        x = rng.normal(size=(samples, 2)) * [1, 3]
        scale = {
            "equal": 1.0,
            "of each output": np.array([0.2, 2.0]),
            "growing with x": np.abs(x[:, :1]),
        }[noise]
        y = scale * rng.normal(size=(samples, 2))
        problem = es.LinearProblem(x[:60], y[:60], x_val=x[60:], y_val=y[60:])
        draws.append(problem.estimate().values)
        claimed.append(problem.estimate().variance)
    np.testing.assert_allclose(np.mean(claimed, 0), np.var(draws, 0), rtol=0.25)


def test_noise_that_outputs_share_inflates_the_variance_of_a_misfit():
    rng = np.random.default_rng(5)
    outputs, count = 30, 400
    mixed = np.kron(np.eye(outputs // 5), np.ones((5, 5)) + 0.5 * np.eye(5))  # five outputs at a time share noise
    truth = np.zeros((outputs, 6), np.int64)
    misfits, inflations = [], []
    for _ in range(150):
        x, noise = rng.standard_normal((count, 6)), rng.standard_normal((count, outputs)) @ mixed
        estimate = es.LinearProblem(x, noise).estimate()
        misfits.append(misfit(estimate, truth, np.zeros(1)) / (outputs * 6))
        inflations.append(estimate.inflation)
    correlation = mixed @ mixed / (mixed @ mixed)[0, 0]
    assert np.mean(inflations) == pytest.approx((correlation**2).sum(1).mean(), rel=0.05)
    assert np.mean(misfits) == pytest.approx(1, abs=0.1)
    assert np.var(misfits) == pytest.approx(2 * np.mean(inflations) / (outputs * 6), rel=0.35)
    alone = es.LinearProblem(x, rng.standard_normal((count, outputs))).estimate()
    assert 1 <= alone.inflation < 1.1
    blocks = [(x[:150], noise[:150]), (x[150:], noise[150:])]
    streamed = es.LinearProblem.from_batches(blocks).estimate()
    assert streamed.inflation == pytest.approx(estimate.inflation, rel=1e-9)
    assert es.MeanProblem(noise).estimate().inflation == 1


def test_equal_noise_is_recognised_and_pooled():
    x = np.random.default_rng(2).normal(size=(24, 50))
    variance = es.MeanProblem(x[:10], x[10:]).estimate().variance
    assert np.ptp(variance) == 0
    assert variance[0] == pytest.approx(1 / 24, rel=0.15)


def test_estimates_do_not_depend_on_the_origin():
    x = np.random.default_rng(3).normal(size=(30, 4))
    near, far = (es.MeanProblem(x[:10] + shift, x[10:] + shift).estimate() for shift in (0.0, 1e9))
    np.testing.assert_allclose(near.variance, far.variance, rtol=1e-6)


def test_tensors_lists_and_float32_are_taken():
    arrays = es.MeanProblem(X[:10], X[10:])
    for convert in (torch.from_numpy, lambda a: a.tolist(), lambda a: a.astype(np.float32)):
        other = es.MeanProblem(convert(X[:10]), convert(X[10:]))
        np.testing.assert_allclose(other.train.sxy, arrays.train.sxy, rtol=1e-4)


NAN = X.copy()
NAN[4, 1] = np.nan


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: es.MeanProblem(X, X[:, :2]), "train and val must have the same number of columns"),
        (lambda: es.MeanProblem(NAN, X), "train must be finite, got nan at row 4, column 1"),
        (lambda: es.MeanProblem(X, np.where(NAN != NAN, np.inf, X)), "val must be finite, got inf"),
        (lambda: es.MeanProblem(X[:1], X[:1]), "at least 3 samples together, got 1 and 1"),
        (lambda: es.MeanProblem(np.ones((5, 2)), np.ones((5, 2))), "constant data"),
        (lambda: es.MeanProblem(X[0], X), r"train must be a two-dimensional matrix, .* got shape \(3,\)"),
        (lambda: es.MeanProblem(X[:0], X), "train must hold at least one sample"),
        (lambda: es.LinearProblem(X, Y[:5], x_val=X, y_val=Y), "x and y must have as many rows"),
        (
            lambda: es.LinearProblem(X, Y, x_val=X[:, :2], y_val=Y),
            "x and x_val must have the same number of columns",
        ),
        (
            lambda: es.LinearProblem(np.ones((40, 3)), Y, x_val=np.ones((40, 3)), y_val=Y),
            "x holds constant data",
        ),
        (
            lambda: es.LinearProblem(X, np.zeros((40, 2)), x_val=X, y_val=np.zeros((40, 2))),
            "y holds constant",
        ),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("data", [np.array([["a", "b"]] * 3), np.ones((3, 2), complex), [object()] * 3])
def test_data_that_are_not_real_numbers_are_a_type_error(data):
    with pytest.raises(TypeError, match="train must hold real numbers"):
        es.MeanProblem(data, X)


@pytest.mark.parametrize("method", ["auto", "merge", "gap", "bilevel"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: np.concatenate([x, x, x, x, x, x], 1)[:, :15],
            "samples for 16 parameters per output",
        ),
        (lambda x: np.concatenate([x, x[:, :1]], 1), "linearly dependent columns"),
        (lambda x: np.where(np.arange(3) == 1, 7.0, x), "no variation in column 1"),
    ],
)
def test_inputs_that_do_not_determine_the_weights_are_explained(method, change, message):
    x = change(X[:8]) if "parameters" in message else change(X)
    y = Y[: len(x)]
    half = len(x) // 2
    problem = es.LinearProblem(x[:half], y[:half], x_val=x[half:], y_val=y[half:])
    with pytest.raises(ValueError, match=message):
        es.discover(problem, method)


@pytest.mark.parametrize("units", [(1, 1e8), (1e-4, 1, 1e4)], ids=["two", "three"])
def test_inputs_of_very_different_units(units):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, len(units))) * units
    weight = np.tile(np.arange(1.0, len(units) + 1) / units, (2, 1))
    y = x @ weight.T + 0.01 * rng.normal(size=(200, 2))
    problem = es.LinearProblem(x[:100], y[:100], x_val=x[100:], y_val=y[100:])
    columns = es.Partition(np.tile(np.arange(len(units)), (2, 1)))
    oracle = es.discover(problem, "oracle", partition=columns)
    np.testing.assert_allclose(oracle.values * units, np.arange(1.0, len(units) + 1), rtol=0.01)
    assert es.discover(problem).partition == columns


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", [1e-155, 1e-160, 1e-200, 1e-300])
@pytest.mark.parametrize("all_columns", [True, False])
def test_inputs_too_small_to_be_squared_are_told_so(unit, all_columns):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    units = [unit] * 3 if all_columns else [1, 1, unit]
    with pytest.raises(ValueError, match="too small to be squared"):
        es.LinearProblem(x * units, x[:, :1] + rng.normal(size=(60, 1)))


def test_values_are_told_by_the_outputs_of_little_noise():
    rng = np.random.default_rng(0)
    weight = np.array([[2.0, 0.7, 0.7, 0.7], [0.7, 2.0, 0.7, 0.7]])
    x = rng.normal(size=(400, 4))
    y = x @ weight.T + np.array([1.0, 1000.0]) * rng.normal(size=(400, 2))
    found = es.discover(x, y)
    # The other 2 has a standard error of 50.
    assert found.partition == es.Partition([[0, 1, 1, 1], [1, 1, 1, 1]])
    assert (abs(found.values - [2.0, 0.7]) < 3 * found.quality.value_errors).all()
    assert (found.quality.value_errors < 0.2).all() and found.quality.r_squared > 0.5
    samples = 3 + np.array([1.0, 1.0, 1.0, 1000.0]) * rng.normal(size=(200, 4))
    means = es.discover(es.MeanProblem(samples), resamples=0)
    assert means.partition.num_groups == 1 and abs(means.values[0] - 3) < 0.2


def test_outputs_of_equal_noise_have_equal_weights():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3))
    problem = es.LinearProblem(x, x + rng.normal(size=(300, 3)))
    assert (problem._weights == 1).all()
