"""How long the report of a weight takes to write (its symmetry included) and to open in Chromium, and how large it is.

    python benchmarks/bench_report.py [--repeats 7]

"open" runs from the start of the navigation until the page has loaded and its script has drawn the pattern: the
browser's own clock, median and worst; "first" is the first load of a browser just started.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import MISSING, is_there, started  # noqa: E402
from report_cases import found, ring_labels  # noqa: E402

STEPS = {"step": np.arange(5000), "validation_loss": np.geomspace(9, 1, 5000)}
CASES = {
    "64 × 64, ring, 33 groups": found(ring_labels(64)),
    "64 × 64, 4096 groups": found(np.arange(4096).reshape(64, 64), history=STEPS),
    "1000 × 1000, 100 groups": found(np.random.default_rng(0).integers(0, 100, (1000, 1000)), history=STEPS),
}
LOADED = """
const shown = document.querySelector("canvas").getContext("2d").getImageData(100, 100, 1, 1).data[3];
const {startTime, loadEventEnd} = performance.getEntriesByType("navigation")[0];
return [loadEventEnd - startTime, shown];
"""


def opened(driver, path: Path) -> float:
    """Seconds."""
    driver.get(path.as_uri())
    milliseconds, shown = driver.execute_script(LOADED)
    assert milliseconds > 0 and shown == 255, "the pattern was not drawn"
    return milliseconds / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    if not is_there():
        parser.error(MISSING)
    print(f"{'weight':28} {'write':>8} {'size':>9} {'first':>8} {'open':>8} {'worst':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, discovery in CASES.items():
            path = Path(folder) / "report.html"
            start = time.perf_counter()
            discovery.report(path)
            write = time.perf_counter() - start
            with started() as driver:
                first, *times = [opened(driver, path) for _ in range(1 + repeats)]
            size = path.stat().st_size / 1e6
            middle, worst = statistics.median(times), max(times)
            print(f"{name:28} {write:6.2f} s {size:6.2f} MB {first:6.2f} s {middle:6.2f} s {worst:6.2f} s")


if __name__ == "__main__":
    main()
