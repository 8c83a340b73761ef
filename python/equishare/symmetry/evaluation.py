"""A function on samples, and on what an element of a group makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from equishare.arrays import real_array, to_numpy
from equishare.modes import evaluating
from equishare.symmetry.axes import Element
from equishare.symmetry.moving import Mover, Places

# f (n, I) -> (n, O), or what the group is of; see :class:`equishare.symmetry.moving.Mover`
Function = Callable[[Any], Any]


class Evaluated:
    """The outputs of a function on samples, and how far it is from ``f(x ρ) = f(x) π``.

    A ``torch.nn.Module``, or a method of one, is asked in evaluation mode and without gradients. Afterwards the modes
    of its submodules and its buffers are what they were before.

    Attributes:
        inputs: (n, entries) x, its samples flattened.
        outputs: (n, entries) f(x), likewise.
    """

    def __init__(self, function: Function, mover: Mover, x: Any) -> None:
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        array = real_array(x, "x")
        mover.check_inputs(array.shape)
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            raise ValueError("x must be finite")
        self._function, self._mover, self._item = function, mover, array.shape[1:]
        self.inputs = array.reshape(len(array), -1)
        self._gives = self._item
        self.outputs = self._apply(self.inputs)

    def spread(self) -> float:
        """``‖f(x) − mean f(x)‖``, which errors are relative to.

        Raises:
            ValueError: it is zero.
        """
        size = float(np.linalg.norm(self.outputs - self.outputs.mean(0)))
        if not size > 0:
            raise ValueError("function must vary over x: its outputs are all the same")
        return size

    def places(self, element: Element) -> tuple[Places, Places]:
        """(π, ρ) of an element or of a batch of them."""
        return self._mover.outputs(element, self._gives), self._mover.inputs(element, self._item)

    def differences(self, p_out: Places, p_in: Places) -> NDArray[np.float64]:
        """(n, entries) f(x ρ) − f(x) π; also with a permutation for each sample, (n, entries)."""
        rows = np.arange(len(self.inputs))[:, None]
        return self._apply(self.inputs[rows, p_in]) - self.outputs[rows, p_out]

    def _apply(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        y = _call(self._function, rows.reshape(len(rows), *self._item))
        self._mover.check_outputs(y.shape, len(rows))
        if not np.isfinite(y).all():
            raise ValueError("function must give finite values")
        self._gives = y.shape[1:]
        return y.reshape(len(rows), -1)


def _call(function: Function, x: NDArray[np.float64]) -> NDArray[np.float64]:
    owner = function if isinstance(function, torch.nn.Module) else getattr(function, "__self__", None)
    if isinstance(owner, torch.nn.Module):
        parameter = next(owner.parameters(), torch.empty(0, dtype=torch.float64))
        with evaluating(owner), torch.no_grad():
            values = function(torch.tensor(x, dtype=parameter.dtype, device=parameter.device))
    else:
        values = function(x.copy())  # which it may write into
    y = to_numpy(values, "what function gives")
    if y.dtype.kind not in "fiub":
        raise TypeError(f"function must give real numbers, got dtype {y.dtype}")
    return y.astype(np.float64)
