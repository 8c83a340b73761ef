"""Pairs of permutations that may be symmetries of a noisy weight, found by a beam search.

A symmetry maps every cell (o, i) to a cell (π(o), ρ(i)) of the same value. No single cell of a noisy weight tells
whether that holds, but all cells together do: each mapped pair of cells adds the log of a likelihood ratio,

    L[o, i, p, j] = log N(ŵ_pj | ŵ_oi, v_oi + v_pj) − log f(ŵ_pj),   f(w) = mean over cells c of N(w | ŵ_c, 2 v̄),

It compares the hypothesis that both cells hold one value with the hypothesis that ŵ_pj is any value of the weight. A
mapped pair of rare values adds much, a pair of common ones little, and a cell that is mapped to itself nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy

Permutations = tuple[np.ndarray, np.ndarray]

# Partial maps that are kept: in all, and at least for each image of the first input.
_BEAM = 512
_LEAST_BEAM = 4
# Complete maps that are improved.
_COMPLETED = 192
# Alternating improvements of a complete map.
_ROUNDS = 4
# The table of the density of values.
_POINTS_A_WIDTH = 4
_MOST_POINTS = 4096
# Of more values the density is that of a histogram of so many bins a width, smoothed so many widths far.
_MOST_SUMMED = 1 << 14
_FINE_A_WIDTH = 32
_REACH = 6


def background(estimates: np.ndarray, variances: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The log density of a value drawn at random from a noisy weight: the mean of N(ŵ_c, 2 v̄) over its cells c.

    Tabulated; the width v̄ is the median of the variances (any shape).
    """
    width = float(np.sqrt(2 * np.median(variances)))
    low, high = float(estimates.min()), float(estimates.max())
    points = int(np.clip((high - low) / width * _POINTS_A_WIDTH, 2, _MOST_POINTS))
    grid = np.linspace(low, high, points)
    if estimates.size > _MOST_SUMMED:
        total = _smoothed(estimates.ravel(), grid, width)
    else:
        total = _summed(estimates.ravel(), grid, width)
    floor = np.exp(-0.5)  # a cell may lie between two points of the grid
    log_density = np.log(np.maximum(total, floor)) - np.log(estimates.size * width * np.sqrt(2 * np.pi))
    return lambda values: np.interp(values, grid, log_density)


def _summed(values: np.ndarray, grid: np.ndarray, width: float) -> np.ndarray:
    """``Σ exp(−(x − v)²/2w²)`` over the values at each x of an ascending grid."""
    total = np.zeros(len(grid))
    for start in range(0, len(values), _MOST_POINTS):
        some = values[start : start + _MOST_POINTS]
        total += np.exp(-0.5 * ((grid[:, None] - some) / width) ** 2).sum(1)
    return total


def _smoothed(values: np.ndarray, grid: np.ndarray, width: float) -> np.ndarray:
    """The same of many values: each is shared out to the two nearest points of a finer grid, in time O(K)."""
    fine = max(1, round((grid[1] - grid[0]) / width * _FINE_A_WIDTH))
    step = (grid[1] - grid[0]) / fine
    at = (values - grid[0]) / step
    left = np.minimum(at.astype(np.int64), (len(grid) - 1) * fine - 1)
    size = (len(grid) - 1) * fine + 1
    counts = np.bincount(left, 1 - (at - left), size) + np.bincount(left + 1, at - left, size)
    reach = int(_REACH * width / step) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    return np.asarray(np.maximum(np.convolve(counts, kernel)[reach : reach + size : fine], 0.0))


