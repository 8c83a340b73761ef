"""What to change in samples that a model and its loss do not take: the usual mistakes are tried."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from equishare.modes import evaluating

# So many samples tell whether shapes and dtypes fit; one alone would fit too much.
_TRIED = 3


def remedy(model: nn.Module, loss: Any, x: tuple[Tensor, ...], y: Tensor) -> str:
    """The end of a sentence that says what to give instead; empty where none of the usual changes helps.

    Images (n, H, W) lack the axis of channels, or have it last. Outcomes (n,) are columns for most losses, classes are
    int64 for cross entropy, and numbers of the model's dtype for others.
    """
    inputs, outcomes = list(_inputs(x)), list(_outcomes(y, _dtype(model)))
    for changed_x, words_x in inputs:
        for changed_y, words_y in outcomes:
            words = " and ".join(word for word in (words_x, words_y) if word)
            if words and _fits(model, loss, changed_x, changed_y):
                return f"; {words} would fit"
    return ""


def _inputs(x: tuple[Tensor, ...]) -> Iterator[tuple[tuple[Tensor, ...], str]]:
    yield x, ""
    if len(x) == 1 and x[0].dim() == 3:
        yield (x[0][:, None],), "x[:, None], images of one channel,"
    if len(x) == 1 and x[0].dim() == 4:
        yield (x[0].permute(0, 3, 1, 2),), "x.permute(0, 3, 1, 2), channels first,"
    if len(x) == 1 and x[0].dim() > 2:
        yield (x[0].flatten(1),), "x.flatten(1), one row a sample,"


def _outcomes(y: Tensor, dtype: torch.dtype) -> Iterator[tuple[Tensor, str]]:
    yield y, ""
    if y.dim() == 1:
        yield y[:, None], "y[:, None], one column,"
    is_whole = not y.is_floating_point() or bool((y == y.round()).all())
    if is_whole and y.dtype != torch.int64:
        yield y.long(), "y.long(), classes as int64,"
        if y.dim() == 2 and y.shape[1] == 1:
            yield y[:, 0].long(), "y[:, 0].long(), classes as int64,"
    elif y.dtype == torch.int64 and y.dim() == 2 and y.shape[1] == 1:
        yield y[:, 0], "y[:, 0], one class a sample,"
    if not y.is_floating_point():
        yield y.to(dtype), f"y.to({dtype})"
        if y.dim() == 1:
            yield y[:, None].to(dtype), f"y[:, None].to({dtype}), one column,"


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


def _fits(model: nn.Module, loss: Any, x: tuple[Tensor, ...], y: Tensor) -> bool:
    try:
        with evaluating(model), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("error")
            value = loss(model(*(one[:_TRIED].clone() for one in x)), y[:_TRIED].clone())
    except Exception:
        return False
    return isinstance(value, Tensor) and value.dim() == 0 and value.is_floating_point()
