"""Doubly stochastic assignments: what their matrices are, and what they find."""

import numpy as np
import pytest
import torch
from model_cases import BRIEF, columns_problem, linear_problem

import equishare as es
from equishare import ops
from equishare.methods.sinkhorn import Sinkhorn
from equishare.relax.assignment import SOFTMAX, as_softmax_logits


@pytest.mark.parametrize(("entries", "groups"), [(6, 3), (4, 4), (7, 3), (1, 1), (2, 5), (5, 1)])
def test_blocks_are_doubly_stochastic(entries, groups):
    logits = torch.randn(2, entries, groups, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = Sinkhorn(200).matrix(logits)
    assert torch.allclose(matrix.sum(-1), torch.ones(2, entries, dtype=torch.float64))
    for block in matrix.split(groups, dim=-2):
        assert torch.allclose(block.sum(-2), torch.full((2, groups), block.shape[-2] / groups, dtype=torch.float64))


def test_the_softmax_of_its_logits_is_the_matrix():
    logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    sinkhorn = Sinkhorn(5)
    soft = as_softmax_logits(sinkhorn, logits)
    assert torch.allclose(torch.softmax(soft, -1), sinkhorn.matrix(logits))
    assert as_softmax_logits(SOFTMAX, logits) is logits
    for own, theirs in zip(sinkhorn.penalties(logits), ops.assignment_penalties(soft), strict=True):
        assert torch.allclose(own, theirs)
        (gradient,) = torch.autograd.grad(own, logits, retain_graph=True)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    assert torch.equal(sinkhorn.harden(logits), sinkhorn.matrix(logits).argmax(-1))
    assert torch.autograd.gradcheck(lambda z: sinkhorn.matrix(z), logits)


def test_hard_logits_have_finite_penalties():
    logits = torch.full((4, 2), -1e4).index_put((torch.arange(4), torch.tensor([0, 1, 0, 1])), torch.tensor(1e4))
    logits.requires_grad_()
    for penalty in Sinkhorn(5).penalties(logits):
        (gradient,) = torch.autograd.grad(penalty, logits, retain_graph=True)
        assert torch.isfinite(penalty) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_convolutions_are_found(noise):
    rng = np.random.default_rng(1)
    shift = np.array([[1, 3, 5, 0, 0], [0, 1, 3, 5, 0], [0, 0, 1, 3, 5]])
    x = rng.normal(size=(150, 5))
    y = x @ shift.T + noise * rng.normal(size=(150, 3))
    d = es.discover(es.LinearProblem(x[:50], y[:50], x_val=x[50:], y_val=y[50:]), "sinkhorn")
    assert d.partition == es.Partition(shift)
    assert list(d.history) == ["step", "validation_loss", "entropy", "column_norm"]


def test_means_are_found():
    x = np.random.default_rng(2).normal([0, 0, 3, 3, 3, 9], 1.0, size=(100, 6))
    d = es.discover([es.MeanProblem(x[:50], x[50:])] * 2, "sinkhorn", iterations=5)
    assert [one.partition.labels.tolist() for one in d] == [[0, 0, 1, 1, 1, 2]] * 2


@pytest.mark.parametrize("hypergradient", ["direct", "identity"])
@pytest.mark.parametrize("problem", [columns_problem, linear_problem])
def test_networks(problem, hypergradient):
    found = es.discover(problem(), "sinkhorn", hypergradient=hypergradient, **BRIEF["bilevel"])
    assert np.isfinite(found.validation_loss)
    assert found.method == "sinkhorn"


def test_a_network_is_found():
    options = {"steps": 40, "lr": 0.1, "fit_steps": 50, "refit_steps": 200, "restarts": 2}
    found = es.discover(linear_problem(), "sinkhorn", **options)
    assert found.partition == es.Partition([[0, 1, 2], [2, 0, 1], [1, 2, 0]])


def test_options_are_checked():
    with pytest.raises(ValueError, match="iterations must be a positive integer, got 0"):
        es.discover(es.MeanProblem(np.eye(3), np.eye(3)), "sinkhorn", iterations=0)
