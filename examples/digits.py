"""Find the symmetry of a network's first layer from handwritten digits: shifts on the torus.

    python examples/digits.py

The inputs are scikit-learn's 8 × 8 digits, shifted at random around the torus, with some grey noise. The target is
an edge map of the same image, relu(x[r, c] − 0.6 x[r, c−1] − 0.3 x[r−1, c]), noisy too. The network is dense 64 → 64,
ReLU, one scale and one offset for all pixels. It is told nothing of rows, columns or shifts: all 4096 weights may be
shared with one another. The true pattern has four groups, three taps and the zeros, and the shifts of the torus, which
act on both sides of the layer, keep it as it is.

What this shows: the pattern, and with it the symmetry, of a map that commutes with shifts is found exactly from images
with the correlations of real ones. What it does not show: the edge filter is ours and has few different weights, far
apart. Asked for the clean image in place of its edges, where the best layer has about as many different weights as
there are shifts, 64, the same network with as many images was given 65 groups that the shifts do not keep.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn

import equishare as es

SIDE = 8
#: Taps of the edge filter by (row, column) relative to the pixel.
TAPS = {(0, 0): 1.0, (0, -1): -0.6, (-1, 0): -0.3}
GREY_NOISE, TARGET_NOISE = 0.5, 0.1


class EdgeNet(nn.Module):
    """``a · relu(W x) + b`` with one number a and one number b for all pixels."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(pixels, pixels, bias=False)
        self.scale, self.offset = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.relu(self.dense(x)) + self.offset


def load_images(side: int) -> np.ndarray:
    """Standardised digits (1797, side, side); a side below 8 takes the middle of each."""
    from sklearn.datasets import load_digits

    images = load_digits().images
    start = (images.shape[1] - side) // 2
    images = images[:, start : start + side, start : start + side]
    return (images - images.mean()) / images.std()


def draw(images: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shifted, noisy images and their edge maps, both (count, pixels) float32."""
    side = images.shape[1]
    x = images[rng.integers(len(images), size=count)]
    rows, columns = (rng.integers(side, size=(count, 1, 1)) for _ in range(2))
    place = np.arange(side)
    x = x[np.arange(count)[:, None, None], (place[:, None] - rows) % side, (place - columns) % side]
    x = x + GREY_NOISE * rng.standard_normal(x.shape)
    edges = sum(tap * np.roll(x, (-row, -column), axis=(1, 2)) for (row, column), tap in TAPS.items())
    y = np.maximum(edges, 0) + TARGET_NOISE * rng.standard_normal(x.shape)
    return x.reshape(count, -1).astype(np.float32), y.reshape(count, -1).astype(np.float32)


def true_partition(side: int) -> es.Partition:
    """Which weights of the layer (outputs, inputs) the edge filter makes equal."""
    place = np.arange(side * side).reshape(side, side)
    labels = np.zeros((side * side, side * side), dtype=np.int64)
    for group, (row, column) in enumerate(TAPS, start=1):
        labels[place, np.roll(place, (-row, -column), axis=(0, 1))] = group
    return es.Partition(labels)


def commutes_with_shifts(partition: es.Partition, side: int) -> bool:
    """Whether a shift of the torus by one row or one column, of outputs and inputs alike, keeps every group."""
    place = np.arange(side * side).reshape(side, side)
    labels = partition.labels
    for axis in (0, 1):
        moved = np.roll(place, 1, axis=axis).ravel()
        if not np.array_equal(labels[np.ix_(moved, moved)], labels):
            return False
    return True


def find(side: int = SIDE, count: int = 3000, seed: int = 0, steps: int | None = None) -> es.ModelDiscovery:
    """Discover the sharing of the layer from ``count`` shifted images, and as many to validate."""
    rng = np.random.default_rng(seed)
    images = load_images(side)
    # No digit is in both sets.
    half = len(images) // 2
    train, val = draw(images[:half], count, rng), draw(images[half:], count, rng)
    torch.manual_seed(seed)
    model = EdgeNet(side * side)
    es.share(model, "dense.weight")
    problem = es.ModelProblem(model, train, val, nn.functional.mse_loss)
    return es.discover(problem, seed=seed, steps=steps, refit_steps=steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--side", type=int, default=SIDE, choices=range(3, SIDE + 1), help="rows and columns of an image"
    )
    parser.add_argument("--count", type=int, default=3000, help="training images, and as many to validate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="training steps of every fit; as many as gain where none are given")
    given = parser.parse_args()
    if min(given.count, 1 if given.steps is None else given.steps) < 1 or given.seed < 0:
        parser.error("count and steps must be at least 1, and seed must not be negative")
    start = time.perf_counter()
    try:
        found = find(given.side, given.count, given.seed, given.steps)
    except ImportError as error:
        parser.error(str(error))
    pattern, truth = found.partition, true_partition(given.side)
    print(f"{len(pattern)} weights in {pattern.num_groups} groups, {time.perf_counter() - start:.0f} s")
    weights = found.theta["dense.weight"].numpy()
    for group in range(pattern.num_groups):
        members = pattern.labels == group
        print(f"  {members.sum():5d} weights of {weights[members].mean() + 0.0:6.3f}")
    print(f"distance from the pattern of the edge filter: {es.partition_distance(pattern, truth)}")
    kept = "yes" if commutes_with_shifts(pattern, given.side) else "no"
    print(f"kept by the {given.side**2} shifts of the torus: {kept}")
    print(f"validation loss {found.validation_loss:.5f}, without sharing {found.no_sharing_loss:.5f}")


if __name__ == "__main__":
    main()
