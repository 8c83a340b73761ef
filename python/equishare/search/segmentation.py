"""Segmentations of sorted numbers that are probable: their cost counts the labels too."""

from __future__ import annotations

import numpy as np
import scipy

# Cuts of `probable_segmentations` lie between so many bins at most, and these are at least this part of the standard
# error of an entry wide. Time grows with the square of the number of bins.
_MOST_BINS = 4096
_BIN_WIDTH = 0.1
# The prior of the values of groups is at least this many standard errors wide.
_LEAST_WIDTH = 10.0
# Costs of a group that are tried are so far apart, in nats.
_COST_STEP = 2.0


def prior_width(values: np.ndarray, error: float) -> float:
    """Standard deviation of the prior of values: that of the estimates, at least ten of their standard errors."""
    return max(float(values.std()), _LEAST_WIDTH * error)


def probable_segmentations(value: np.ndarray, precision: np.ndarray, width: float) -> list[np.ndarray]:
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

    Returns:
        (K,) labels in the order of ``value``, groups numbered by ascending value; no two are equal.
    """
    order = np.argsort(value, kind="stable")
    x, w = value[order] - np.median(value), precision[order]
    ends = bin_ends(x, _BIN_WIDTH / np.sqrt(np.median(w)), _MOST_BINS)
    count = np.concatenate([[0], ends])
    total, first, second = (np.concatenate([[0.0], np.cumsum(part)[ends - 1]]) for part in (w, w * x, w * x * x))
    lightest = w.min()  # sums of heavy entries lose light ones
    costs = _costs(len(x), width)
    log_factorial = scipy.special.gammaln(np.arange(len(x) + 1) + 1.0)
    best = np.zeros((len(costs), len(count)))
    before = np.zeros((len(costs), len(count)), np.int64)
    for j in range(1, len(count)):
        weight = np.maximum(total[j] - total[:j], lightest)
        scatter = second[j] - second[:j] - (first[j] - first[:j]) ** 2 / weight
        price = 0.5 * np.maximum(scatter, 0) - log_factorial[count[j] - count[:j]] + 0.5 * np.log(weight / (2 * np.pi))
        sums = best[:, :j] + price
        before[:, j] = sums.argmin(1)
        best[:, j] = np.take_along_axis(sums, before[:, j : j + 1], 1)[:, 0] + costs
    found: dict[bytes, np.ndarray] = {}
    for back in before:
        opens, j = np.zeros(len(x), np.int64), len(count) - 1
        while back[j] > 0:
            j = int(back[j])
            opens[count[j]] = 1
        labels = np.empty(len(x), np.int64)
        labels[order] = np.cumsum(opens)
        found.setdefault(labels.tobytes(), labels)
    return list(found.values())


def bin_ends(x: np.ndarray, width: float, most: int) -> np.ndarray:
    """Where bins of ascending numbers end: of one width or twice, four times, … that, at most so many not empty."""
    while True:
        inside = np.floor((x - x[0]) / width)
        ends = np.append(np.flatnonzero(np.diff(inside)) + 1, len(x))
        if len(ends) <= most:
            return ends
        width *= 2


def _costs(num_entries: int, width: float) -> np.ndarray:
    """What a further group costs beside the terms above, for 1 to K groups: its value, its share of the labels."""
    value = np.log(np.sqrt(2 * np.pi) * width)
    return value + np.arange(-np.log(num_entries) - 2, np.log(num_entries) + 6, _COST_STEP)
