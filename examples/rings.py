"""Write noisy and clean rings of pixels, cut from scikit-learn's two photographs, to an .npz file.

    python examples/rings.py rings.npz
    equishare discover rings.npz

x are noisy rings, y the same rings without noise. Nothing in the file says that a ring can be
turned or flipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from equishare.files import written_whole
from equishare.lab.studies.rings import NOISE, NUM_PIXELS, RADIUS, sample_rings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, ending in .npz")
    parser.add_argument("--count", type=int, default=400_000, help="number of rings")
    parser.add_argument("--pixels", type=int, default=NUM_PIXELS, help="points on each ring")
    parser.add_argument("--radius", type=float, default=RADIUS, help="radius in pixels")
    parser.add_argument("--noise", type=float, default=NOISE, help="standard deviation, grey 0..1")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.out.suffix != ".npz":
        parser.error(f"out must end in .npz, got {given.out}")
    try:
        x, y = sample_rings(given.count, given.pixels, given.radius, given.noise, given.seed)
        with written_whole(given.out) as temporary:
            np.savez(temporary, x=x, y=y)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{given.out}: x and y, {given.count} rings of {given.pixels} pixels each")


if __name__ == "__main__":
    main()
