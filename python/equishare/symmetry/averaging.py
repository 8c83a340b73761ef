"""A function averaged over a group, so that it commutes with the group exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equishare.symmetry.axes import Element
from equishare.symmetry.moving import Mover

# Batches of elements, each of at most so many elements.
Batches = Callable[[int], Iterator[Element]]

# Numbers that a function is given, and elements that are held, at a time.
_MOST_NUMBERS = 2**22
_MOST_ELEMENTS = 2**20


class Average:
    """``f̄(x) = 1/|G| Σ f(x ρ) π⁻¹``, summed over all elements, a batch of them at a time."""

    def __init__(self, function: Callable[[Any], Any], batches: Batches, mover: Mover) -> None:
        self._function, self._batches, self._mover = function, batches, mover

    def __call__(self, x: Any) -> Any:
        """The average at x, of the type that the function gives."""
        if not isinstance(x, Tensor):
            x = np.asarray(x)
        self._mover.check_inputs(tuple(x.shape))
        item = tuple(x.shape[1:])
        total: Any = 0
        order, gives = 0, item
        points = max(1, sum(self._mover.shape))
        rows = x.reshape(len(x), -1)
        size = max(1, min(_MOST_NUMBERS // max(1, rows.shape[0] * rows.shape[1]), _MOST_ELEMENTS // points))
        for elements in self._batches(size):
            count = len(elements[0])
            moved = rows[:, _index(self._mover.inputs(elements, item), x)]
            y = self._function(moved.reshape(len(x) * count, *item))
            self._mover.check_outputs(tuple(y.shape), len(x) * count)
            back = _inverse_rows(self._mover.outputs(elements, tuple(y.shape[1:])))
            y_rows = y.reshape(len(x), count, -1)
            total = total + y_rows[:, _index(np.arange(count)[:, None], y), _index(back, y)].sum(1)
            order, gives = order + count, tuple(y.shape[1:])
        return (total / order).reshape(len(x), *gives)


class AveragedModule(nn.Module):
    """The average of a module over a group; its parameters and buffers are those of the module, under ``function``."""

    def __init__(self, function: nn.Module, batches: Batches, mover: Mover) -> None:
        super().__init__()
        self.function = function
        self._batches, self._mover = batches, mover

    def forward(self, x: Tensor) -> Tensor:
        """As the module, averaged."""
        averaged: Tensor = Average(self.function, self._batches, self._mover)(x)
        return averaged


class AveragedLinear(nn.Module):
    """The average of a linear layer: each weight is the mean of its orbit, and so is each entry of the bias.

    Args:
        function: the layer.
        cells: (O, I) number of the orbit of each weight.
        outputs: (O,) number of the orbit of each output.
    """

    cells: Tensor
    outputs: Tensor

    def __init__(self, function: nn.Linear, cells: NDArray[np.int64], outputs: NDArray[np.int64]) -> None:
        super().__init__()
        self.function = function
        for name, labels in (("cells", cells), ("outputs", outputs)):
            self.register_buffer(name, torch.tensor(labels, device=function.weight.device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Y (..., O) of x (..., I)."""
        bias = self.function.bias
        weight = _orbit_means(self.function.weight, self.cells)
        return nn.functional.linear(x, weight, None if bias is None else _orbit_means(bias, self.outputs))


def _inverse_rows(permutations: NDArray[np.int64]) -> NDArray[np.int64]:
    """(count, degree) the permutation that undoes each row."""
    return np.argsort(permutations, axis=1)


def _orbit_means(values: Tensor, labels: Tensor) -> Tensor:
    flat = labels.reshape(-1)
    sums = values.new_zeros(int(flat.max()) + 1).index_add(0, flat, values.reshape(-1))
    return (sums / torch.bincount(flat))[labels]


def _index(places: NDArray[np.int64], like: Any) -> Any:
    return torch.as_tensor(np.ascontiguousarray(places), device=like.device) if isinstance(like, Tensor) else places
