"""Layers that store a few values and small integer labels in place of dense weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equishare import ops
from equishare.arrays import real_array
from equishare.clustering import least_squares_groups
from equishare.labels import group_numbers, smallest_label_dtype
from equishare.ops._rule import STORAGE_DTYPES
from equishare.ops.linear import entries_of
from equishare.ops.packing import MOST_PACKED_GROUPS
from equishare.partition import Partition
from equishare.shared_layers import SharedConv1d, SharedConv2d, SharedEmbedding

__all__ = ["SharedConv1d", "SharedConv2d", "SharedEmbedding", "SharedLinear", "smallest_label_dtype"]

# Of a codebook that is made for a weight: time and memory grow with it.
_MOST_GROUPS = 4096


class SharedLinear(nn.Module):
    """Linear layer ``y = x Wᵀ + b`` whose weights are shared: ``W[o,i] = values[labels[o,i]]``.

    Args:
        in_features: I.
        out_features: O.
        labels: (O, I) group numbers from 0, an array, a tensor or a Partition; kept as they are.
        bias: whether to add b (O,).
        device: of the tensors.
        dtype: of the values and the bias.
        block: outputs that share a codebook, ``W[o,i] = values[o // block, labels[o,i]]``; None: all share one.

    Attributes:
        values: (G,) Parameter, G one more than the largest label, or (⌈O/block⌉, G); starts as the weights of nn.Linear
            do.
        codes: the labels as they are stored, a buffer: of up to 16 groups (O, ⌈I/2⌉) uint8, two a byte
            (:func:`equishare.ops.pack_labels`), else (O, I) of the dtype of :func:`smallest_label_dtype`.
        bias: (O,) Parameter or None.

    Raises:
        TypeError: the sizes or the labels are not integers.
        ValueError: a size is below 1, labels have another shape, or one is not from 0 to O·I − 1.
    """

    values: nn.Parameter
    codes: Tensor
    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        labels: Any,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        block: int | None = None,
    ) -> None:
        super().__init__()
        self.in_features = _size("in_features", in_features)
        self.out_features = _size("out_features", out_features)
        self.block = None if block is None else min(_size("block", block), out_features)
        numbers = group_numbers(labels, (out_features, in_features), "(out_features, in_features)")
        self.num_groups = int(numbers.max()) + 1
        codebooks = () if self.block is None else (-(-out_features // self.block),)
        self.values = nn.Parameter(torch.empty((*codebooks, self.num_groups), device=device, dtype=dtype))
        self.register_buffer("codes", self.encoded(numbers).to(self.values.device))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw values and bias from U(−1/√I, 1/√I), as torch.nn.Linear does."""
        bound = 1 / math.sqrt(self.in_features)
        nn.init.uniform_(self.values, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    @classmethod
    def from_weight(cls, weight: Any, num_groups: int, bias: Any = None, block: int | None = None) -> SharedLinear:
        """The layer whose shared weight is nearest to a given one: ``min Σ (W[o,i] − values[labels[o,i]])²``.

        In one dimension the best groups are contiguous among the sorted weights, so they are found without a start:
        exactly for up to 16,384 different weights of a codebook, of more after binning to so many
        (:func:`equishare.clustering.least_squares_groups`; Fisher 1958, "On grouping for maximum homogeneity").

        Args:
            weight: (O, I) finite numbers, an array or a tensor, whose device and floating dtype the layer takes.
                An array gives a layer of torch's default dtype.
            num_groups: G, from 1 to 4096; a codebook whose weights have fewer different values repeats the largest.
            bias: (O,), or None for a layer without.
            block: outputs that share a codebook; None: all.

        Raises:
            TypeError: an argument has another type.
            ValueError: a shape does not fit, a number is not finite, or num_groups or block is out of range.
        """
        numbers = _numbers("weight", weight, 2)
        if not numbers.size:
            raise ValueError(f"weight must have outputs and inputs, got shape {numbers.shape}")
        if _size("num_groups", num_groups) > _MOST_GROUPS:
            raise ValueError(f"num_groups must be at most {_MOST_GROUPS}, got {num_groups}")
        outputs, inputs = numbers.shape
        step = outputs if block is None else _size("block", block)
        found = [least_squares_groups(numbers[o : o + step].ravel(), num_groups) for o in range(0, outputs, step)]
        labels = np.concatenate([labels for labels, _ in found]).reshape(outputs, inputs)
        is_tensor = isinstance(weight, Tensor)
        dtype = weight.dtype if is_tensor and weight.dtype in STORAGE_DTYPES else None
        layer = cls(inputs, outputs, labels, bias is not None, weight.device if is_tensor else None, dtype, block)
        means = [np.pad(one, (0, layer.num_groups - len(one)), "edge") for _, one in found]
        with torch.no_grad():
            layer.values.copy_(torch.from_numpy(np.stack(means)).view(layer.values.shape))
            if layer.bias is not None:
                added = _numbers("bias", bias, 1)
                if added.shape != (outputs,):
                    raise ValueError(f"bias must have shape ({outputs},), got {added.shape}")
                layer.bias.copy_(torch.from_numpy(added))
        return layer

    @property
    def is_packed(self) -> bool:
        """Whether two labels take a byte."""
        return self.num_groups <= MOST_PACKED_GROUPS

    def encoded(self, labels: Tensor) -> Tensor:
        """Labels (O, I) in the form of ``codes``."""
        return ops.pack_labels(labels) if self.is_packed else labels.to(smallest_label_dtype(self.num_groups))

    @property
    def labels(self) -> Tensor:
        """The group numbers (O, I), of the dtype of :func:`smallest_label_dtype`."""
        return ops.unpack_labels(self.codes, self.in_features) if self.is_packed else self.codes

    def _entries(self) -> Tensor:
        return self.labels if self.block is None else entries_of(self.labels, self.values, self.block)

    @property
    def weight(self) -> Tensor:
        """W (O, I), gathered anew each time, for code that reads the weight of a linear layer."""
        return ops.hard_gather(self._entries(), self.values.flatten())

    @property
    def partition(self) -> Partition:
        """The groups, of shape (O, I)."""
        return Partition(self._entries())

    def to_linear(self) -> nn.Linear:
        """The same layer with its dense weight and a bias of its own, for code that knows ``torch.nn.Linear`` alone."""
        dense = nn.Linear(
            self.in_features, self.out_features, self.bias is not None, self.values.device, self.values.dtype
        )
        with torch.no_grad():
            dense.weight.copy_(self.weight)
            if self.bias is not None:
                dense.bias.copy_(self.bias)
        return dense.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Y (..., O) of x (..., I)."""
        return ops.shared_linear(x, self.codes, self.values, self.bias, self.is_packed, self.block)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        labels = self._buffers.pop("labels", None)
        if labels is not None:  # pickled by version 0.1
            self.block = None
            self.register_buffer("codes", self.encoded(labels))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        # Version 0.1 stored the labels one a byte at least.
        labels = state_dict.pop(f"{prefix}labels", None)
        if labels is not None:
            fits = labels.shape == (self.out_features, self.in_features)
            state_dict[f"{prefix}codes"] = self.encoded(labels) if fits else labels
        super()._load_from_state_dict(state_dict, prefix, *others)

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, num_groups={self.num_groups}, "
            f"bias={self.bias is not None}" + ("" if self.block is None else f", block={self.block}")
        )


def _size(name: str, size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        got = f"a {type(size).__name__}" if hasattr(size, "shape") else repr(size)
        raise TypeError(f"{name} must be an integer, got {got}")
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return int(size)


def _numbers(name: str, given: Any, dimensions: int) -> np.ndarray:
    if isinstance(given, nn.Module):
        raise TypeError(f"{name} must be an array or a tensor, got a {type(given).__name__}: give its {name}")
    numbers = real_array(given, name).astype(np.float64)
    if numbers.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension(s), got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite, got {np.count_nonzero(~np.isfinite(numbers))} NaN or infinite")
    return numbers
