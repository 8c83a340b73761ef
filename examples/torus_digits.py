"""Find that a dense first layer should be a convolution on a torus, from handwritten digits and their classes.

    python examples/torus_digits.py

scikit-learn's 8 × 8 digits lie in an empty 14 × 14 image, shifted at random around the torus; the target is the class.
The network is dense 196 → 196 with one offset, ReLU, four moments of all 196 outputs, and a linear head. All 38,416
weights of the first layer may be shared with one another, and no one says that pixels have rows, columns or
neighbours. Discovery tries, among others, what would be the shifts of any line or plane that the pixels may be in the
order in which they come, each trained and judged on validation images.

It prints the symmetry of the pattern that is found, and the accuracy on images of other digits: of the discovered
network, of the same network with the convolution built in, and of the one without sharing.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn

import equishare as es

SIDE = 14
#: Images of digits to train, to validate, and the rest to test.
SPLIT = (700, 1400)


class MomentNet(nn.Module):
    """A dense layer, ReLU, four moments of its outputs, and a linear head. Moments do not know the order of outputs."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(pixels, pixels, bias=False)
        self.offset = nn.Parameter(torch.zeros(1))
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.dense(x) + self.offset)
        return self.head(torch.stack([h.mean(-1), (h**2).mean(-1), (h**3).mean(-1), h.amax(-1)], -1))


def draw(part: slice, count: int, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shifted images (count, side²) of the digits of a part, and their classes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))[part]
    chosen = rng.choice(order, count)
    start = (side - 8) // 2
    images = np.zeros((count, side, side))
    images[:, start : start + 8, start : start + 8] = data.images[chosen] / data.images.std()
    # One number for all pixels, that no shift changes.
    images -= data.images.mean() / data.images.std() * 64 / side**2
    rows, columns = rng.integers(side, size=(2, count, 1))
    place = np.arange(side)
    at = np.arange(count)[:, None, None], ((place - rows) % side)[:, :, None], ((place - columns) % side)[:, None]
    return images[at].reshape(count, -1).astype(np.float32), data.target[chosen]


def shifts(side: int) -> es.Partition:
    """Which weights (outputs, inputs) a convolution on the torus makes equal."""
    row, column = np.divmod(np.arange(side * side), side)
    down, right = ((axis - axis[:, None]) % side for axis in (row, column))
    return es.Partition(down * side + right)


def commutes_with_shifts(partition: es.Partition, side: int) -> bool:
    """Whether the shifts of the torus, of outputs and inputs alike, keep the groups: those by a row and by a column."""
    place = np.arange(side * side).reshape(side, side)
    moved = [np.roll(place, 1, axis=axis).ravel() for axis in (0, 1)]
    return all(np.array_equal(partition.labels[np.ix_(m, m)], partition.labels) for m in moved)


def find(
    side: int, count: int, seed: int, steps: int | None
) -> tuple[dict[str, es.Discovery], tuple[np.ndarray, np.ndarray]]:
    """The discovered network, the one with the convolution built in and the one without sharing; and test images."""
    rng = np.random.default_rng(seed)
    first, second = SPLIT
    train, val = draw(slice(0, first), count, side, rng), draw(slice(first, second), count, side, rng)
    test = draw(slice(second, None), 2 * count, side, rng)
    torch.manual_seed(seed)
    model = MomentNet(side * side)
    es.share(model, "dense.weight")
    problem = es.ModelProblem(model, train, val, nn.functional.cross_entropy)
    found = {
        "discovered": es.discover(problem, seed=seed, steps=steps, refit_steps=steps),
        "convolution": es.discover(problem, "oracle", seed=seed, partition=shifts(side), steps=steps),
        "no sharing": es.discover(problem, "no_sharing", seed=seed, steps=steps),
    }
    return found, test


def accuracy(found: es.Discovery, test: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """On test images, and its standard error."""
    with torch.no_grad():
        guess = found.model(torch.from_numpy(test[0])).argmax(1).numpy()
    right = (guess == test[1]).mean()
    return float(right), float(np.sqrt(right * (1 - right) / len(guess)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=SIDE, choices=range(8, 17), help="rows and columns of the torus")
    parser.add_argument("--count", type=int, default=2000, help="training images, and as many to validate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="training steps of every fit; as many as gain where none are given")
    given = parser.parse_args()
    if min(given.count, 2 if given.steps is None else given.steps) < 2 or given.seed < 0:
        parser.error("count and steps must be at least 2, and seed must not be negative")
    start = time.perf_counter()
    try:
        found, test = find(given.side, given.count, given.seed, given.steps)
    except ImportError as error:
        parser.error(str(error))
    pattern = found["discovered"].partitions["dense.weight"]
    print(f"{len(pattern)} weights in {pattern.num_groups} groups, {time.perf_counter() - start:.0f} s")
    kept = "yes" if commutes_with_shifts(pattern, given.side) else "no"
    print(f"kept by the {given.side**2} shifts of the torus: {kept}")
    print(f"symmetry: {found['discovered'].symmetry()['dense.weight']}")
    for name, one in found.items():
        right, error = accuracy(one, test)
        print(f"{name:<12} accuracy {right:.3f} ± {error:.3f}, validation loss {one.validation_loss:.3f}")


if __name__ == "__main__":
    main()
