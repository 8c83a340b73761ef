"""Rows of what surrounds the kernels: the cost of a call, and a step on reused buffers without autograd."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from equishare import ops, reference
from equishare.lab.bench.case import Case, Contenders, Sizes, Work, at_most
from equishare.lab.bench.soft import draw, forward_work, step_work
from equishare.ops import _soft_rules as rules


def call_cases() -> list[Case]:
    """Call overhead and owned loops."""
    small, large = {"rows": 128, "groups": 128}, {"rows": 4096, "groups": 4096}
    return [
        Case(
            "soft_gather call 128x128, recorded",
            "soft_gather call",
            small,
            _make_call,
            forward_work,
            "bare Function",
            (at_most("overhead", 5.0),),
        ),
        Case(
            "soft_step 4096x4096, reused buffers",
            "soft_step",
            large,
            _make_step,
            soft_step_work,
            required=(at_most("floor", 2.0),),
        ),
        Case("relax step 4096x4096, reused buffers", "relax step", large, _make_relax, step_work, gradients=True),
    ]


def _make_call(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    # Forward with gradients recorded: what the checks and the dispatch add to the autograd Function alone. Of a size
    # above that up to which soft_gather is the plain composition.
    logits, values, _ = draw(generator, sizes, dtype)
    logits.requires_grad_()
    values.requires_grad_()
    bare = rules.soft_gather._eager.apply
    return Contenders(lambda: (ops.soft_gather(logits, values),), lambda: (bare(logits, values),))


def _make_step(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    logits, values, u = draw(generator, sizes, dtype)
    weights = torch.ones((), dtype=dtype), torch.full((), 1 / sizes["rows"], dtype=dtype)
    result = ops.soft_step_forward(logits, values)
    gradients = torch.empty_like(logits), torch.empty_like(values)

    def ours() -> tuple[Tensor, ...]:
        step = ops.soft_step_forward(logits, values, out=result)
        ops.soft_step_backward(logits, values, step, u, *weights, out=gradients)
        return step.theta, step.entropy, step.column_norm, *gradients

    leaves = logits.clone().requires_grad_(), values.clone().requires_grad_()

    def eager() -> tuple[Tensor, ...]:
        for leaf in leaves:
            leaf.grad = None
        theta = reference.soft_gather(*leaves)
        entropy, column_norm = reference.assignment_penalties(leaves[0])
        torch.autograd.backward((theta, entropy, column_norm), (u, *weights))
        return theta, entropy, column_norm, *(leaf.grad for leaf in leaves if leaf.grad is not None)

    return Contenders(ours, eager)


def soft_step_work(sizes: Sizes, itemsize: int) -> Work:
    """That of a step of soft_gather, whose logits the penalties share; per logit, 14 operations for them besides."""
    work = step_work(sizes, itemsize)
    return replace(work, flops=work.flops + 14 * sizes["rows"] * sizes["groups"])


def _make_relax(generator: torch.Generator, sizes: Sizes, dtype: torch.dtype) -> Contenders:
    logits, _, u = draw(generator, {**sizes, "batch": 1}, dtype)
    x = torch.randn(u.shape, generator=generator).to(dtype)
    weights = torch.ones(1, dtype=dtype), torch.full((1,), 1 / sizes["rows"], dtype=dtype)
    relaxation = ops.relax_forward(logits, x)
    gradient = torch.empty_like(logits)

    def ours() -> tuple[Tensor, ...]:
        r = ops.relax_forward(logits, x, out=relaxation)
        ops.relax_backward(logits, x, r, u, *weights, out=gradient)
        return r.theta, r.entropy, r.column_norm, gradient

    leaf = logits.clone().requires_grad_()

    def eager() -> tuple[Tensor, ...]:
        leaf.grad = None
        theta = reference.soft_project(leaf, x)
        entropy, column_norm = reference.assignment_penalties(leaf)
        torch.autograd.backward((theta, entropy, column_norm), (u, *weights))
        assert leaf.grad is not None
        return theta, entropy, column_norm, leaf.grad

    return Contenders(ours, eager)
