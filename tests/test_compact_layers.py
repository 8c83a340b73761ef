"""Compact convolutions and embeddings, and compact models in files."""

import copy
import io
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from equishare.nn import SharedConv1d, SharedConv2d, SharedEmbedding, SharedLinear
from equishare.partition import Partition
from equishare.sharing import compact, harden, impose, share

COMPACT = (SharedConv1d, SharedConv2d, SharedEmbedding, SharedLinear)

# name: layer, its compact form, an input
LAYERS = {
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3), SharedConv1d, (2, 4, 9)),
    "Conv1d, all options": (
        lambda: nn.Conv1d(4, 6, 3, stride=2, padding=4, dilation=2, groups=2, bias=False, padding_mode="reflect"),
        SharedConv1d,
        (2, 4, 9),
    ),
    "Conv1d, same, without a batch": (lambda: nn.Conv1d(4, 6, 5, padding="same"), SharedConv1d, (4, 9)),
    "Conv1d, circular same": (
        lambda: nn.Conv1d(4, 6, 4, padding="same", padding_mode="circular"),
        SharedConv1d,
        (2, 4, 9),
    ),
    "Conv2d": (lambda: nn.Conv2d(3, 5, 3), SharedConv2d, (2, 3, 8, 7)),
    "Conv2d, all options": (
        lambda: nn.Conv2d(
            4, 6, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2, padding_mode="replicate"
        ),
        SharedConv2d,
        (2, 4, 8, 7),
    ),
    "Conv2d, valid, one sample": (lambda: nn.Conv2d(3, 5, 2, padding="valid"), SharedConv2d, (3, 4, 4)),
    "Embedding": (lambda: nn.Embedding(11, 4), SharedEmbedding, (2, 5)),
}


def given(layer, shape, dtype):
    if isinstance(layer, nn.Embedding):
        return torch.tensor([[1, 9, 10, 9, 0], [3, 3, 9, 7, 2]])
    return torch.randn(shape, dtype=dtype)


def tied(layer, groups=7):
    """A layer whose weight has groups at random, decided."""
    generator = np.random.default_rng(0)
    impose(layer, {"weight": generator.integers(groups, size=tuple(layer.weight.shape))})
    return layer


def stored(model):
    return sum(tensor.nbytes for tensor in model.state_dict().values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", LAYERS)
def test_a_compact_layer_computes_the_same(case, dtype):
    torch.manual_seed(0)
    make, kind, shape = LAYERS[case]
    layer = make().to(dtype)
    dense = stored(layer)
    x = given(layer, shape, dtype)
    layer = tied(layer)
    drawn = torch.get_rng_state()
    small = compact(layer)
    assert type(small) is kind and torch.equal(torch.get_rng_state(), drawn)
    assert stored(small) < 0.6 * dense
    torch.testing.assert_close(small(x), layer(x))
    torch.testing.assert_close(small.weight, layer.weight)
    assert small.partition == Partition(small.labels) and small.num_groups == len(small.values)
    for each in (layer, small):
        (each(x) ** 2).sum().backward()
    torch.testing.assert_close(small.values.grad, layer.parametrizations.weight.original.grad)
    replica = pickle.loads(pickle.dumps(copy.deepcopy(small)))
    assert torch.equal(replica(x), small(x))
    assert repr(small).startswith(f"{kind.__name__}(") and f"num_groups={small.num_groups}" in repr(small)


@pytest.mark.parametrize("case", LAYERS)
def test_the_plain_layer_of_its_weight_computes_the_same(case):
    torch.manual_seed(1)
    make, kind, shape = LAYERS[case]
    plain = make()
    x = given(plain, shape, torch.float32)
    small = compact(tied(copy.deepcopy(plain)))
    plain.weight.data = small.weight.detach()
    torch.testing.assert_close(small(x), plain(x))


@pytest.mark.parametrize("case", ["Conv1d, circular same", "Conv2d, all options", "Embedding"])
def test_a_compact_layer_is_exported(case):
    torch.manual_seed(0)
    make, _, shape = LAYERS[case]
    layer = make()
    x = given(layer, shape, torch.float32)
    small = compact(tied(layer))
    program = torch.export.export(small, (x,))
    torch.testing.assert_close(program.module()(x), small(x))
    assert not [node for node in program.graph.nodes if "equishare" in str(node.target)]


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Embedding(9, 12), nn.Conv1d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv1d(8, 8, 3, padding=1), nn.Flatten()
    )
    model.append(nn.Linear(96, 3))
    share(model, "0.weight", num_groups=5)
    share(model, "1.weight", num_groups=6)
    share(model, "3.weight", num_groups=4)
    share(model, "5.weight", num_groups=3)
    harden(model)
    return model


def test_a_network_is_made_small_and_loaded_again():
    model = network()
    small = compact(model)
    x = torch.randint(9, (4, 6))
    assert [type(layer) for layer in small if isinstance(layer, COMPACT)] == [
        SharedEmbedding,
        SharedConv1d,
        SharedConv1d,
        SharedLinear,
    ]
    torch.testing.assert_close(small(x), model(x))
    file = io.BytesIO()
    torch.save(small.state_dict(), file)
    file.seek(0)
    other = compact(network())
    for tensor in other.state_dict().values():
        tensor.zero_()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), small(x))


