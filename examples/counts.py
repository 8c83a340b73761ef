"""Which handwritten digits take the same amount of ink? A question of counts.

    python examples/counts.py
    python examples/counts.py --report counts.html

scikit-learn's 1797 digits of 8 × 8 pixels. The outcome is the number of dark pixels in one half of an image, the
factors are the digit and the half. A Poisson model with the log of the mean: effects multiply the counts.
"""

# %%
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import equishare as es

# Grey values are 0 to 16.
DARK = 12


# %% Two rows an image: the upper half, and the lower one.
def load() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The table of factors, and the counts."""
    data = load_digits()
    dark = (data.images >= DARK).reshape(-1, 2, 32).sum(2)
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    halves = np.tile(["upper", "lower"], len(dark))
    return {"digit": np.repeat(names[data.target], 2), "half": halves}, dark.ravel()


# %%
def find(count: int = 1797, seed: int = 0) -> es.Discovery:
    """The answer from so many images, drawn at random."""
    table, dark = load()
    chosen = np.random.default_rng(seed).permutation(len(dark) // 2)[:count]
    rows = (2 * chosen[:, None] + np.arange(2)).ravel()
    problem = es.FactorProblem({name: column[rows] for name, column in table.items()}, dark[rows], family="poisson")
    return es.discover(problem, seed=seed)


# %%
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, help="write the report here, ending in .html")
    parser.add_argument("--count", type=int, default=1797, help="number of images")
    given = parser.parse_args()
    if not 100 <= given.count <= 1797:
        parser.error(f"count must be 100 to 1797, got {given.count}")
    found = find(given.count)
    for name, pattern in found.partitions.items():
        levels, effects = np.array(found.levels[name]), found.theta[name]
        groups = [pattern.labels == group for group in range(pattern.num_groups)]
        for own in sorted(groups, key=lambda own: effects[own][0]):
            print(f"{name} {', '.join(levels[own])}: {np.exp(effects[own][0]):.2f} times the ink")
    if given.report is not None:
        found.report(given.report)


if __name__ == "__main__":
    main()
