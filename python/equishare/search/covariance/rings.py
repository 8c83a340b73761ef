"""Rings of variables along which the covariance falls off smoothly: the orders that the samples find likely.

Of few samples many orders are nearly as likely as the true one, neighbours exchanged, arcs reversed. A ring is no surer
than its share among them, and blocks of neighbours are no surer than all of them together leave room for.

The evidence of an order is that of the dihedral group at its smooth targets
(:mod:`equishare.search.covariance.evidence`). All matrices of the group have the eigenvectors of a discrete Fourier
transform, so that many orders are weighed at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import scipy

from equishare.search.covariance.evidence import deviations_of, prior_of, smooth_kernels
from equishare.symmetry.permutations import Permutation

# A ring of fewer is one of blocks of two; of more, too many orders are near.
_LEAST, _MOST = 5, 60
# Pairs of places at most that variables and arcs are moved between, and of how many orders the near ones are weighed.
_PAIRS, _EXPANDED = 240, 24
# Orders are kept that are at most by so much less likely than the best, and so many.
_WITHIN, _KEPT = 6.0, 32
# Every so manyth strength of the grid is tried.
_STEP = 2


class Rings:
    """Orders (p,) of the variables along a ring that were looked at, each turned and read in one direction only.

    Args:
        moments: S (p, p) and n of each sample; p is 5 to 60.
    """

    def __init__(self, moments: Sequence[tuple[np.ndarray, int]]) -> None:
        self._weighed = [_Weighed(*one) for one in moments]
        self._size = len(moments[0][0])
        self._scores: dict[bytes, float] = {}
        self._expanded: set[bytes] = set()
        self._weigh(_seriated(moments))

    @staticmethod
    def takes(size: int) -> bool:
        """Whether rings of p variables are looked for."""
        return _LEAST <= size <= _MOST

    def best(self) -> Permutation:
        """The likeliest order that is found by changes that each make it likelier."""
        best = self._likeliest()
        while best not in self._expanded and len(self._expanded) < _EXPANDED:
            self._expand(best)
            best = self._likeliest()
        return np.frombuffer(best, np.int64)

    def others(self) -> list[Permutation]:
        """Orders that are nearly as likely, the likeliest first."""
        for _ in range(_EXPANDED):
            left = [key for key in self._scores if key not in self._expanded]
            key = max(left, key=self._scores.__getitem__, default=None)
            if key is None or self._scores[key] < self._scores[self._likeliest()] - _WITHIN / 2:
                break
            self._expand(key)
        ranked = sorted(self._scores, key=lambda key: -self._scores[key])
        least = self._scores[ranked[0]] - _WITHIN
        return [np.frombuffer(key, np.int64) for key in ranked[:_KEPT] if self._scores[key] > least]

    def _likeliest(self) -> bytes:
        return max(self._scores, key=self._scores.__getitem__)

    def _expand(self, key: bytes) -> None:
        self._expanded.add(key)
        order = np.frombuffer(key, np.int64)
        # From another place on, too: neighbours in the ring stand at both ends of an order.
        self._weigh([*_near(order), *_near(np.roll(order, self._size // 2))])

    def _weigh(self, orders: list[Permutation]) -> None:
        new = {order.tobytes(): order for order in _turned(np.stack(orders))}
        new = {key: order for key, order in new.items() if key not in self._scores}
        if new:
            every = np.stack(list(new.values()))
            scores = np.sum([one.log_evidence(every) for one in self._weighed], axis=0)
            self._scores.update(zip(new, scores.tolist(), strict=True))


class _Weighed:
    """The evidence of orders, given one sample.

    Args:
        second: S (p, p).
        count: n.
    """

    def __init__(self, second: np.ndarray, count: int) -> None:
        self.second, self.count, self.size = second, count, len(second)
        places = np.arange(self.size)
        self._at = (places + places[:, None]) % self.size
        frequencies = np.arange(self.size // 2 + 1)
        self._waves = np.cos(2 * np.pi * np.outer(places, frequencies) / self.size)
        self._dimensions = np.where(2 * frequencies % self.size == 0, 1, 2)
        around = (self._at[1] == places[:, None]) / 2
        self._kernels = np.stack([one[0] @ self._waves for one in smooth_kernels(around + around.T)])
        self._strengths = deviations_of(self.size, count, _STEP)
        shapes = self._dimensions * self._strengths[:, None] / 2 + 1
        half = self._dimensions * count / 2
        self._shapes = shapes + half
        gammas = scipy.special.gammaln(shapes + half) - scipy.special.gammaln(shapes)
        gammas -= half * np.log(self._dimensions * self._strengths[:, None] / 2)
        told = count / (1 + count / self._strengths)
        self._log_prior = gammas.sum(1) + np.log(prior_of(self._strengths)) - 0.5 * np.log1p(told * self.size / 2)

    def log_evidence(self, orders: np.ndarray) -> np.ndarray:
        """(M,) of orders (M, p), but for a constant."""
        # Place by place, so that no more than (M, p) numbers are held.
        means = np.stack([self.second[orders, orders[:, at]].mean(1) for at in self._at], axis=1)
        powers, variances = means @ self._waves, means[:, :1]
        logs = np.log(variances[..., None] * self._kernels)
        total = -self.count / 2 * (logs @ self._dimensions)[..., None] + self._log_prior
        ratios = np.maximum(powers, 0)[:, None] / (variances[..., None] * self._kernels)
        for place, nu in enumerate(self._strengths.tolist()):
            total[..., place] -= np.log1p(self.count / nu * ratios) @ self._shapes[place]
        return np.asarray(scipy.special.logsumexp(total, axis=(1, 2)))


def _turned(orders: np.ndarray) -> np.ndarray:
    """Orders (M, p) from variable 0 on, towards the lesser of its two neighbours."""
    size = orders.shape[1]
    orders = np.take_along_axis(orders, (orders.argmin(1)[:, None] + np.arange(size)) % size, 1)
    back = orders[:, 1] > orders[:, -1]
    orders[back, 1:] = orders[back, :0:-1]
    return orders


def _seriated(moments: Sequence[tuple[np.ndarray, int]]) -> list[Permutation]:
    """Orders by the angle in the plane of two eigenvectors: of the Laplacian, and of the correlations."""
    size = len(moments[0][0])
    total = np.zeros((size, size))
    for second, count in moments:
        scale = np.sqrt(np.diag(second))
        total += count * second / np.outer(scale, scale)
    links = total - total.min()
    centred = total - total.mean(0) - total.mean(1)[:, None] + total.mean()
    planes = [np.linalg.eigh(np.diag(links.sum(0)) - links)[1][:, 1:3], np.linalg.eigh(centred)[1][:, -2:]]
    return [np.argsort(np.arctan2(*own.T)) for own in planes]


def _near(order: Permutation) -> list[Permutation]:
    """With two variables exchanged, an arc reversed, or a variable moved elsewhere."""
    found, far = [], _PAIRS // len(order)
    for i, j in itertools.combinations(range(len(order)), 2):
        if j - i > far:
            continue
        exchanged = order.copy()
        exchanged[[i, j]] = order[[j, i]]
        reversed_ = order.copy()
        reversed_[i : j + 1] = order[i : j + 1][::-1]
        arc = order.copy()
        arc[i : j + 1] = np.roll(order[i : j + 1], 1)
        other = order.copy()
        other[i : j + 1] = np.roll(order[i : j + 1], -1)
        found += [exchanged, reversed_, arc, other]
    return found
