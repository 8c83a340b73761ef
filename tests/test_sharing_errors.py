import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrizations

from equishare.sharing import (
    assignments,
    compact,
    harden,
    impose,
    model_parameters,
    share,
    shared_parameters,
    sharing_parameters,
)


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 5))


def shared_net():
    model = net()
    share(model, "0.weight")
    return model


def normed():
    model = net()
    parametrizations.weight_norm(model[0])
    return model


def with_tied_weights():
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4))
    model[1].weight = model[0].weight
    return model


def used_twice():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, layer)


def holding(parameter):
    module = nn.Module()
    module.p = nn.Parameter(parameter, requires_grad=parameter.is_floating_point())
    return module


def mixed(**other):
    module = holding(torch.zeros(4))
    module.q = nn.Parameter(torch.zeros(4, **other))
    return module


# name: module, arguments of share, exception, its message
SHARE = {
    "no module": (lambda: 3, ("weight",), TypeError, "module must be a torch.nn.Module, got int"),
    "name no string": (net, (0,), TypeError, "name must be a string or a sequence of strings, got 0"),
    "names no strings": (net, (["0.weight", 1],), TypeError, "name must be a string or a sequence"),
    "no names": (net, ([],), ValueError, "at least one parameter name"),
    "no such parameter": (net, ("weight",), ValueError, "Sequential has no parameter 'weight'; its parameters are '0."),
    "not its values": (
        shared_net,
        ("0.parametrizations.weight.original",),
        ValueError,
        "its parameters are '0.bias', '",
    ),
    "nor its logits": (shared_net, ("0.parametrizations.weight.0.assignment.logits",), ValueError, "has no parameter"),
    "no bias": (lambda: nn.Linear(2, 2, bias=False), ("bias",), ValueError, "no parameter 'bias'.* are 'weight'$"),
    "no parameters": (nn.ReLU, ("weight",), ValueError, "it has no parameters"),
    "a long list": (lambda: nn.Sequential(*[nn.Linear(1, 1)] * 20), ("w",), ValueError, "'9.bias', …$"),
    "a buffer": (net, ("1.running_mean",), ValueError, "must be a parameter, got the buffer '1.running_mean'; its"),
    "shared already": (shared_net, ("0.weight",), ValueError, "'0.weight' is shared already"),
    "parametrized already": (normed, ("0.weight",), ValueError, "parametrized already, by _WeightNorm: share it first"),
    "the same name twice": (net, (("0.weight", "0.weight"),), ValueError, "'0.weight' 2 times"),
    "one under two names": (used_twice, (("0.weight", "1.weight"),), ValueError, "'0.weight' and '1.weight' are one"),
    "tied weights": (with_tied_weights, ("1.weight",), ValueError, "'1.weight' is the same tensor as '0.weight'"),
    "integers": (
        lambda: holding(torch.zeros(2, dtype=torch.int64)),
        ("p",),
        TypeError,
        "floating dtype, got torch.int64",
    ),
    "complex": (lambda: holding(torch.zeros(2, dtype=torch.complex64)), ("p",), TypeError, "got torch.complex64"),
    "no entries": (lambda: holding(torch.zeros(0, 2)), ("p",), ValueError, r"no entries, its shape is \(0, 2\)"),
    "lazy": (lambda: nn.LazyLinear(2), ("weight",), ValueError, "no shape yet: run the lazy module"),
    "recurrent": (lambda: nn.LSTM(2, 2), ("weight_hh_l0",), ValueError, "LSTM, which reads its weights past"),
    "sparse": (lambda: nn.Embedding(3, 2, sparse=True), ("weight",), ValueError, "sparse=True"),
    "dim too large": (
        net,
        ("0.weight", None, 2),
        ValueError,
        r"axis from -2 to 1 for '0.weight' of shape \(4, 3\), got 2",
    ),
    "dim too small": (net, ("0.weight", None, -3), ValueError, "axis from -2 to 1 .* got -3"),
    "dim of a scalar": (lambda: holding(torch.tensor(1.0)), ("p", None, 0), ValueError, "dim must be None for 'p'"),
    "dim out of range of one": (net, (("0.weight", "0.bias"), None, 1), ValueError, "from -1 to 0 for '0.bias'"),
    "dim no integer": (net, ("0.weight", None, 1.0), TypeError, "dim must be an integer or None, got 1.0"),
    "dim a bool": (net, ("0.weight", None, True), TypeError, "dim must be an integer or None, got True"),
    "num_groups 0": (net, ("0.weight", 0), ValueError, "from 1 to 12, the number of entries, got 0"),
    "num_groups too large": (net, ("0.weight", 13), ValueError, "from 1 to 12, the number of entries, got 13"),
    "more than slices": (net, ("0.weight", 5, 0), ValueError, "from 1 to 4, the number of slices, got 5"),
    "num_groups a bool": (net, ("0.weight", True), TypeError, "num_groups must be an integer or None, got True"),
    "num_groups no integer": (net, ("0.weight", 2.0), TypeError, "num_groups must be an integer or None, got 2.0"),
    "different entries": (net, (("0.weight", "2.weight"),), ValueError, "agree in entries, got '0.weight': 12, '2.w"),
    "different slices": (net, (("0.weight", "2.bias"), 2, 0), ValueError, "slices along dim=0, got '0.weight': 4, '2"),
    "different dtypes": (
        lambda: mixed(dtype=torch.float64),
        (("p", "q"),),
        ValueError,
        "dtype, got 'p': torch.float32",
    ),
    "different devices": (lambda: mixed(device="meta"), (("p", "q"),), ValueError, "device, got 'p': cpu, 'q': meta"),
}


