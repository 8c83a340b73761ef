"""How well an answer of least squares rests on its samples: fit, dependence, errors, and what to beware of."""

from __future__ import annotations

import numpy as np
from scipy.special import fdtrc

from equishare.linalg import pseudo_inverse, unit_scale
from equishare.problems.base import Quality
from equishare.problems.estimates import BlockEstimate
from equishare.problems.moments import Moments

# Belsley, Kuh and Welsch (1980): from a condition number of 30 on, collinearity harms estimates.
_COLLINEAR = 30.0
# Means of fewer samples have no variance to speak of.
_FEW_SAMPLES = 10
# The standard errors of the values need a matrix of so many groups.
_MOST_GROUPS = 256


def quality(
    labels: np.ndarray,
    estimate: BlockEstimate | None,
    moments: tuple[Moments, Moments, Moments],
    weights: tuple[np.ndarray, np.ndarray],
    centred: bool,
    names: tuple[str, ...],
) -> Quality:
    """How well a pattern rests on the samples.

    Args:
        labels: (O, I) groups of the weights.
        estimate: of the unshared weights, from all samples; None where they do not determine them.
        moments: of the training samples, of the validation samples and of both.
        weights: (O, I) weights fitted on the training samples, with the pattern and without sharing.
        centred: whether the moments are about the sample means.
        names: of the inputs; empty where there are none, and the weights are means.
    """
    train, val, pooled = moments
    is_map = bool(names)
    tied, free = weights
    loss = val.loss(tied, train.bias(tied))
    spread = val.syy.mean() / val.count
    return Quality(
        None if estimate is None else estimate.values + estimate.origin,
        None if estimate is None else np.sqrt(estimate.variance),
        None if estimate is None else _value_errors(labels, estimate),
        float(1 - loss / spread) if is_map and spread > 0 else np.nan,
        dependence(pooled, centred) if is_map else np.nan,
        _loss_error(val, tied - free, val.loss(free, train.bias(free))),
        tuple(_notes(pooled, names)),
    )


def dependence(moments: Moments, centred: bool) -> float:
    """p-value of the test that no output depends on any input; NaN where there are too few samples for it.

    For each output the F test of all of its weights; their p-values are joined by the Cauchy combination, which is
    right however the outputs depend on each other (Liu and Xie 2020).
    """
    inputs = moments.sxx.shape[0]
    freedom = moments.count - inputs - int(centred)
    if freedom < 1:
        return float("nan")
    explained = np.clip(np.einsum("oi,oi->o", moments.least_squares(), moments.sxy), 0, moments.syy)
    varies = moments.syy > 0
    if not varies.any():
        return float("nan")
    left = np.maximum(moments.syy - explained, np.finfo(float).eps * moments.syy)[varies]
    p = np.clip(fdtrc(inputs, freedom, explained[varies] / inputs / (left / freedom)), 1e-300, 1 - 1e-12)
    # tan((1/2 − p) π) overflows for small p, where it is 1 / (p π).
    total = np.mean(1 / np.tan(np.pi * p))
    return float(0.5 - np.arctan(total) / np.pi if total < 1e8 else 1 / (np.pi * total))


def _value_errors(labels: np.ndarray, estimate: BlockEstimate) -> np.ndarray:
    """(G,) standard errors: those of generalised least squares, or of independent entries where groups are many."""
    count = int(labels.max()) + 1
    if count <= _MOST_GROUPS and not estimate.is_diagonal:
        _, precision = estimate.gather(labels.reshape(estimate.values.shape), count)
        return np.asarray(np.sqrt(np.maximum(np.diag(pseudo_inverse(precision)), 0)))
    return np.asarray(1 / np.sqrt(np.bincount(labels.ravel(), 1 / estimate.variance.ravel(), count)))


def _loss_error(val: Moments, change: np.ndarray, noise: float) -> float:
    """Standard error of the change of the loss that a change of the weights makes, for noise of that variance.

    ``L(W + D) − L(W) = −2 Σ eᵀ D x / n + Σ |D x|² / n``, whose first term varies with the noise e.
    """
    moved = np.einsum("oi,ij,oj->", change, val.sxx, change) / change.shape[0]
    return float(2 * np.sqrt(max(moved, 0)) * np.sqrt(noise / change.shape[0]) / val.count)


def _notes(pooled: Moments, names: tuple[str, ...]) -> list[str]:
    count, inputs = pooled.count, pooled.sxx.shape[0]
    if not names:
        return [f"There are few samples, {count}."] if count < _FEW_SAMPLES else []
    found = []
    if count < 2 * (inputs + 1):
        found.append(f"There are few samples: {count} for {inputs} inputs.")
    scale = unit_scale(pooled.sxx)
    eigenvalues, vectors = np.linalg.eigh(pooled.sxx / np.outer(scale, scale))
    if inputs > 1 and eigenvalues[-1] > _COLLINEAR**2 * max(eigenvalues[0], 0) and count > inputs:
        part = np.abs(vectors[:, 0])
        alike = np.flatnonzero(part > 0.3 * part.max())[:5]
        found.append(
            f"Some inputs are nearly combinations of others ({', '.join(names[i] for i in alike)}): their weights are "
            "hard to tell apart."
        )
    return found
