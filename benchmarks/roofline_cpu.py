"""How long must each row of ``equishare bench`` take on this processor at least, and how close does it come?

    python benchmarks/roofline_cpu.py results/bench/bench.json

Reads what was measured and computes, for each row,

- the bytes that must move over the bandwidth of the row's own copy, which ran in turns with it;
- the exponentials at the rate of soft_gather on logits that lie in the cache, measured here;
- the floating-point operations at the rate of torch's matrix product, measured here.

Memory and arithmetic overlap, so the longest of the three is expected. A row that takes much longer has a
cost that the three do not tell: page faults, the call itself, labels looked up, or work beyond the least.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from equishare import ops


def fastest(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Least seconds of a call."""
    found = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return min(found)


@torch.no_grad()
def rates() -> tuple[float, float]:
    """Exponentials and floating-point operations a second, float32."""
    logits, values, a = torch.randn(512, 512), torch.randn(512), torch.randn(1024, 1024)
    return logits.numel() / fastest(lambda: ops.soft_gather(logits, values)), 2 * 1024**3 / fastest(lambda: a @ a)


def limits(row: dict[str, Any], exps: float, flops: float) -> dict[str, float]:
    """Least seconds by memory, exponentials and other arithmetic. float64 has half the lanes; halves have all."""
    lanes = 0.5 if row["dtype"] == "float64" else 1.0
    return {
        "memory": row["contenders"]["copy"]["median_seconds"],
        "exps": row["exps"] / (lanes * exps),
        "flops": row["flops"] / (lanes * flops),
    }


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path, help="bench.json of equishare bench --out")
    document = json.loads(parser.parse_args().json.read_text(encoding="utf-8"))
    torch.set_num_threads(document["machine"]["threads"])
    exps, flops = rates()
    print(f"{exps / 1e9:.3g} G exponentials and {flops / 1e9:.3g} G operations a second.\n")
    columns = (
        "MB",
        "M exps",
        "M flops",
        "memory ms",
        "exps ms",
        "flops ms",
        "bound by",
        "expected ms",
        "ours ms",
        "ratio",
    )
    print(f"| row | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for row in document["rows"]:
        if not row["contenders"]:
            continue
        found = limits(row, exps, flops)
        bound = max(found, key=lambda name: found[name])
        expected, ours = found[bound], row["contenders"]["ours"]["median_seconds"]
        counts = ((row["bytes_read"] + row["bytes_written"]) / 1e6, row["exps"] / 1e6, row["flops"] / 1e6)
        numbers = [f"{x:.3g}" for x in (*counts, *(1e3 * t for t in found.values()))]
        last = [f"{1e3 * expected:.3g}", f"{1e3 * ours:.3g}", f"{ours / expected:.3g}"]
        print(f"| {' | '.join([row['name'], *numbers, bound, *last])} |")


if __name__ == "__main__":
    main()
