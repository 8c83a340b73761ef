"""Twelve everyday problems with networks: nothing is tuned, some have a symmetry, some have none.

======================  ============================================================================================
``circulant``           8 → 8 → 4 with ReLU; the dense 8 × 8 layer of the teacher is circulant
``logistic``            logistic regression on 20 columns, whose coefficients have 4 values
``diabetes``            regression on 10 columns, 10 → 16 → 1 (scikit-learn); the columns of the first layer may be tied
``convolution``         a dense 12 × 12 layer that holds a convolution of kernel 3
``bags``                the sum of a function of each of 6 members, with a layer of its own for each member
``synonyms``            two tokens of 20, which have 5 different embeddings
``wine``                3 classes from 13 columns, 13 → 16 → 3 (scikit-learn); the columns may be tied
``breast cancer``       logistic regression on 30 columns (scikit-learn)
``digits``              10 classes from 8 × 8 pixels, 64 → 32 → 10 (scikit-learn); the columns may be tied
``gates``               a recurrent cell whose gates may be tied
``graph``               a dense 10 × 10 layer that holds messages between neighbours of a random graph
``nothing``             6 → 8 → 1 with ReLU; the teacher's weights are normal numbers, none of them equal
======================  ============================================================================================

Labels of teachers have noise of a tenth of their standard deviation (``bags``: three tenths), those of ``logistic`` are
drawn. Columns of data are standardised by the training samples. Training and validation samples are as many as each
other; all others, or 5,000, test.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equishare.lab.studies.models_data import CASES, NOISE, Convolution, mean_squared_error
from equishare.lab.studies.patterns import circulant
from equishare.partition import Partition
from equishare.problems.network.problem import ModelProblem
from equishare.sharing import share

__all__ = ["PROBLEMS", "Everyday", "draw"]

NUM_TEST = 5000
Loss = Callable[[Any, Tensor], Tensor]
Samples = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Everyday:
    """One trial.

    Attributes:
        model: the network before anything is shared.
        problem: with the model, in which entries or slices may be shared.
        test: samples that nothing is fitted to.
        truth: the true partition by parameter; empty where there is none to compare with.
    """

    model: nn.Module
    problem: ModelProblem
    test: Samples
    truth: dict[str, Partition]


class Perceptron(nn.Sequential):
    """Dense layers of these widths with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers[:-1])


