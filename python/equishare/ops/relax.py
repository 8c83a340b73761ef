"""One step of the relaxed upper level on reused buffers, without autograd.

    θ = A ψ,  ψ = diag(1 / colsum A) Aᵀ x,  A = softmax(Λ)

for a batch of problems at once, and the gradient of ``Σ U(θ) + w_e · entropy + w_n · column norm`` in Λ.
Tensors are contiguous float32 or float64 on the CPU, or on a CUDA device for which there are kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equishare import reference
from equishare._native import kernels, launch, serves
from equishare.checks import below_one, count, not_negative
from equishare.ops._checks import check_apart, check_buffers
from equishare.ops._memory import output, output_like


@dataclass(frozen=True)
class Relaxation:
    """Results of :func:`relax_forward`, and what :func:`relax_backward` reads of it.

    ``workspace`` holds A in an order of the kernels' own; it belongs to the logits' shape and dtype.
    """

    theta: Tensor  # (B, K)
    psi: Tensor  # (B, G), 0 for a group that no entry uses
    colsum: Tensor  # (B, G)
    entropy: Tensor  # (B,)
    column_norm: Tensor  # (B,)
    workspace: Tensor


def relax_forward(logits: Tensor, x: Tensor, out: Relaxation | None = None) -> Relaxation:
    """Entries, values and penalties of soft assignments.

    Args:
        logits: (B, K, G).
        x: (B, K) estimates.
        out: result of an earlier call of the same shape and dtype, to be overwritten; in memory of its own.

    Raises:
        ValueError: if a shape, dtype, device or layout does not fit, or memory that is written is another argument's.
    """
    batch, _, groups, _ = sizes = _check(logits, x=x)
    if out is None:
        size = _workspace(logits, sizes)
        out = Relaxation(
            theta=torch.empty_like(x),
            psi=logits.new_empty((batch, groups)),
            colsum=logits.new_empty((batch, groups)),
            entropy=logits.new_empty((batch,)),
            column_norm=logits.new_empty((batch,)),
            workspace=output(logits, (size,)),
        )
    else:
        _check_relaxation(logits, out)
        check_apart(vars(out), {"logits": logits, "x": x})
    results = (out.theta, out.psi, out.colsum, out.entropy, out.column_norm, out.workspace)
    if serves(logits):
        launch("relax_forward", logits, sizes, (logits, x, *results))
    else:
        with torch.no_grad():
            for into, result in zip(results, reference.relax(logits, x), strict=False):
                into.copy_(result)
    return out


def relax_backward(
    logits: Tensor,
    x: Tensor,
    relaxation: Relaxation,
    u: Tensor,
    entropy_weight: Tensor,
    column_norm_weight: Tensor,
    out: Tensor | None = None,
) -> Tensor:
    """Gradient in the logits of ``Σ_b U + entropy_weight · entropy + column_norm_weight · column_norm``.

    Args:
        logits: (B, K, G), as :func:`relax_forward` had them.
        x: (B, K), as :func:`relax_forward` had them.
        relaxation: its result.
        u: (B, K) dU/dθ.
        entropy_weight: (B,).
        column_norm_weight: (B,).
        out: (B, K, G), overwritten; in memory of its own, and None allocates it.

    Raises:
        ValueError: if a shape, dtype, device or layout does not fit, or out is the memory of another argument.
    """
    if out is None:
        out = output_like(logits)
    _check_relaxation(logits, relaxation)
    sizes = _check(
        logits,
        x=x,
        u=u,
        entropy_weight=entropy_weight,
        column_norm_weight=column_norm_weight,
        out=out,
    )
    weights = (u, entropy_weight, column_norm_weight)
    check_apart({"out": out}, {"logits": logits, **_read(x, relaxation, weights)})
    if serves(logits):
        launch("relax_backward", logits, sizes, (logits, x, *weights, relaxation.workspace, out, None, *_NO_STEP))
        return out
    return out.copy_(_gradient(logits, x, weights))


def relax_moments(logits: Tensor) -> Tensor:
    """Adam's two moments for :func:`relax_adam_step`, at zero, in an order of the kernels' own."""
    return logits.new_zeros((_moments(logits, _check(logits)),))


def relax_adam_step(
    logits: Tensor,
    x: Tensor,
    relaxation: Relaxation,
    u: Tensor,
    entropy_weight: Tensor,
    column_norm_weight: Tensor,
    moments: Tensor,
    *,
    step: int,
    rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> None:
    """One Adam step of the logits, in place, along the gradient of :func:`relax_backward`.

    The gradient is never stored. ``relaxation`` holds the results before the step.

    Args:
        logits: (B, K, G), changed in place.
        x: (B, K), as :func:`relax_forward` had them.
        relaxation: its result at these logits.
        u: (B, K) dU/dθ.
        entropy_weight: (B,).
        column_norm_weight: (B,).
        moments: from :func:`relax_moments`, changed in place.
        step: 1 at the first step.
        rate: learning rate, 0 or more.
        betas: decay of the first and of the second moment, from 0 to below 1.
        epsilon: added to the root of the second moment, 0 or more.

    Raises:
        ValueError: if a shape, dtype, device or layout does not fit, a number is not as above (NaN is none), or logits
            or moments are the memory of another argument.

    Source: Kingma and Ba 2015, as torch.optim.Adam.
    """
    count("step", step)
    not_negative("rate", rate)
    for i, beta in enumerate(betas):
        below_one(f"betas[{i}]", beta)
    not_negative("epsilon", epsilon)
    _check_relaxation(logits, relaxation)
    sizes = _check(
        logits,
        x=x,
        u=u,
        entropy_weight=entropy_weight,
        column_norm_weight=column_norm_weight,
    )
    _check_state("moments", moments, _moments(logits, sizes), logits, "relax_moments")
    weights = (u, entropy_weight, column_norm_weight)
    check_apart({"logits": logits, "moments": moments}, _read(x, relaxation, weights))
    corrections = (1 - betas[0] ** step, 1 - betas[1] ** step)
    scalars = (rate, *betas, epsilon, *corrections)
    if serves(logits):
        launch("relax_backward", logits, sizes, (logits, x, *weights, relaxation.workspace, None, moments, *scalars))
        return
    gradient = _gradient(logits, x, weights)
    with torch.no_grad():
        first, second = moments.view(2, *logits.shape)
        first.lerp_(gradient, 1 - betas[0])
        second.lerp_(gradient * gradient, 1 - betas[1])
        root = (second / corrections[1]).sqrt_().add_(epsilon)
        logits.addcdiv_(first, root, value=-rate / corrections[0])


def _read(x: Tensor, relaxation: Relaxation, weights: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {
        "x": x,
        **vars(relaxation),
        **dict(zip(("u", "entropy_weight", "column_norm_weight"), weights, strict=True)),
    }


def _gradient(logits: Tensor, x: Tensor, weights: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    cotangents = (weights[0], None, None, *weights[1:])
    return reference.pullback(lambda logits: reference.relax(logits, x), (logits,), cotangents)[0]


def _workspace(logits: Tensor, sizes: tuple[int, ...]) -> int:
    return kernels(logits).relax_workspace(*sizes) if serves(logits) else 0


def _moments(logits: Tensor, sizes: tuple[int, ...]) -> int:
    return kernels(logits).relax_moments(*sizes) if serves(logits) else 2 * logits.numel()


def _check_relaxation(logits: Tensor, r: Relaxation) -> None:
    results = {"theta": r.theta, "psi": r.psi, "colsum": r.colsum, "entropy": r.entropy, "column_norm": r.column_norm}
    sizes = _check(logits, **results)
    _check_state("workspace", r.workspace, _workspace(logits, sizes), logits, "relax_forward")


def _check_state(name: str, state: Tensor, size: int, logits: Tensor, origin: str) -> None:
    # What only the kernels can read: as they made it, on a whole cache line.
    fits = state.shape == (size,) and state.dtype == logits.dtype and state.device == logits.device
    if not fits or state.data_ptr() % 64:
        raise ValueError(
            f"{name} must be the {size} {logits.dtype} numbers of {origin} with logits of this shape and dtype, got "
            f"{state.dtype} {tuple(state.shape)}"
        )


_NO_STEP = (0.0,) * 6  # the numbers of Adam where the gradient is asked for


def _check(logits: Tensor, **others: Tensor) -> tuple[int, ...]:
    check_buffers("B", logits, **others)
    return (*logits.shape, 1)
