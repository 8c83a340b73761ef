"""Sum of numbers: the data, the model, and what is measured.

Sequences of L digits from 1 to 9; the label is their sum (rank 1) or the sum with signs −1, +1, −1, … (rank 2:
two groups of positions), with noise U(−0.5, 0.5) on all but the test set. Every position has a linear map of its
own, and the question is which positions share it: permutation invariance.

Source: Yeh, Hu, Hasegawa-Johnson, Schwing, "Equivariance Discovery by Learned Parameter-Sharing", AISTATS 2022; the
draws are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equishare.partition import Partition
from equishare.problems.network.problem import ModelProblem
from equishare.sharing import share

SYMBOLS = 11
FEATURES, HIDDEN = 500, 50
NOISE = 0.5
#: Samples of each set; ``stop`` ends the last fit early.
SIZES = {"train": 100, "val": 150, "stop": 250, "test": 100_000}
# The seeds of the sets of one trial are so far apart, as five trials are drawn.
_SEED_STEP = 5

Sets = Mapping[str, tuple[Tensor, Tensor]]


def sum_sets(length: int, rank: int, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Draw the sets of one trial.

    Args:
        length: L.
        rank: 1 or 2.
        seed: of the trial.

    Returns:
        For each of train, val, stop and test, digits (n, L) int64 and labels (n,) float32.
    """
    signs = np.ones(length) if rank == 1 else np.where(np.arange(length) % 2, 1.0, -1.0)
    sets = {}
    for i, (name, count) in enumerate(SIZES.items()):
        rng = np.random.RandomState(seed + _SEED_STEP * i)
        x = rng.randint(1, 10, size=(count, length))
        y = x @ signs
        if name != "test":
            y = y + rng.uniform(-NOISE, NOISE, size=count)
        sets[name] = torch.from_numpy(x), torch.from_numpy(y).float()
    return sets


def truth(length: int, rank: int) -> Partition:
    """The positions that have the same sign."""
    return Partition(np.arange(length) % rank)


class SumModel(nn.Module):
    """``Σ_l relu(W_l e(x_l) + b_l)``, mapped to a number: an embedding, and for each position a layer of its own.

    Args:
        length: L positions.

    ``forward`` takes digits (n, L) and returns (n,).
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.embedding = nn.Embedding(SYMBOLS, FEATURES, padding_idx=0)
        self.weight = nn.Parameter(torch.empty(length, HIDDEN, FEATURES))
        self.bias = nn.Parameter(torch.empty(length, HIDDEN))
        self.out = nn.Linear(HIDDEN, 1)
        nn.init.xavier_uniform_(self.weight)
        nn.init.uniform_(self.bias, -0.1, 0.1)

    def hidden(self) -> Tensor:
        """Hidden units (L · SYMBOLS, HIDDEN) of every symbol at every position.

        There are fewer of these than of digits in a batch, and what a digit adds depends on nothing else.
        """
        weight, bias = self.weight.flatten(0, 1), self.bias.flatten()
        table = functional.linear(self.embedding.weight, weight, bias)
        return functional.relu(table.unflatten(1, (self.length, HIDDEN)).transpose(0, 1)).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (n,) for digits (n, L)."""
        row = x + SYMBOLS * torch.arange(self.length, device=x.device)
        return self.out(functional.embedding(row, self.hidden()).sum(1)).squeeze(-1)


def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The loss of the experiment, L1."""
    return (prediction - target).abs().mean()


def scale(sets: Sets) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the labels of train and val, by which labels are standardised."""
    y = torch.cat((sets["train"][1], sets["val"][1]))
    return y.mean(), y.std(correction=0)


def sum_problem(sets: Sets) -> ModelProblem:
    """The problem of one trial; its model has the same initial values in every trial of one length."""
    centre, spread = scale(sets)
    pairs = {name: (x, (y - centre) / spread) for name, (x, y) in sets.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SumModel(sets["train"][0].shape[1])
        share(model, ("weight", "bias"), dim=0)
    return ModelProblem(model, pairs["train"], pairs["val"], mean_absolute_error, stop=pairs["stop"])


def predict(model: nn.Module, sets: Sets, x: Tensor) -> Tensor:
    """Predictions in the units of the labels."""
    centre, spread = scale(sets)
    with torch.no_grad():
        return model(x) * spread + centre


def errors(prediction: Tensor, target: Tensor) -> dict[str, float]:
    """MAE, MSE, and the share of predictions that are right after rounding."""
    error = prediction - target
    return {
        "mae": float(error.abs().mean()),
        "mse": float(error.square().mean()),
        "accuracy": float((prediction.round() == target).float().mean()),
    }
