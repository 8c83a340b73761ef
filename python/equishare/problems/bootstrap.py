"""Resamples of a least-squares problem, drawn from its statistics: data of the same kind with new noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from equishare.problems.estimates import BlockEstimate
from equishare.problems.moments import Moments

# Eigenvalues of a scatter matrix (unit diagonal) below this part of the largest are rounding errors.
_RANK = 1e-13
# With up to so many entries the variance of the noise is doubled. The misfit of K entries then lies √(K/2) standard
# deviations above its expectation. With more entries less noise is added, so that this distance stays that of 90.
_FULL_NOISE = 90


def resampled_moments(
    splits: tuple[Moments, Moments], estimate: BlockEstimate, has_bias: bool, rng: np.random.Generator
) -> tuple[tuple[Moments, Moments], BlockEstimate]:
    """A parametric bootstrap of the unshared estimates, training and validation samples independently.

    With Ŵ the least-squares weights of a split, S its scatter and d the estimate's scale,

        W* = Ŵ + N(0, c diag(d_o)⁻¹ S⁻¹ diag(d_o)⁻¹),    ȳ* = ȳ + N(0, c σ_o² / n),    1/σ_o² = mean of d_o²,

    row by row, c = min(1, √(90/K)) for K entries. Three things stay as they are: the scatter of the inputs, the sums of
    squared residuals, and the variances that the estimate states.

    So with c = 1 a resample holds the noise twice, and its estimate states it once. Equal entries scatter with twice
    the variance that is stated, unequal ones with more, and only ties that the data support firmly are found again. If
    the estimate stated all of the noise, entries that the data cannot tell apart would be tied on every resample. With
    many entries a smaller surplus is enough for that, so less is added.

    Args:
        splits: moments of the training and of the validation samples.
        estimate: of both splits together.
        has_bias: whether the moments are centred.
        rng: draws the noise.

    Returns:
        Moments of the splits and the estimate of the resample.
    """
    scale = estimate.scale / min(1.0, (_FULL_NOISE / estimate.values.size) ** 0.25)
    scale = scale.reshape(splits[0].sxy.shape)
    train, val = (_perturbed(moments, scale, has_bias, rng) for moments in splits)
    values = train.pooled_with(val).least_squares().reshape(estimate.values.shape)
    return (train, val), replace(estimate, values=values)


def _perturbed(moments: Moments, scale: np.ndarray, has_bias: bool, rng: np.random.Generator) -> Moments:
    weight = moments.least_squares()
    residual = moments.syy - (moments.sxy * weight).sum(1)
    weight = weight + rng.standard_normal(weight.shape) @ _root_of_inverse(moments.sxx).T / scale
    y_mean = moments.y_mean
    if has_bias:
        noise = 1 / np.sqrt((scale**2).mean(1) * moments.count)
        y_mean = y_mean + noise * rng.standard_normal(len(noise))
    sxy = weight @ moments.sxx
    return replace(moments, sxy=sxy, syy=np.maximum(residual, 0) + (sxy * weight).sum(1), y_mean=y_mean)


def _root_of_inverse(sxx: np.ndarray) -> np.ndarray:
    """R with R Rᵀ the inverse of ``sxx``, zero in the directions that the inputs leave open."""
    spread = np.sqrt(np.diag(sxx))
    spread = np.where(spread > 0, spread, 1.0)
    eigenvalues, vectors = np.linalg.eigh(sxx / np.outer(spread, spread))
    known = eigenvalues > _RANK * max(eigenvalues[-1], 1)
    return vectors * np.where(known, 1 / np.sqrt(np.where(known, eigenvalues, 1.0)), 0.0) / spread[:, None]
