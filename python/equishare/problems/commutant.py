"""Covariances that a group of permutations leaves unchanged: their blocks, and their likelihood integrated exactly.

Let H be a group of permutations of p variables. The symmetric matrices M with ``M[π i, π j] = M[i, j]`` for all π of H
become block-diagonal in an orthonormal basis that H alone determines (Schur's lemma): space splits into irreducible
parts, r of which are equivalent to each other, each with k dimensions, and between two equivalent parts M has d = 1, 2
or 4 free numbers (real, complex, quaternionic). A block is so a Hermitian r × r matrix, repeated k times.

With scatter ``n S`` of n samples and the conjugate prior of strength ν at the target T (an inverse Wishart, where H is
trivial), ``p(K) ∝ det(K)^{ν/2} exp(−½ ν tr T K)`` for the precision K, the integral over all covariances of H is

    log p(X) = −½ n p log 2π + Σ over blocks [ log Γ(λ + k n/2) − log Γ(λ) − ½ n k r log(k/2)
                                               + (λ/k) log det(ν T) − (λ/k + n/2) log det(ν T + n S) ],
    λ = k ν/2 + 1 + d (r − 1)/2,     log Γ(λ) = Σ_{j<r} log Γ(λ − j d/2) without constants,

with the determinants of M within the block. The mean of Σ given the data is ``(ν T + n S)/(ν + n)``. For cyclic H this
is Graczyk, Ishi, Kołodziejek, Massam, "Model selection in the space of Gaussian models invariant by symmetry" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy

from equishare.partition import Partition

# Eigenvalues of a random element of the commutant, relative to the largest, are equal or lie apart. Another element is
# drawn where some lie between by chance.
_EQUAL, _APART = 1e-11, 1e-7
_DRAWS = 8


@dataclass(frozen=True)
class Block:
    """One block of the commutant.

    Attributes:
        basis: (p, k r) orthonormal columns that span it; of several copies, one.
        count: r, the number of equivalent irreducible parts.
        dimension: k, of each of them.
        numbers: d, free numbers between two of them; 1 where there is one alone.
        copies: how often the block is repeated, in sets of variables that the group takes to each other.
    """

    basis: np.ndarray
    count: int
    dimension: int
    numbers: int
    copies: int = 1


class Commutant:
    """The symmetric matrices that a group leaves unchanged, from the orbits of the group on pairs.

    Args:
        orbits: (p, p) symmetric labels 0 … G − 1 of the orbits.
        sets: (p,) labels of sets of variables between which the matrices are zero, and which the group takes to each
            other; None: one set.
    """

    def __init__(self, orbits: np.ndarray, sets: np.ndarray | None = None) -> None:
        self.orbits = orbits
        self.apart = None if sets is None else sets[:, None] != sets
        self.sizes = np.bincount(orbits.ravel())
        self.blocks = _blocks(orbits) if sets is None else _blocks_of_sets(orbits, sets)
        kinds: dict[tuple[int, int, int, int], list[np.ndarray]] = {}
        for one in self.blocks:
            kinds.setdefault((one.dimension, one.count, one.numbers, one.copies), []).append(one.basis)
        self._bases = {kind: np.stack(bases) for kind, bases in kinds.items()}

    def joins(self, orbit: int) -> bool:
        """Whether the pairs of an orbit, as edges of a graph, join all variables."""
        return bool(scipy.sparse.csgraph.connected_components(self.orbits == orbit, directed=False)[0] == 1)

    @cached_property
    def num_joining(self) -> int:
        """How many orbits join all variables."""
        return sum(self.joins(orbit) for orbit in range(len(self.sizes)))

    def project(self, matrix: np.ndarray) -> np.ndarray:
        """The mean over the group: each entry becomes the mean of its orbit."""
        found = (np.bincount(self.orbits.ravel(), matrix.ravel()) / self.sizes)[self.orbits]
        return found if self.apart is None else np.where(self.apart, 0.0, found)

    def log_marginals(self, second: np.ndarray, count: float, targets: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        """log p(X) for each target and strength, (…, ν), see above.

        Args:
            second: S (p, p), projected already.
            count: n.
            targets: T (…, p, p), positive definite, which the group leaves unchanged.
            strengths: (ν,); infinite: the covariance is T.
        """
        p, finite = len(second), np.isfinite(strengths)
        nu = strengths[finite]
        total = np.full((*targets.shape[:-2], len(strengths)), -0.5 * count * p * np.log(2 * np.pi))
        for (k, r, d, copies), bases in self._bases.items():
            # Blocks of one kind at once: (blocks, …, k r, k r).
            bases = bases.reshape(len(bases), *[1] * (targets.ndim - 2), p, k * r)
            turned = bases.swapaxes(-1, -2)
            lower = np.linalg.cholesky(turned @ targets @ bases)
            half = np.linalg.solve(lower, turned @ second @ bases)
            ratio = np.linalg.eigvalsh(np.linalg.solve(lower, half.swapaxes(-1, -2)))
            log_det = 2 * copies * np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum((0, -1))[..., None]
            grown = copies * np.log1p(count * np.maximum(ratio, 0)[..., None, :] / nu[:, None]).sum((0, -1))
            k *= copies
            shape = k * nu / 2 + 1 + d * (r - 1) / 2
            j = d / 2 * np.arange(r)
            gammas = scipy.special.gammaln(shape[:, None] + k * count / 2 - j)
            gammas -= scipy.special.gammaln(shape[:, None] - j)
            total[..., finite] += len(bases) * (gammas.sum(1) - 0.5 * count * k * r * np.log(k * nu / 2))
            total[..., finite] -= count / 2 * log_det + (shape / k + count / 2) * grown
            total[..., ~finite] -= count / 2 * (log_det + copies * ratio.sum((0, -1))[..., None])
        return total


def distinct(size: int) -> np.ndarray:
    """(p, p) a label for each entry of a symmetric matrix, numbered by first appearance."""
    cells = np.arange(size * size).reshape(size, size)
    return Partition(np.minimum(cells, cells.T)).labels


def log_likelihood(covariance: np.ndarray, second: np.ndarray, count: float) -> float:
    """log density of n samples with second moments S, ``−½ n (p log 2π + log det Σ + tr Σ⁻¹ S)``; −∞ if Σ is not PD."""
    # The routines of LAPACK themselves: of few variables the checks around them take ten times as long.
    lower, failed = scipy.linalg.lapack.dpotrf(covariance, lower=1)
    if failed:
        return -np.inf
    log_det = 2 * np.log(np.diag(lower)).sum()
    trace = np.trace(scipy.linalg.lapack.dpotrs(lower, second, lower=1)[0])
    return float(-0.5 * count * (len(second) * np.log(2 * np.pi) + log_det + trace))


def _blocks_of_sets(orbits: np.ndarray, sets: np.ndarray) -> list[Block]:
    size, points, found = len(orbits), np.diag(orbits), []
    seen = np.zeros(size, bool)
    for one in np.unique(sets):
        own = np.flatnonzero(sets == one)
        if seen[own[0]]:
            continue
        # Sets that share an orbit of variables are taken to each other.
        alike = np.isin(points, points[own])
        seen |= alike
        for block in _blocks(Partition(orbits[np.ix_(own, own)]).labels):
            basis = np.zeros((size, block.basis.shape[1]))
            basis[own] = block.basis
            found.append(replace(block, basis=basis, copies=int(alike.sum()) // len(own)))
    return found


def _blocks(orbits: np.ndarray) -> list[Block]:
    size, num = len(orbits), int(orbits.max()) + 1
    if num == size * (size + 1) // 2:
        return [Block(np.eye(size), size, 1, 1)]
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        values, vectors = np.linalg.eigh(rng.normal(size=num)[orbits])
        gaps = np.diff(values) / np.abs(values).max()
        if not ((gaps > _EQUAL) & (gaps < _APART)).any():
            break
    ends = np.flatnonzero(gaps > _EQUAL) + 1
    parts = np.split(vectors, ends, axis=1)
    # Between equivalent parts a random element is no zero.
    other = rng.normal(size=num)[orbits]
    dimensions = np.array([part.shape[1] for part in parts])
    starts, squares = np.r_[0, ends], (vectors.T @ other @ vectors) ** 2
    between = np.add.reduceat(np.add.reduceat(squares, starts, axis=0), starts, axis=1)
    joined = between > _APART**2 * between.max()
    _, block_of = scipy.sparse.csgraph.connected_components(joined, directed=False)
    found = []
    for block in range(int(block_of.max()) + 1):
        own = np.flatnonzero(block_of == block)
        k = int(dimensions[own[0]])
        numbers = 1
        if len(own) > 1 and k > 1:
            a, b = parts[own[0]], parts[own[1]]
            maps = np.stack([(a.T @ rng.normal(size=num)[orbits] @ b).ravel() for _ in range(5)])
            numbers = int(np.linalg.matrix_rank(maps, tol=1e-6 * np.abs(maps).max()))
        found.append(Block(np.concatenate([parts[i] for i in own], axis=1), len(own), k, numbers))
    return found
