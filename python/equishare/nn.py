"""Layers that store a few values and small integer labels in place of dense weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from equishare import ops
from equishare.labels import group_numbers, smallest_label_dtype
from equishare.partition import Partition
from equishare.shared_layers import SharedConv1d, SharedConv2d, SharedEmbedding

__all__ = ["SharedConv1d", "SharedConv2d", "SharedEmbedding", "SharedLinear", "smallest_label_dtype"]


class SharedLinear(nn.Module):
    """Linear layer ``y = x Wᵀ + b`` whose weights are shared: ``W[o,i] = values[labels[o,i]]``.

    Args:
        in_features: I.
        out_features: O.
        labels: (O, I) group numbers from 0, an array, a tensor or a Partition; kept as they are.
        bias: whether to add b (O,).
        device: of the tensors.
        dtype: of the values and the bias.

    Attributes:
        values: (G,) Parameter, G one more than the largest label; starts as the weights of nn.Linear do.
        labels: (O, I) buffer, of the dtype of :func:`smallest_label_dtype`.
        bias: (O,) Parameter or None.

    Raises:
        TypeError: the sizes or the labels are not integers.
        ValueError: a size is below 1, labels have another shape, or one is not from 0 to O·I − 1.
    """

    values: nn.Parameter
    labels: Tensor
    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        labels: Any,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(size, bool) or not isinstance(size, int):
                raise TypeError(f"{name} must be an integer, got {size!r}")
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.in_features = in_features
        self.out_features = out_features
        numbers = group_numbers(labels, (out_features, in_features), "(out_features, in_features)")
        self.num_groups = int(numbers.max()) + 1
        self.values = nn.Parameter(torch.empty(self.num_groups, device=device, dtype=dtype))
        label_dtype = smallest_label_dtype(self.num_groups)
        self.register_buffer("labels", numbers.to(label_dtype).to(self.values.device))
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

    @property
    def weight(self) -> Tensor:
        """W (O, I), gathered anew each time, for code that reads the weight of a linear layer."""
        return ops.hard_gather(self.labels, self.values)

    @property
    def partition(self) -> Partition:
        """The groups, of shape (O, I)."""
        return Partition(self.labels)

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
        return ops.shared_linear(x, self.labels, self.values, self.bias)

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, num_groups={self.num_groups}, "
            f"bias={self.bias is not None}"
        )
