"""Find out which columns of a table are exchangeable: bags of patients from the breast cancer data.

    python examples/exchangeable.py
    python examples/exchangeable.py --kinds 2

A sample is a bag of six randomly drawn patients of scikit-learn's breast cancer data, ten mean readings each; the
target is the number of malignant ones among them. Each place in the bag has a layer of its own in the
model, y = V Σ_l relu(W_l x_l + b_l) + c, and the six layers may be shared. As the patients are drawn alike, the places
are exchangeable and one layer should serve all of them.

With ``--kinds 2`` every second place holds a wine in place of a patient (the wine data, ten readings; the target is
the number of malignant patients minus the number of wines of the first cultivar): two groups of places.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn

import equishare as es

LENGTH, HIDDEN, READINGS = 6, 8, 10
NOISE = 0.1


class BagNet(nn.Module):
    """``V Σ_l relu(W_l x_l + b_l) + c`` for the places l of a bag."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(length, HIDDEN, READINGS) / READINGS**0.5)
        self.bias = nn.Parameter(torch.zeros(length, HIDDEN))
        self.out = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(torch.einsum("nli,lhi->nlh", x, self.weight) + self.bias)
        return self.out(hidden.sum(1)).squeeze(-1)


def load_kinds(kinds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Standardised readings (m, READINGS) and what one of them adds to the target (m,), of each kind."""
    from sklearn.datasets import load_breast_cancer, load_wine

    patients, benign = load_breast_cancer(return_X_y=True)
    found = [(patients, 1.0 - benign)]
    if kinds == 2:
        wines, cultivar = load_wine(return_X_y=True)
        found.append((wines, -1.0 * (cultivar == 0)))
    return [((x - x.mean(0)) / x.std(0), value) for x, value in ((x[:, :READINGS], value) for x, value in found)]


def true_partition(length: int, kinds: int) -> es.Partition:
    """The places that hold the same kind."""
    return es.Partition(np.arange(length) % kinds)


def draw(length: int, kinds: int, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation bags, readings (count, length, READINGS) and noisy targets (count,), float32.

    No patient and no wine is in both sets.
    """
    rng = np.random.default_rng(seed)
    tables = []
    for x, value in load_kinds(kinds):
        order = rng.permutation(len(x))
        tables.append([(x[part], value[part]) for part in (order[::2], order[1::2])])
    sets = []
    for which in range(2):
        places, total = [], NOISE * rng.standard_normal(count)
        for place in range(length):
            x, value = tables[place % kinds][which]
            row = rng.integers(len(x), size=count)
            places.append(x[row])
            total += value[row]
        sets.append((np.stack(places, 1).astype(np.float32), total.astype(np.float32)))
    return sets


def find(
    length: int = LENGTH, kinds: int = 1, count: int = 1000, seed: int = 0, steps: int | None = None
) -> es.ModelDiscovery:
    """Discover which places share a layer, from ``count`` bags and as many to validate."""
    train, val = draw(length, kinds, count, seed)
    torch.manual_seed(seed)
    model = BagNet(length)
    es.share(model, ("weight", "bias"), dim=0)
    problem = es.ModelProblem(model, train, val, nn.functional.mse_loss)
    return es.discover(problem, seed=seed, steps=steps, refit_steps=steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=LENGTH, help="places in a bag")
    parser.add_argument("--kinds", type=int, default=1, choices=(1, 2), help="kinds of readings, in turn")
    parser.add_argument("--count", type=int, default=1000, help="training bags, and as many to validate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="training steps of every fit; as many as gain where none are given")
    given = parser.parse_args()
    if min(given.length, given.count, 1 if given.steps is None else given.steps) < 1 or given.seed < 0:
        parser.error("length, count and steps must be at least 1, and seed must not be negative")
    start = time.perf_counter()
    try:
        found = find(given.length, given.kinds, given.count, given.seed, given.steps)
    except ImportError as error:
        parser.error(str(error))
    pattern = found.partitions["weight"]
    print(f"{given.length} places in {pattern.num_groups} groups, {time.perf_counter() - start:.0f} s")
    for group in range(pattern.num_groups):
        print(f"  exchangeable: places {', '.join(str(i + 1) for i in np.flatnonzero(pattern.labels == group))}")
    distance = es.partition_distance(pattern, true_partition(given.length, given.kinds))
    print(f"distance from how the bags were drawn: {distance}")
    print(f"validation loss {found.validation_loss:.4f}, without sharing {found.no_sharing_loss:.4f}")


if __name__ == "__main__":
    main()
