"""How near to a weight is a layer of few values, and how long does it take to find them?

    python benchmarks/bench_codebooks.py

Takes a weight of 512 × 512 apart into codebooks of 2^b values, one for the whole weight or one for some of its rows, in
three ways that need the same bits: `SharedLinear.from_weight`; `sklearn.cluster.KMeans` with its defaults; and a grid
of equal steps between the least and the largest weight of a codebook, each weight rounded to the nearest of it, as
common quantisation has it. Prints the error, Σ (W − Ŵ)² / Σ W², and processor seconds. A codebook's values are float32:
the bits a weight include them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans

from equishare.nn import SharedLinear

_SIZE = 512


def weights(seed: int) -> dict[str, np.ndarray]:
    """Normal numbers, Student's t of four degrees of freedom, and normal rows of very different size."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(_SIZE, _SIZE))
    scales = np.exp(rng.normal(size=(_SIZE, 1)))
    found = {
        "normal": normal,
        "Student's t, 4": rng.standard_t(4, size=(_SIZE, _SIZE)),
        "rows of scale e^N": normal * scales,
    }
    return {name: w.astype(np.float32) for name, w in found.items()}


def exact(weight: np.ndarray, groups: int, block: int) -> np.ndarray:
    """By SharedLinear.from_weight."""
    return SharedLinear.from_weight(torch.from_numpy(weight), groups, block=block).weight.detach().numpy()


def by_blocks(one: Callable[[np.ndarray, int], np.ndarray]) -> Callable[[np.ndarray, int, int], np.ndarray]:
    """A way to quantise numbers, for each block of rows."""

    def way(weight: np.ndarray, groups: int, block: int) -> np.ndarray:
        parts = (weight[o : o + block] for o in range(0, len(weight), block))
        return np.concatenate([one(part.ravel(), groups).reshape(part.shape) for part in parts])

    return way


def kmeans(x: np.ndarray, groups: int) -> np.ndarray:
    """By scikit-learn."""
    found = KMeans(groups, random_state=0).fit(x[:, None])
    return found.cluster_centers_[found.labels_, 0]


def grid(x: np.ndarray, groups: int) -> np.ndarray:
    """Rounded to equal steps."""
    step = (x.max() - x.min()) / (groups - 1)
    return x.min() + step * np.round((x - x.min()) / step)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    groups = 2**options.bits
    ways = {"from_weight": exact, "KMeans": by_blocks(kmeans), "equal steps": by_blocks(grid)}
    print("| weight | rows a codebook | bits a weight |" + "".join(f" {w}, error | seconds |" for w in ways))
    print("|---|---|---|" + "---|" * 2 * len(ways))
    for name, weight in weights(options.seed).items():
        for block in (_SIZE, 64, 8):
            cells = []
            for way in ways.values():
                begin = time.process_time()
                found = way(weight, groups, block)
                seconds = time.process_time() - begin
                error = np.square(weight - found).sum() / np.square(weight).sum()
                cells += [f"{error:.4g}", f"{seconds:.2f}"]
            bits = options.bits + 32 * groups / (block * _SIZE)
            print(f"| {name} | {block} | {bits:.3f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