def unreplaceable():
    class Own(nn.Conv2d):
        pass

    yield "a subclass", tied(Own(2, 3, 2))
    yield "another dimension", tied(nn.Conv3d(2, 3, 2))
    yield "scale_grad_by_freq", tied(nn.Embedding(5, 3, scale_grad_by_freq=True), 3)
    layer = nn.Conv2d(2, 3, 2)
    share(layer, "weight", num_groups=2, dim=0)
    harden(layer)
    yield "slices", layer


@pytest.mark.parametrize(("why", "layer"), list(unreplaceable()))
def test_what_a_replacement_would_lose_is_left(why, layer):
    small = compact(layer)
    assert type(small).__name__.startswith("Parametrized") and not isinstance(small, COMPACT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: SharedConv1d(2, 3, 2, np.zeros((3, 2, 3), int)),
            r"\(out_channels, in_channels / groups, kernel_size\) = \(3, 2, 2\), got \(3, 2, 3\)",
        ),
        (lambda: SharedConv2d(2, 3, 2, np.zeros((3, 2, 2), int)), r"\*kernel_size\) = \(3, 2, 2, 2\), got"),
        (lambda: SharedEmbedding(2, 2, [[0, 1], [2, 4]]), "from 0 to 3 for 4 weights, got labels from 0 to 4"),
        (lambda: SharedEmbedding(2, 2, [[0, 1], [2, 2.5]]), "labels must be integers, got 2.5"),
        (lambda: SharedConv2d(2, 3, 2, [0], padding_mode="mirror"), "padding_mode"),
        (lambda: SharedConv1d(3, 4, 2, [0], groups=2), "in_channels must be divisible by groups"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_new_layers_start_like_those_of_torch():
    torch.manual_seed(0)
    layer = SharedConv2d(8, 64, 3, np.arange(64 * 72).reshape(64, 8, 3, 3))
    plain = nn.Conv2d(8, 64, 3)
    for ours, theirs in ((layer.values, plain.weight), (layer.bias, plain.bias)):
        assert ours.abs().max() <= theirs.abs().max() * 1.05 and abs(ours.std() / theirs.std() - 1) < 0.2
    table = SharedEmbedding(100, 20, np.arange(2000).reshape(100, 20), dtype=torch.float64)
    assert abs(table.values.std() - 1) < 0.1 and table.values.dtype == torch.float64
    assert table(torch.empty(0, 2, dtype=torch.long)).shape == (0, 2, 20)


def tied_layers():
    """Two layers of one assignment, and one layer under two names."""
    twice = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), twice, nn.Tanh(), twice)
    share(model, ("0.weight", "2.weight"), num_groups=3)
    share(model, "3.weight", num_groups=4)
    return model


@pytest.mark.parametrize("stage", ["soft", "hard", "compact"])
def test_safetensors(stage, tmp_path):
    def made(seed):
        torch.manual_seed(seed)
        model = tied_layers()
        if stage != "soft":
            harden(model)
        return compact(model) if stage == "compact" else model

    model, x = made(0), torch.randn(5, 4)
    safetensors.torch.save_model(model, str(tmp_path / "whole"))
    if stage == "compact":
        assert type(model[0]) is type(model[2]) is SharedLinear
    other = made(0)
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.zero_()
    safetensors.torch.load_model(other, str(tmp_path / "whole"))
    assert torch.equal(other(x), model(x))
    # A layer that has two names is stored under both: its tensors are the same, as in every model of torch.
    part = model[:3]
    safetensors.torch.save_file(part.state_dict(), tmp_path / "state")
    other = made(0)[:3]
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.zero_()
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "state"))
    assert torch.equal(other(x), part(x))


def test_layers_of_one_assignment_keep_it_after_training():
    torch.manual_seed(0)
    model = tied_layers()
    harden(model)
    small = compact(model)
    assert torch.equal(small[0].labels, small[2].labels)
    assert small[0].labels.data_ptr() != small[2].labels.data_ptr()
    functional.mse_loss(small(torch.randn(8, 4)), torch.zeros(8, 4)).backward()
    assert all(parameter.grad is not None for parameter in small.parameters())


def test_a_layer_that_stays_as_it_is_keeps_labels_of_its_own(tmp_path):
    model = nn.Sequential(nn.Conv1d(3, 3, 5, padding=2), nn.Conv1d(3, 3, 5, padding=2))
    share(model, ("0.weight", "1.weight"))
    impose(model, {"0.weight": Partition((np.arange(45) % 20).reshape(3, 3, 5))})
    model[0].register_forward_hook(lambda *given: None)
    small = compact(model)
    assert type(small[1]) is SharedConv1d and type(small[0]) is not SharedConv1d
    safetensors.torch.save_file(small.state_dict(), tmp_path / "state")
