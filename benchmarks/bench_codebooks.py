"""How near to a weight is a layer of few values, and how long does it take to find them?

    python benchmarks/bench_codebooks.py
    python benchmarks/bench_codebooks.py --libraries   # needs torchao and bitsandbytes

Takes a weight of 512 × 512 apart into codebooks of 2^b values, one for the whole weight or one for some of its rows, in
three ways that need the same bits: `SharedLinear.from_weight`; `sklearn.cluster.KMeans` with its defaults; and a grid
of equal steps between the least and the largest weight of a codebook, each weight rounded to the nearest of it, as
common quantisation has it. Prints the error, Σ (W − Ŵ)² / Σ W², and processor seconds. A codebook's values are float32:
the bits a weight include them.

With ``--libraries`` four-bit layers of torchao (integers, a scale for 128 weights) and of bitsandbytes (NF4, a scale
for 64) stand beside ours at as many bits: error, and microseconds of one sample and of 64 of a layer of 1024 × 1024,
after checking that each gives x Wᵀ of its own weight.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import nn

from equishare.nn import SharedLinear

_SIZE = 512


def weights(seed: int, size: int = _SIZE) -> dict[str, np.ndarray]:
    """Normal numbers, Student's t of four degrees of freedom, and normal rows of very different size."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(size, size))
    scales = np.exp(rng.normal(size=(size, 1)))
    found = {
        "normal": normal,
        "Student's t, 4": rng.standard_t(4, size=(size, size)),
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


def ours(weight: torch.Tensor, block: int) -> nn.Module:
    """A layer of four bits a weight, with a codebook for so many rows."""
    return SharedLinear.from_weight(weight, 16, block=block)


def of_torchao(weight: torch.Tensor) -> nn.Module:
    """Integers of four bits, a scale for each 128 weights of a row."""
    from torchao.quantization import IntxWeightOnlyConfig, PerGroup, quantize_

    layer = nn.Linear(*weight.shape[::-1], bias=False)
    layer.weight.data = weight.clone()
    quantize_(layer, IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(128)))
    return layer


def of_bitsandbytes(weight: torch.Tensor) -> nn.Module:
    """NF4, a scale for each 64 weights."""
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(*weight.shape[::-1], bias=False, quant_type="nf4", compute_dtype=torch.float32)
    layer.load_state_dict({"weight": weight})
    return layer.to("cpu")


def microseconds(layer: nn.Module, x: torch.Tensor) -> float:
    """The least of some calls."""
    found = []
    for _ in range(30):
        start = time.perf_counter()
        layer(x)
        found.append(time.perf_counter() - start)
    return 1e6 * min(found)


@torch.inference_mode()
def beside_libraries(seed: int) -> None:
    """Print the table of libraries in Markdown."""
    print("| weight | layer | bits a weight | error | one sample, µs | 64 samples, µs |\n|---|---|---|---|---|---|")
    for name, array in weights(seed, 1024).items():
        weight, samples = torch.from_numpy(array), torch.randn(64, 1024)
        # A codebook of 16 float32 for `block` rows of 1024, in bits a weight, is 1 / (2 · block).
        layers = {
            ("dense", 32.0): nn.Linear(1024, 1024, bias=False).requires_grad_(False),
            ("from_weight, one codebook", 4 + 1 / 2048): ours(weight, 1024),
            ("from_weight, of 2 rows", 4.25): ours(weight, 2),
            ("torchao, int4", 4.25): of_torchao(weight),
            ("from_weight, of a row", 4.5): ours(weight, 1),
            ("bitsandbytes, NF4", 4.5): of_bitsandbytes(weight),
        }
        layers["dense", 32.0].weight.copy_(weight)
        for (what, bits), layer in layers.items():
            own = layer(torch.eye(1024)).T
            torch.testing.assert_close(layer(samples), samples @ own.T, rtol=1e-3, atol=1e-3 * float(own.abs().max()))
            error = float((weight - own).square().sum() / weight.square().sum())
            taken = [microseconds(layer, x) for x in (samples[:1], samples)]
            print(f"| {name} | {what} | {bits:.3g} | {error:.4g} | {taken[0]:.0f} | {taken[1]:.0f} |", flush=True)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--libraries", action="store_true")
    options = parser.parse_args()
    if options.libraries:
        return beside_libraries(options.seed)
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
