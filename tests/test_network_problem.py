"""Model problems: what is taken and refused, by the problem and by the methods' options."""

import copy

import numpy as np
import pytest
import torch
from model_cases import BRIEF, columns, columns_data, columns_problem, linear, linear_data, loader, mse, split
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import equishare as es

TRAIN, VAL = split(columns_data(count=20), 10)


def problem(**changed):
    arguments = {"model": columns(), "train": TRAIN, "val": VAL, "loss": mse, **changed}
    return es.ModelProblem(**arguments)


def hardened():
    model = columns()
    es.harden(model)
    return model


def frozen(name):
    model = columns()
    model.get_parameter(name).requires_grad_(False)
    return model


def constrained():
    model = nn.Sequential(linear())
    parametrize.register_parametrization(model[0], "weight", nn.Tanh())
    return model


SHORT = (TRAIN[0][:, :3], TRAIN[1])
REFUSED = {
    "model": ({"model": 3}, TypeError, "model must be a torch.nn.Module, got int"),
    "loss": ({"loss": 3}, TypeError, "loss must be a function of the model's output and y, got int"),
    "nothing shared": ({"model": nn.Linear(2, 2)}, ValueError, "model has no shared parameter: call equishare.share"),
    "hardened": ({"model": hardened()}, ValueError, r"model is hardened already \(weight\)"),
    "frozen": (
        {"model": frozen("parametrizations.weight.original")},
        ValueError,
        "'weight' is shared and must require gradients, got requires_grad=False",
    ),
    "frozen second": ({"model": frozen("parametrizations.bias.original")}, ValueError, "'bias' is shared and must req"),
    "frozen logits": (
        {"model": frozen("parametrizations.weight.0.assignment.logits")},
        ValueError,
        "'weight' is shared and must require gradients",
    ),
    "further parametrizations": (
        {"model": constrained()},
        ValueError,
        "'0.weight' must have no parametrization besides its sharing, got Tanh",
    ),
    "mixed": (
        {"val": loader(VAL)},
        TypeError,
        "train and val must both be pairs of tensors or both DataLoaders",
    ),
    "stop": ({"stop": (TRAIN[0][:0], TRAIN[1][:0])}, ValueError, "stop must hold at least one sample"),
    "shapes": (
        {"val": SHORT},
        ValueError,
        r"model and loss do not take the samples of val, x \(10, 3, 2\) and y \(10,\): einsum",
    ),
    "arguments": (
        {"train": ((TRAIN[0], TRAIN[0]), TRAIN[1])},
        ValueError,
        r"do not take the samples of train, x \(10, 4, 2\), \(10, 4, 2\) .*positional",
    ),
    "vector": (
        {"loss": lambda a, b: (a - b) ** 2},
        ValueError,
        r"loss must return a scalar tensor \(the mean over the batch\), got shape \(10,\)",
    ),
    "float": (
        {"loss": lambda a, b: float((a - b).sum())},
        ValueError,
        "loss must return a scalar .*, got float",
    ),
    "infinite": (
        {"loss": lambda a, b: (a - b).sum() / 0},
        ValueError,
        "loss must be finite for the model as it is, got -?inf on train",
    ),
}


@pytest.mark.parametrize(("changed", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_problem_is_refused(changed, error, message):
    with pytest.raises(error, match=message):
        problem(**changed)


@pytest.mark.parametrize(
    "data", ["tensors", "loaders", "arrays", "loaders, stopped by tensors", "tensors, stopped by a loader"]
)
def test_data_are_taken_in_several_forms(data):
    arrays = [tuple(t.numpy() for t in pair) for pair in (TRAIN, VAL)]
    train, val, stop = {
        "tensors": (TRAIN, VAL, None),
        "arrays": (*arrays, None),
        "loaders": (loader(TRAIN), loader(VAL), None),
        "loaders, stopped by tensors": (loader(TRAIN), loader(VAL), VAL),
        "tensors, stopped by a loader": (TRAIN, VAL, loader(VAL)),
    }[data]
    found = es.discover(problem(train=train, val=val, stop=stop), **BRIEF["auto"])
    assert np.isfinite(found.validation_loss)


def test_a_problem_changes_neither_model_nor_generator():
    model = nn.Sequential(linear(), nn.BatchNorm1d(3).double(), nn.Dropout(0.5))
    model.train()
    model[1].eval()
    before, state = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    train, val = split(linear_data(count=20), 10)
    made = es.ModelProblem(model, loader(train), loader(val), mse)
    assert made.model is model
    assert [module.training for module in model] == [True, False, True]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in state.items())


def test_other_parametrizations_and_tied_tensors_are_taken():
    model = nn.Sequential(linear(), parametrizations.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3)).double()
    model[2].weight = nn.Parameter(torch.ones(3, 3, dtype=torch.float64))
    model.append(nn.Linear(3, 3).double())
    model[3].weight = model[2].weight
    model[3].bias.requires_grad_(False)
    train, val = split(linear_data(count=20), 10)
    found = es.discover(es.ModelProblem(model, train, val, mse), **{**BRIEF["auto"], "lr": 0.1})
    assert found.model[3].weight is found.model[2].weight
    assert not torch.equal(found.model[3].weight, model[3].weight)
    assert torch.equal(found.model[3].bias, model[3].bias)


