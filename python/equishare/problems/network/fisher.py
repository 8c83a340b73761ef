"""A fit without sharing as an estimate of the entries, with the diagonal of the empirical Fisher information."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from equishare.modes import twice_differentiable
from equishare.problems.base import Slot
from equishare.problems.estimates import BlockEstimate, Weighted
from equishare.problems.network.memory import release
from equishare.problems.network.replicas import Replicas, State, taken
from equishare.problems.network.samples import Batch

# Samples that the curvature is estimated from, and numbers held at a time: the gradient of one sample, or many of
# small models.
_SAMPLES = 512
_AT_A_TIME = 1 << 20
# Random vectors that the trace of the Hessian is estimated from.
_PROBES = 4
#: The most entries whose covariance is formed.
MOST_DENSE = 256
# Directions that the samples say nothing about still get this part of the mean precision.
_LEAST_DENSE = 1e-4
# A coordinate that no sample depends on still gets this part of the mean precision.
_LEAST_WEIGHT = 1e-6
# Below this mean the samples depend on no coordinate at all.
_NOTHING = 1e-200


def fisher_estimates(replicas: Replicas, lower: State, buffers: State, batch: Batch) -> list[Weighted]:
    """The entries (K, C) of each slot at one replica, all free, with the precision that :func:`entry_weights` gives.

    Parameters that one assignment ties side by side stand side by side in C. The precision (K, C) of slices is that of
    rank one with the same sums over slices and over coordinates: of many coordinates few samples do not tell it
    one by one, and the slices that should be compared depend on their coordinates alike.
    """
    values, weights = flat_entries(replicas, lower), entry_weights(replicas, lower, buffers, batch)
    return [
        Weighted(one, _floored(_of_rank_one(weight) if slot.is_sliced else weight))
        for slot, one, weight in zip(replicas.slots, values, weights, strict=True)
    ]


def one_step_estimates(replicas: Replicas, lower: State, buffers: State, batch: Batch) -> list[Weighted]:
    """How far the entries (K, C) of each slot would go in one step of Fisher scoring, ``−g / J``, with precision J.

    g is the summed gradient of the samples, J the weight of :func:`entry_weights`. At a fit with everything tied,
    entries that should be equal go equally far. Empty where a model cannot be differentiated sample by sample.

    Source: Rao 1948 (the score test, of which g² / J is the statistic).
    """
    try:
        slopes, squares = _sums_of_powers(replicas, lower, buffers, batch, (1, 2))
    except Exception:  # whatever torch raises for what it cannot batch
        return []
    weights = [_floored(weight) for weight in _flat(replicas, squares)]
    return [Weighted(-slope / weight, weight) for slope, weight in zip(_flat(replicas, slopes), weights, strict=True)]


def calibrated_estimates(
    replicas: Replicas, lower: State, buffers: State, batch: Batch, num_train: int
) -> list[BlockEstimate]:
    """The same, with standard errors that hold whatever the unit of the loss.

    The precision of each slot is ``N/n · J (tr H / tr J)²`` for a fit to N training samples, with the diagonals J of
    the empirical Fisher information and H of the Hessian of the summed loss of n other samples: with a loss c times the
    negative log likelihood, J grows with c² and H with c. Where the curvature is not positive, J itself.

    Source: Huber 1967 (the covariance H⁻¹ J H⁻¹).
    """
    values, weights = flat_entries(replicas, lower), entry_weights(replicas, lower, buffers, batch)
    traces = _hessian_traces(replicas, lower, buffers, batch)
    found = []
    for one, weight, trace in zip(values, weights, traces, strict=True):
        ratio = trace / max(float(weight.sum(dtype=float)), np.finfo(float).tiny)
        scale = ratio * ratio if ratio > 0 and np.isfinite(ratio * ratio) else 1.0
        precision = _floored(weight.astype(float) * (scale * num_train / min(_SAMPLES, len(batch[1]))))
        found.append(BlockEstimate.weighted(one.astype(float), precision))
    return found


def _hessian_traces(replicas: Replicas, lower: State, buffers: State, batch: Batch) -> list[float]:
    """Trace of the Hessian of the summed loss, for each slot, from products with random signs (Hutchinson 1990).

    0 where there is no second derivative.
    """
    full = {name: t[0] for name, t in replicas.entries({n: t.detach()[None] for n, t in lower.items()}, {}).items()}
    shared = {name: full[name].requires_grad_() for slot in replicas.slots for name in slot.names}
    x, y = tuple(t[:_SAMPLES] for t in batch[0]), batch[1][:_SAMPLES]
    generator = torch.Generator().manual_seed(0)
    totals = dict.fromkeys(shared, 0.0)
    replicas.twin.eval()
    try:
        with twice_differentiable(), torch.enable_grad():
            output = torch.func.functional_call(replicas.twin, {**full, **buffers}, x)
            slopes = torch.autograd.grad(len(y) * replicas.loss(output, y), list(shared.values()), create_graph=True)
            for _ in range(_PROBES):
                signs = [torch.randint(0, 2, t.shape, generator=generator).to(t) * 2 - 1 for t in slopes]
                product = torch.stack([(g * v).sum() for g, v in zip(slopes, signs, strict=True)]).sum()
                seconds = torch.autograd.grad(product, list(shared.values()), retain_graph=True, allow_unused=True)
                for name, v, h in zip(shared, signs, seconds, strict=True):
                    totals[name] += 0.0 if h is None else float((v * h).sum()) / _PROBES
    except RuntimeError:  # a loss that is linear, or a kernel that is differentiable once
        return [0.0] * len(replicas.slots)
    return [sum(totals[name] for name in slot.names) for slot in replicas.slots]


def _floored(weights: np.ndarray) -> np.ndarray:
    """Weights (K, C) as precisions; a coordinate that no sample depends on keeps a little."""
    mean = float(weights.mean(dtype=float))
    return np.maximum(weights, _LEAST_WEIGHT * (mean if mean > _NOTHING else 1.0), dtype=weights.dtype)


def _of_rank_one(weights: np.ndarray) -> np.ndarray:
    """Weights (K, C) of rank one, with the same sums over rows and over columns."""
    rows, columns = weights.sum(1, keepdims=True), weights.sum(0)
    return rows * (columns / max(float(columns.sum()), _NOTHING))


def dense_estimate(
    replicas: Replicas, lower: State, buffers: State, batch: Batch, num_train: int
) -> BlockEstimate | None:
    """The entries of the one slot of a model at one replica, with all of J in place of its diagonal.

    ``N/n · J (tr H / tr J)²`` is the precision of a fit to N training samples, for sums J and H over n samples that it
    was not fitted to: on its own samples residuals are too small.

    Args:
        replicas: of the model, with one slot: a parameter whose single entries may be tied, or slices.
        lower, buffers: of one replica, all entries free.
        batch: n samples.
        num_train: N.

    Returns:
        The estimate, of slices (K, C). None where the model has no gradients of single samples, or its curvature is not
        positive.
    """
    (slot,) = replicas.slots
    (trace,) = _hessian_traces(replicas, lower, buffers, batch)
    try:
        parts = [_flat_of(slot, one, 1).flatten(1) for one in _sample_gradients(replicas, lower, buffers, batch)]
    except Exception:  # whatever torch raises for what it cannot batch
        return None
    gradients = torch.cat(parts).double().cpu().numpy()
    information = gradients.T @ gradients
    total = float(np.trace(information))
    if not (total > 0 and trace > 0 and np.isfinite(total / trace)):
        return None
    precision = num_train / len(gradients) * information * (trace / total) ** 2
    precision += _LEAST_DENSE * np.trace(precision) / len(precision) * np.eye(len(precision))
    values = flat_entries(replicas, lower)[0].astype(float)
    return BlockEstimate.dense(values if slot.is_sliced else values.reshape(slot.shapes[0]), np.linalg.inv(precision))


def entry_weights(replicas: Replicas, lower: State, buffers: State, batch: Batch) -> list[np.ndarray]:
    """``Σ_n (∂ loss_n / ∂θ)²`` (K, C) of each assignment at one replica, whose entries are all free.

    Parameters that one assignment ties side by side stand side by side in C. Where a model cannot be
    differentiated sample by sample, all weights are 1.
    """
    try:
        (squares,) = _sums_of_powers(replicas, lower, buffers, batch, (2,))
    except Exception:  # whatever torch raises for what it cannot batch
        squares = {name: torch.ones_like(t) for name, t in _entries(replicas, lower).items()}
    return _flat(replicas, squares)


def _sums_of_powers(
    replicas: Replicas, lower: State, buffers: State, batch: Batch, powers: tuple[int, ...]
) -> list[State]:
    """``Σ_n (∂ loss_n / ∂θ)^p`` of the shared parameters, for each power p."""
    values = _entries(replicas, lower)
    sums = [{name: torch.zeros_like(t) for name, t in values.items()} for _ in powers]
    for gradients in _sample_gradients(replicas, lower, buffers, batch):
        for own, power in zip(sums, powers, strict=True):
            for name, g in gradients.items():
                own[name] += g.pow(power).sum(0)
    release(values.values())
    return sums


def _sample_gradients(replicas: Replicas, lower: State, buffers: State, batch: Batch) -> Iterator[State]:
    """Gradients (n, ...) of the losses of single samples with respect to the shared parameters, part by part."""
    values = _entries(replicas, lower)
    others = {name: t for name, t in lower.items() if name not in values}

    def one(values: State, x: tuple[Tensor, ...], y: Tensor) -> Tensor:
        state = {**others, **values, **buffers}
        return replicas.loss(torch.func.functional_call(replicas.twin, state, tuple(t[None] for t in x)), y[None])

    x, y = tuple(t[:_SAMPLES] for t in batch[0]), batch[1][:_SAMPLES]
    step = max(1, _AT_A_TIME // max(1, sum(t.numel() for t in values.values())))
    replicas.twin.eval()
    for i in range(0, len(y), step):
        part = slice(i, i + step)
        with twice_differentiable():
            yield vmap(grad(one), (None, 0, 0))(values, tuple(t[part] for t in x), y[part])


def _entries(replicas: Replicas, lower: State) -> State:
    """The shared parameters of one replica, all entries free."""
    names = {name for slot in replicas.slots for name in slot.names}
    return taken(replicas.entries({name: t[None] for name, t in lower.items() if name in names}, {}), 0)


def flat_entries(replicas: Replicas, lower: State) -> list[np.ndarray]:
    """Entries (K, C) of each assignment at one replica, all free, tied parameters side by side."""
    return _flat(replicas, _entries(replicas, lower))


def _flat(replicas: Replicas, parameters: State) -> list[np.ndarray]:
    flat = []
    for slot in replicas.slots:
        joined = _flat_of(slot, parameters, 0)
        flat.append((joined if joined.dtype == torch.float64 else joined.float()).cpu().numpy())
    return flat


def _flat_of(slot: Slot, parameters: State, first: int) -> Tensor:
    """(…, K, C) entries of a slot, where so many axes come before those of the parameters."""
    columns = []
    for name, dim in zip(slot.names, slot.axes, strict=True):
        entries = parameters[name].detach()
        own = entries if dim is None else entries.movedim(dim + first, first)
        columns.append(own.reshape(*own.shape[:first], slot.num_entries, -1))
    return torch.cat(columns, -1) if len(columns) > 1 else columns[0]
