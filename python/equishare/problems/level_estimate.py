"""What the samples tell of the effects of levels when none are tied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equishare.linalg import pseudo_inverse, solve
from equishare.problems.additive import MOST_DENSE, Additive, RandomEffects

# Variance of the prior of a free effect in units of that of the effects of its factor.
_WEAK = 100.0


@dataclass(frozen=True, eq=False)
class LevelEstimate:
    """An :class:`equishare.problems.base.Estimate` of the effects of all levels of all factors.

    They have a normal prior ten times as wide as the effects of their factor are, which decides what the samples leave
    open: the mean of the effects of each factor, and factors that are collinear.

    Attributes:
        model: the samples.
        effects: the effects, shrunk by as much as those of their factor vary; the common ground of a search.
        ordered: which factors tie neighbours only.
        unit: of the outcome, in which the model is written.
    """

    model: Additive
    effects: RandomEffects
    ordered: tuple[bool, ...]
    unit: float = 1.0

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the noise; infinite where it is known."""
        quadratic = self.effects.quadratic
        return np.inf if quadratic.is_known else max(float(quadratic.count - len(quadratic.corner)), 1.0)

    @cached_property
    def _precision(self) -> np.ndarray:
        quadratic, noise = self.effects.quadratic, self.effects.noise
        if quadratic.num_levels > 2 * MOST_DENSE:
            raise ValueError(
                f"this method takes at most {2 * MOST_DENSE} levels, got {quadratic.num_levels}: give method='auto', "
                "or join rare levels first"
            )
        levels = quadratic.levels if isinstance(quadratic.levels, np.ndarray) else quadratic.levels.toarray()
        own = levels - quadratic.border @ pseudo_inverse(quadratic.corner) @ quadratic.border.T
        return np.asarray(own / noise + np.diag(self._prior))

    @cached_property
    def _prior(self) -> np.ndarray:
        return np.repeat(1 / (_WEAK * self.effects.scale), self.effects.quadratic.sizes)

    @cached_property
    def values(self) -> np.ndarray:
        """(K,) effects, those of a factor with mean zero over the samples."""
        quadratic = self.effects.quadratic
        if quadratic.num_levels > MOST_DENSE:
            return self.effects.effects * self.unit
        num = quadratic.num_levels
        right = quadratic.right[:num] - quadratic.border @ pseudo_inverse(quadratic.corner) @ quadratic.right[num:]
        found = solve(self._precision, right / self.effects.noise)
        for own in quadratic.slices:
            found[own] -= np.average(found[own], weights=np.maximum(quadratic.counts[own], 1e-300))
        return np.asarray(found) * self.unit

    @cached_property
    def variance(self) -> np.ndarray:
        """(K,) of each effect about the mean of its factor."""
        quadratic = self.effects.quadratic
        if quadratic.num_levels > MOST_DENSE:
            return self.effects.variance * self.unit**2
        covariance = pseudo_inverse(self._precision)
        found = np.empty(quadratic.num_levels)
        for own in quadratic.slices:
            share = np.maximum(quadratic.counts[own], 1e-300) / np.maximum(quadratic.counts[own], 1e-300).sum()
            block = covariance[own, own]
            crossed = block @ share
            found[own] = np.diag(block) - 2 * crossed + share @ crossed
        return np.maximum(found, 1e-12 * covariance.diagonal()) * self.unit**2

    def apply(self, w: np.ndarray) -> np.ndarray:
        """``Ω w``."""
        return np.asarray(self._precision @ w) / self.unit**2

    def gather(self, labels: np.ndarray, num_groups: int) -> tuple[np.ndarray, np.ndarray]:
        """``AᵀΩŵ`` and ``AᵀΩA``."""
        one_hot = np.eye(num_groups)[labels]
        return one_hot.T @ self.apply(self.values), one_hot.T @ self._precision @ one_hot / self.unit**2
