"""A network without sharing as a dense estimate of the entries of one parameter, so that the evidence can propose."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from equishare.modes import twice_differentiable
from equishare.problems.base import Slot
from equishare.problems.estimates import BlockEstimate
from equishare.problems.network.replicas import Replicas, State, taken
from equishare.problems.network.samples import Batch

#: The most entries whose covariance is formed.
MOST_ENTRIES = 256
# Samples that the curvature is estimated from, and random directions for its trace.
_SAMPLES = 1024
_PROBES = 8
# Directions that the samples say nothing about still get this part of the mean precision.
_LEAST = 1e-4


def dense_estimate(
    replicas: Replicas, slot: Slot, lower: State, buffers: State, batch: Batch, num_train: int
) -> BlockEstimate | None:
    """What a trained replica says of the entries of a slot while its other parameters stay as they are.

    With the gradients g_n of the losses of single samples, J = mean(g gᵀ) and the Hessian H of the mean loss, a loss
    that is φ times a negative log likelihood has J = φ H. So ``φ = tr J / tr H`` is the scale of the noise, and
    the precision of the estimates from N training samples is ``N J / φ²``. The samples of ``batch`` are others: on
    those that the network was fitted to, residuals are too small.

    Args:
        replicas: of the model.
        slot: one whose single entries may be tied.
        lower, buffers: of one replica, all entries free.
        batch: samples.
        num_train: N.

    Returns:
        None where the model cannot be differentiated so, or the curvature is not positive.
    """
    names = {name for one in replicas.slots for name in one.names}
    ones = {name: t[None] for name, t in lower.items() if name in names}
    entries = taken(replicas.entries(ones, replicas.free_labels(1)), 0)
    fixed = {**{n: t for n, t in lower.items() if n not in names}, **entries, **buffers}
    (name,), shape = slot.names, slot.shapes[0]
    value = entries[name].detach()

    def loss(theta: Tensor, x: tuple[Tensor, ...], y: Tensor) -> Tensor:
        return replicas.loss(torch.func.functional_call(replicas.twin, {**fixed, name: theta}, x), y)

    def one(theta: Tensor, x: tuple[Tensor, ...], y: Tensor) -> Tensor:
        return loss(theta, tuple(t[None] for t in x), y[None])

    x, y = tuple(t[:_SAMPLES] for t in batch[0]), batch[1][:_SAMPLES]
    generator = torch.Generator().manual_seed(0)
    replicas.twin.eval()
    try:
        with twice_differentiable():
            gradients = vmap(grad(one), (None, 0, 0))(value, x, y).flatten(1)
            trace = 0.0
            for _ in range(_PROBES):
                probe = (torch.randint(2, value.shape, generator=generator) * 2 - 1).to(value)
                product = jvp(lambda theta: grad(loss)(theta, x, y), (value,), (probe,))[1]
                trace += float((probe * product).sum()) / _PROBES
    except Exception:  # whatever torch raises for what it cannot batch or differentiate twice
        return None
    g = gradients.double().cpu().numpy()
    spread = g.T @ g / len(g)
    total = float(np.trace(spread))
    if not (total > 0 and trace > 0 and np.isfinite(total / trace)):
        return None
    precision = num_train * spread * (trace / total) ** 2
    precision += _LEAST * np.trace(precision) / len(precision) * np.eye(len(precision))
    theta = value.double().cpu().numpy().reshape(shape)
    return BlockEstimate.dense(theta, np.linalg.inv(precision))
