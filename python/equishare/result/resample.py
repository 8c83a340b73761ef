"""Resamples of a problem, drawn from its statistics: what other data of the same kind might have shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from equishare.result.confidence import Confidence
from equishare.methods.proposal import Progress, part_of
from equishare.result.discovery import Discovery
from equishare.problems.moments import Moments
from equishare.problems.linear import Problem

# Eigenvalues of a scatter matrix (unit diagonal) below this part of the largest are rounding errors.
_RANK = 1e-13
# With up to so many entries the noise is doubled. Twice the misfit of K entries lies √(K/2) standard deviations above
# what is expected; with more entries the surplus is kept at so many deviations.
_FULL_NOISE = 90


def discover_with_confidence(
    problems: Sequence[Problem],
    run: Callable[[Sequence[Problem], Progress], list[Discovery]],
    resamples: int,
    seed: int,
    progress: Progress,
) -> list[Discovery]:
    """Run a method on problems and, one batch a problem, on resamples of each.

    Args:
        problems: what is to be solved.
        run: the method, from problems to discoveries.
        resamples: B; with 0 the discoveries have no confidence.
        seed: of the resamples.
        progress: counts problems and resamples.
    """
    total = len(problems) * (1 + resamples)

    found = run(problems, part_of(progress, 0, len(problems), total))
    if not resamples:
        return found
    for i, problem in enumerate(problems):
        rng = np.random.default_rng([seed, i])
        batch = [resampled(problem, rng) for _ in range(resamples)]
        answers = run(batch, part_of(progress, len(problems) + i * resamples, resamples, total))
        labels = np.stack([answer.partition.labels.ravel() for answer in answers])
        gaps = gaps_between(found[i], problem.estimate().variance)
        found[i] = replace(found[i], confidence=Confidence(found[i].partition, labels, gaps))
    return found


def gaps_between(found: Discovery, variance: np.ndarray) -> np.ndarray:
    """(G,) from the value of each group to the nearest other, in standard errors of an entry; 0 where there is none.

    Args:
        found: groups and their values.
        variance: of each unshared estimate; in a group, the mean counts.
    """
    order = np.argsort(found.values)
    steps = np.diff(found.values[order], prepend=-np.inf, append=np.inf)
    gaps = np.empty(len(order))
    gaps[order] = np.minimum(steps[:-1], steps[1:])
    error = np.sqrt(np.bincount(found.partition.labels.ravel(), variance.ravel()) / found.partition.group_sizes)
    return np.divide(gaps, error, out=np.zeros(len(gaps)), where=np.isfinite(gaps) & (error > 0))


def resampled(problem: Problem, rng: np.random.Generator) -> Problem:
    """A parametric bootstrap of the unshared estimates, training and validation samples independently.

    With Ŵ the least-squares weights of a split, S its scatter and d the :class:`equishare.problems.noise.Estimate`'s scale,

        W* = Ŵ + N(0, c diag(d_o)⁻¹ S⁻¹ diag(d_o)⁻¹),    ȳ* = ȳ + N(0, c σ_o² / n),    1/σ_o² = mean of d_o²,

    row by row, c = min(1, √(90/K)) for K entries; the scatter of the inputs, the sums of squared residuals and the
    uncertainty that the estimates claim stay. With c = 1 the estimates carry the noise twice and claim it once: a group
    whose entries are equal looks twice as spread as it should, and one of unequal entries more than that. A tie that
    is found all the same is one that the data hold firmly. Resamples that claimed all their noise would tie again what
    the data cannot tell apart, and be sure of it. With more entries less surplus is noticed in all of them
    together, and less is added.

    Args:
        problem: stays as it is.
        rng: of the noise.

    Raises:
        ValueError: the samples do not determine the weights.
    """
    estimate = problem.estimate()
    scale = estimate.scale / min(1.0, (_FULL_NOISE / problem.num_entries) ** 0.25)
    train, val = (_perturbed(m, scale, problem.has_bias, rng) for m in (problem.train, problem.val))
    return problem.with_statistics(train, val, replace(estimate, weight=train.pooled_with(val).least_squares()))


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
