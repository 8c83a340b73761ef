"""Rows of hard sharing: the segment sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from equishare import ops
from equishare.lab.bench.case import Call, Case, Contenders, Sizes, Work, at_most, times_faster
from equishare.lab.bench.compiling import compiled

_ENTRIES = 1 << 24


def hard_cases() -> list[Case]:
    """All rows of hard_scatter, labels of one byte."""
    return [
        Case(
            f"hard_scatter 16.7M, {groups} groups",
            f"hard_scatter, {groups} groups",
            {"entries": _ENTRIES, "groups": groups},
            _make,
            _work,
            "index_add_",
            times_faster(4.0, 4.0, at_most("floor", 1.3)),
            gradients=False,
            tolerance=1e-3,  # index_add_ adds a million float32 numbers one by one
        )
        for groups in (16, 200)
    ]


def _make(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    groups = sizes["groups"]
    labels = torch.randint(groups, (sizes["entries"],), generator=generator, dtype=torch.uint8)
    x = torch.randn(sizes["entries"], generator=generator).to(dtype)
    index = labels.long()

    def index_add(index: Tensor, x: Tensor) -> Tensor:
        return x.new_zeros(groups).index_add_(0, index, x)

    def of(function: Callable[..., Tensor]) -> Call:
        return lambda: (function(index, x),)

    return Contenders(lambda: (ops.hard_scatter(labels, x, groups),), of(index_add), lambda: of(compiled(index_add)))


def _work(sizes: Sizes, itemsize: int) -> Work:
    entries = sizes["entries"]
    return Work(entries * (1 + itemsize), sizes["groups"] * itemsize, flops=entries)