def snapshot(model):
    if not isinstance(model, nn.Module):
        return None
    state = dict(model.state_dict(keep_vars=True))
    return state, {k: (v.data_ptr(), v.shape) for k, v in state.items() if not isinstance(v, UninitializedParameter)}


def unchanged(model, before):
    state, pointers = snapshot(model)
    return list(state) == list(before[0]) and pointers == before[1] and all(state[k] is before[0][k] for k in state)


@pytest.mark.parametrize("case", SHARE)
def test_share_refuses(case):
    make, arguments, exception, message = SHARE[case]
    module = make()
    before = snapshot(module)
    torch.manual_seed(0)
    with pytest.raises(exception, match=message):
        share(module, *arguments)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
    assert before is None or unchanged(module, before)


def tied_net():
    model = net()
    share(model, ("0.weight", "0.bias"), dim=0)
    return model


ONES = np.ones((4, 3), int)
# name: module, partitions, exception, its message
IMPOSE = {
    "no mapping": (net, [ONES], TypeError, "partitions must be a mapping from names to partitions, got list"),
    "no such parameter": (net, {"0.bias": [0] * 4, "weight": ONES}, ValueError, "has no parameter 'weight'; its"),
    "no labels": (net, {"0.bias": [0] * 4, "0.weight": [["a"]]}, TypeError, r"partitions\['0.weight'\]: labels must"),
    "not whole": (net, {"0.weight": ONES / 2}, ValueError, r"partitions\['0.weight'\]: labels must be integers"),
    "slices cannot be guessed": (
        net,
        {"0.weight": [0] * 4},
        ValueError,
        r"shape \(4, 3\), .* not shared along an axis; ",
    ),
    "another shape": (
        shared_net,
        {"0.weight": [0] * 12},
        ValueError,
        r"shape \(4, 3\), the parameter's shape; got \(12",
    ),
    "entries of slices": (
        tied_net,
        {"0.weight": ONES},
        ValueError,
        r"shape \(4,\), one label for each slice along dim=0",
    ),
    "tied, but different": (
        tied_net,
        {"0.weight": [0, 0, 1, 1], "0.bias": [0, 1, 0, 1]},
        ValueError,
        "'0.weight' and '0.bias' are tied by one assignment",
    ),
    "one under two names": (used_twice, {"0.bias": [0] * 3, "1.bias": [0] * 3}, ValueError, "'1.bias' are one"),
    "no data": (lambda: nn.Linear(3, 4, device="meta"), {"weight": ONES}, ValueError, "'weight' is on the meta device"),
}


@pytest.mark.parametrize("case", IMPOSE)
def test_impose_refuses(case):
    make, partitions, exception, message = IMPOSE[case]
    model = make()
    before = snapshot(model)
    with pytest.raises(exception, match=message):
        impose(model, partitions)
    assert unchanged(model, before)


def with_nan():
    model = net()
    share(model, "0.weight")
    assignment = share(model, "2.weight")
    with torch.no_grad():
        assignment.logits[3, 1] = torch.nan
    return model


def half_of_a_tie():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    share(model, ("0.weight", "1.weight"))
    return model[0]


def on_meta():
    model = nn.Linear(3, 2, device="meta")
    share(model, "weight")
    return model


HARDEN = {
    "nothing shared": (net, "no shared parameter: call equishare.share first"),
    "NaN": (with_nan, "logits of '2.weight': assignment must not hold NaN, got NaN in row 3"),
    "half of a tie": (
        half_of_a_tie,
        r"'weight' is tied to 1 parameter\(s\) that are not, or no longer, shared in this",
    ),
    "no data": (on_meta, "'weight' is on the meta device"),
    "hard, no data": (lambda: hardened().to("meta"), "'0.weight' is on the meta device"),
}


def hardened():
    model = shared_net()
    harden(model)
    return model


@pytest.mark.parametrize("case", HARDEN)
def test_harden_refuses(case):
    make, message = HARDEN[case]
    model = make()
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        harden(model)
    assert unchanged(model, before)


@pytest.mark.parametrize("make", (net, shared_net))
def test_compact_refuses_a_model_that_is_not_hard(make):
    with pytest.raises(ValueError, match="no hard shared parameter: call equishare.harden first"):
        compact(make())


@pytest.mark.parametrize(
    "function", (harden, compact, sharing_parameters, model_parameters, shared_parameters, assignments)
)
def test_only_modules(function):
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got dict"):
        function({})
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got dict"):
        impose({}, {})


def test_a_hard_state_that_does_not_fit_says_so():
    model, other = hardened(), nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(4), nn.Linear(4, 5))
    share(other, "0.weight")
    with pytest.raises(RuntimeError, match=r"0.assignment.labels must have shape \(15,\), got \(12,\)"):
        other.load_state_dict(model.state_dict())
    state = copy.deepcopy(model.state_dict())
    state["0.parametrizations.weight.original"] = torch.zeros(99)
    with pytest.raises(RuntimeError, match=r"labels name \d+ groups, 0.parametrizations.weight.original holds 99"):
        shared_net().load_state_dict(state)


def test_a_soft_state_does_not_load_into_a_hard_model_and_says_why():
    with pytest.raises(RuntimeError, match="soft in the state and hard in the model: load the state into a model that"):
        hardened().load_state_dict(shared_net().state_dict())
