"""How far functions are from commuting with a group, and the symmetry of a discovery."""

import numpy as np
import pytest
import torch

import equishare as es

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 6))
RING = es.symmetry_group((np.arange(6) - np.arange(6)[:, None]) % 6)
ROLLED = np.roll(np.eye(6), 1, axis=0)


def circulant(x):
    return x @ (2 * np.eye(6) + ROLLED + 0.5 * ROLLED.T)


def test_an_equivariant_function_commutes_and_random_permutations_do_not():
    found = es.equivariance_error(lambda x: np.tanh(circulant(x)), RING, X)
    assert found.errors.shape == (len(RING.generators),)
    assert found.errors.max() < 1e-12
    # 199 conjugates of a cycle of six on each side: one of 120 × 120 × … commutes by chance.
    assert found.p_values.max() <= 0.02
    assert found.random_errors.min() > 0.3


def test_error_is_the_relative_distance_of_both_ways_round():
    weight = RNG.standard_normal((6, 6))
    found = es.equivariance_error(lambda x: x @ weight.T, RING, X)
    for error, (p_out, p_in) in zip(found.errors, RING.generators, strict=True):
        y = X @ weight.T
        difference = X[:, p_in] @ weight.T - y[:, p_out]
        assert error == pytest.approx(np.linalg.norm(difference) / np.linalg.norm(y - y.mean(0)))
    assert found.p_values.min() > 0.02


def test_p_values_of_functions_without_symmetry_are_uniform():
    values = []
    for seed in range(40):
        weight = np.random.default_rng(seed).standard_normal((6, 6))
        found = es.equivariance_error(lambda x, w=weight: x @ w.T, RING, X[:30], num_permutations=49, seed=seed)
        values.append(found.p_values[0])
    assert 0.35 < np.mean(values) < 0.65
    assert np.mean(np.array(values) <= 0.1) <= 0.25


def test_nearly_equivariant_is_told_from_chance():
    weight = circulant(np.eye(6)).T + 0.1 * RNG.standard_normal((6, 6))
    found = es.equivariance_error(lambda x: x @ weight.T, RING, X)
    assert 0.02 < found.errors.max() < 0.3
    assert found.p_values.max() <= 0.02


def test_where_every_permutation_commutes_nothing_is_shown():
    everything = es.symmetry_group(np.zeros((6, 6), int))
    found = es.equivariance_error(lambda x: np.repeat(x.sum(1, keepdims=True), 6, 1), everything, X)
    assert found.errors.max() < 1e-12
    assert (found.p_values == 1).all()


def test_one_action_is_compared_with_one_action():
    # Every permutation of outputs and inputs alike commutes with the identity.
    alike = es.symmetry_group(RING.partition, same_action=True)
    assert (es.equivariance_error(lambda x: x, alike, X).p_values == 1).all()
    assert es.equivariance_error(circulant, alike, X).p_values.max() <= 0.05


def test_modules_take_tensors_of_their_dtype():
    layer = torch.nn.Linear(6, 6)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(circulant(np.eye(6)).T))
        layer.bias.fill_(0.3)
    found = es.equivariance_error(layer, RING, torch.from_numpy(X).float())
    assert found.errors.max() < 1e-6


def test_functions_may_give_tensors_and_take_halves():
    x = torch.from_numpy(X).bfloat16()
    found = es.equivariance_error(lambda x: torch.from_numpy(circulant(x)).requires_grad_(), RING, x)
    assert found.errors.max() < 1e-12


class Counting(torch.nn.Module):
    """Changes what it holds at each call: buffers in place, buffers replaced, buffers added."""

    def __init__(self, fails=False):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.BatchNorm1d(6, momentum=None),
            torch.nn.BatchNorm1d(6, track_running_stats=False),
            torch.nn.Dropout(),
        )
        self.layers[2].eval()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.full((6,), torch.nan))
        self.register_forward_hook(self.count)
        self.fails = fails

    @staticmethod
    def count(module, x, y):
        module.calls.add_(1)

    def forward(self, x):
        assert not any(part.training for part in self.modules())
        self.last = x.mean(0)
        self.register_buffer("new", x[0])
        torch.nn.functional.batch_norm(
            x, self.layers[0].running_mean, self.layers[0].running_var, training=True, momentum=0.5
        )
        if self.fails and self.calls:
            raise RuntimeError("no more")
        return self.layers(x)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("call", [lambda model: model, lambda model: model.forward])
def test_a_model_is_left_as_it_was(call, fails):
    model = Counting(fails)
    modes = [part.training for part in model.modules()]
    assert len(set(modes)) == 2
    before = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    if fails and call(model) is model:
        model.calls.add_(1)
        before["calls"] = (model.calls, model.calls.clone())
        with pytest.raises(RuntimeError, match="no more"):
            es.equivariance_error(call(model), RING, X, num_permutations=2)
    else:
        es.equivariance_error(call(model), RING, X, num_permutations=2)
        RING.is_equivariant(call(model), X)
    assert [part.training for part in model.modules()] == modes
    assert dict(model.named_buffers()).keys() == before.keys()
    for name, buffer in model.named_buffers():
        assert buffer is before[name][0]
        torch.testing.assert_close(buffer, before[name][1], rtol=0, atol=0, equal_nan=True)


