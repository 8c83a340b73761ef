import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from equishare import reference
from equishare.nn import SharedLinear
from equishare.partition import Partition
from equishare.sharing import assignments, compact, harden, impose, share, shared_parameters

dtypes = pytest.mark.parametrize("dtype", (torch.float32, torch.float64))


def saved_size(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return len(file.getvalue())


class Own(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 1


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def transformer():
    model = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).eval()
    share(model, "linear1.weight")
    share(model, "linear2.weight", num_groups=5)
    share(model, "self_attn.in_proj_weight", dim=0)
    share(model, "self_attn.out_proj.weight")
    return model


def mlp(*shared):
    def make():
        model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
        for name, options in shared:
            share(model, name, **options)
        return model

    return make


def twice():
    layer = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": layer, "b": nn.Sequential(layer)})
    share(model, "a.weight")
    return nn.Sequential(model["a"], model["b"])


def hooked():
    model = mlp(("0.weight", {}))()
    model[0].register_forward_hook(_plus_one)
    return model


def _plus_one(module, inputs, result):
    return result + 1


def stacked():
    model = mlp(("0.weight", {}))()
    parametrize.register_parametrization(model[0], "weight", Doubled())
    return model


def stacked_bias():
    model = mlp(("0.weight", {}), ("0.bias", {"num_groups": 2}))()
    parametrize.register_parametrization(model[0], "bias", Doubled())
    return model


def own():
    model = nn.Sequential(Own(4, 4))
    share(model, "0.weight")
    return model


def own_forward():
    model = mlp(("0.weight", {}))()
    model[0].forward = _forward
    return model


def _forward(x):
    return x


def partly_soft():
    model = mlp(("0.weight", {}))()
    harden(model)
    share(model, "2.weight")
    return model


# name: model, names of the layers that become SharedLinear, whether it is hard already
MODELS = {
    "one layer": (mlp(("0.weight", {"num_groups": 5})), ["0"], False),
    "several": (mlp(("0.weight", {}), ("2.weight", {})), ["0", "2"], False),
    "with a shared bias": (mlp(("0.weight", {}), ("0.bias", {})), ["0"], False),
    "with a bias shared by slices": (mlp(("0.weight", {}), ("0.bias", {"dim": 0})), ["0"], False),
    "weight tied to a bias": (mlp((("2.weight", "0.bias"), {})), ["2"], False),
    "weights tied": (mlp((("0.weight",), {}), (("2.weight", "0.bias"), {})), ["0", "2"], False),
    "rows are left": (mlp((("0.weight", "0.bias"), {"dim": 0})), [], False),
    "a bias alone is left": (mlp(("0.bias", {})), [], False),
    "transformer": (transformer, ["linear1", "linear2"], False),
    "a layer used twice": (twice, ["0"], False),
    "hooks are left": (hooked, [], False),
    "further parametrizations are left": (stacked, [], False),
    "a bias with further parametrizations": (stacked_bias, ["0"], False),
    "subclasses are left": (own, [], False),
    "an own forward is left": (own_forward, [], False),
    "soft weights are left": (partly_soft, ["0"], True),
}


@dtypes
@pytest.mark.parametrize("case", MODELS)
def test_compact_models_compute_the_same(case, dtype):
    torch.manual_seed(0)
    make, names, is_hard = MODELS[case]
    model = make().to(dtype)
    if not is_hard:
        harden(model)
    before = copy.deepcopy(model)
    drawn = torch.get_rng_state()
    small = compact(model)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [name for name, module in small.named_modules() if isinstance(module, SharedLinear)] == names
    for batch in (2, 9):
        x = torch.randn(batch, 3, 4, dtype=dtype)
        torch.testing.assert_close(small(x), model(x))
        assert torch.equal(model(x), before(x))
    # Labels that a bias uses too are stored for it once more, one a byte.
    assert saved_size(small) <= 1.05 * saved_size(model)
    assert {id(p) for p in small.parameters()}.isdisjoint({id(p) for p in model.parameters()})
    # Everything that is still shared has its labels in the state, and what replaced the rest trains.
    for assignment in assignments(small):
        assert any(module is assignment for module in small.modules())
    small.load_state_dict(copy.deepcopy(small.state_dict()))
    replica = pickle.loads(pickle.dumps(small))
    assert torch.equal(replica(x), small(x))
    small.train()(x).sum().backward()
    assert all(small.get_submodule(name).values.grad is not None for name in names)


def test_a_layer_alone_becomes_the_compact_layer():
    layer = nn.Linear(3, 2)
    share(layer, ("weight",), num_groups=3)
    share(layer, "bias", num_groups=1)
    layer.eval().parametrizations.weight.original.requires_grad_(False)
    partition = harden(layer)["weight"]
    small = compact(layer)
    assert isinstance(small, SharedLinear) and not small.training and not small.values.requires_grad
    assert small.partition == partition
    torch.testing.assert_close(small.weight, layer.weight)
    assert list(shared_parameters(small)) == ["bias"] and small.parametrizations.bias.original.shape == (1,)
    parametrize.remove_parametrizations(small, "bias")
    assert type(small) is SharedLinear and small.bias.shape == (2,)


@pytest.mark.parametrize(("size", "ratio"), ((64, 0.36), (256, 0.27)))
@dtypes
def test_saved_size(size, ratio, dtype):
    torch.manual_seed(0)
    layer = nn.Linear(size, size, dtype=dtype)
    dense = saved_size(layer)
    impose(layer, {"weight": np.arange(size * size).reshape(size, size) % 5})
    assert saved_size(compact(layer)) <= ratio * dense * (0.6 if dtype == torch.float64 else 1)


LABELS = [[0, 2, 0], [3, 3, 2]]
KINDS = {
    "list": LABELS,
    "array": np.array(LABELS, dtype=np.uint8),
    "tensor": torch.tensor(LABELS, dtype=torch.int32),
    "whole floats": torch.tensor(LABELS, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", (True, False))
def test_shared_linear(kind, bias):
    layer = SharedLinear(3, 2, KINDS[kind], bias=bias, dtype=torch.float64)
    assert layer.values.shape == (4,) and layer.labels.tolist() == LABELS and layer.labels.dtype == torch.uint8
    assert (layer.bias is not None) == bias
    for batch in (1, 8):
        x = torch.randn(batch, 3, dtype=torch.float64)
        torch.testing.assert_close(layer(x), reference.shared_linear(x, layer.labels, layer.values, layer.bias))
    assert layer.partition == Partition(LABELS)
    assert repr(layer) == f"SharedLinear(in_features=3, out_features=2, num_groups=4, bias={bias})"
    other = SharedLinear(3, 2, np.array([[3, 2, 1], [0, 0, 0]]), bias=bias, dtype=torch.float64)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


def test_shared_linear_of_a_partition_and_of_many_groups():
    read_only = Partition([[5, 5, 1]])
    assert SharedLinear(3, 1, read_only).labels.tolist() == [[0, 0, 1]]
    assert SharedLinear(3, 1, read_only.labels).labels.tolist() == [[0, 0, 1]]
    for groups, dtype in ((256, torch.uint8), (257, torch.int16), (32_768, torch.int16), (32_769, torch.int32)):
        layer = SharedLinear(groups, 1, np.arange(groups)[None])
        assert layer.labels.dtype == dtype and layer.partition.num_groups == groups
        wide = layer.state_dict() | {"labels": layer.labels.int()}
        layer.load_state_dict(wide)
        assert layer.labels.dtype == dtype and torch.equal(layer.labels, wide["labels"])


def test_shared_linear_starts_like_linear_and_keeps_its_labels_under_dtypes():
    torch.manual_seed(0)
    layer = SharedLinear(16, 40, np.arange(640).reshape(40, 16))
    for tensor in (layer.values, layer.bias):
        assert tensor.abs().max() <= 0.25 and tensor.std() > 0.1
    assert layer.double().labels.dtype == torch.int16
    assert all(tensor.is_meta for tensor in SharedLinear(3, 2, LABELS, device="meta").state_dict().values())


REFUSED = {
    "in_features no integer": ((3.0, 2, LABELS), TypeError, "in_features must be an integer, got 3.0"),
    "out_features a bool": ((3, True, LABELS), TypeError, "out_features must be an integer, got True"),
    "in_features 0": ((0, 2, LABELS), ValueError, "in_features must be at least 1, got 0"),
    "another shape": ((2, 3, LABELS), ValueError, r"\(out_features, in_features\) = \(3, 2\), got \(2, 3\)"),
    "negative": ((2, 1, [[0, -1]]), ValueError, "from 0 to 1 for 2 weights, got labels from -1 to 0"),
    "too large": ((2, 1, [[0, 2]]), ValueError, "from 0 to 1 for 2 weights, got labels from 0 to 2"),
    "no integers": ((2, 1, [[0, 0.5]]), ValueError, "labels must be integers, got 0.5"),
    "no numbers": ((2, 1, [["a", "b"]]), TypeError, "labels must be integers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_shared_linear_refuses(case):
    arguments, exception, message = REFUSED[case]
    with pytest.raises(exception, match=message):
        SharedLinear(*arguments)


@dtypes
@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_layer_of_a_shared_one(bias, dtype):
    layer = SharedLinear(3, 2, [[0, 1, 0], [1, 2, 2]], bias=bias, dtype=dtype).eval()
    dense = layer.to_linear()
    x = torch.randn(5, 3, dtype=dtype)
    assert type(dense) is nn.Linear and not dense.training and (dense.bias is not None) == bias
    torch.testing.assert_close(dense(x), layer(x))
    with torch.no_grad():
        dense.weight.zero_()  # it has memory of its own
    assert layer.values.abs().min() > 0
