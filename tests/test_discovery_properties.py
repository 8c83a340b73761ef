"""Properties of discovery as a whole: what a change of the data does to the answer, and what is refused, by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from model_cases import linear, linear_data, mse, split

import equishare as es

# These have no random start: whatever the data, the answer moves along with them.
DETERMINISTIC = ["auto", "merge", "closure", "gap"]
# Random logits are drawn entry by entry and stay where they are, so the answer has to be clear.
METHODS = [*DETERMINISTIC, "bilevel"]
OPTIONS = {"bilevel": {"steps": 100}}

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 4)
# Units of data, and shifts in units of their noise.
units = st.sampled_from([-1e4, -1.0, 3e-5, 0.7, 1e6])
shifts = st.sampled_from([-5.0, 0.0, 1234.5])


def mean_problem(x):
    return es.MeanProblem(x[::2], x[1::2])


def linear_problem(x, y):
    return es.LinearProblem(x[::2], y[::2], x_val=x[1::2], y_val=y[1::2])


def found(problem, method):
    return es.discover(problem, method, **OPTIONS.get(method, {})).partition.labels


def same(labels, other):
    return es.Partition(labels) == es.Partition(other)


def few_examples(test):
    return settings(max_examples=20, deadline=None)(test)


@few_examples
@given(st.data(), seeds, st.integers(2, 7), units, shifts)
@pytest.mark.parametrize("method", METHODS)
def test_means_may_be_permuted_scaled_and_shifted(method, data, seed, count, unit, shift):
    gap = data.draw(st.just(20.0) if method == "bilevel" else st.sampled_from([0.0, 0.5, 20.0]))
    rng = np.random.default_rng(seed)
    x = gap * rng.integers(0, 3, count) + rng.normal(size=(rng.integers(16, 60), count))
    p = rng.permutation(count)
    labels = found(mean_problem(x), method)
    assert same(found(mean_problem(x[:, p]), method), labels[p])
    assert same(found(mean_problem(unit * (x + shift)), method), labels)


@few_examples
@given(st.data(), seeds, sizes, st.integers(2, 4), units, units, shifts, shifts)
@pytest.mark.parametrize("method", METHODS)
def test_outputs_and_inputs_may_be_permuted_scaled_and_shifted(
    method, data, seed, num_out, num_in, unit_out, unit_in, shift_out, shift_in
):
    contrast = data.draw(st.just(5.0) if method == "bilevel" else st.sampled_from([0.0, 0.3, 5.0]))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rng.integers(40, 120), num_in))
    y = contrast * x @ rng.integers(0, 3, (num_in, num_out)) + rng.normal(size=(len(x), num_out))
    p, q = rng.permutation(num_out), rng.permutation(num_in)
    labels = found(linear_problem(x, y), method)
    assert same(found(linear_problem(x[:, q], y[:, p]), method), labels[p][:, q])
    assert same(found(linear_problem(unit_in * (x + shift_in), unit_out * (y + shift_out)), method), labels)


X = np.random.default_rng(0).normal(size=(12, 3))
Y = X @ np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]) + 0.1 * np.random.default_rng(1).normal(size=(12, 2))
MEANS = {"train": X, "val": X + 0.1}
LINEAR = {"x": X, "y": Y, "x_val": X + 0.1, "y_val": Y}


@st.composite
def with_bad_numbers(draw, x):
    """Some entries are NaN or infinite, in an array, a tensor or nested lists."""
    x = np.array(x, dtype=draw(st.sampled_from([np.float64, np.float32, np.float16])))
    for _ in range(draw(st.integers(1, 3))):
        x[tuple(draw(st.integers(0, n - 1)) for n in x.shape)] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return draw(st.sampled_from([x, torch.from_numpy(x), x.tolist()]))


@st.composite
def of_another_shape(draw, x):
    """A number, a vector, a stack, no rows or no columns."""
    shape = draw(
        st.sampled_from([(), (len(x),), (1, *x.shape), (*x.shape, 1), (0, x.shape[1]), (len(x), 0), (0,), (0, 0)])
    )
    x = np.ones(shape)
    return draw(st.sampled_from([x, torch.from_numpy(x), x.tolist()]))


@st.composite
def of_no_real_numbers(draw, x):
    """Complex numbers, words, dates, objects, masks, rows of different lengths, or no array at all."""
    ragged = x.tolist()
    ragged[draw(st.integers(0, len(x) - 1))] = draw(st.sampled_from([[], [1.0], [1.0] * 9, 1.0, "word", None]))
    dtypes = st.sampled_from([complex, np.complex64, str, bytes, "datetime64[s]", "timedelta64[s]", [("a", int)]])
    made = st.one_of(
        dtypes.map(lambda dtype: np.zeros(x.shape, dtype)),
        st.sampled_from([torch.complex64, torch.complex128]).map(lambda dtype: torch.zeros(x.shape, dtype=dtype)),
        st.sampled_from([None, [10**30, 1, 2], "ab", object()]).map(lambda entry: [[entry] * x.shape[1]] * len(x)),
        st.sampled_from([object(), "word", 1j]).map(lambda entry: np.full(x.shape, entry, object)),
        st.just(np.ma.masked_array(x, x > draw(st.floats(-1, 1)))),
        st.just([np.ma.masked_array(row, row > 0) for row in x]),
        st.sampled_from([torch.from_numpy(x).to_sparse(), torch.empty(x.shape, device="meta")]),
        st.just(np.full(x.shape, np.longdouble("1e400"))),
        st.just(ragged),
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.floats()),
        st.one_of(st.dictionaries(st.text(), st.floats()), st.sets(st.integers())),
        st.sampled_from([np.ndarray, len, object(), range(3)]),
    )
    return draw(made)


@st.composite
def of_another_size(draw, x):
    """Rows or columns that do not fit what comes with them."""
    axis = draw(st.integers(0, 1))
    size = draw(st.integers(1, 20).filter(lambda n: n != x.shape[axis]))
    return np.resize(x, (size, x.shape[1]) if axis == 0 else (len(x), size))


def refused(make, *names):
    """The call raises TypeError or ValueError, and the message has the names; warnings are errors in all tests."""
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert all(name in str(caught.value) for name in names), caught.value


MALFORMED = [with_bad_numbers, of_another_shape, of_no_real_numbers]


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize(
    ("problem", "good", "name"),
    [(es.MeanProblem, MEANS, n) for n in MEANS] + [(es.LinearProblem, LINEAR, n) for n in LINEAR],
)
def test_malformed_data_are_refused(problem, good, name, kind, data):
    bad = data.draw(kind(good[name]))
    assume(bad is not None or name != "val")  # without them the problem splits its samples
    refused(lambda: problem(**{**good, name: bad}), name)


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", LINEAR)
def test_rows_and_columns_that_do_not_fit_are_refused(name, data):
    bad = data.draw(of_another_size(LINEAR[name]))
    refused(lambda: es.LinearProblem(**{**LINEAR, name: bad}), name)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9).filter(lambda n: n != 3), st.sampled_from(list(MEANS)))
def test_means_of_different_numbers_of_columns_are_refused(columns, name):
    refused(lambda: es.MeanProblem(**{**MEANS, name: np.resize(X, (12, columns))}), "train", "val")


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(2, 9), sizes, sizes)
def test_constant_data_are_refused(value, rows, num_out, num_in):
    x, y = np.full((rows, num_in), value), np.full((rows, num_out), value)
    varies_in, varies_out = (np.arange(rows * n, dtype=float).reshape(rows, n) for n in (num_in, num_out))
    refused(lambda: es.MeanProblem(x, x), "train", "val", "constant")
    refused(lambda: es.LinearProblem(x, varies_out, x_val=x, y_val=varies_out), "x holds constant")
    refused(lambda: es.LinearProblem(varies_in, y, x_val=varies_in, y_val=y), "y holds constant")


def test_one_sample_each_is_refused():
    refused(lambda: es.MeanProblem(X[:1], X[1:2]), "train", "val", "at least 3 samples")


@settings(max_examples=6, deadline=None)
@given(seeds, st.integers(2, 5), st.data())
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", ["columns twice", "a constant column", "one sample", "few samples"])
def test_inputs_that_do_not_determine_the_weights_are_refused(fault, method, seed, num_in, data):
    rng = np.random.default_rng(seed)
    rows = {"one sample": 2, "few samples": data.draw(st.integers(1, num_in)) * 2}.get(fault, 60)
    rows = min(rows, 2 * (num_in // 2)) if fault == "few samples" else rows
    x, y = rng.normal(size=(rows, num_in)), rng.normal(size=(rows, 2))
    a, b = data.draw(st.permutations(range(num_in)))[:2]
    x[:, a] = {"columns twice": x[:, b], "a constant column": 3.0}.get(fault, x[:, a])
    refused(lambda: found(linear_problem(x, y), method), "samples")


GOOD = es.MeanProblem(**MEANS)
words = st.text(min_size=1, max_size=8)
no_numbers = st.one_of(st.none(), words, st.lists(st.integers()), st.dictionaries(words, st.floats()), st.just(1j))
not_counts = st.one_of(no_numbers, st.integers(max_value=0), st.floats(), st.booleans())
bad_floats = st.one_of(
    no_numbers.filter(lambda value: value is not None),
    st.floats(max_value=0, exclude_max=True),
    st.sampled_from([np.nan, np.inf]),
)
bad_options = {
    "gap": {"cut": st.one_of(no_numbers, st.floats(max_value=0), st.just(np.nan))},
    "oracle": {
        "partition": st.one_of(
            st.none(),
            words,
            st.lists(st.integers(0, 3), max_size=9).filter(lambda labels: len(labels) != 3),
            st.lists(st.sampled_from([0.5, np.nan, np.inf]), min_size=3, max_size=3),
            st.lists(words, min_size=3, max_size=3),
            st.just(np.zeros((3, 1), int)),
            st.just(np.zeros(3, complex)),
        )
    },
    "bilevel": {
        **dict.fromkeys(["restarts", "steps"], not_counts),
        "num_groups": not_counts.filter(lambda value: value is not None),
        **dict.fromkeys(["lr", "weight_decay", "entropy", "column_norm", "nuclear_norm"], bad_floats),
        **dict.fromkeys(["optimizer", "lower", "unit", "schedule"], st.one_of(no_numbers, st.floats())),
    },
}


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize(("method", "name"), [(method, name) for method, own in bad_options.items() for name in own])
def test_wrong_values_of_options_are_refused(method, name, data):
    value = data.draw(bad_options[method][name])
    # Labels that are no labels are refused as labels wherever they come from.
    with pytest.raises((TypeError, ValueError), match=f"{name}|labels" if name == "partition" else name):
        es.discover(GOOD, method, **{name: value})


@settings(max_examples=20, deadline=None)
@given(st.from_regex(r"[a-z]{1,6}_[a-z]{1,6}x", fullmatch=True))
@pytest.mark.parametrize("method", [*METHODS, "brute_force", "no_sharing", "oracle"])
def test_unknown_options_are_refused(method, name):
    needed = {"partition": [0, 1, 2]} if method == "oracle" else {}
    refused(lambda: es.discover(GOOD, method, **needed, **{name: 1}), name, method)


known = [*METHODS, "brute_force", "no_sharing", "oracle", "sinkhorn"]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        [
            ("method", st.one_of(st.none(), st.integers(), st.floats(), words.filter(lambda name: name not in known))),
            ("seed", st.one_of(no_numbers, st.integers(max_value=-1), st.integers(2**63), st.floats(), st.booleans())),
            ("resamples", st.one_of(words, st.just([]), st.integers(max_value=-1), st.floats(), st.booleans())),
        ]
    ).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1]))
)
def test_wrong_arguments_of_discover_are_refused(pair):
    name, value = pair
    refused(lambda: es.discover(GOOD, **{"method": "gap", name: value}), name)


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        no_numbers,
        st.just(X),
        st.lists(st.sampled_from([GOOD, None, 1]), max_size=3).filter(lambda p: p != [GOOD] * len(p) or not p),
    )
)
def test_what_is_no_problem_is_refused(problem):
    refused(lambda: es.discover(problem, "gap"), "problem")


def test_problems_that_do_not_belong_together_are_refused():
    refused(lambda: es.discover([GOOD, es.LinearProblem(**LINEAR)], "gap"), "problem", "shape")
    refused(lambda: es.discover([GOOD, es.MeanProblem(Y, Y + 0.1)], "gap"), "problem", "shape")


TRAIN, VAL = split(linear_data(), 40)
SAMPLES = {"train": TRAIN, "val": VAL, "stop": VAL}


def model_problem(**changed):
    return es.ModelProblem(**{"model": linear(), "loss": mse, **SAMPLES, **changed})


@st.composite
def of_another_kind(draw, x):
    """Tensors or arrays that the model does not take."""
    shape = draw(st.sampled_from([(), (len(x),), (7, 3), (len(x), 2), (0, 3), (len(x), 0), (1, *x.shape)]))
    made = st.one_of(
        st.sampled_from([torch.from_numpy, np.asarray]).map(lambda convert: convert(np.ones(shape))),
        st.sampled_from([torch.float32, torch.complex128]).map(lambda dtype: torch.zeros(x.shape, dtype=dtype)),
        st.sampled_from([str, bytes, complex]).map(lambda dtype: np.zeros(x.shape, dtype)),
        st.one_of(st.none(), st.integers(), st.text(), st.just({"x": 1})),
    )
    return draw(made)


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", SAMPLES)
def test_malformed_samples_of_a_model_are_refused(name, data):
    x, y = SAMPLES[name]
    bad = data.draw(
        st.one_of(of_another_kind(x), with_bad_numbers(x.numpy()).filter(lambda a: not isinstance(a, list)))
    )
    refused(lambda: model_problem(**{name: (bad, y)}), name)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([*SAMPLES, "model", "loss"]), st.one_of(no_numbers, st.just(X), st.just(torch.nn.MSELoss)))
def test_wrong_arguments_of_a_model_problem_are_refused(name, value):
    if name != "stop" or value is not None:
        refused(lambda: model_problem(**{name: value}), name)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([lambda a, b: a - b, lambda a, b: None, lambda a, b: 1.0, lambda a, b: (a - b).sum() * np.nan]))
def test_losses_that_are_no_finite_scalars_are_refused(loss):
    refused(lambda: model_problem(loss=loss), "loss")


MODEL_OPTIONS = {
    "auto": {
        "restarts": not_counts,
        **dict.fromkeys(["lr", "weight_decay", "clip", "standard_errors", "average"], bad_floats),
        **dict.fromkeys(["batch_size", "steps"], not_counts.filter(lambda value: value is not None)),
        "schedule": st.one_of(no_numbers, st.floats()),
    },
    "bilevel": {
        "inner_steps": not_counts,
        **dict.fromkeys(["outer_lr", "entropy", "column_norm", "outer_clip"], bad_floats),
        **dict.fromkeys(["penalty_schedule", "hypergradient"], st.one_of(no_numbers, st.floats())),
    },
}


@settings(max_examples=8, deadline=None)
@given(st.data())
@pytest.mark.parametrize(("method", "name"), [(method, name) for method, own in MODEL_OPTIONS.items() for name in own])
def test_wrong_values_of_options_for_models_are_refused(method, name, data):
    value = data.draw(MODEL_OPTIONS[method][name])
    refused(lambda: es.discover(model_problem(), method, **{name: value}), name)


@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_data_beyond_what_can_be_squared_are_refused(factor):
    refused(lambda: es.MeanProblem(factor * X, factor * X), "samples")
    refused(lambda: es.LinearProblem(X, factor * Y, x_val=X, y_val=factor * Y), "samples")


@pytest.mark.parametrize("bias", [None, "x", float("nan"), [1], float("inf"), torch.tensor(True), -1, 1.5, 2**70])
def test_a_bias_that_is_no_truth_value_is_refused(bias):
    refused(lambda: es.LinearProblem(X, Y, x_val=X, y_val=Y, bias=bias), "bias")


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        *[("bilevel", "refine", value) for value in ("no", float("nan"), [1], object(), np.ones(2))],
        *[("bilevel", n, np.ones(2)) for n in ("optimizer", "lower", "unit", "schedule")],
        *[("gap", "cut", value) for value in (float("inf"), True, "4", None)],
        ("oracle", "partition", np.ma.masked_array([0, 1, 2], [0, 1, 0])),
        ("oracle", "partition", torch.zeros(3, device="meta")),
    ],
)
def test_odd_values_of_options_are_refused(method, name, value):
    problem = es.MeanProblem(X, X + 0.1)
    refused(lambda: es.discover(problem, method, **{name: value}), "labels" if name == "partition" else name)
