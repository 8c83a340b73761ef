"""Losses that draw random numbers or write into buffers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call

import equishare as es

METHODS = ["cg", "neumann", "unrolled", "identity", "direct"]


class Net(nn.Module):
    def __init__(self, norm=True):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3, 6), nn.BatchNorm1d(6) if norm else nn.Identity(), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 1)
        )

    def forward(self, x):
        return self.body(x)[:, 0]


@pytest.fixture
def made():
    torch.manual_seed(0)
    model = Net().double()
    x, y = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    psi = {name: p.detach() for name, p in model.named_parameters()}
    lam = torch.tensor(0.3, dtype=torch.float64)

    def lower(psi, lam):
        return (functional_call(model, psi, (x,)) - y).square().mean() + lam * sum(
            p.square().sum() for p in psi.values()
        )

    def upper(psi, lam):
        return (functional_call(model, psi, (x,)) - lam * y).square().mean()

    return model, lower, upper, psi, lam


@pytest.mark.parametrize("method", METHODS)
def test_dropout_is_drawn_once(made, method):
    model, lower, upper, psi, lam = made
    options = {"method": method, "iterations": 5, **({} if method in ("cg", "direct") else {"alpha": 0.05})}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = es.hypergradient(lower, upper, psi, lam, **options)
    after = torch.get_rng_state()

    def fixed(loss):
        def run(psi, lam):
            torch.set_rng_state(state)
            return loss(psi, lam)

        return run

    same = es.hypergradient(fixed(lower), fixed(upper), psi, lam, **options)
    assert torch.equal(found.gradients, same.gradients)
    torch.set_rng_state(state)
    lower(psi, lam)
    assert torch.equal(torch.get_rng_state(), after)


def test_unrolled_is_the_derivative_of_its_steps(made):
    _, lower, upper, psi, lam = made
    state = torch.get_rng_state()

    def loss_after(value):
        parameters = {name: p.clone().requires_grad_() for name, p in psi.items()}
        for _ in range(4):
            torch.set_rng_state(state)
            gradients = torch.autograd.grad(lower(parameters, value), list(parameters.values()), create_graph=True)
            parameters = {n: p - 0.05 * g for (n, p), g in zip(parameters.items(), gradients, strict=True)}
        torch.set_rng_state(state)
        return upper(parameters, value)

    value = lam.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss_after(value), value)
    torch.set_rng_state(state)
    found = es.hypergradient(lower, upper, psi, lam, method="unrolled", iterations=4, alpha=0.05)
    assert torch.allclose(found.gradients, expected, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_buffers_stay_as_they_were(made, method):
    model, lower, upper, psi, lam = made
    before = {name: b.clone() for name, b in model.named_buffers()}
    es.hypergradient(lower, upper, psi, lam, method=method, iterations=3)
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers())
    model(torch.randn(5, 3, dtype=torch.float64))
    assert not torch.equal(model.body[1].running_mean, before["body.1.running_mean"])  # the hook is gone


@pytest.mark.parametrize("method", ["cg", "neumann"])
def test_attention(method):
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).double().eval()
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    psi = {name: p.detach() for name, p in model.named_parameters()}
    lam = torch.tensor(0.3, dtype=torch.float64)

    def lower(psi, lam):
        return functional_call(model, psi, (x,)).square().mean() + lam * sum(p.square().sum() for p in psi.values())

    def upper(psi, lam):
        return functional_call(model, psi, (x,)).square().mean()

    found = es.hypergradient(lower, upper, psi, lam, method=method, iterations=20)
    assert torch.isfinite(found.gradients)
