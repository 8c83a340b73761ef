"""Convolutions and embeddings that store a few values and small integer labels in place of dense weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from equishare import ops
from equishare.labels import group_numbers, smallest_label_dtype
from equishare.partition import Partition

__all__ = ["SharedConv1d", "SharedConv2d", "SharedEmbedding"]


class _SharedWeight(nn.Module):
    """A weight ``W = values[labels]``, of the shape of the labels.

    ``plain`` is the torch layer on the meta device that the layer stands for: torch checks its options, and its
    sizes and options become attributes of the same names.
    """

    values: nn.Parameter
    labels: Tensor

    def __init__(self, plain: nn.Module, labels: Any, form: str, device: Any, dtype: torch.dtype | None) -> None:
        super().__init__()
        for name in _options(plain):
            setattr(self, name, getattr(plain, name))
        self._shown = plain.extra_repr()
        numbers = group_numbers(labels, tuple(plain.weight.shape), form)  # type: ignore[arg-type]
        self.num_groups = int(numbers.max()) + 1
        self.values = nn.Parameter(torch.empty(self.num_groups, device=device, dtype=dtype))
        self.register_buffer("labels", numbers.to(smallest_label_dtype(self.num_groups)).to(self.values.device))

    @property
    def weight(self) -> Tensor:
        """W, gathered anew each time."""
        return ops.hard_gather(self.labels, self.values)

    @property
    def partition(self) -> Partition:
        """The groups, of the shape of W."""
        return Partition(self.labels)

    def extra_repr(self) -> str:
        """Sizes and options, as the plain layer shows them."""
        return f"{self._shown}, num_groups={self.num_groups}"


class _SharedConv(_SharedWeight):
    plain: ClassVar[type[nn.Module]]
    form: ClassVar[str]
    convolution: ClassVar[Callable[..., Tensor]]

    bias: nn.Parameter | None
    padding_mode: str
    _reversed_padding_repeated_twice: list[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        labels: Any,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        options = (stride, padding, dilation, groups, bias, padding_mode, "meta")
        plain = self.plain(in_channels, out_channels, kernel_size, *options)
        super().__init__(plain, labels, self.form, device, dtype)
        if bias:
            self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw values and bias from U(−1/√n, 1/√n), n weights to an output, as torch's convolutions do."""
        bound = self.labels[0].numel() ** -0.5
        nn.init.uniform_(self.values, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x (N, in_channels, ...), or of one sample without N."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x = functional.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        options = (self.stride, padding, self.dilation, self.groups)
        return type(self).convolution(x, self.weight, self.bias, *options)


class SharedConv1d(_SharedConv):
    """Convolution over one axis whose weights are shared: ``W[o,i,t] = values[labels[o,i,t]]``.

    Args:
        in_channels: as in ``torch.nn.Conv1d``, like all that is not named here.
        out_channels: O.
        kernel_size: T.
        labels: (O, in_channels / groups, T) group numbers from 0, an array, a tensor or a Partition.
        stride: of the window.
        padding: of the input, or ``"same"`` or ``"valid"``.
        dilation: of the window.
        groups: of channels that do not see each other; not those of the labels.
        bias: whether to add b (O,).
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: of the tensors.
        dtype: of the values and the bias.

    Attributes:
        values: (G,) Parameter, G one more than the largest label; starts as the weights of nn.Conv1d do.
        labels: buffer, of the dtype of :func:`equishare.nn.smallest_label_dtype`.
        weight: W, formed for each call.

    Raises:
        TypeError: labels are no integers.
        ValueError: labels have another shape, or one is not from 0 to one less than the number of weights; torch
            refuses an option.
    """

    plain = nn.Conv1d
    form = "(out_channels, in_channels / groups, kernel_size)"
    convolution = staticmethod(functional.conv1d)


class SharedConv2d(_SharedConv):
    """Convolution over two axes whose weights are shared: ``W[o,i,s,t] = values[labels[o,i,s,t]]``.

    As :class:`SharedConv1d`, after ``torch.nn.Conv2d``; labels have shape (O, in_channels / groups, S, T).
    """

    plain = nn.Conv2d
    form = "(out_channels, in_channels / groups, *kernel_size)"
    convolution = staticmethod(functional.conv2d)


class SharedEmbedding(_SharedWeight):
    """Table of vectors whose entries are shared: row n is ``values[labels[n]]``.

    Args:
        num_embeddings: N.
        embedding_dim: D.
        labels: (N, D) group numbers from 0, an array, a tensor or a Partition.
        device: of the tensors.
        dtype: of the values.

    Attributes:
        values: (G,) Parameter, G one more than the largest label; starts from N(0, 1).
        labels: (N, D) buffer, of the dtype of :func:`equishare.nn.smallest_label_dtype`.
        weight: W (N, D), formed on request; a call forms only the rows that it needs.

    Raises:
        TypeError: labels are no integers.
        ValueError: labels have another shape, or one is not from 0 to N·D − 1.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        labels: Any,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        plain = nn.Embedding(num_embeddings, embedding_dim, device="meta")
        super().__init__(plain, labels, "(num_embeddings, embedding_dim)", device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw values from N(0, 1), as torch.nn.Embedding does."""
        nn.init.normal_(self.values)

    def forward(self, indices: Tensor) -> Tensor:
        """Rows (..., D) of indices (...)."""
        return ops.hard_gather(functional.embedding(indices, self.labels), self.values)


def _options(plain: nn.Module) -> list[str]:
    of_module = vars(nn.Module())
    return [name for name in vars(plain) if name not in of_module]
