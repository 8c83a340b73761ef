"""Estimates of unshared entries with their precision, and the shared values of a pattern that fit them best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from equishare import reference
from equishare._native import core
from equishare.linalg import solve
from equishare.problems.base import Estimate, Problem

# An estimate of another class is made dense, which takes the square of its number of entries.
_MOST_DENSE = 4096
#: Groups whose values may covary, at most: their precision is held as a matrix, and factored.
MOST_GROUPS = 4096


class Weighted(NamedTuple):
    """Estimates of entries that do not covary, in the numbers that a network has: millions of them take much memory.

    Attributes:
        values: of the entries, (K, C).
        precision: of each, that is the inverse of its variance.
    """

    values: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class BlockEstimate:
    """An :class:`Estimate` whose precision Ω is block-diagonal, with blocks ``diag(d_b) S diag(d_b)`` of one size L.

    Blocks are consecutive entries: the rows of a linear map, one entry each for means (L = 1), all entries for a dense
    precision (L = K).

    Attributes:
        values: ŵ in the shape of the parameter.
        variance: of each value.
        freedom: degrees of freedom of the noise level.
        curvature: S (L, L), or one for each block (B, L, L).
        scale: d in the shape of the parameter.
        origin: number that was subtracted from the values, and is added to those of the answer.
        inflation: by how much noise that the blocks have in common multiplies the variance of a misfit
            ``(ŵ − Aψ)ᵀ Ω (ŵ − Aψ)``; 1 where the blocks are independent, as Ω states. Its expectation does not change.
    """

    values: np.ndarray
    variance: np.ndarray
    freedom: float
    curvature: np.ndarray
    scale: np.ndarray
    origin: float = 0.0
    inflation: float = 1.0

    @classmethod
    def dense(cls, values: np.ndarray, covariance: np.ndarray, freedom: float = np.inf) -> BlockEstimate:
        """Estimates of any shape with K entries, and their covariance (K, K), positive definite."""
        values, covariance = np.asarray(values, float), np.asarray(covariance, float)
        if covariance.shape != (values.size, values.size):
            raise ValueError(f"covariance must have shape {(values.size,) * 2}, got {covariance.shape}")
        _check(values, np.diag(covariance), freedom)
        if not np.allclose(covariance, covariance.T) or not np.linalg.eigvalsh(covariance)[0] > 0:
            raise ValueError("covariance must be symmetric and positive definite")
        variance = np.diag(covariance).reshape(values.shape)
        return cls(values, variance, float(freedom), np.linalg.inv(covariance), np.ones(values.shape))

    @classmethod
    def diagonal(cls, values: np.ndarray, variance: np.ndarray, freedom: float = np.inf) -> BlockEstimate:
        """Independent estimates of any shape, and the variance of each."""
        values, variance = np.asarray(values, float), np.asarray(variance, float)
        if variance.shape != values.shape:
            raise ValueError(f"variance must have the shape of values, {values.shape}, got {variance.shape}")
        _check(values, variance, freedom)
        return cls(values, variance, float(freedom), np.ones((1, 1)), 1 / np.sqrt(variance))

    @classmethod
    def weighted(cls, values: np.ndarray, precision: np.ndarray) -> BlockEstimate:
        """Independent estimates of any shape with a known precision, that is the inverse of the variance of each."""
        return cls(values, 1 / precision, np.inf, np.ones((1, 1)), np.sqrt(precision))

    @property
    def is_diagonal(self) -> bool:
        """Whether the estimates do not covary."""
        return self.curvature.shape[-1] == 1

    @property
    def log_det(self) -> float:
        """log det Ω."""
        own = np.linalg.slogdet(self.curvature)[1]
        shared = self.scale.size // self.curvature.shape[-1] if self.curvature.ndim == 2 else 1
        return float(2 * np.log(self.scale).sum() + shared * np.sum(own))

    @property
    def _has_equal_blocks(self) -> bool:
        scale = self.blocks(self.scale)
        return self.curvature.ndim == 2 and bool(np.allclose(scale, scale[0], rtol=1e-12))

    @property
    def size_widened(self) -> int:
        """Numbers in the precision of :meth:`widened`: of one block where all are equal, else of all."""
        return self.curvature.shape[-1] * (self.curvature.shape[-1] if self._has_equal_blocks else self.values.size)

    def widened(self, spread: float) -> BlockEstimate:
        """The same where entries need not be equal but scatter about their value: covariance ``Ω⁻¹ + spread² I``."""
        variance = self.variance + spread**2
        if self.is_diagonal:
            precise = 1 / (1 / self.precision + spread**2)
            return replace(self, variance=variance, curvature=np.ones((1, 1)), scale=np.sqrt(precise))
        scale, same = self.blocks(self.scale), self._has_equal_blocks
        inverse = 1 / (scale[:1] if same else scale)
        covariance = np.linalg.inv(self.curvature) * (inverse[:, :, None] * inverse[:, None, :])
        curvature = np.linalg.inv(covariance + spread**2 * np.eye(scale.shape[1]))
        curvature = curvature[0] if same else curvature
        return replace(self, variance=variance, curvature=curvature, scale=np.ones(self.values.shape))

    @cached_property
    def precision(self) -> np.ndarray:
        """Diagonal of Ω in the shape of ``values``: the precision of each entry given all others."""
        diagonal = np.diagonal(self.curvature, axis1=-2, axis2=-1)
        return (self.blocks(self.scale) ** 2 * diagonal).reshape(self.values.shape)

    def blocks(self, entries: np.ndarray) -> np.ndarray:
        """Entries (…, K) or (…, *shape) as (…, B, L)."""
        lead = entries.shape[: entries.ndim - self.values.ndim]
        return entries.reshape(*lead, -1, self.curvature.shape[-1])

    def apply(self, w: np.ndarray) -> np.ndarray:
        """``Ω w`` for w of the shape of ``values``, or with leading axes."""
        if self.is_diagonal:
            return w * self.precision
        scale = self.blocks(self.scale)
        scaled = self.blocks(w) * scale
        product = (
            scaled @ self.curvature if self.curvature.ndim == 2 else (scaled[..., None, :] @ self.curvature)[..., 0, :]
        )
        return (product * scale).reshape(w.shape)

    def gather(self, labels: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
        """``AᵀΩŵ`` (G,) and ``AᵀΩA`` (G, G) for the assignment A of labels in the shape of ``values``."""
        precision = gather_curvature(self.blocks(labels), num_groups, self.curvature, self.blocks(self.scale))
        return np.bincount(labels.ravel(), self.apply(self.values).ravel(), num_groups), precision

    def totals(self, labels: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
        """``AᵀΩŵ`` (G,) and the diagonal (G,) of ``AᵀΩA`` of estimates that do not covary, where it is all there is."""
        own = self.precision.ravel()
        pulls = own * self.values.ravel()
        return np.bincount(labels.ravel(), pulls, num_groups), np.bincount(labels.ravel(), own, num_groups)


def _check(values: np.ndarray, variance: np.ndarray, freedom: float) -> None:
    if not np.isfinite(values).all():
        raise ValueError("values of an estimate must be finite")
    if not (np.isfinite(variance).all() and (variance > 0).all()):
        raise ValueError("variances of an estimate must be finite and above 0")
    if not freedom > 0:
        raise ValueError(f"freedom must be above 0, got {freedom}")


def blocks_of(problem: Problem, on: str = "all") -> BlockEstimate:
    """The estimate of a problem's one parameter.

    Args:
        problem: that has it.
        on: as in :meth:`equishare.problems.Problem.estimate`.

    Raises:
        ValueError: there is no estimate, or there are several parameters.
    """
    estimate = problem.estimate(on=on)
    if estimate is None or len(problem.slots) != 1:
        names = ", ".join(repr(slot.key) for slot in problem.slots)
        what = f"{len(problem.slots)} parameters, {names}" if len(problem.slots) != 1 else "no estimate of the entries"
        raise ValueError(
            f"this method needs the estimate of one parameter, and a {type(problem).__name__} has {what}: "
            f"give a method that does without (see docs/extending.md)"
        )
    size = problem.slots[0].num_entries
    if estimate.values.size != size:
        raise ValueError(
            f"estimate of a {type(problem).__name__} must have a value for each of {size} entries, "
            f"got {estimate.values.size}"
        )
    return as_blocks(estimate)


def as_blocks(estimate: Estimate) -> BlockEstimate:
    """An estimate of any class as a :class:`BlockEstimate`; where it is none, one dense block.

    Raises:
        ValueError: an estimate of another class has more than 4096 entries.
    """
    if isinstance(estimate, BlockEstimate):
        return estimate
    size = estimate.values.size
    if size > _MOST_DENSE:
        raise ValueError(
            f"an Estimate without blocks may have at most {_MOST_DENSE} entries, got {size}: return a BlockEstimate"
        )
    _, precision = estimate.gather(np.arange(size).reshape(estimate.values.shape), size)
    return BlockEstimate(
        estimate.values, estimate.variance, estimate.freedom, precision, np.ones(estimate.values.shape)
    )


def gather_curvature(labels: np.ndarray, num_groups: int, curvature: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """``Aᵀ H A`` (G, G) for the block-diagonal H with blocks ``diag(scale[b]) curvature diag(scale[b])``.

    Args:
        labels: (B, L) group of each entry.
        num_groups: G.
        curvature: (L, L), or (B, L, L); symmetric.
        scale: (B, L), or anything that broadcasts to it.

    Raises:
        ValueError: a label outside 0..G − 1, or a curvature of another shape.
    """
    count, length = labels.shape
    if labels.size and not 0 <= labels.min() <= labels.max() < num_groups:
        raise ValueError(f"labels must lie in 0..{num_groups - 1}, got {labels.min()} to {labels.max()}")
    if curvature.shape not in ((length, length), (count, length, length)):
        raise ValueError(
            f"curvature must have shape {(length,) * 2} or {(count, length, length)}, got {curvature.shape}"
        )
    if length == 1:
        weights = (np.broadcast_to(scale, labels.shape) ** 2 * curvature.reshape(-1, 1)).ravel()
        return np.diag(np.bincount(labels.ravel(), weights, num_groups))
    labels, curvature = np.ascontiguousarray(labels, np.int64), np.ascontiguousarray(curvature, float)
    scale = np.ascontiguousarray(np.broadcast_to(scale, labels.shape), float)
    if core is None:
        return reference.gather_curvature(labels, num_groups, curvature, scale)
    total = np.empty((num_groups, num_groups))
    addresses = (array.ctypes.data for array in (labels, scale, curvature, total))
    core.gather_curvature(count, length, num_groups, curvature.ndim == 2, *addresses)
    return total


def fit_estimate(estimate: BlockEstimate, labels: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The values ψ (G,) of a pattern by generalised least squares of the estimates, and their precision AᵀΩA (G, G)."""
    right, precision = estimate.gather(labels, num_groups)
    if estimate.is_diagonal:
        return right / np.diag(precision), precision
    return solve(precision, right), precision


def tied_values(estimate: BlockEstimate, labels: np.ndarray, num_groups: int) -> np.ndarray:
    """The values of :func:`fit_estimate` alone: where the estimates do not covary in memory O(G), for many groups."""
    if estimate.is_diagonal:
        return np.divide(*estimate.totals(labels, num_groups))
    return fit_estimate(estimate, labels, num_groups)[0]