def test_invariants():
    mean = es.equivariance_error(lambda x: x.mean(1), RING, X, invariant=True)
    assert mean.errors.max() < 1e-12
    assert es.equivariance_error(lambda x: x[:, :1] ** 2, RING, X, invariant=True).errors.max() > 0.5
    # Of eight outputs for six inputs that move.
    many = es.equivariance_error(lambda x: np.outer((x**2).sum(1), np.arange(8)), RING, X, invariant=True)
    assert many.errors.max() < 1e-12


def test_groups_of_vectors_and_kernels():
    means = es.symmetry_group([0, 0, 0, 1, 1, 1])
    assert es.equivariance_error(np.tanh, means, X).errors.max() < 1e-12
    assert es.equivariance_error(lambda x: x * np.arange(6), means, X).errors.max() > 0.1
    ring = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]])
    kernel = es.symmetry_group(ring[None, None])
    images = RNG.standard_normal((20, 1, 6, 6))
    found = es.equivariance_error(
        lambda x: x + np.roll(x, 1, 2) + np.roll(x, -1, 2), kernel, images, num_permutations=19
    )
    # Quarter turns do not commute with it.
    assert found.errors.max() > 0.5
    blur = es.equivariance_error(
        lambda x: sum(np.roll(x, s, axis) for s in (1, -1) for axis in (2, 3)), kernel, images, num_permutations=19
    )
    assert blur.errors.max() < 1e-12
    assert blur.p_values.max() <= 0.05


def test_trivial_group():
    trivial = es.symmetry_group(np.arange(6).reshape(2, 3))
    found = es.equivariance_error(lambda x: x[:, :2], trivial, X[:, :3])
    assert len(found.errors) == 0
    assert str(found) == "The group is trivial: there is nothing to commute with."


def test_of_a_discovery():
    x = RNG.standard_normal((400, 6))
    y = circulant(x) + 0.1 * RNG.standard_normal(x.shape)
    d = es.discover(es.LinearProblem(x[:200], y[:200], x_val=x[200:], y_val=y[200:]))
    assert (d.symmetry().name, d.symmetry().order) == ("C_6", 6)
    # The three weights of zero are one group, and three orbits.
    assert d.symmetry().closure_gap == 12
    # The bias of each output is fitted freely.
    assert d.equivariance_error(x).errors.max() < 0.02
    own = d.equivariance_error(x, circulant)
    assert own.errors.max() < 1e-12
    assert "p ≤ 0.0" in str(own)


def test_of_means():
    d = es.discover(es.MeanProblem(X[:100] + [0, 0, 0, 9, 9, 9], X[100:] + [0, 0, 0, 9, 9, 9]))
    assert d.symmetry().order == 36
    with pytest.raises(ValueError, match="linear map; this one is of means"):
        d.equivariance_error(X)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"function": 3}, TypeError, "function must be callable, got int"),
        ({"x": X[:, :5]}, ValueError, r"x must have shape \(samples, 6\), got \(200, 5\)"),
        ({"x": X[0]}, ValueError, r"x must have shape \(samples, 6\), got \(6,\)"),
        ({"x": X[:0]}, ValueError, "x must have shape"),
        ({"x": X.astype(complex)}, TypeError, "x must hold real numbers, got dtype complex128"),
        ({"x": np.full((3, 6), np.nan)}, ValueError, "x must be finite"),
        ({"function": lambda x: x[:, :3]}, ValueError, r"function must give shape \(200, 6\), got \(200, 3\)"),
        ({"function": lambda x: x * np.inf}, ValueError, "function must give finite values"),
        ({"function": lambda x: x.astype(str)}, TypeError, "function must give real numbers, got dtype <U"),
        ({"function": lambda x: [[1.0], [2.0, 3.0]]}, ValueError, "what function gives must be a rectangular array"),
        ({"x": [[1.0], [2.0, 3.0]]}, ValueError, "x must be a rectangular array of numbers"),
        ({"function": lambda x: 0 * x}, ValueError, "function must vary over x"),
        ({"group": es.symmetry_group([0, 0, 1])}, ValueError, r"x must have shape \(samples, 3\), got \(200, 6\)"),
        ({"group": "D_8"}, ValueError, r"x must have shape \(samples, 8\), got \(200, 6\)"),
        ({"group": 3}, TypeError, "group must be a SymmetryGroup, a name such as 'D_6', .*, got int"),
        (
            {"function": lambda x: x[:, 0]},
            ValueError,
            r"got \(200,\): for outputs that do not move, pass invariant=True",
        ),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0, got -1"),
        ({"num_permutations": 0}, ValueError, "num_permutations must be at least 1, got 0"),
        ({"num_permutations": 1.5}, TypeError, "num_permutations must be an integer, got 1.5"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_bad_arguments(change, error, message):
    arguments = {"function": circulant, "group": RING, "x": X, **change}
    with pytest.raises(error, match=message):
        es.equivariance_error(**arguments)
