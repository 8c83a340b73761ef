"""How an element of a group moves what a function takes and what it gives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.axes import Element
from equishare.symmetry.permutations import Permutation

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Mover:
    """Elements as permutations of the entries of one input and of one output, in C order.

        (x ρ)[k] = x[ρ[k]]  and  (y π)[k] = y[π[k]]    for the flattened entries k of one sample

    The group of a weight (O, I) moves the entries of inputs (n, I) and outputs (n, O), that of a vector (K,) those of
    (n, K) and (n, K) alike. That of a kernel (O, I, *taps) moves the channels of images (n, I, *grid) and
    (n, O, *grid), and turns or reflects their grids as it does the grid of taps.

    Attributes:
        shape: of the parameter whose axes the group moves.
        invariant: outputs stay where they are, and may have any shape.
    """

    shape: tuple[int, ...]
    invariant: bool = False

    def check_inputs(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless x of this shape holds samples that the group moves."""
        self._check(shape, self.shape[min(1, len(self.shape) - 1)], "x must have")

    def check_outputs(self, shape: tuple[int, ...], samples: int) -> None:
        """Raise ValueError unless an f(x) of this shape is moved by the group, or need not be."""
        if self.invariant:
            if not shape or shape[0] != samples:
                raise ValueError(f"function must give one output for each of {samples} samples, got shape {shape}")
            return
        hint = ": for outputs that do not move, pass invariant=True"
        self._check(shape, self.shape[0], "function must give", samples, "" if len(shape) > 1 else hint)

    def inputs(self, element: Element, item: tuple[int, ...]) -> Places:
        """ρ (..., entries) of an element, or of a batch of them, on inputs of shape ``item``."""
        return self._places(element, min(1, len(self.shape) - 1), item)

    def outputs(self, element: Element, item: tuple[int, ...]) -> Places:
        """π (..., entries), likewise; the identity where outputs do not move."""
        if self.invariant:
            return np.broadcast_to(np.arange(math.prod(item)), (*element[0].shape[:-1], math.prod(item)))
        return self._places(element, 0, item)

    def _places(self, element: Element, axis: int, item: tuple[int, ...]) -> Places:
        channels = element[axis]
        if len(self.shape) < 3:
            return channels
        pixels = _pixels(element[2], self.shape[2:], item[1:])
        joint = channels[..., :, None] * math.prod(item[1:]) + pixels[..., None, :]
        return joint.reshape(*joint.shape[:-2], -1)

    def _check(self, shape: tuple[int, ...], size: int, text: str, samples: int | None = None, hint: str = "") -> None:
        axes = len(self.shape[2:])
        wanted = ", ".join([str(samples or "samples"), str(size), *(["size"] * axes)])
        if len(shape) != 2 + axes or shape[1] != size or not shape[0] or (samples or shape[0]) != shape[0]:
            raise ValueError(f"{text} shape ({wanted}), got {shape}{hint}")


def _pixels(p_tap: Permutation, taps: Sequence[int], grid: Sequence[int]) -> Places:
    """(..., pixels) the isometry of the grid of taps, (..., taps), on another grid."""
    if p_tap.ndim > 1:
        kinds, number = np.unique(p_tap, axis=0, return_inverse=True)
        return np.array([_pixels(p, taps, grid) for p in kinds])[number.reshape(p_tap.shape[:-1])]
    for order in itertools.permutations(range(len(taps))):
        for flips in itertools.product((1, -1), repeat=len(taps)):
            if np.array_equal(_turned(taps, order, flips), p_tap.reshape(taps)):
                pixels = _turned(grid, order, flips)
                if pixels.shape != tuple(grid):
                    raise ValueError(f"the group exchanges axes of the grid: they must be of one length, got {grid}")
                return pixels.reshape(-1)
    raise ValueError(f"taps must be moved by an isometry of their grid {tuple(taps)}, got {p_tap}")


def _turned(grid: Sequence[int], order: tuple[int, ...], flips: tuple[int, ...]) -> Places:
    numbers = np.arange(math.prod(grid)).reshape(tuple(grid)).transpose(order)
    return numbers[tuple(slice(None, None, flip) for flip in flips)]
