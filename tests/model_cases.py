"""Small models whose sharing is known, and the problems that they make."""

import numpy as np
import torch
from torch import nn

import equishare as es

# Positions of `Columns` that share a map; entries of `linear` that share a weight.
COLUMN_LABELS = np.array([0, 1, 0, 1])
LINEAR_LABELS = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]])

# Options with which a search is over in no time, and nothing is learnt.
BRIEF = {
    "auto": {"steps": 6, "refit_steps": 8, "lr": 1e-3},
    "bilevel": {"steps": 4, "inner_steps": 2, "restarts": 2, "fit_steps": 6, "refit_steps": 8, "lr": 1e-3},
}


class Columns(nn.Module):
    """``y = V Σ_i tanh(W_i x_i + b_i)``: each position i has a map of its own."""

    def __init__(self, count=4, inputs=2, hidden=3, dropout=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, hidden, inputs))
        self.bias = nn.Parameter(0.1 * torch.randn(count, hidden))
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        hidden = torch.tanh(torch.einsum("lhi,nli->nlh", self.weight, x) + self.bias)
        return self.out(self.drop(hidden.sum(1))).squeeze(-1)


class Branching(nn.Module):
    """The identity, by a branch on data, which has no batching rule: replicas of a model with it run one by one."""

    def forward(self, x):
        return x if x.isfinite().all() else x.clone()


def mse(output, target):
    return (output - target).square().mean()


def made(build, seed=0, dtype=torch.float64):
    """A model with initial numbers of a seed; torch's generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().to(dtype)


def columns(dropout=0.0, dtype=torch.float64):
    def build():
        model = Columns(dropout=dropout)
        es.share(model, ("weight", "bias"), dim=0)
        return model

    return made(build, dtype=dtype)


def linear(dtype=torch.float64):
    def build():
        model = nn.Linear(3, 3, bias=False)
        es.share(model, "weight")
        return model

    return made(build, dtype=dtype)


def columns_data(seed=0, count=120, dtype=torch.float64):
    """Samples (x, y) of a teacher with COLUMN_LABELS."""
    teacher = made(Columns, 7)
    with torch.no_grad():
        for parameter in (teacher.weight, teacher.bias):
            parameter.copy_(parameter[torch.from_numpy(COLUMN_LABELS)])
    x = torch.randn(count, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    noise = torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        y = teacher(x) + 0.02 * noise
    return x.to(dtype), y.to(dtype)


def linear_data(seed=0, count=80, dtype=torch.float64):
    """Samples (x, y) of a circulant map."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.tensor([-1.0, 0.5, 2.0], dtype=torch.float64)[torch.from_numpy(LINEAR_LABELS)]
    x = torch.randn(count, 3, dtype=torch.float64, generator=generator)
    y = x @ weight.T + 0.1 * torch.randn(count, 3, dtype=torch.float64, generator=generator)
    return x.to(dtype), y.to(dtype)


def split(data, train):
    """The first samples and the rest."""
    x, y = data
    return (x[:train], y[:train]), (x[train:], y[train:])


def columns_problem(seed=0, count=120, train=60, dropout=0.0, **more):
    return es.ModelProblem(columns(dropout), *split(columns_data(seed, count), train), mse, **more)


def linear_problem(seed=0, count=80, train=40, **more):
    return es.ModelProblem(linear(), *split(linear_data(seed, count), train), mse, **more)


def numbers(found):
    """All numbers of a discovery, to be compared bit by bit."""
    state = {} if found.model is None else found.model.state_dict()
    return {
        **{f"labels {name}": p.labels.tolist() for name, p in found.partitions.items()},
        **{f"state {name}": t.tolist() for name, t in state.items()},
        **{f"history {name}": column.tolist() for name, column in found.history.items()},
        "validation_loss": found.validation_loss,
        "no_sharing_loss": found.no_sharing_loss,
        "complete": found.complete,
    }


class Jitter(torch.utils.data.Dataset):
    """Samples with noise on x that is new each time, from torch's generator."""

    def __init__(self, data, noise=0.01):
        self.data, self.noise = data, noise

    def __len__(self):
        return len(self.data[0])

    def __getitem__(self, i):
        x, y = self.data[0][i], self.data[1][i]
        return x + self.noise * torch.randn(x.shape, dtype=x.dtype), y


def loader(data, batch_size=8, shuffle=True, **more):
    return torch.utils.data.DataLoader(Jitter(data), batch_size=batch_size, shuffle=shuffle, **more)
