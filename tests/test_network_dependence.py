"""A network whose labels do not depend on its inputs is told to have no pattern that anyone could see."""

import math

import pytest
import torch
from model_cases import made
from scipy import stats
from torch import nn
from torch.nn import functional

import equishare as es
from equishare.problems.network.dependence import dependence
from equishare.problems.network.fit import Start
from equishare.problems.network.replicas import Replicas, stacked


def build():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    es.share(model, "0.weight")
    return model


def problem(signal, loss=functional.mse_loss, count=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, noise = (torch.randn(count, 4, generator=generator).double() for _ in range(2))
    y = noise + signal * x
    return es.ModelProblem(made(build), (x[: count // 2], y[: count // 2]), (x[count // 2 :], y[count // 2 :]), loss)


def test_noise_gives_no_pattern_that_is_sure():
    found = es.discover(problem(0.0))
    assert found.quality.dependence > 0.05
    assert any(warning.endswith("the pattern may be one of noise.") for warning in found.warnings)
    group = found.symmetry()["0.weight"]
    assert group.verdict == "none"
    assert group.is_trivial or group.explanation.startswith("No symmetry can be told from these data.")


def test_what_depends_is_seen_to():
    found = es.discover(problem(1.0))
    assert found.quality.dependence < 1e-3
    assert not any("no output depends" in warning for warning in found.warnings)


def p_value(one, candidates=1):
    replicas = Replicas([one])
    start = Start([0], stacked(replicas.start, 1), {}, stacked(replicas.buffers, 1))
    return dependence(replicas, one, start, candidates)


def test_p_values_of_noise_are_even():
    # The network is not trained: any function of the inputs will do.
    p = [p_value(problem(0.0, seed=seed)) for seed in range(60)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_of_many_candidates_p_is_larger():
    one = problem(0.0, seed=3)
    p = p_value(one)
    assert p_value(one, 3) == pytest.approx(min(1.0, 3 * p))
    assert 0 < p_value(one, 10**6) <= 1


def test_a_loss_that_does_not_look_at_the_labels_has_no_p_value():
    one = problem(0.0)
    one.loss = lambda output, y: output.square().mean()
    assert math.isnan(p_value(one))
