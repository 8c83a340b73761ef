import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softmax

from equishare.partition import Partition
from equishare.sharing import (
    Assignment,
    assignments,
    harden,
    impose,
    model_parameters,
    share,
    shared_parameters,
    sharing_parameters,
)

# name: module, input, the parameters to tie, axis, shape of the values of the first of them
MODULES = {
    "linear": (lambda: nn.Linear(3, 4), (2, 3), "weight", None, (12,)),
    "linear rows": (lambda: nn.Linear(3, 4), (2, 3), "weight", 0, (4, 3)),
    "linear columns": (lambda: nn.Linear(3, 4), (2, 3), "weight", -1, (3, 4)),
    "linear rows and bias": (lambda: nn.Linear(3, 4), (2, 3), ("weight", "bias"), 0, (4, 3)),
    "bias": (lambda: nn.Linear(3, 4), (2, 3), "bias", None, (4,)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 2), (1, 2, 5), "weight", None, (12,)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 2), (1, 2, 4, 4), "weight", None, (24,)),
    "conv2d middle axis": (lambda: nn.Conv2d(2, 3, 2), (1, 2, 4, 4), "weight", 2, (2, 12)),
    "conv2d last axis": (lambda: nn.Conv2d(2, 3, 2), (1, 2, 4, 4), "weight", -1, (2, 12)),
    "bilinear": (lambda: nn.Bilinear(2, 2, 3), (2, 2), "weight", 1, (2, 6)),
    "embedding": (lambda: nn.Embedding(5, 2), None, "weight", 0, (5, 2)),
    "dotted": (lambda: nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 2))), (2, 3), "1.0.weight", 0, (2, 3)),
    "two modules": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)),
        (2, 3),
        ("0.weight", "1.weight"),
        None,
        (9,),
    ),
    "attention": (lambda: nn.MultiheadAttention(4, 2), (3, 1, 4), "in_proj_weight", 0, (12, 4)),
}
modules = pytest.mark.parametrize("case", MODULES)


def build(case, **options):
    torch.manual_seed(0)
    make, shape, names, dim, _ = MODULES[case]
    model = make()
    share(model, names, dim=dim, **options)
    if case == "embedding":
        return model, (torch.tensor([[0, 4, 2]]),)
    x = torch.randn(shape)
    return model, (x,) * {"bilinear": 2, "attention": 3}.get(case, 1)


def output(model, inputs):
    result = model(*inputs)
    return result[0] if isinstance(result, tuple) else result


def read(model, name):
    path, _, leaf = name.rpartition(".")
    return getattr(model.get_submodule(path), leaf)


def chain(model, name):
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path).parametrizations[leaf]


@modules
def test_theta_is_softmax_of_the_logits_times_the_values(case):
    model, inputs = build(case)
    names, shape = MODULES[case][2], MODULES[case][4]
    for i, (name, shared) in enumerate(shared_parameters(model).items()):
        values = chain(model, name).original
        assert i or values.shape == shape
        entries = softmax(shared.assignment.logits, -1) @ values.reshape(len(values), -1)
        dim = shared.dim or 0
        rest = [n for axis, n in enumerate(shared.shape) if axis != dim]
        expected = entries.reshape(shared.shape) if shared.dim is None else entries.reshape(-1, *rest).movedim(0, dim)
        torch.testing.assert_close(read(model, name), expected)
    assert list(shared_parameters(model)) == ([names] if isinstance(names, str) else list(names))
    output(model, inputs).sum().backward()
    assert all(p.grad is not None for p in sharing_parameters(model))


@modules
@pytest.mark.parametrize("num_groups", (None, 2))
def test_hardening_takes_the_largest_logit_and_keeps_its_values(case, num_groups):
    model, inputs = build(case, num_groups=num_groups)
    soft = {name: chain(model, name).original.detach().clone() for name in shared_parameters(model)}
    logits = sharing_parameters(model)[0].detach().clone()
    loss = output(model, inputs).sum()
    loss.backward()

    partitions = harden(model)

    assert list(partitions) == list(soft)
    for name, shared in shared_parameters(model).items():
        partition = partitions[name]
        assert partition == shared.partition()
        assert partition.shape == (shared.shape if shared.dim is None else (len(logits),))
        assert partition.labels.reshape(-1).tolist() == Partition.from_assignment(logits).labels.tolist()
        values = chain(model, name).original
        assert len(values) == partition.num_groups and values.requires_grad
        groups = torch.tensor(partition.labels.reshape(-1))
        assert torch.equal(values[groups], soft[name][logits.argmax(-1)])
        assert shared.assignment.labels.dtype == torch.uint8
    assert not sharing_parameters(model)
    state = copy.deepcopy(model.state_dict())
    assert harden(model) == partitions
    assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values(), strict=True))
    # The graph of the loss above is still alive and knows the old shapes.
    output(model, inputs).sum().backward()
    assert loss.requires_grad


@modules
def test_imposed_groups_take_the_mean_of_theta(case):
    model, _ = build(case)
    partition = {}
    before = {}
    for name, shared in shared_parameters(model).items():
        shape = shared.shape if shared.dim is None else (shared.assignment.num_entries,)
        partition[name] = Partition(np.arange(int(np.prod(shape))).reshape(shape) % 2)
        before[name] = read(model, name).detach()
    for _ in range(2):  # soft, then hard already
        impose(model, partition)
        for name, shared in shared_parameters(model).items():
            assert shared.assignment.is_hard and shared.partition() == partition[name]
            theta = before[name] if shared.dim is None else before[name].movedim(shared.dim, 0)
            labels = torch.tensor(partition[name].labels.reshape(-1))
            rows = theta.reshape(len(labels), -1)
            means = torch.stack([rows[labels == g].mean(0) for g in range(partition[name].num_groups)])
            values = chain(model, name).original
            torch.testing.assert_close(values.reshape(len(values), -1), means)


