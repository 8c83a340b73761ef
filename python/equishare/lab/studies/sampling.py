"""Random partitions, and the answers of someone who knows the true values."""

from __future__ import annotations

import numpy as np

from equishare.partition import Partition

#: Up to this many entries a partition is drawn uniformly; with more, nearly every labelling that
#: is drawn uniformly uses all groups anyway, and the paper opens the groups in order.
MAX_UNIFORM = 6


def random_labels(rng: np.random.Generator, num_entries: int, num_groups: int) -> np.ndarray:
    """Draw the labels (K,) of a partition of ``num_entries`` into exactly ``num_groups`` groups.

    Up to six entries: uniform among all such partitions. More: the first ``num_groups`` entries
    open the groups and each other entry chooses one uniformly.

    Raises:
        ValueError: ``num_groups`` is not in 1..``num_entries``.
    """
    if not 1 <= num_groups <= num_entries:
        raise ValueError(f"num_groups must lie in 1..{num_entries}, got {num_groups}")
    if num_entries > MAX_UNIFORM:
        rest = rng.integers(num_groups, size=num_entries - num_groups)
        return np.concatenate([np.arange(num_groups), rest])
    # Every partition into r groups has r! labellings that use all labels, so rejecting the
    # labellings that miss one leaves the partitions equally likely.
    while True:
        labels = rng.integers(num_groups, size=num_entries)
        if len(np.unique(labels)) == num_groups:
            return Partition(labels).labels


def standard_error(x: np.ndarray) -> float:
    """Standard error of a weight of inputs x (n, I) for noise of unit variance: √ of the mean diagonal of (XᵀX)⁻¹."""
    centred = x - x.mean(axis=0)
    return float(np.sqrt(np.diag(np.linalg.inv(centred.T @ centred)).mean()))


def nearest_labels(estimates: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Label each estimate by the nearest of the true ``values`` (G,).

    For estimates with equal, independent Gaussian errors this is the Bayes limit: no rule that
    looks at the entries one by one makes fewer mistakes.
    """
    return np.abs(estimates[..., None] - values).argmin(axis=-1)


def joint_labels(estimate: np.ndarray, precision: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Label the entries of one row by the most probable assignment to the true ``values``.

    Minimises (w − ŵ)ᵀ P (w − ŵ) over w with every entry among ``values`` (G,), where ŵ is the
    ``estimate`` (I,) and P the ``precision`` (I, I) of its error: with correlated inputs the
    errors of a row depend on each other, and this uses it. The search goes depth first through
    the triangular factor of P, nearest value first, and cuts what exceeds the best complete
    assignment; it is exact.
    """
    size = len(estimate)
    factor = np.linalg.cholesky(precision).T  # upper triangular, P = factorᵀ factor
    best_cost = np.inf
    best = np.zeros(size, dtype=np.int64)
    current = np.zeros(size, dtype=np.int64)
    error = np.zeros(size)

    def descend(index: int, cost: float) -> None:
        nonlocal best_cost
        if index < 0:
            best_cost = cost
            best[:] = current
            return
        rest = factor[index, index + 1 :] @ error[index + 1 :]
        residual = factor[index, index] * (values - estimate[index]) + rest
        for label in np.abs(residual).argsort():
            total = cost + residual[label] ** 2
            if total >= best_cost:
                return
            current[index] = label
            error[index] = values[label] - estimate[index]
            descend(index - 1, total)

    descend(size - 1, 0.0)
    return best
