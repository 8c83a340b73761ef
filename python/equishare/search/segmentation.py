"""Segmentations of sorted numbers that are probable: their cost counts the labels too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy

# Cuts of `probable_segmentations` lie between bins, at least this part of the standard error of an entry wide. Up to so
# many are taken at once, in time that grows with their square. More are taken in windows, so many of them held at a
# time. A group of these spans so many standard errors at most, of an entry at this quantile of the errors.
_BIN_WIDTH = 0.1
_MOST_BINS = 4096
_WINDOWS = 32
_REACH, _USUAL = 32.0, 0.999
_MOST_CELLS = 1 << 23
# The prior of the values of groups is at least this many standard errors wide.
_LEAST_WIDTH = 10.0
# Costs of a group that are tried are so far apart, in nats.
_COST_STEP = 2.0


def prior_width(values: np.ndarray, error: float) -> float:
    """Standard deviation of the prior of values: that of the estimates, at least ten of their standard errors."""
    return max(float(values.std()), _LEAST_WIDTH * error)


def probable_segmentations(value: np.ndarray, precision: np.ndarray, width: float) -> Iterator[np.ndarray]:
    """Segmentations of sorted numbers that trade the fit against what the labels cost, each exact for its trade.

    The best segmentation into g groups (:func:`equishare.clustering.segmentation_path`) only fits. With one large group
    it splits that group before it tells the small ones apart. Here a segmentation minimises

        Σ over groups   ½ Σ_k w_k (x_k − x̄)² − log m! + ½ log(W/2π) + c,    W = Σ_k w_k,

    for a group of m entries: the terms of :class:`equishare.search.evidence.Evidence` that belong to one group. What
    the others add a group (values, number of groups) depends little on the segmentation; it is the c, and several are
    tried. Dynamic programming over cuts between bins of nearly equal numbers finds the optimum.

    Args:
        value: (K,) numbers in any order.
        precision: (K,) of each.
        width: of the prior of the values of groups, see :func:`prior_width`.

    Yields:
        (K,) labels in the order of ``value``, groups numbered by ascending value; no two are equal.
    """
    order = np.argsort(value, kind="stable")
    x, w = value[order] - np.median(value), precision[order]
    ends, first = _bins(x, 1 / np.sqrt(w))
    count = np.concatenate([[0], ends])
    sums = np.stack([np.concatenate([[0.0], np.cumsum(part)[ends - 1]]) for part in (w, w * x, w * x * x)])
    # Sums of heavy entries lose light ones.
    opens = _cuts(count, sums, _costs(len(x), width), first, w.min())
    seen: set[bytes] = set()
    for own in opens:
        key = np.packbits(own).tobytes()
        if key not in seen:
            seen.add(key)
            sizes = np.diff(np.append(count[:-1][own], len(x)))
            labels = np.empty(len(x), np.int64)
            labels[order] = np.repeat(np.arange(len(sizes)), sizes)
            yield labels


def bin_ends(x: np.ndarray, width: float, most: int) -> np.ndarray:
    """Where bins of ascending numbers end: of one width or twice, four times, … that, at most so many not empty."""
    while True:
        ends = _ends(x, width)
        if len(ends) <= most:
            return ends
        width *= 2


def _ends(x: np.ndarray, width: float) -> np.ndarray:
    inside = np.floor((x - x[0]) / width)
    return np.append(np.flatnonzero(np.diff(inside)) + 1, len(x))


def _bins(x: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where bins of ascending numbers end, and for each the first bin that it may share a group with.

    Up to ``_MOST_BINS`` bins may all be in one group. Of more, the entries of a group lie ``_REACH`` standard errors
    apart at most; then bins are so wide that there are ``_MOST_CELLS`` pairs of them within that reach.
    """
    width, reach = _BIN_WIDTH * float(np.median(error)), _REACH * float(np.quantile(error, _USUAL))
    while True:
        ends = _ends(x, width)
        if len(ends) <= _MOST_BINS:
            return ends, np.zeros(len(ends), np.int64)
        first = np.searchsorted(x[np.append(0, ends[:-1])], x[ends - 1] - reach)
        first = np.minimum(first, np.arange(len(ends)))
        if (np.arange(len(ends)) - first).sum() <= _MOST_CELLS:
            return ends, first
        width *= 2


def _cuts(count: np.ndarray, sums: np.ndarray, costs: np.ndarray, first: np.ndarray, lightest: float) -> np.ndarray:
    """(C, N) which of N bins open a group in the best segmentation for each cost of a group.

    More than ``_MOST_BINS`` bins are taken in windows of so many, each half over the one before. Where two overlap,
    the segmentations are joined at the cut of both that is nearest to the middle: what lies so far away does not
    matter there.
    """
    size = len(count) - 1
    length = min(size, _MOST_BINS)
    starts = np.unique(np.append(np.arange(0, size - length, max(length // 2, 1)), size - length))
    opens = np.zeros((len(costs), size), bool)
    end = 0  # of the windows so far
    for batch in np.array_split(starts, -(-len(starts) // _WINDOWS)):
        found = _windows(count, sums, costs, first, lightest, batch, length)
        for start, own in zip(batch.tolist(), found.swapaxes(0, 1), strict=True):
            middle = (start + end) // 2
            for known, cuts in zip(opens, own, strict=True):
                at = start + np.flatnonzero(cuts)
                both = at[known[at]]
                joint = both[np.abs(both - middle).argmin()] if len(both) else middle
                known[joint:] = False
                known[at[at >= joint]] = True
            end = start + length
    return opens


def _windows(
    count: np.ndarray,
    sums: np.ndarray,
    costs: np.ndarray,
    first: np.ndarray,
    lightest: float,
    starts: np.ndarray,
    length: int,
) -> np.ndarray:
    """(C, W, length) the same for windows that begin at ``starts``, each by itself, by dynamic programming."""
    log_factorial = scipy.special.gammaln(np.arange(int(count[-1]) + 1) + 1.0)
    best = np.zeros((len(costs), len(starts), length + 1))
    before = np.zeros(best.shape, np.int32)
    for j in range(1, length + 1):
        far = min(j, int((starts + j - first[starts + j - 1]).max()))
        at, rows = (starts + j)[:, None], starts[:, None] + np.arange(j - far, j)
        total, moment, square = sums[:, at] - sums[:, rows]
        weight = np.maximum(total, lightest)
        scatter = np.maximum(square - moment**2 / weight, 0)
        price = 0.5 * scatter - log_factorial[count[at] - count[rows]] + 0.5 * np.log(weight / (2 * np.pi))
        ways = best[:, :, j - far : j] + price
        chosen = ways.argmin(2)
        best[:, :, j] = np.take_along_axis(ways, chosen[:, :, None], 2)[:, :, 0] + costs[:, None]
        before[:, :, j] = chosen + (j - far)
    opens = np.zeros((len(costs), len(starts), length), bool)
    at = np.full(best.shape[:2], length)
    every = np.indices(at.shape)
    while at.any():
        at = before[every[0], every[1], at]
        opens[every[0], every[1], at] = True
    return opens


def _costs(num_entries: int, width: float) -> np.ndarray:
    """What a further group costs beside the terms above, for 1 to K groups: its value, its share of the labels."""
    value = np.log(np.sqrt(2 * np.pi) * width)
    return value + np.arange(-np.log(num_entries) - 2, np.log(num_entries) + 6, _COST_STEP)
