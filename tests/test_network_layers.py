"""Layers of every kind whose parameters are shared: discovery runs, and finds ties that are there."""

import numpy as np
import pytest
import torch
from model_cases import BRIEF, made
from torch import nn

import equishare as es


class Attention(nn.Module):
    """Self-attention whose projections have one slice a head."""

    def __init__(self, heads=2, width=3, features=4):
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(torch.randn(heads, width, features) / 2) for _ in range(3))
        self.out = nn.Linear(heads * width, 1)

    def forward(self, x):
        q, k, v = (torch.einsum("hwf,nlf->nhlw", one, x) for one in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2)).mean(1)


class Torchs(nn.Module):
    """Torch's own attention."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0].mean((1, 2), keepdim=True)[:, 0]


class Cell(nn.Module):
    """An LSTM step by step."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(4, 3), nn.Linear(3, 1)

    def forward(self, x):
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        return self.out(state[0])


class Bag(nn.Module):
    """A sum over embedded words."""

    def __init__(self, words=6, width=3):
        super().__init__()
        self.embed, self.out = nn.Embedding(words, width), nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.embed(x).sum(1))


def sequences(count, rng):
    return torch.from_numpy(rng.normal(size=(count, 5, 4)))


def words(count, rng):
    return torch.from_numpy(rng.integers(6, size=(count, 7)))


def images(count, rng):
    return torch.from_numpy(rng.normal(size=(count, 2, 5, 5)))


def lines(count, rng):
    return torch.from_numpy(rng.normal(size=(count, 2, 6)))


def vectors(count, rng):
    return torch.from_numpy(rng.normal(size=(count, 4)))


def _linear():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def _conv1d():
    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1))


def _conv2d():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(27, 1))


# Builder, inputs, arguments of share, shape of the partition.
KINDS = {
    "Linear, entries": (_linear, vectors, ("0.weight",), {}, (3, 4)),
    "Linear, outputs": (_linear, vectors, (("0.weight", "0.bias"),), {"dim": 0}, (3,)),
    "Linear, inputs": (_linear, vectors, ("0.weight",), {"dim": 1}, (4,)),
    "Conv1d, entries": (_conv1d, lines, ("0.weight",), {}, (3, 2, 3)),
    "Conv1d, positions": (_conv1d, lines, ("0.weight",), {"dim": -1}, (3,)),
    "Conv1d, channels in": (_conv1d, lines, ("0.weight",), {"dim": 1}, (2,)),
    "Conv2d, entries": (_conv2d, images, ("0.weight",), {}, (3, 2, 3, 3)),
    "Conv2d, rows of the kernel": (_conv2d, images, ("0.weight",), {"dim": 2}, (3,)),
    "Conv2d, columns of the kernel": (_conv2d, images, ("0.weight",), {"dim": 3}, (3,)),
    "Conv2d, channels out": (_conv2d, images, (("0.weight", "0.bias"),), {"dim": 0}, (3,)),
    "Embedding, words": (Bag, words, ("embed.weight",), {"dim": 0}, (6,)),
    "Embedding, entries": (Bag, words, ("embed.weight",), {}, (6, 3)),
    "attention, heads": (Attention, sequences, (("q", "k", "v"),), {"dim": 0}, (2,)),
    "attention, features": (Attention, sequences, ("q",), {"dim": 2}, (4,)),
    "MultiheadAttention, rows of q, k and v": (Torchs, sequences, ("attention.in_proj_weight",), {"dim": 0}, (12,)),
    "MultiheadAttention, entries": (Torchs, sequences, ("attention.out_proj.weight",), {}, (4, 4)),
    "LSTMCell, gates": (Cell, sequences, (("cell.weight_ih", "cell.weight_hh"),), {"dim": 0}, (12,)),
    "LSTMCell, inputs": (Cell, sequences, ("cell.weight_ih",), {"dim": 1}, (4,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_discovery_runs(kind):
    build, draw, given, options, shape = KINDS[kind]

    def shared():
        model = build()
        es.share(model, *given, **options)
        return model

    rng = np.random.default_rng(0)
    train, val = ((draw(12, rng), torch.from_numpy(rng.normal(size=(12, 1)))) for _ in range(2))
    found = es.discover(es.ModelProblem(made(shared), train, val, nn.functional.mse_loss), **BRIEF["auto"])
    names = [given[0]] if isinstance(given[0], str) else list(given[0])
    assert sorted(found.partitions) == sorted(names)
    assert all(partition.shape == shape for partition in found.partitions.values())
    assert torch.isfinite(found.model(val[0])).all()
