"""Kinds of covariances, with a symmetry and without, on which the probability of a group is held against the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equishare.lab.studies.patterns import blocks, dihedral

#: Numbers of variables and of samples that are drawn; samples log-uniformly.
VARIABLES, SAMPLES = (3, 12), (10, 500)
Covariance = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Family:
    """One kind of covariance.

    Attributes:
        name: it.
        covariance: draws Σ (p, p) of p variables.
        symmetric: whether there is a group to be found.
        held_out: whether the curve of the probability was chosen without it.
    """

    name: str
    covariance: Covariance
    symmetric: bool
    held_out: bool


@dataclass(frozen=True)
class Draw:
    """Samples of one covariance.

    Attributes:
        family: of it.
        covariance: Σ (p, p).
        samples: (n, p).
    """

    family: Family
    covariance: np.ndarray
    samples: np.ndarray


def drawn(family: Family, rng: np.random.Generator) -> Draw:
    """Samples of a covariance, whose variables come in an order that tells nothing."""
    size = int(rng.integers(VARIABLES[0], VARIABLES[1] + 1))
    count = int(np.exp(rng.uniform(*np.log(SAMPLES))).round())
    covariance = family.covariance(rng, size)
    order = rng.permutation(len(covariance))
    covariance = covariance[np.ix_(order, order)]
    samples = rng.standard_normal((count, len(covariance))) @ np.linalg.cholesky(covariance).T
    return Draw(family, covariance, samples + rng.normal(size=len(covariance)))


def _scaled(covariance: np.ndarray, rng: np.random.Generator, least: float, most: float) -> np.ndarray:
    """Every variable in a unit of its own; logarithms of the units scatter by ``least`` to ``most``."""
    spread = np.exp(rng.uniform(np.log(least), np.log(most)))
    scale = np.exp(spread * rng.standard_normal(len(covariance)))
    return np.asarray(covariance * np.outer(scale, scale))


def _alike(rng: np.random.Generator, size: int) -> np.ndarray:
    share = rng.uniform(0.15, 0.7)
    return share * np.ones((size, size)) + (1 - share) * np.eye(size)


def _ring(rng: np.random.Generator, size: int) -> np.ndarray:
    size = max(size, 4)
    return np.asarray(np.exp(-dihedral(size) / rng.uniform(0.7, size / 3 + 0.7)) + rng.uniform(0.1, 1) * np.eye(size))


def _line(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.asarray(rng.uniform(0.3, 0.9) ** np.abs(np.arange(size)[:, None] - np.arange(size)))


def _factor(rng: np.random.Generator, size: int) -> np.ndarray:
    loads = rng.uniform(0.3, 1.3, size)
    return np.outer(loads, loads) + np.eye(size)


def _factors(rng: np.random.Generator, size: int) -> np.ndarray:
    loads = rng.normal(size=(size, 2))
    return np.asarray(loads @ loads.T + np.diag(rng.uniform(0.5, 1.5, size)))


def _wishart(covariance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Second moments of a sample of it, of p + 2 to 10 p."""
    size = len(covariance)
    count = int(np.exp(rng.uniform(np.log(size + 2), np.log(10 * size))))
    x = rng.standard_normal((count, size)) @ np.linalg.cholesky(covariance).T
    return np.asarray(x.T @ x / count)


def _free(rng: np.random.Generator, size: int) -> np.ndarray:
    x = rng.normal(size=(2 * size, size))
    return np.asarray(x.T @ x / (2 * size))


def _parted(rng: np.random.Generator, size: int) -> np.ndarray:
    """Two blocks of interchangeable variables."""
    first = int(rng.integers(1, size))
    points = (np.arange(size) >= first).astype(int)
    within, between = rng.uniform(0.3, 0.8, 2), rng.uniform(0.0, 0.25)
    covariance = np.where(points[:, None] == points, within[points], between)
    covariance[np.diag_indices(size)] = rng.uniform(0.9, 2.0, 2)[points]
    return np.asarray(covariance)


def _of_few_loads(rng: np.random.Generator, size: int) -> np.ndarray:
    """One factor, and two or three variables of each load at least."""
    loads = np.resize(rng.uniform(0.2, 1.4, max(size // 3, 1)), size)
    return np.outer(loads, loads) + np.eye(size)


def _wreath(rng: np.random.Generator, size: int) -> np.ndarray:
    own, count = [(2, 2), (3, 2), (2, 3), (4, 2), (3, 3), (2, 5), (4, 3)][min(max(size - 4, 0), 8) * 7 // 9]
    return np.sort(rng.uniform(0.1, 1.0, 3))[::-1][blocks(own, count)] + 0.1 * np.eye(own * count)


def _some(rng: np.random.Generator, size: int) -> np.ndarray:
    """A few interchangeable variables among others."""
    covariance = _free(rng, size)
    own = slice(0, int(rng.integers(2, size)))
    covariance[own, own.stop :] = covariance[own, own.stop :].mean(0)
    covariance[own.stop :, own] = covariance[own, own.stop :].T
    block = covariance[own, own]
    off = ~np.eye(len(block), dtype=bool)
    block[off], block[~off] = block[off].mean(), block[~off].mean()
    return covariance


FAMILIES = (
    Family("independent, unequal variances", lambda rng, p: _scaled(np.eye(p), rng, 0.2, 1.0), False, False),
    Family("one correlation, unequal variances", lambda rng, p: _scaled(_alike(rng, p), rng, 0.1, 0.5), False, False),
    Family("one factor", _factor, False, False),
    Family("near one correlation", lambda rng, p: _wishart(_alike(rng, p), rng), False, False),
    Family("no structure", _free, False, False),
    Family("all alike", _alike, True, False),
    Family("two blocks", _parted, True, False),
    Family("ring", _ring, True, False),
    Family("line, unequal variances", lambda rng, p: _scaled(_line(rng, p), rng, 0.1, 0.5), False, True),
    Family("two factors", _factors, False, True),
    Family("one factor, unequal scales", lambda rng, p: _scaled(_factor(rng, p), rng, 0.1, 0.5), False, True),
    Family("near a ring", lambda rng, p: _wishart(_ring(rng, p), rng), False, True),
    Family("blocks, unequal scales", lambda rng, p: _scaled(_parted(rng, p), rng, 0.1, 0.5), False, True),
    Family("line", _line, True, True),
    Family("one factor of few loads", _of_few_loads, True, True),
    Family("blocks of blocks", _wreath, True, True),
    Family("some alike among others", _some, True, True),
)