def test_impose_shares_entry_by_entry_and_draws_nothing():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    weight = model[0].weight.detach().clone()
    torch.manual_seed(0)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    impose(model, {"0.weight": [[7, 3], [3, 7]], "1.bias": np.array([0, 0])})
    assert torch.equal(torch.rand(1), drawn)
    expected = (weight[0, 0] + weight[1, 1]) / 2, (weight[0, 1] + weight[1, 0]) / 2
    torch.testing.assert_close(model[0].parametrizations.weight.original, torch.stack(expected))
    assert harden(model) == {"0.weight": Partition([[0, 1], [1, 0]]), "1.bias": Partition([0, 0])}


def test_more_than_256_groups_take_int16_labels():
    model = nn.Linear(20, 20, bias=False)
    impose(model, {"weight": np.arange(400).reshape(20, 20) % 300})
    labels = next(iter(assignments(model))).labels
    assert labels.dtype == torch.int16 and labels.max() == 299


@pytest.mark.parametrize(
    ("shape", "dim", "num_groups"),
    (((20, 30), None, 128), ((4, 5), None, 20), ((200, 3), 0, 200), ((3, 200), 1, 200)),
)
def test_default_number_of_groups(shape, dim, num_groups):
    assert share(nn.Linear(*shape[::-1]), "weight", dim=dim).num_groups == num_groups


def test_a_seed_reproduces_and_values_are_entries_of_the_parameter():
    def made(seed):
        torch.manual_seed(seed)
        model = nn.Linear(6, 5, dtype=torch.float64)
        weight = model.weight.detach().clone()
        return share(model, "weight", num_groups=4), weight, model

    (a, weight, model), (b, *_), (c, *_) = made(0), made(0), made(1)
    assert torch.equal(a.logits, b.logits) and not torch.equal(a.logits, c.logits)
    assert a.logits.dtype == torch.float64 and 0.05 < a.logits.std() < 0.15
    assert torch.equal(model.parametrizations.weight.original, weight.reshape(-1)[[0, 9, 19, 29]])


def test_assigning_to_the_parameter_sets_the_values():
    model = nn.Linear(3, 2)
    share(model, "weight", num_groups=2)
    model.weight = torch.arange(6.0).reshape(2, 3)
    assert model.parametrizations.weight.original.tolist() == [0, 5]
    impose(model, {"weight": [[0, 0, 1], [1, 1, 1]]})
    model.weight = torch.arange(6.0).reshape(2, 3)
    assert model.parametrizations.weight.original.tolist() == [0.5, 3.5]
    with pytest.raises(ValueError, match=r"shape \(2, 3\), got a value of shape \(3, 2\)"):
        model.weight = torch.zeros(3, 2)


def test_a_frozen_parameter_stays_frozen():
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    share(model, "weight")
    assert not model.parametrizations.weight.original.requires_grad
    harden(model)
    assert not model.parametrizations.weight.original.requires_grad


def test_a_gradient_and_a_graph_from_before_do_not_matter():
    model = nn.Linear(3, 2)
    loss = model(torch.ones(3)).sum()
    loss.backward()
    share(model, "weight", num_groups=2)
    assert model.parametrizations.weight.original.grad is None
    model(torch.ones(3)).sum().backward()
    assert model.parametrizations.weight.original.grad.shape == (2,)


def test_one_assignment_ties_entries_of_parameters_of_different_shapes():
    model = nn.ModuleList([nn.Linear(6, 1, bias=False), nn.Linear(2, 3, bias=False)])
    assignment = share(model, ("1.weight", "0.weight"))
    assert assignment.partition().shape == (6,)
    partitions = harden(model)
    assert partitions["0.weight"].shape == (1, 6) and partitions["1.weight"].shape == (3, 2)
    assert (partitions["0.weight"].labels.reshape(-1) == partitions["1.weight"].labels.reshape(-1)).all()


def test_parameters_of_the_two_levels_are_told_apart_and_named_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    first = share(model, ("0.weight", "0.bias"), dim=0)
    second = share(model[1], "weight", num_groups=4)
    assert isinstance(first, Assignment)
    upper, lower = sharing_parameters(model), model_parameters(model)
    assert [id(p) for p in upper] == [id(first.logits), id(second.logits)]
    assert {id(p) for p in upper + lower} == {id(p) for p in model.parameters()}
    assert len(upper + lower) == len(list(model.parameters())) == 6
    assert assignments(model) == {first: ["0.weight", "0.bias"], second: ["1.weight"]}
    assert [shared.dim for shared in shared_parameters(model).values()] == [0, 0, None]
    assert sharing_parameters(nn.Linear(2, 2)) == [] and len(model_parameters(nn.Linear(2, 2))) == 2


def test_a_module_used_twice_is_one():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, layer)
    share(model, "1.weight")
    assert list(harden(model)) == ["0.weight"]
    impose(model, {"1.weight": np.zeros((3, 3), int)})
    assert len(model.state_dict()) == 6 and len(list(model.parameters())) == 2


def test_training_reaches_logits_and_values():
    torch.manual_seed(0)
    model, target = nn.Linear(3, 4), torch.randn(4, 3)
    share(model, "weight", num_groups=4)
    upper = torch.optim.Adam(sharing_parameters(model), 0.05)
    lower = torch.optim.Adam(model_parameters(model), 0.05)
    losses = []
    for _ in range(100):
        loss = (model.weight - target).square().sum()
        upper.zero_grad()
        lower.zero_grad()
        loss.backward()
        upper.step()
        lower.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
