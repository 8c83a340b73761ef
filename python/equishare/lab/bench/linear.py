"""Rows of shared_linear: one sample, training steps, memory at rest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from equishare import nn, ops
from equishare.lab.bench.case import Case, Contenders, Requirement, Sizes, Work, at_most, times_faster
from equishare.lab.bench.compiling import compiled
from equishare.lab.bench.soft import training_step
from equishare.ops.packing import MOST_PACKED_GROUPS

_FEATURES = 4096
_BATCH = 64


def linear_cases() -> list[Case]:
    """All rows of shared_linear."""

    def case(
        what: str,
        groups: int,
        batch: int,
        make: Callable[..., Contenders],
        work: Callable[[Sizes, int], Work],
        against: str,
        required: tuple[Requirement, ...],
        gradients: bool = True,
    ) -> Case:
        sizes = {"features": _FEATURES, "groups": groups, "batch": batch}
        name = f"shared_linear {what}, {groups} groups, {against}"
        return Case(name, f"shared_linear {what}", sizes, make, work, against, required, gradients=gradients)

    dense, indexed = "dense", "indexed"
    cases = [
        case("forward", groups, 1, _make_forward, _forward_work, dense, times_faster(*bounds), gradients=False)
        for groups, bounds in ((16, (2.5, 4.0)), (200, (0.7, 1.1)))
    ]
    for groups, bound in ((16, 7.0), (200, 8.0)):
        cases.append(case("step", groups, _BATCH, _make_indexed, _step_work, indexed, times_faster(6.0, bound)))
        cases.append(case("step", groups, _BATCH, _make_dense, _step_work, dense, times_faster(0.75, 1.9)))
    cases.append(case("forward", 16, 1, _make_packed, _forward_work, "bytes", times_faster(1.3, 1.3), False))
    for groups, share in ((16, 0.126), (256, 0.26)):
        at_rest = (at_most("memory", share),)
        cases.append(case("at rest", groups, 1, _make_memory, _rest_work, dense, at_rest, False))
    return cases


def _draw(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    features, groups = sizes["features"], sizes["groups"]
    x, u = (torch.randn(sizes["batch"], features, generator=generator).to(dtype) for _ in range(2))
    labels = torch.randint(groups, (features, features), generator=generator, dtype=torch.uint8)
    return x, u, labels, torch.randn(groups, generator=generator).to(dtype) / features**0.5


def _layer(labels: Tensor, groups: int) -> Callable[..., Tensor]:
    """shared_linear of x and values, its labels in the form that nn.SharedLinear keeps."""
    packed = groups <= MOST_PACKED_GROUPS
    codes = ops.pack_labels(labels) if packed else labels
    return lambda x, values: ops.shared_linear(x, codes, values, packed=packed)


def _make_forward(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    x, _, labels, values = _draw(generator, sizes, dtype)
    weight, layer = values[labels.long()], _layer(labels, sizes["groups"])
    return Contenders(lambda: (layer(x, values),), lambda: (linear(x, weight),))


def _make_packed(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    x, _, labels, values = _draw(generator, sizes, dtype)
    layer = _layer(labels, sizes["groups"])
    return Contenders(lambda: (layer(x, values),), lambda: (ops.shared_linear(x, labels, values),))


def _make_indexed(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    x, u, labels, values = _draw(generator, sizes, dtype)
    index = labels.long()
    inputs = (x.requires_grad_(), values.requires_grad_())

    def indexed(x: Tensor, values: Tensor) -> Tensor:
        return linear(x, values[index])

    return Contenders(
        training_step(_layer(labels, sizes["groups"]), inputs, u),
        training_step(indexed, inputs, u),
        lambda: training_step(compiled(indexed), inputs, u),
    )


def _make_dense(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    x, u, labels, values = _draw(generator, sizes, dtype)
    index = labels.long()
    weight = values[index]
    leaves = tuple(t.requires_grad_() for t in (x, values, weight))
    ours = training_step(_layer(labels, sizes["groups"]), leaves[:2], u)
    eager = training_step(linear, (leaves[0], leaves[2]), u)

    def checked() -> tuple[Tensor, ...]:
        # The gradient of a value is the sum of those of its weights.
        y, grad_x, grad_weight = eager()
        sums = values.new_zeros(len(values)).index_add_(0, index.flatten(), grad_weight.flatten())
        return y, grad_x, sums

    return Contenders(ours, eager, check=checked)


def _make_memory(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    x, _, labels, _ = _draw(generator, sizes, dtype)
    features = sizes["features"]
    labels.view(-1)[: sizes["groups"]] = torch.arange(sizes["groups"], dtype=torch.uint8)  # none is unused
    ours = nn.SharedLinear(features, features, labels, dtype=dtype)
    dense = torch.nn.Linear(features, features, dtype=dtype)
    with torch.no_grad():
        dense.weight.copy_(ours.weight)
        dense.bias.copy_(ours.bias)  # type: ignore[arg-type]
    return Contenders(lambda: (ours(x),), lambda: (dense(x),), held=(_bytes(ours), _bytes(dense)))


def _bytes(module: torch.nn.Module) -> int:
    return sum(t.untyped_storage().nbytes() for t in (*module.parameters(), *module.buffers()))


def _label_bytes(sizes: Sizes) -> int:
    return sizes["features"] ** 2 // (2 if sizes["groups"] <= MOST_PACKED_GROUPS else 1)


def _forward_work(sizes: Sizes, itemsize: int) -> Work:
    weights, vectors = sizes["features"] ** 2, sizes["batch"] * sizes["features"]
    return Work(_label_bytes(sizes) + itemsize * vectors, itemsize * vectors, flops=2 * weights * sizes["batch"])


def _step_work(sizes: Sizes, itemsize: int) -> Work:
    # Labels once forward and once backward; x and u read, y and the gradient of x written.
    weights, vectors = sizes["features"] ** 2, sizes["batch"] * sizes["features"]
    read = 2 * (_label_bytes(sizes) + itemsize * vectors)
    return Work(read, 2 * itemsize * vectors, flops=6 * weights * sizes["batch"])


def _rest_work(sizes: Sizes, itemsize: int) -> Work:
    return Work(_label_bytes(sizes) + itemsize * (sizes["groups"] + sizes["features"]), 0)
