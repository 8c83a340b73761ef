"""How well an answer of least squares rests on its samples: fit, dependence, errors, and what to beware of."""

from __future__ import annotations

import numpy as np
import scipy

from equishare.linalg import pseudo_inverse, unit_scale
from equishare.problems.answers import Quality
from equishare.problems.estimates import BlockEstimate, gather_curvature
from equishare.problems.moments import Moments

# Belsley, Kuh and Welsch (1980): from a condition number of 30 on, collinearity harms estimates.
_COLLINEAR = 30.0
# Means of fewer samples have no variance to speak of.
_FEW_SAMPLES = 10
# A p-value near one must not outvote those of other outputs.
_MOST_P = 0.99
# Work of the standard errors of values, O G I², up to which the estimates' covariances are taken into account.
_MOST_WORK = 1 << 27


def quality(
    labels: np.ndarray,
    estimate: BlockEstimate | None,
    moments: tuple[Moments, Moments, Moments],
    maps: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    centred: bool,
    names: tuple[str, ...],
) -> Quality:
    """How well a pattern rests on the samples.

    Args:
        labels: (O, I) groups of the weights.
        estimate: of the unshared weights, from all samples; None where they do not determine them.
        moments: of the training samples, of the validation samples and of both.
        maps: (O, I) weights fitted on the training samples, with the pattern and without sharing.
        weights: (O,) of the outputs in the fit.
        centred: whether the moments are about the sample means.
        names: of the inputs; empty where there are none, and the weights are means.
    """
    train, val, pooled = moments
    is_map = bool(names)
    tied, free = maps
    loss, spread = (weights @ own for own in (val.losses(tied, train.bias(tied)), val.syy / val.count))
    return Quality(
        None if estimate is None else estimate.values + estimate.origin,
        None if estimate is None else np.sqrt(estimate.variance),
        None if estimate is None else _value_errors(labels, estimate, pooled.sxx, weights),
        float(1 - loss / spread) if is_map and spread > 0 else np.nan,
        dependence(pooled, centred) if is_map else np.nan,
        _loss_error(val, tied - free, val.losses(free, train.bias(free))),
        tuple(_notes(pooled, names)),
    )


def dependence(moments: Moments, centred: bool) -> float:
    """p-value of the test that no output depends on any input; NaN where there are too few samples for it.

    For each output the F test of all of its weights, joined by :func:`joined_p`.
    """
    return joined_p(_p_values(moments, centred))


def joined_p(p: np.ndarray) -> float:
    """One p-value for tests (O,) of one hypothesis; NaN for no tests.

    The Cauchy combination, which is right however the tests depend on each other (Liu and Xie 2020).
    """
    if p.size <= 1:
        return float(p[0]) if p.size else float("nan")
    p = np.minimum(p, _MOST_P)
    # tan((1/2 − p) π) overflows for small p, where it is 1 / (p π).
    total = np.mean(1 / np.tan(np.pi * p))
    return float(0.5 - np.arctan(total) / np.pi if total < 1e8 else 1 / (np.pi * total))


def _p_values(moments: Moments, centred: bool) -> np.ndarray:
    """p-value of the F test of each output that varies; none where there are too few samples."""
    scale = unit_scale(moments.sxx)
    rank = int(np.linalg.matrix_rank(moments.sxx / np.outer(scale, scale), hermitian=True))
    freedom = moments.count - rank - int(centred)
    if freedom < 1 or not rank:
        return np.empty(0)
    explained = np.clip(np.einsum("oi,oi->o", moments.least_squares(), moments.sxy), 0, moments.syy)
    varies = moments.syy > 0
    left = np.maximum(moments.syy - explained, np.finfo(float).eps * moments.syy)[varies]
    ratio = explained[varies] / rank / (left / freedom)
    return np.asarray(np.clip(scipy.special.fdtrc(rank, freedom, ratio), 1e-300, 1 - 1e-12))


def _value_errors(labels: np.ndarray, estimate: BlockEstimate, sxx: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(G,) standard errors of the values of weighted least squares: ``M⁻¹ AᵀWS Ω⁻¹ SWA M⁻¹`` with M = AᵀWSA.

    Ω⁻¹ is the covariance of the unshared estimates, W the weights of the outputs. Where that is too much work the
    estimates count as independent.
    """
    count = int(labels.max()) + 1
    if estimate.is_diagonal or labels.size * labels.shape[1] * count > _MOST_WORK:
        each = np.repeat(weights, labels.shape[1])
        total = np.bincount(labels.ravel(), each**2 * estimate.variance.ravel(), count)
        return np.asarray(np.sqrt(total) / np.bincount(labels.ravel(), each, count))
    covariance = np.zeros((count, count))
    inverse = pseudo_inverse(sxx)
    for row, scale, weight in zip(labels, estimate.scale.reshape(labels.shape), weights, strict=True):
        gathered = np.zeros((count, len(row)))
        np.add.at(gathered, row, weight * sxx)
        gathered /= scale
        covariance += gathered @ inverse @ gathered.T
    own = pseudo_inverse(gather_curvature(labels, count, sxx, np.sqrt(weights)[:, None]))
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ki->i", own, covariance, own), 0)))


def _loss_error(val: Moments, change: np.ndarray, noise: np.ndarray) -> float:
    """Standard error of the change of the loss that a change of the weights makes, for noise (O,) of those variances.

    ``L(W + D) − L(W) = −2 Σ eᵀ D x / n + Σ |D x|² / n``, whose first term varies with the noise e.
    """
    moved = np.sqrt(np.maximum(np.einsum("oi,ij,oj->o", change, val.sxx, change), 0) / val.count)
    parts = moved * np.sqrt(noise)
    # hypot does not square what may be large.
    return float(2 * np.hypot.reduce(parts) / np.sqrt(val.count) / len(change))


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
