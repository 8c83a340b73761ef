"""Averages over groups: they commute with each generator, leave what commutes alone, and train."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from group_cases import all_elements
from symmetry_cases import EXPECTED, example

import equishare as es

RNG = np.random.default_rng(0)
TITLES = [t for t in EXPECTED if EXPECTED[t][1] <= 3000 and example.PATTERNS[t][0].ndim == 2]
ICOSAHEDRON = es.named_group("icosahedron vertices")


def group_of(title: str) -> es.SymmetryGroup:
    labels, same_action = example.PATTERNS[title]
    return es.symmetry_group(labels, same_action=same_action)


def some_function(num_in: int, num_out: int):
    weight = np.random.default_rng(1).standard_normal((num_in, num_out))
    return lambda x: np.tanh(x @ weight) + np.sin(x[:, :1])


def network(num_in: int, num_out: int) -> torch.nn.Module:
    torch.manual_seed(0)
    hidden = torch.nn.Linear(num_in, 7)
    return torch.nn.Sequential(hidden, torch.nn.Tanh(), torch.nn.Linear(7, num_out)).double()


@pytest.mark.parametrize("title", [t for t in TITLES if example.PATTERNS[t][0].size <= 1000])
def test_averages_commute_with_the_group(title):
    group = group_of(title)
    num_out, num_in = group.partition.shape
    x = RNG.standard_normal((5, num_in))
    average = group.average(some_function(num_in, num_out))
    if group.generators:
        assert es.equivariance_error(average, group, x, num_permutations=1).errors.max() < 1e-6
    assert group.is_equivariant(average, x, tolerance=1e-12)
    np.testing.assert_allclose(group.average(average)(x[:1]), average(x[:1]), atol=1e-12)


@pytest.mark.parametrize("group", [ICOSAHEDRON, group_of("circulant and symmetric, 8"), es.named_group("S_3 + C_2")])
def test_the_average_is_the_mean_over_all_elements(group):
    num_out, num_in = group.partition.shape
    f, x = some_function(num_in, num_out), RNG.standard_normal((3, num_in))
    elements = all_elements(group)
    assert len(elements) == group.order
    mean = np.mean([f(x[:, p_in])[:, np.argsort(p_out)] for p_out, p_in in elements], axis=0)
    np.testing.assert_allclose(group.average(f)(x), mean, atol=1e-12)
    invariant = group.average(lambda x: x[:, 0] ** 3, invariant=True)
    assert invariant(x).shape == (3,)
    np.testing.assert_allclose(invariant(x), np.mean([x[:, p[0]] ** 3 for _, p in elements], axis=0), atol=1e-12)
    assert group.is_invariant(invariant, x, tolerance=1e-12)
    assert not group.is_invariant(lambda x: x[:, 0], x)


def test_batches_of_elements_are_summed(monkeypatch):
    x, f = RNG.standard_normal((4, 12)), some_function(12, 12)
    whole = ICOSAHEDRON.average(f)(x)
    monkeypatch.setattr("equishare.symmetry.averaging._MOST_NUMBERS", 7 * x.size)
    sizes = []

    def counted(rows):
        sizes.append(len(rows))
        return f(rows)

    np.testing.assert_allclose(ICOSAHEDRON.average(counted)(x), whole, atol=1e-12)
    assert max(sizes) == 7 * 4
    assert sum(sizes) == 120 * 4


def test_the_average_of_a_module_is_a_module():
    module = network(12, 12)
    average = ICOSAHEDRON.average(module)
    x = torch.from_numpy(RNG.standard_normal((5, 12)))
    assert isinstance(average, torch.nn.Module)
    assert average.state_dict().keys() == {f"function.{name}" for name in module.state_dict()}
    assert es.equivariance_error(average, ICOSAHEDRON, x, num_permutations=1).errors.max() < 1e-6
    np.testing.assert_allclose(
        average(x).detach(), ICOSAHEDRON.average(lambda x: module(torch.from_numpy(x)).detach().numpy())(x.numpy())
    )
    average(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())
    assert torch.autograd.gradcheck(average, x[:1].requires_grad_())
    average.eval()
    assert not module.training
    for again in (copy.deepcopy(average), pickle.loads(pickle.dumps(average))):
        assert torch.equal(again(x), average(x))
        again.load_state_dict({name: 0 * value for name, value in average.state_dict().items()})
        assert not again(x).any()


@pytest.mark.parametrize("title", ["circulant, 16", "array of 4 × 5, rows and columns exchangeable", "all tied, 5 × 3"])
@pytest.mark.parametrize("invariant", [False, True])
def test_a_linear_layer_is_averaged_as_its_sum_over_elements_is(title, invariant):
    group = group_of(title)
    num_out, num_in = group.partition.shape
    layer = torch.nn.Linear(num_in, 4 if invariant else num_out).double()
    x = torch.from_numpy(RNG.standard_normal((6, num_in)))
    closed, summed = (group.average(f, invariant=invariant) for f in (layer, torch.nn.Sequential(layer)))
    assert closed.state_dict().keys() == {"function.weight", "function.bias"}
    torch.testing.assert_close(closed(x), summed(x))
    gradients = [torch.autograd.grad(f(x).square().sum(), layer.weight)[0] for f in (closed, summed)]
    torch.testing.assert_close(*gradients)


def test_a_linear_layer_is_averaged_over_a_group_of_any_order():
    group = es.named_group("S_100 + S_200")
    layer = torch.nn.Linear(300, 300)
    average = group.average(layer)
    assert len(average.cells.unique()) == 6
    assert len(average.outputs.unique()) == 2
    assert group.is_equivariant(average, RNG.standard_normal((3, 300)), tolerance=1e-5)
    pair = es.symmetry_group(np.zeros((1000, 1000), int)).average(torch.nn.Linear(1000, 1000, bias=False))
    assert pair(torch.ones(2, 1000)).std() < 1e-5
    sets = es.symmetry_group(np.zeros(50, int)).average(torch.nn.Linear(50, 50))
    assert len(sets.cells.unique()) == 2


def test_convolutions():
    laplace = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]])
    group = es.symmetry_group(np.broadcast_to(laplace, (2, 3, 3, 3)))
    layer = torch.nn.Conv2d(3, 2, 3, padding=1).double()
    x = torch.from_numpy(RNG.standard_normal((2, 3, 5, 5)))
    average = group.average(layer)
    assert es.equivariance_error(layer, group, x, num_permutations=3).errors.max() > 0.1
    assert es.equivariance_error(average, group, x, num_permutations=3).errors.max() < 1e-6
    with torch.no_grad():
        kernel = layer.weight.numpy().ravel() @ group.equivariant_basis().T @ group.equivariant_basis()
        layer.weight.copy_(torch.from_numpy(kernel.reshape(layer.weight.shape)))
        layer.bias.fill_(0.5)
    assert group.is_equivariant(layer, x)
    torch.testing.assert_close(average(x), layer(x))
    with pytest.raises(ValueError, match=r"exchanges axes of the grid: they must be of one length, got \(5, 4\)"):
        average(x[..., :4])


@pytest.mark.parametrize(
    ("group", "function", "x", "message"),
    [
        ("S_9", np.tanh, np.zeros((2, 9)), "at most limit=10000 of them, and the group has 362,880"),
        ("C_4", np.tanh, np.zeros((2, 3)), r"x must have shape \(samples, 4\), got \(2, 3\)"),
        ("C_4", lambda x: x[:, :3], np.zeros((2, 4)), r"function must give shape \(8, 4\), got \(8, 3\)"),
        ("C_4", lambda x: x[:1, 0], np.zeros((2, 4)), r"function must give shape \(8, 4\), got \(1,\)"),
        ("C_4", torch.nn.Linear(4, 3), None, r"function must give shape \(1, 4\), got \(1, 3\)"),
    ],
)
def test_bad_arguments(group, function, x, message):
    with pytest.raises(ValueError, match=message):
        es.named_group(group).average(function)(x)


def test_a_limit_may_be_raised():
    average = es.named_group("S_8").average(lambda x: x[:, 0] ** 2, invariant=True, limit=50_000)
    np.testing.assert_allclose(average(np.arange(8.0)[None]), [17.5])
    with pytest.raises(TypeError, match="function must be callable, got int"):
        ICOSAHEDRON.average(3)
    with pytest.raises(ValueError, match="limit must be a positive integer, got 'many'"):
        ICOSAHEDRON.average(np.tanh, limit="many")
