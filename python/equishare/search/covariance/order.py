"""Orders of the variables that depend on the samples alone, so that the order in which they come tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equishare.symmetry.permutations import Permutation, inverse


def canonical(seconds: Sequence[np.ndarray]) -> Permutation:
    """The variables in the order of their variances, then of their covariances with all others: (p,).

    Args:
        seconds: S (p, p) of each sample.
    """
    keys = [key for one in seconds for key in (np.diag(one), (one**2).sum(0))]
    return np.lexsort(keys[::-1])


def seriated(second: np.ndarray) -> Permutation:
    """The variables along a line on which those that covary much are neighbours: (p,).

    It is the order of the second eigenvector of the Laplacian of the absolute correlations (Atkins, Boman, Hendrickson
    1998).
    """
    scale = np.sqrt(np.diag(second))
    links = np.abs(second / np.outer(scale, scale))
    vectors = np.linalg.eigh(np.diag(links.sum(0)) - links)[1]
    return np.argsort(vectors[:, 1])


@dataclass(frozen=True)
class Rearranged:
    """Samples with their variables in another order.

    Attributes:
        samples: (n, p) each, in the order.
        moments: S (p, p) and n of each, in the order.
        order: ``order[i]`` is the variable in place i.
    """

    samples: list[np.ndarray]
    moments: list[tuple[np.ndarray, int]]
    order: Permutation

    @classmethod
    def of(cls, samples: Sequence[np.ndarray], moments: Sequence[tuple[np.ndarray, int]]) -> Rearranged:
        """Bring the variables into their canonical order."""
        order = canonical([second for second, _ in moments])
        moved = [(second[np.ix_(order, order)], count) for second, count in moments]
        return cls([one[:, order] for one in samples], moved, order)

    def back(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix (p, p) with rows and columns in the order in which the variables came."""
        place = inverse(self.order)
        return np.asarray(matrix[np.ix_(place, place)])
