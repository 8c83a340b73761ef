"""How long does ``partition_distance`` take on large partitions, and is it right?

    python benchmarks/bench_partition.py [--entries 1000000] [--out bench_partition.json]

First agreement: on small random partitions of each kind, the same distance as an assignment solver on the dense
contingency table. Then time. "random groups" puts each entry in a group at random; "shuffled" deals groups of fixed
sizes to the entries in random order; the last two kinds are the hardest known.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

import equishare as es
from equishare.files import written_whole

Pair = tuple[np.ndarray, np.ndarray]
Kind = Callable[[np.random.Generator, int], Pair]


def random_groups(num_groups: Callable[[int], int]) -> Kind:
    """Each entry in one of the groups, uniformly and independently."""
    return lambda rng, n: (rng.integers(0, num_groups(n), n), rng.integers(0, num_groups(n), n))


def shuffled(*sizes: int) -> Kind:
    """Groups of sizes drawn from a list, dealt to the entries in random order."""

    def one(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.permutation(np.repeat(np.arange(n), rng.choice(sizes, n))[:n])

    return lambda rng, n: (one(rng, n), one(rng, n))


def noisy(rng: np.random.Generator, n: int) -> Pair:
    """A thousand groups, a tenth of the entries moved."""
    labels = rng.integers(0, 1000, n)
    return labels, np.where(rng.random(n) < 0.1, rng.integers(0, 1000, n), labels)


KINDS: dict[str, Kind] = {
    "1,000 random groups": random_groups(lambda n: 1000),
    "1,000 groups, a tenth moved": noisy,
    "n / 10 random groups": random_groups(lambda n: n // 10),
    "singletons": shuffled(1),
    "shuffled tens": shuffled(10),
    "shuffled pairs": shuffled(2),
    "shuffled twos and few threes": shuffled(2, 2, 2, 3),
}


def dense_distance(a: np.ndarray, b: np.ndarray) -> int:
    """The definition, by an assignment on the dense contingency table."""
    table = np.zeros((a.max() + 1, b.max() + 1), dtype=np.int64)
    np.add.at(table, (a, b), 1)
    return len(a) - int(table[linear_sum_assignment(table, maximize=True)].sum())


def main() -> None:
    """Check, time, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seconds = {}
    for name, kind in KINDS.items():
        small = kind(np.random.default_rng(0), 3000)
        if es.partition_distance(*small) != dense_distance(*small):
            raise SystemExit(f"{name}: wrong distance on a small table")
        pair = kind(np.random.default_rng(1), arguments.entries)
        start = time.perf_counter()
        distance = es.partition_distance(*pair)
        seconds[name] = time.perf_counter() - start
        print(f"{name:30s} distance {distance:10,d}  {seconds[name]:7.3f} s", flush=True)
    if arguments.out is not None:
        document = {"entries": arguments.entries, "seconds": seconds, "machine": platform.processor()}
        with written_whole(arguments.out) as path:
            path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
