"""Networks with known sharing, and the data they make: the cases of the experiment ``models``.

In each case a teacher network, whose parameters are shared as stated, labels random inputs; the noise on the labels
has a tenth of their standard deviation. The student is the same network with none of that known: all entries of
the named parameters may be shared. The labels can only tell what changes the function, so each network is built
such that another partition of as few groups is another function:

``layers``  h₁ = x + relu(W₁ x), h₂ = h₁ + relu(W₂ h₁), y = a ⊙ h₂ + b. W₁ is circulant (n groups: the cyclic
    group), W₂ has one value on the diagonal and one beside it (2 groups: the symmetric group). Without the residuals
    x and h₁ the hidden units could be permuted, rows of W₁ with columns of W₂, and scaled against the next layer: as
    many partitions as permutations would fit alike. The residuals and the pointwise readout hold each unit in place.
``convolution``  y = a · relu(W x) + b with W a dense n × n layer that holds a circular convolution of kernel 3:
    four groups, of which the zeros are one. Every output has its unit, so no unit can move; a and b are one number
    each, so all rows have one scale.
``gates``  A gated recurrent cell, h ← keep ⊙ h + write ⊙ tanh(new), where ``new`` sees reset ⊙ h, and y = a ⊙ h + b at
    every step. The parameters of a gate are one slice of three tensors. In the teacher reset and keep are one gate,
    and so are write and new. Permuting the hidden units, in all gates together, would leave equal gates equal; but
    a change of sign of a unit would change ``new`` alone. The readout, which shows every unit, excludes both, and it
    keeps the fit away from the local minima in which recurrent cells with a free readout end.
``synonyms``  y = V relu(U [e(i), e(j)] + c) for two tokens i, j of a vocabulary of 20, with 5 different embeddings.
    Embeddings are known up to a linear map that is common to all tokens, and under it equal rows stay equal.

Inputs are N(0, 1), tokens uniform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equishare.lab.studies.patterns import circulant, permutations
from equishare.partition import Partition
from equishare.problems.network.problem import ModelProblem
from equishare.sharing import share

__all__ = ["CASES", "Case", "Drawn", "mean_squared_error", "normal_inputs", "token_inputs"]

NOISE = 0.1
NUM_TEST = 5000

Inputs = Callable[[np.random.Generator, int], Tensor]


class Readout(nn.Module):
    """``a ⊙ h + b``: every unit is seen, and nothing is mixed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))

    def forward(self, hidden: Tensor) -> Tensor:
        """Outputs of the shape of the hidden units (..., size); of any shape for size 1."""
        return self.scale * hidden + self.shift


class Layers(nn.Module):
    """``h₁ = x + relu(W₁ x), h₂ = h₁ + relu(W₂ h₁), y = a ⊙ h₂ + b``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.out = Readout(width)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, width) for x (n, width)."""
        hidden = x + torch.relu(self.first(x))
        return self.out(hidden + torch.relu(self.second(hidden)))


class Convolution(nn.Module):
    """``y = a · relu(W x) + b`` with numbers a and b."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense, self.out = nn.Linear(width, width, bias=False), Readout(1)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, width) for x (n, width)."""
        return self.out(torch.relu(self.dense(x)))


class Gated(nn.Module):
    """A recurrent cell whose gates reset, keep, write and new are slices along the first axis of its parameters."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input = nn.Parameter(0.3 * torch.randn(4, hidden, inputs) / inputs**0.5)
        self.recurrent = nn.Parameter(0.3 * torch.randn(4, hidden, hidden) / hidden**0.5)
        self.bias = nn.Parameter(torch.zeros(4, hidden))
        self.out = Readout(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, steps, hidden) for x (n, steps, inputs)."""
        recurrent, hidden = self.recurrent, self.bias.shape[1]
        driven = (x @ self.input.flatten(0, 1).T + self.bias.flatten()).unflatten(-1, (4, hidden))
        gating = recurrent[:3].flatten(0, 1).T
        state = x.new_zeros(len(x), hidden)
        states = []
        for now in driven.unbind(1):
            reset, keep, write = torch.sigmoid(now[:, :3] + (state @ gating).unflatten(-1, (3, hidden))).unbind(1)
            new = torch.tanh(now[:, 3] + (reset * state) @ recurrent[3].T)
            state = keep * state + write * new
            states.append(state)
        return self.out(torch.stack(states, 1))