class Bags(nn.Module):
    """``Σ_m relu(W_m x_m + b_m)``, mapped to a number: a layer of its own for each member m of a bag."""

    def __init__(self, members: int, features: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, hidden, features) / features**0.5)
        self.bias = nn.Parameter(torch.zeros(members, hidden))
        self.out = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, 1) for bags x (n, members, features)."""
        return self.out(torch.relu(torch.einsum("nmf,mhf->nmh", x, self.weight) + self.bias).sum(1))


def _trial(
    model: nn.Module,
    name: str | tuple[str, ...],
    dim: int | None,
    sets: Sequence[Samples],
    loss: Loss,
    truth: np.ndarray | None = None,
) -> Everyday:
    shareable = copy.deepcopy(model)
    share(shareable, name, dim=dim)
    train, val, test = sets
    first = name if isinstance(name, str) else name[0]
    known = {} if truth is None else {first: Partition(truth)}
    return Everyday(model, ModelProblem(shareable, train, val, loss), test, known)


def _taught(
    rng: np.random.Generator, teacher: nn.Module, inputs: tuple[int, ...], count: int, noise: float = 0.1
) -> list[Samples]:
    x = torch.from_numpy(rng.standard_normal((2 * count + NUM_TEST, *inputs), dtype=np.float32))
    with torch.no_grad():
        clean = teacher(x)
    clean = (clean - clean.mean()) / clean.std()
    y = clean + noise * torch.from_numpy(rng.standard_normal(clean.shape)).to(clean)
    return _split(x, y, count)


def _split(x: Tensor, y: Tensor, count: int) -> list[Samples]:
    parts = slice(count), slice(count, 2 * count), slice(2 * count, None)
    return [(x[part], y[part]) for part in parts]


def _set(parameter: Tensor, values: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values).reshape(parameter.shape))


def _circulant(rng: np.random.Generator) -> Everyday:
    teacher, student = Perceptron(8, 8, 4), Perceptron(8, 8, 4)
    labels = circulant(8)
    _set(teacher[0].weight, rng.standard_normal(8)[labels])  # type: ignore[arg-type]
    return _trial(student, "0.weight", None, _taught(rng, teacher, (8,), 300), mean_squared_error)


def _logistic(rng: np.random.Generator) -> Everyday:
    labels = rng.permutation(np.arange(20) % 4)
    x = rng.standard_normal((400 + NUM_TEST, 20), dtype=np.float32)
    probability = 1 / (1 + np.exp(-x @ np.array([-1.0, -0.3, 0.3, 1.0])[labels]))
    y = (rng.random(probability.shape) < probability).astype(np.float32)
    sets = _split(torch.from_numpy(x), torch.from_numpy(y)[:, None], 200)
    return _trial(nn.Linear(20, 1), "weight", None, sets, functional.binary_cross_entropy_with_logits, labels[None])


def _table(rng: np.random.Generator, name: str, count: int, scaled: bool, shape: tuple[int, ...] = ()) -> list[Samples]:
    """Rows of a table of scikit-learn in random order, columns standardised by the training samples."""
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    order = rng.permutation(len(data.target))
    x, y = data.data[order], data.target[order]
    spread = x[:count].std(0)
    x = (x - x[:count].mean(0)) / np.where(spread > 0, spread, 1)
    target = torch.from_numpy((y - y[:count].mean()) / y[:count].std()).float()[:, None] if scaled else y
    return _split(torch.from_numpy(x).float(), torch.as_tensor(target), count)


def _diabetes(rng: np.random.Generator) -> Everyday:
    return _trial(Perceptron(10, 16, 1), "0.weight", 1, _table(rng, "diabetes", 150, True), mean_squared_error)


def _wine(rng: np.random.Generator) -> Everyday:
    return _trial(Perceptron(13, 16, 3), "0.weight", 1, _table(rng, "wine", 45, False), functional.cross_entropy)


def _cancer(rng: np.random.Generator) -> Everyday:
    sets = [(x, y[:, None].float()) for x, y in _table(rng, "breast_cancer", 150, False)]
    return _trial(nn.Linear(30, 1), "weight", None, sets, functional.binary_cross_entropy_with_logits)


def _digits(rng: np.random.Generator) -> Everyday:
    return _trial(Perceptron(64, 32, 10), "0.weight", 1, _table(rng, "digits", 400, False), functional.cross_entropy)


def _convolution(rng: np.random.Generator) -> Everyday:
    teacher, student = Convolution(12), Convolution(12)
    labels = np.minimum(circulant(12), 3)
    _set(teacher.dense.weight, np.append(rng.permutation([0.5, 1.0, 1.5]) * rng.choice([-1, 1], 3), 0)[labels])
    return _trial(student, "dense.weight", None, _taught(rng, teacher, (12,), 300), mean_squared_error, labels)


def _bags(rng: np.random.Generator) -> Everyday:
    teacher, student = Bags(6, 3, 12), Bags(6, 3, 12)
    for parameter in (teacher.weight, teacher.bias):
        _set(parameter, np.repeat(rng.standard_normal((1, *parameter.shape[1:])), 6, 0))
    return _trial(
        student, ("weight", "bias"), 0, _taught(rng, teacher, (6, 3), 200, 0.3), mean_squared_error, np.zeros(6)
    )


def _known(name: str, samples: int) -> Callable[[np.random.Generator], Everyday]:
    """A case of the experiment ``models``, with so many samples and noisy labels to test."""

    def draw(rng: np.random.Generator) -> Everyday:
        case = replace(CASES[name], samples=samples)
        drawn = case.draw(rng)
        x, clean = drawn.test
        noisy = clean + NOISE * torch.from_numpy(rng.standard_normal(clean.shape)).to(clean)
        return Everyday(case.network(), drawn.problem, (x, noisy), drawn.truth)

    return draw


def _graph(rng: np.random.Generator) -> Everyday:
    edges = np.triu(rng.random((10, 10)) < 0.3, 1)
    labels = (edges | edges.T).astype(int) + 2 * np.eye(10, dtype=int)
    teacher, student = Convolution(10), Convolution(10)
    _set(teacher.dense.weight, np.array([0.0, 0.7, -1.0])[labels])
    return _trial(student, "dense.weight", None, _taught(rng, teacher, (10,), 200), mean_squared_error, labels)


def _nothing(rng: np.random.Generator) -> Everyday:
    teacher, student = Perceptron(6, 8, 1), Perceptron(6, 8, 1)
    _set(teacher[0].weight, rng.standard_normal((8, 6)))  # type: ignore[arg-type]
    return _trial(student, "0.weight", None, _taught(rng, teacher, (6,), 300), mean_squared_error)


PROBLEMS: dict[str, Callable[[np.random.Generator], Everyday]] = {
    "circulant": _circulant,
    "logistic": _logistic,
    "diabetes": _diabetes,
    "convolution": _convolution,
    "bags": _bags,
    "synonyms": _known("synonyms", 500),
    "wine": _wine,
    "breast cancer": _cancer,
    "digits": _digits,
    "gates": _known("gates", 200),
    "graph": _graph,
    "nothing": _nothing,
}


def draw(name: str, seed: int) -> Everyday:
    """One trial of a problem; networks and teachers take their initial numbers from the seed too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PROBLEMS[name](np.random.default_rng([seed, list(PROBLEMS).index(name)]))
