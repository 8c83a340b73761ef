"""Permutations of variables that a noisy symmetric matrix does not contradict, found by a beam search.

As in :mod:`equishare.search.alignment`, but one permutation moves rows and columns: the cell (i, j) goes to
(π(i), π(j)). A mapped pair of cells adds the log of the ratio of "both hold one value" to "the image is any value of
the matrix",

    log N(L[π i, π j] | L[i, j], 2 v) − log f(L[π i, π j]),     v the variance of an entry,

f the density of all entries. Written out it is ``A[π i, π j] + L[i, j] L[π i, π j]/(2 v) + const``, so that a step of
the beam is a product of matrices, and no table of pairs of pairs is held.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from equishare.search.alignment import background
from equishare.symmetry.permutations import Permutation, inverse, moves

# Partial maps that are kept, at least so many for each image of the first variable.
_BEAM = 512
_LEAST_BEAM = 3
# Complete maps that are improved, and rounds of it.
_COMPLETED = 160
_ROUNDS = 5


class Matcher:
    """Scores and searches permutations of the rows and columns of symmetric matrices, the same for all of them.

    Args:
        matrices: L (p, p) each.
        variances: of an entry off the diagonal, for each matrix; those on it have twice as much.
    """

    def __init__(self, matrices: Sequence[np.ndarray], variances: Sequence[float]) -> None:
        self.size = len(matrices[0])
        off = ~np.eye(self.size, dtype=bool)
        self._gains: list[tuple[np.ndarray, np.ndarray]] = []
        self._own = np.zeros((self.size, self.size))
        for matrix, variance in zip(matrices, variances, strict=True):
            unit = (matrix - np.median(matrix[off])) / np.sqrt(variance)
            image = np.empty_like(unit)
            constant = np.empty_like(unit)
            scaled = unit.copy()
            for where, v in ((off, 1.0), (~off, 2.0)):
                values = unit[where]
                density = background(values, np.full(values.shape, v))(values)
                image[where] = -(values**2) / (4 * v) - density
                constant[where] = -(values**2) / (4 * v) - 0.5 * np.log(4 * np.pi * v)
                scaled[where] = values / (2 * v)
            self._gains.append((np.stack([image, unit]), np.stack([constant, scaled])))
            self._own += image + unit * scaled + constant
        self._information = np.maximum(self._own, 1e-3)

    def search(self, first: int) -> list[tuple[float, Permutation]]:
        """Complete maps with their scores, best first, some for each image of the variable ``first``; no identity."""
        found: dict[bytes, tuple[float, Permutation]] = {}
        for start in self._beam(first):
            score, p = self._improved(start)
            if score > 0 and moves(p).any():
                found[p.tobytes()] = (score, p)
        return sorted(found.values(), key=lambda pair: -pair[0])

    def score(self, p: Permutation) -> float:
        """The sum over all cells that move, a cell and its mirror image counted once."""
        total = np.zeros((self.size, self.size))
        for (image, unit), (constant, scaled) in self._gains:
            total += image[np.ix_(p, p)] + unit[np.ix_(p, p)] * scaled + constant
        stays = (p[:, None] == np.arange(self.size)[:, None]) & (p == np.arange(self.size))
        swaps = (p[:, None] == np.arange(self.size)) & (p == np.arange(self.size)[:, None])
        total[stays | swaps] = 0
        return float(np.triu(total).sum())

    def _images(self, p: Permutation) -> np.ndarray:
        """(p, p) what it adds to send variable i to q while all others go where p sends them."""
        gain = np.zeros((self.size, self.size))
        others = ~np.eye(self.size, dtype=bool)
        for (image, unit), (constant, scaled) in self._gains:
            gain += (constant * others).sum(1)[:, None] + image[:, p].sum(1) + (scaled * others) @ unit[:, p].T
            # The own cell (i, i) goes to (q, q), and is not among the others.
            gain -= image[:, p].T
            gain += np.diag(constant)[:, None] + np.diag(image) + np.outer(np.diag(scaled), np.diag(unit))
        return gain

    def _improved(self, p: Permutation) -> tuple[float, Permutation]:
        score = self.score(p)
        for _ in range(_ROUNDS):
            better = scipy.optimize.linear_sum_assignment(self._images(p), maximize=True)[1]
            own = self.score(better)
            if not own > score + 1e-6:
                break
            score, p = own, better
        return score, p

    def _order(self, first: int) -> list[int]:
        """The order in which variables are mapped: next is always the one expected to add most."""
        known, left, order = self._information[first].copy(), set(range(self.size)) - {first}, []
        while left:
            order.append(max(left, key=known.__getitem__))
            left.remove(order[-1])
            known += self._information[order[-1]]
        return order

    def _beam(self, first: int) -> list[Permutation]:
        size = self.size
        width = max(_LEAST_BEAM, _BEAM // size)
        score = np.full((size, width), -np.inf)
        score[:, 0] = self._diagonal(first)
        maps = np.full((size, width, size), -1)
        maps[:, :, first] = np.arange(size)[:, None]
        back = np.full((size, width, size), -1)
        back[np.arange(size), :, np.arange(size)] = first
        mapped = [first]
        rows = np.arange(size)[:, None]
        for variable in self._order(first):
            total = score[:, :, None] + self._extended(variable, np.array(mapped), maps, back)
            total[back >= 0] = -np.inf
            flat = total.reshape(size, -1)
            best = np.argpartition(-flat, width - 1, axis=1)[:, :width]
            parent, image = np.divmod(best, size)
            score, maps, back = flat[rows, best], maps[rows, parent], back[rows, parent]
            maps[:, :, variable] = image
            np.put_along_axis(back, image[:, :, None], variable, 2)
            mapped.append(variable)
        most = max(1, _COMPLETED // size)
        best = np.argsort(-score, axis=1)[:, :most]
        return list(maps[rows, best][np.isfinite(score[rows, best])])

    def _diagonal(self, variable: int) -> np.ndarray:
        """(p,) what the own cell of a variable adds for each image of it."""
        total = np.zeros(self.size)
        for (image, unit), (constant, scaled) in self._gains:
            own = np.diag(image) + np.diag(unit) * scaled[variable, variable] + constant[variable, variable]
            total += own
        total[variable] = 0
        return total

    def _extended(self, variable: int, mapped: np.ndarray, maps: np.ndarray, back: np.ndarray) -> np.ndarray:
        """(images, width, p) what each image of a variable adds to partial maps."""
        lead = maps.shape[:2]
        targets = maps[:, :, mapped].reshape(-1, len(mapped))
        states = np.arange(len(targets))[:, None]
        gain = np.zeros((len(targets), self.size))
        for (image, unit), (constant, scaled) in self._gains:
            ones, values = np.zeros((2, len(targets), self.size))
            ones[states, targets] = 1
            values[states, targets] = scaled[variable, mapped]
            gain += ones @ image + values @ unit + constant[variable, mapped].sum()
        # Cells that stay where they are add nothing: (i, j) to itself, and to (j, i).
        own = self._own[variable, mapped]
        gain[:, variable] -= ((targets == mapped) * own).sum(1)
        taken = back.reshape(-1, self.size)[:, variable]
        swapped = np.flatnonzero(taken >= 0)
        gain[swapped, taken[swapped]] -= self._own[variable, taken[swapped]]
        return (gain + self._diagonal(variable)).reshape(*lead, self.size)


def averaged(matrix: np.ndarray, maps: Sequence[Permutation]) -> np.ndarray:
    """The mean of a matrix over its images under maps and their inverses, and under none."""
    every = [np.arange(len(matrix)), *maps, *(inverse(p) for p in maps)]
    return np.asarray(sum(matrix[np.ix_(p, p)] for p in every) / len(every))
