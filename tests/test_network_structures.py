"""Candidates of networks that a structure ties."""

import numpy as np
import pytest
import torch
from model_cases import made
from torch import nn

import equishare as es
from equishare.methods import auto
from equishare.problems.network.fisher import calibrated_estimates, dense_estimate
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.replicas import Replicas, stacked
from equishare.problems.network.session import NetworkSession
from equishare.search.structures import try_structures

OPTIONS = auto.Options(lr=0.03, steps=60)


def rings(weight, samples=300, noise=0.5, seed=0, loss=nn.functional.mse_loss, also=False):
    """``relu(W x)`` with noise, and a network that may learn it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * samples, weight.shape[1]))
    y = np.maximum(x @ weight.T, 0) + noise * rng.normal(size=(2 * samples, len(weight)))

    def build():
        layers = [nn.Linear(*weight.shape[::-1], bias=False), nn.ReLU()]
        model = nn.Sequential(*layers, *([nn.Linear(len(weight), len(weight))] if also else []))
        es.share(model, "0.weight")
        if also:
            es.share(model, "2.weight")
        return model

    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return es.ModelProblem(made(build), (x[:samples], y[:samples]), (x[samples:], y[samples:]), loss)


def circulant(size, seed):
    rng = np.random.default_rng(seed)
    place = np.arange(size)
    labels = (place - place[:, None]) % size
    return rng.normal(size=size)[labels], labels


def session_of(problem):
    session = NetworkSession([problem], method="auto", options=OPTIONS)
    replicas = session.replicas
    free = session.fit_free([0], stacked(replicas.start, 1), stacked(replicas.buffers, 1), "free")
    session.try_patterns([0], [_tied(problem)], free.lower, free.buffers, "tied")
    return session, free


def _tied(problem):
    return Pattern([np.zeros(slot.num_entries, int) for slot in problem.slots])


def partitions(session, s=0):
    return {es.Partition(pattern.labels[s]) for pattern in session.found[0]}


@pytest.mark.parametrize("size", [4, 6])
def test_shifts_in_their_order_are_tried(size):
    weight, labels = circulant(size, 0)
    session, free = session_of(rings(weight))
    try_structures(session, [0], free, "structures")
    assert es.Partition(labels.ravel()) in partitions(session)
    assert session.best(0).pattern.num_groups[0] > 1


def test_symmetries_of_rows_and_columns_in_any_order_are_tried():
    rng = np.random.default_rng(1)
    weight, labels = circulant(6, 1)
    outputs, inputs = rng.permutation(6), rng.permutation(6)
    session, free = session_of(rings(weight[outputs][:, inputs]))
    truth = es.Partition(labels[outputs][:, inputs].ravel())
    assert truth not in partitions(session)
    try_structures(session, [0], free, "structures")
    assert truth in partitions(session)
    loss = {es.Partition(p.labels[0]): c.loss for p, c in session.found[0].items()}[truth]
    assert loss < 1.01 * float(free.loss[0])


def test_each_matrix_takes_its_turn_and_the_others_stay():
    weight, labels = circulant(4, 2)
    session, free = session_of(rings(weight, also=True))
    try_structures(session, [0], free, "structures")
    assert es.Partition(labels.ravel()) in partitions(session, 0)
    assert es.Partition(labels.ravel()) in partitions(session, 1)


def test_no_more_groups_than_were_asked_for():
    weight, _ = circulant(6, 1)
    problem = rings(weight)
    problem.model[0].parametrizations.weight[0].assignment.max_groups = 4
    session, free = session_of(problem)
    try_structures(session, [0], free, "structures")
    assert max(pattern.num_groups[0] for pattern in session.found[0]) <= 4


def test_a_fit_that_has_diverged_proposes_no_orbits():
    session, free = session_of(rings(circulant(4, 2)[0]))
    free.lower["0.weight"][:] = np.nan
    try_structures(session, [0], free, "structures")
    assert len(session.found[0]) > 1


def test_other_parameters_have_no_such_structure():
    def build():
        model = nn.Linear(4, 4)
        es.share(model, "bias")
        return model

    x = torch.randn(8, 4, dtype=torch.float64)
    session, free = session_of(es.ModelProblem(made(build), (x, x), (x, x), nn.functional.mse_loss))
    before = dict(session.found[0])
    try_structures(session, [0], free, "structures")
    assert session.found[0] == before


@pytest.mark.parametrize("unit", [1.0, 30.0])
def test_standard_errors_do_not_depend_on_the_unit_of_the_loss(unit):
    weight = np.random.default_rng(0).normal(size=(3, 4))
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 4))
    y = x @ weight.T + 0.5 * rng.normal(size=(4000, 3))

    def build():
        model = nn.Linear(4, 3, bias=False)
        es.share(model, "weight")
        return model

    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def loss(output, target):
        return unit * nn.functional.mse_loss(output, target)

    problem = es.ModelProblem(made(build), (x[:500], y[:500]), (x[500:], y[500:]), loss)
    replicas = Replicas([problem])
    fitted = {"weight": torch.linalg.lstsq(x[:500], y[:500]).solution.T.reshape(-1)}
    (estimate,) = calibrated_estimates(replicas, fitted, {}, problem.train.first(), len(problem.train))
    assert np.sqrt(estimate.variance) == pytest.approx(0.5 / np.sqrt(500), rel=0.2)
    # The fit is to N samples, however many the curvature is estimated from.
    (larger,) = calibrated_estimates(replicas, fitted, {}, problem.val.first(), 8000)
    assert np.sqrt(larger.variance) == pytest.approx(0.5 / np.sqrt(8000), rel=0.2)
    dense = dense_estimate(replicas, fitted, {}, problem.val.first(), 8000)
    assert np.sqrt(dense.variance) == pytest.approx(0.5 / np.sqrt(8000), rel=0.2)
    assert dense.values.shape == (3, 4)


def test_a_loss_without_curvature_leaves_the_fisher_information():
    def build():
        model = nn.Linear(2, 1, bias=False)
        es.share(model, "weight")
        return model

    x = torch.randn(20, 2, dtype=torch.float64)
    problem = es.ModelProblem(made(build), (x, x[:, :1]), (x, x[:, :1]), lambda output, y: (output * y).mean())
    replicas = Replicas([problem])
    (estimate,) = calibrated_estimates(replicas, replicas.start, {}, problem.train.first(), len(problem.train))
    assert estimate.precision[:, 0] == pytest.approx((x * x[:, :1]).square().sum(0).numpy())
