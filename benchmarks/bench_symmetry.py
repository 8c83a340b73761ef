"""How long symmetry_group takes on large patterns, out of order.

    python benchmarks/bench_symmetry.py [--sizes 64 256 1000]

Each pattern is named with outputs and inputs free, and with one action for both where it has one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import equishare as es

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from symmetry_groups import blocks, circulant, dihedral, exchangeable, grid, hamming, repeated, toeplitz  # noqa: E402


def sides(n: int) -> tuple[int, int]:
    """The two factors of n nearest to each other."""
    short = max(d for d in range(1, int(n**0.5) + 1) if n % d == 0)
    return short, n // short


def eye(n: int) -> np.ndarray:
    return np.eye(n, dtype=int)


def tied(n: int) -> np.ndarray:
    return np.zeros((n, n), dtype=int)


PATTERNS: dict[str, Callable[[int], np.ndarray]] = {
    "a I + b 11ᵀ": eye,
    "all tied": tied,
    "circulant": circulant,
    "circulant and symmetric": dihedral,
    "shifts of a torus": lambda n: grid(*map(circulant, sides(n))),
    "shifts and reflections of a torus": lambda n: grid(*map(dihedral, sides(n))),
    "exchangeable array": lambda n: exchangeable(*sides(n)),
    "blocks of 8, all tied": lambda n: repeated(tied(8), n // 8),
    "blocks of 8, a I + b 11ᵀ": lambda n: repeated(eye(8), n // 8),
    "blocks of 8, circulant": lambda n: repeated(circulant(8), n // 8),
    "two blocks a I + b 11ᵀ": lambda n: repeated(eye(n // 2), 2),
    "blocks of 8, all tied, in a ring": lambda n: np.kron(circulant(n // 8), np.ones((8, 8), int)),
    "a tied block, a block a I + b 11ᵀ": lambda n: blocks(tied(n // 2), eye(n // 2)),
    "words of 2 letters": lambda n: hamming(int(n**0.5), 2),
    "valid convolution, 3 taps": lambda n: toeplitz(n - 2, 3),
    "random labels": lambda n: np.random.default_rng(0).integers(0, 3, (n, n)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1000])
    sizes = parser.parse_args().sizes
    es.symmetry_group(eye(4))  # imports
    print(f"{'pattern':36} {'weight':>12} {'same action':>12} {'seconds':>8}  group")
    for title, pattern in PATTERNS.items():
        for n in sizes:
            labels, rng = pattern(n), np.random.default_rng(0)
            num_out, num_in = labels.shape
            for same in (False, True) if num_out == num_in else (False,):
                rows = rng.permutation(num_out)
                shuffled = labels[rows][:, rows if same else rng.permutation(num_in)]
                start = time.perf_counter()
                name = es.symmetry_group(shuffled, same_action=same).name
                seconds = time.perf_counter() - start
                weight = f"{num_out} × {num_in}"
                print(f"{title:36} {weight:>12} {'yes' if same else '':>12} {seconds:8.2f}  {name}", flush=True)


if __name__ == "__main__":
    main()
