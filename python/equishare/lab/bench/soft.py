"""Rows of soft_gather: training steps, forward alone, batches, columns, the owned loop, the cost of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from equishare import ops, reference
from equishare.lab.bench.case import Call, Case, Contenders, Sizes, Work, at_least, times_faster
from equishare.lab.bench.compiling import compiled

STEP = "soft_gather step"
FORWARD = "soft_gather forward"


def soft_cases() -> list[Case]:
    """All rows of soft_gather."""
    bounds = {16: (0.95, 0.97), 64: (0.95, 0.97), 256: (1.2, 1.5), 1024: (8.0, 5.5), 4096: (3.5, 7.0)}
    cases = []
    for size, bound in bounds.items():
        required = list(times_faster(*bound))
        if size >= 256:
            required.append(at_least("compile", 3.0, "v4"))
        cases.append(_step(size, size, *required))
    cases.append(_step(65536, 64, *times_faster(6.0, 6.0), curve=f"{STEP}, G = 64"))
    for size in bounds:
        required = [at_least("eager", 5.0)] if size == 4096 else []
        cases.append(
            Case(
                f"{FORWARD} {size}x{size}",
                FORWARD,
                {"rows": size, "groups": size},
                _make_forward,
                forward_work,
                required=tuple(required),
                gradients=False,
            )
        )
    cases.append(_step(10, 10, at_least("eager", 1.2), columns=25000, curve=f"{STEP}, columns"))
    cases.append(_step(1024, 64, *times_faster(1.5, 1.3), columns=256, curve=f"{STEP}, columns"))
    cases.append(_step(5, 5, batch=600, curve=f"{STEP}, batch"))
    cases.append(_step(1024, 1024, at_least("eager", 3.0, "v3"), dtype=torch.float64, curve=f"{STEP}, float64"))
    cases.append(_step(1024, 1024, at_least("eager", 2.0, "v3"), dtype=torch.bfloat16, curve=f"{STEP}, bfloat16"))
    return cases


def _step(
    rows: int,
    groups: int,
    *required: Any,
    batch: int = 0,
    columns: int = 0,
    dtype: torch.dtype = torch.float32,
    curve: str = STEP,
) -> Case:
    sizes = {"rows": rows, "groups": groups}
    name = f"{STEP} {rows}x{groups}"
    if columns:
        sizes["columns"] = columns
        name += f", {columns} columns"
    if batch:
        sizes["batch"] = batch
        name += f", {batch} problems"
    if dtype is not torch.float32:
        name += f", {str(dtype).removeprefix('torch.')}"
    return Case(name, curve, sizes, _make_step, step_work, required=tuple(required), dtype=dtype)


def plain_gather(logits: Tensor, values: Tensor) -> Tensor:
    """The composition as one writes it by hand, for one problem."""
    return torch.softmax(logits, -1) @ values


def draw(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B?, K, G), values (B?, G, C?) and cotangents of the entries."""
    batch = (sizes["batch"],) if "batch" in sizes else ()
    columns = (sizes["columns"],) if "columns" in sizes else ()
    shapes = ((sizes["rows"], sizes["groups"]), (sizes["groups"], *columns), (sizes["rows"], *columns))
    logits, values, u = (torch.randn((*batch, *s), generator=generator).to(dtype) for s in shapes)
    return logits, values, u


def training_step(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], u: Tensor) -> Call:
    """Forward and backward with gradients set to None before, as a training loop has it."""

    def call() -> tuple[Tensor, ...]:
        for x in inputs:
            x.grad = None
        y = function(*inputs)
        y.backward(u)
        return (y, *(x.grad for x in inputs if x.grad is not None))

    return call


def _make_step(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    logits, values, u = draw(generator, sizes, dtype)
    inputs = (logits.requires_grad_(), values.requires_grad_())
    eager = reference.soft_gather if "batch" in sizes else plain_gather
    return Contenders(
        training_step(ops.soft_gather, inputs, u),
        training_step(eager, inputs, u),
        lambda: training_step(compiled(eager), inputs, u),
    )


def _make_forward(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    logits, values, _ = draw(generator, sizes, dtype)

    def of(function: Callable[..., Tensor]) -> Call:
        return lambda: (function(logits, values),)

    return Contenders(of(ops.soft_gather), of(plain_gather), lambda: of(compiled(plain_gather)))


def _counts(sizes: Sizes) -> tuple[int, int, int]:
    # Logits; values and entries.
    batch, columns = sizes.get("batch", 1), sizes.get("columns", 1)
    return batch * sizes["rows"] * sizes["groups"], batch * sizes["groups"] * columns, batch * sizes["rows"] * columns


def forward_work(sizes: Sizes, itemsize: int) -> Work:
    """Logits read once; the values too; entries written."""
    logits, values, entries = _counts(sizes)
    columns = sizes.get("columns", 1)
    return Work(itemsize * (logits + values), itemsize * entries, flops=logits * (2 * columns + 1), exps=logits)


def step_work(sizes: Sizes, itemsize: int) -> Work:
    """Logits read twice and their gradient written; the same of values and entries."""
    # Backward per logit: two products with the columns, A times a difference.
    logits, values, entries = _counts(sizes)
    columns = sizes.get("columns", 1)
    return Work(
        itemsize * (2 * logits + 2 * values + 2 * entries),
        itemsize * (logits + values + entries),
        flops=logits * (6 * columns + 3),
        exps=2 * logits,
    )