OPTIONS = [
    ("auto", {"steps": 0}, ValueError, "steps must be a positive integer, got 0"),
    ("auto", {"steps": 2.0}, ValueError, "steps must be a positive integer, got 2.0"),
    ("auto", {"refit_steps": 0}, ValueError, "refit_steps must be a positive integer, got 0"),
    ("auto", {"refit_steps": True}, ValueError, "refit_steps must be a positive integer, got True"),
    ("auto", {"lr": 0}, ValueError, "lr must be a finite number above 0, got 0"),
    ("auto", {"lr": float("nan")}, ValueError, "lr must be a finite number above 0, got nan"),
    ("auto", {"lr": "1"}, ValueError, "lr must be a finite number above 0, got '1'"),
    ("auto", {"weight_decay": -1}, ValueError, "weight_decay must be a finite number of at least 0, got -1"),
    ("auto", {"clip": 0.0}, ValueError, "clip must be a finite number above 0, got 0.0"),
    ("auto", {"batch_size": 0}, ValueError, "batch_size must be a positive integer, got 0"),
    ("auto", {"patience": -1}, ValueError, "patience must be a positive integer, got -1"),
    ("auto", {"average": 1.0}, ValueError, "average must be a number from 0 to below 1, got 1.0"),
    ("auto", {"schedule": "step"}, ValueError, "schedule must be one of cosine, constant; got 'step'"),
    (
        "auto",
        {"step": 3},
        TypeError,
        "method 'auto' has no option step; it takes restarts, steps, standard_errors, refit_steps, checkpoint, lr",
    ),
    ("auto", {"checkpoint": 3}, TypeError, "checkpoint must be a path or None, got 3"),
    ("bilevel", {"restarts": 0}, ValueError, "restarts must be a positive integer, got 0"),
    ("bilevel", {"inner_steps": 0}, ValueError, "inner_steps must be a positive integer, got 0"),
    ("bilevel", {"fit_steps": 0}, ValueError, "fit_steps must be a positive integer, got 0"),
    ("bilevel", {"refit_steps": 0}, ValueError, "refit_steps must be a positive integer, got 0"),
    ("bilevel", {"outer_lr": 0}, ValueError, "outer_lr must be a finite number above 0, got 0"),
    ("bilevel", {"outer_clip": 0}, ValueError, "outer_clip must be a finite number above 0, got 0"),
    ("bilevel", {"entropy": -1}, ValueError, "entropy must be a finite number of at least 0, got -1"),
    ("bilevel", {"column_norm": None}, ValueError, "column_norm must be a finite number of at least 0, got None"),
    ("bilevel", {"penalty_schedule": "cosine"}, ValueError, "penalty_schedule must be one of anneal, constant; got"),
    ("bilevel", {"hypergradient": "newton"}, ValueError, "hypergradient must be one of direct, identity, neumann, cg"),
    ("bilevel", {"hypergradient_options": 3}, TypeError, "hypergradient_options must be a mapping, got int"),
    (
        "bilevel",
        {"hypergradient_options": {"iterations": 3}},
        ValueError,
        "hypergradient_options takes nothing for the method 'direct', got iterations",
    ),
    (
        "bilevel",
        {"hypergradient": "cg", "hypergradient_options": {"steps": 3}},
        ValueError,
        "hypergradient_options takes iterations, tolerance, alpha, damping for the method 'cg', got steps",
    ),
    (
        "bilevel",
        {"hypergradient": "cg", "hypergradient_options": {"iterations": 0}},
        ValueError,
        "hypergradient_options: iterations must be at least 1, got 0",
    ),
    ("no_sharing", {"steps": 0}, ValueError, "steps must be a positive integer, got 0"),
    ("oracle", {}, TypeError, "method 'oracle' needs the option partition"),
    ("oracle", {"partition": [0, 1]}, ValueError, "partition of 'weight' must have shape .4,., got .2,."),
    ("oracle", {"partition": {"wieght": [0, 0, 1, 1]}}, ValueError, "partition must name shared parameters, got 'wie"),
    ("oracle", {"partition": {}}, ValueError, "partition must name 'weight', got nothing"),
    (
        "merge",
        {},
        ValueError,
        "method must be one of auto, bilevel, no_sharing, oracle, sinkhorn, weight_sharing; got 'merge'",
    ),
]