class Alignment:
    """Scores and searches pairs of permutations of one weight.

    Args:
        estimates: ŵ (O, I); memory and time of the table of ratios are O(O² I²).
        variances: v (O, I).
    """

    def __init__(self, estimates: np.ndarray, variances: np.ndarray) -> None:
        # In units of the noise, for float32.
        unit = float(np.sqrt(np.median(variances)))
        weight, variance = (estimates.ravel() - np.median(estimates)) / unit, variances.ravel() / unit**2
        log_density = background(weight, variance)(weight)
        both = (variance[:, None] + variance).astype(np.float32)
        difference = (weight[:, None] - weight).astype(np.float32)
        # −½ (difference² / both + log 2π both) − log f, in place: all pairs of cells are many.
        ratio = difference / both
        ratio *= difference
        both *= 2 * np.pi
        ratio += np.log(both, out=both)
        ratio *= -0.5
        ratio -= log_density.astype(np.float32)
        np.fill_diagonal(ratio, 0.0)
        self.shape = estimates.shape
        self._ratio = ratio.reshape(self.shape * 2)
        # The same as [i, j, o, p]: sums over given inputs then read whole blocks.
        self._by_inputs = np.ascontiguousarray(self._ratio.transpose(1, 3, 0, 2))
        # The expected contribution of a pair of cells that truly hold one value.
        expected = -0.5 * (np.log(4 * np.pi * variance) + 1) - log_density
        self._information = np.maximum(expected, 1e-3).reshape(self.shape)

    def search(self, first: int) -> list[tuple[float, Permutations]]:
        """Complete maps with their scores, best first, some for each image of the input ``first``; not the identity."""
        beam = _Beam(self._ratio, self._information, first)
        found: dict[bytes, tuple[float, Permutations]] = {}
        for start in beam.run():
            score, maps = self._improve(*start)
            moved = any((p != np.arange(len(p))).any() for p in maps)
            if score > 0 and moved:
                found[b"".join(p.tobytes() for p in maps)] = (score, maps)
        return sorted(found.values(), key=lambda pair: -pair[0])

    def _improve(self, outputs: np.ndarray, inputs: np.ndarray) -> tuple[float, Permutations]:
        """Assign the outputs for given inputs, then the inputs for given outputs, while the score grows."""
        rows, columns = np.arange(self.shape[0]), np.arange(self.shape[1])
        score = -np.inf
        for _ in range(_ROUNDS):
            gain = self._by_inputs[columns, inputs].sum(0)
            better_outputs = scipy.optimize.linear_sum_assignment(gain, maximize=True)[1]
            gain = self._ratio[rows, :, better_outputs, :].sum(0)
            better_inputs = scipy.optimize.linear_sum_assignment(gain, maximize=True)[1]
            total = float(gain[columns, better_inputs].sum())
            if not total > score + 1e-6:
                break
            score, outputs, inputs = total, better_outputs, better_inputs
        return score, (outputs, inputs)


class _Beam:
    """Partial maps, which grow by one output or input a step. For each image of the first input the best are kept."""

    def __init__(self, ratio: np.ndarray, information: np.ndarray, first: int) -> None:
        self.ratio, self.information = ratio, information
        sizes = ratio.shape[:2]
        images = sizes[1]
        width = max(_LEAST_BEAM, _BEAM // images)
        self.score = np.full((images, width), -np.inf, np.float32)
        self.score[:, 0] = 0
        # maps[side][image, state, element] is the element's image; axis 0 outputs, axis 1 inputs.
        self.maps = [np.zeros((images, width, size), np.int64) for size in sizes]
        self.free = [np.ones((images, width, size), bool) for size in sizes]
        self.mapped: list[list[int]] = [[], [first]]
        self.maps[1][:, :, first] = np.arange(images)[:, None]
        self.free[1][np.arange(images), :, np.arange(images)] = False

    def run(self) -> list[Permutations]:
        for side, element in self._order():
            self._extend(side, element)
        most = max(1, _COMPLETED // len(self.score))
        best = np.argsort(-self.score, axis=1)[:, :most]
        rows = np.arange(len(best))[:, None]
        complete = np.isfinite(self.score[rows, best])
        return [(o, i) for o, i in zip(*(one[rows, best][complete] for one in self.maps), strict=True)]

    def _order(self) -> list[tuple[int, int]]:
        """The order in which outputs and inputs are mapped: next is always the one expected to add most."""
        information = self.information
        left = [set(range(information.shape[0])), set(range(information.shape[1])) - set(self.mapped[1])]
        known = [information[:, self.mapped[1]].sum(1), np.zeros(information.shape[1])]
        order = []
        while left[0] or left[1]:
            side, element = max(((s, e) for s in (0, 1) for e in left[s]), key=lambda which: known[which[0]][which[1]])
            left[side].remove(element)
            known[1 - side] = known[1 - side] + (information[element] if side == 0 else information[:, element])
            order.append((side, element))
        return order

    def _extend(self, side: int, element: int) -> None:
        others = np.array(self.mapped[1 - side], np.int64)
        images_of_others = self.maps[1 - side][:, :, others]
        if side == 0:  # ratio[element, i, p, image of i] -> sum over i
            gain = self.ratio[element, others, :, images_of_others].sum(2)
        else:
            gain = self.ratio[others, element, images_of_others, :].sum(2)
        total = np.where(self.free[side], self.score[:, :, None] + gain, -np.inf)
        images, width, size = total.shape
        flat = total.reshape(images, -1)
        best = np.argpartition(-flat, width - 1, axis=1)[:, :width]
        parent, image = np.divmod(best, size)
        rows = np.arange(images)[:, None]
        self.score = flat[rows, best]
        self.maps = [one[rows, parent] for one in self.maps]
        self.free = [one[rows, parent] for one in self.free]
        np.put_along_axis(self.maps[side], np.full((images, width, 1), element), image[:, :, None], 2)
        np.put_along_axis(self.free[side], image[:, :, None], False, 2)
        self.mapped[side].append(element)