class Tokens(nn.Module):
    """``y = V relu(U [e(i), e(j)] + c)`` for two tokens i, j."""

    def __init__(self, tokens: int, features: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, features)
        self.hidden = nn.Linear(2 * features, hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs) for tokens x (n, 2)."""
        return self.out(torch.relu(self.hidden(self.embedding(x).flatten(1))))


@dataclass(frozen=True)
class Drawn:
    """One trial: the problem, the true partition by name, and inputs with outputs free of noise."""

    problem: ModelProblem
    truth: dict[str, Partition]
    test: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A network and how its teacher is made.

    Attributes:
        network: makes it, with initial numbers from torch's generator.
        names: the parameters that may be shared, each by one assignment; a tuple of names by a common one.
        dim: axis of their slices, None for single entries.
        teach: ``teach(teacher, rng)`` sets its parameters and returns the partition of each assignment.
        inputs: ``inputs(rng, count)``.
        samples: training samples, and as many to validate.
    """

    network: Callable[[], nn.Module]
    names: tuple[str | tuple[str, ...], ...]
    dim: int | None
    teach: Callable[[Any, np.random.Generator], list[np.ndarray]]
    inputs: Inputs
    samples: int

    def student(self) -> nn.Module:
        """The network with everything shareable; the same numbers each time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self.network()
            for name in self.names:
                share(model, name, dim=self.dim)
        return model

    def draw(self, rng: np.random.Generator, noise: float = NOISE) -> Drawn:
        """One trial; ``noise`` is the standard deviation of what is added to labels of standard deviation 1."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            teacher = self.network()
            labels = self.teach(teacher, rng)
        firsts = [name if isinstance(name, str) else name[0] for name in self.names]
        truth = {name: Partition(one) for name, one in zip(firsts, labels, strict=True)}
        x = self.inputs(rng, 2 * self.samples + NUM_TEST)
        with torch.no_grad():
            clean = teacher(x)
        # Labels of spread one make the losses of all cases comparable.
        clean = (clean - clean.mean()) / clean.std()
        y = clean + noise * torch.from_numpy(rng.standard_normal(clean.shape)).to(clean)
        train, val = slice(self.samples), slice(self.samples, 2 * self.samples)
        problem = ModelProblem(self.student(), (x[train], y[train]), (x[val], y[val]), mean_squared_error)
        return Drawn(problem, truth, (x[-NUM_TEST:], clean[-NUM_TEST:]))


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """The loss of all cases."""
    return (output - target).square().mean()


def _set(parameter: nn.Parameter, labels: np.ndarray, values: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values[labels]).reshape(parameter.shape))


def _spaced(rng: np.random.Generator, count: int, least: float, most: float) -> np.ndarray:
    # Evenly spaced, so that groups are as far apart as they can be, in random order.
    return rng.permutation(np.linspace(least, most, count))


def _teach_layers(teacher: Any, rng: np.random.Generator) -> list[np.ndarray]:
    width = teacher.first.in_features
    shifts, diagonal = circulant(width), permutations(width)
    _set(teacher.first.weight, shifts, _spaced(rng, width, -0.5, 0.5))
    _set(teacher.second.weight, diagonal, rng.choice([-1.0, 1.0]) * np.array([0.6, -0.2]))
    return [shifts, diagonal]


def _teach_convolution(teacher: Any, rng: np.random.Generator) -> list[np.ndarray]:
    labels = np.minimum(circulant(teacher.dense.in_features), 3)
    _set(teacher.dense.weight, labels, np.append(_spaced(rng, 3, 0.5, 1.5) * rng.choice([-1.0, 1.0], 3), 0.0))
    return [labels]


def _teach_gates(teacher: Any, rng: np.random.Generator) -> list[np.ndarray]:
    labels = np.array([0, 0, 1, 1])
    for parameter, scale in ((teacher.input, 1.5), (teacher.recurrent, 1.5), (teacher.bias, 0.5)):
        values = rng.standard_normal((2, *parameter.shape[1:])) / parameter.shape[-1] ** 0.5
        _set(parameter, labels, scale * values)
    return [labels]


def _teach_synonyms(teacher: Any, rng: np.random.Generator) -> list[np.ndarray]:
    tokens, features = teacher.embedding.weight.shape
    labels = rng.permutation(np.arange(tokens) % 5)
    _set(teacher.embedding.weight, labels, rng.standard_normal((5, features)))
    return [labels]


def normal_inputs(*shape: int) -> Inputs:
    """Inputs (n, …) from N(0, 1)."""
    return lambda rng, count: torch.from_numpy(rng.standard_normal((count, *shape), dtype=np.float32))


def token_inputs(tokens: int) -> Inputs:
    """Pairs of tokens (n, 2), uniform."""
    return lambda rng, count: torch.from_numpy(rng.integers(tokens, size=(count, 2)))


CASES = {
    "layers": Case(
        network=lambda: Layers(6),
        names=("first.weight", "second.weight"),
        dim=None,
        teach=_teach_layers,
        inputs=normal_inputs(6),
        samples=1000,
    ),
    "convolution": Case(
        network=lambda: Convolution(12),
        names=("dense.weight",),
        dim=None,
        teach=_teach_convolution,
        inputs=normal_inputs(12),
        samples=1000,
    ),
    "gates": Case(
        network=lambda: Gated(4, 4),
        names=(("input", "recurrent", "bias"),),
        dim=0,
        teach=_teach_gates,
        inputs=normal_inputs(5, 4),
        samples=300,
    ),
    "synonyms": Case(
        network=lambda: Tokens(20, 4, 24, 2),
        names=("embedding.weight",),
        dim=0,
        teach=_teach_synonyms,
        inputs=token_inputs(20),
        samples=1000,
    ),
}