@pytest.mark.parametrize(("method", "options", "error", "message"), OPTIONS)
def test_options_out_of_range_are_refused_before_anything_is_done(method, options, error, message):
    with pytest.raises(error, match=message):
        es.discover(problem(), method, progress=lambda done, total: pytest.fail("work was done"), **options)


def test_an_oracle_of_several_assignments_takes_names():
    model = columns()
    es.share(model, "out.weight")
    with pytest.raises(ValueError, match="partition must be a dict with the names 'weight', 'out.weight', got list"):
        es.discover(problem(model=model), "oracle", partition=[0, 1, 0, 1])
    given = {"bias": [0, 1, 0, 1], "out.weight": [0, 0, 1]}
    found = es.discover(problem(model=model), "oracle", partition=given, steps=3)
    assert found.partitions["weight"] == es.Partition([0, 1, 0, 1])
    assert found.partitions["out.weight"].labels.tolist() == [[0, 0, 1]]
    with pytest.raises(ValueError, match=r"several partitions: partitions\[name\] for weight, bias, out.weight"):
        _ = found.partition


def other_model():
    model = columns()
    with torch.no_grad():
        model.out.bias += 1
    return model


LISTS = {
    "loss": ({"loss": lambda a, b: mse(a, b)}, ValueError, "problems of one list must have the same loss function"),
    "train": ({"train": split(TRAIN, 5)[0]}, ValueError, "problems of one list must have train data of the same shape"),
    "val": (
        {"val": split(VAL, 5)[0]},
        ValueError,
        "problems of one list must have val data of the same shapes and dtypes",
    ),
    "stop": ({"stop": VAL}, ValueError, "must have stop data of the same shapes and dtypes"),
    "numbers": ({"model": other_model()}, ValueError, "must have the same model, with the same initial parameters"),
    "architecture": ({"model": columns(dropout=0.5)}, ValueError, "must have the same model, with the same initial"),
    "loaders": ({"train": loader(TRAIN), "val": loader(VAL)}, ValueError, "must hold tensors, not DataLoaders"),
}


@pytest.mark.parametrize(("changed", "error", "message"), LISTS.values(), ids=LISTS)
def test_lists_of_unlike_problems_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        es.discover([problem(), problem(**changed)])


def test_lists_of_other_things_are_refused():
    low = es.ModelProblem(
        columns(dtype=torch.float32),
        *[tuple(t.float() for t in pair) for pair in (TRAIN, VAL)],
        mse,
    )
    with pytest.raises(ValueError, match="train data of the same shapes and dtypes"):
        es.discover([problem(), low])
    with pytest.raises(TypeError, match="problem must be a MeanProblem, .*, got a list of ModelProblem, int"):
        es.discover([columns_problem(), 3])
    with pytest.raises((TypeError, ValueError), match="problem"):
        es.discover([])
    means = es.MeanProblem(np.eye(3), np.eye(3))
    with pytest.raises(TypeError, match="problem must be"):
        es.discover([means, columns_problem()])


@pytest.mark.filterwarnings("ignore:Complex modules")
def test_complex_parameters_are_refused():
    model = torch.nn.Linear(2, 2)
    es.share(model, "weight")
    model.to(torch.complex64)
    x = torch.zeros(4, 2, dtype=torch.complex64)
    with pytest.raises(TypeError, match="real parameters"):
        es.ModelProblem(model, (x, x), (x, x), lambda a, b: (a - b).abs().mean())
