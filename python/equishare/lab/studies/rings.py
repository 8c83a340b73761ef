"""Rings of pixels cut from photographs: rotation and reflection in real data.

A ring is n grey values, read bilinearly at n equally spaced points of a circle; the circle's
centre and starting angle are random. Task: noisy ring -> clean ring. Because every starting
angle is equally likely, the best linear map is circulant and, because the circle may be run
through either way, symmetric: a weight depends only on how far apart two pixels lie on the ring,
whatever the photographs show. That pattern is the one of the dihedral group D_n.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from equishare.extras import installing
from equishare.lab.studies.cells import Cell, Draws, Plan, Scores, experiment
from equishare.lab.studies.patterns import dihedral
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem
from equishare.result.discovery import Discovery

TRIALS = 10
NUM_PIXELS = 8
RADIUS = 2.0
NOISE = 0.1
#: Closest that a centre may come to the border of its photograph, in pixels.
MARGIN = 10
METHODS = ("no sharing", "oracle", "gap", "merge", "bilevel", "auto")
#: The larger ring: its far weights differ by less than can be told, so what counts is whether the pattern is symmetric.
LARGE_PIXELS, LARGE_RADIUS = 16, 4.0
LARGE_METHODS = ("gap", "merge", "closure", "auto")


def plans() -> list[Plan]:
    """A table for each size of the rings."""
    found = []
    for name, pixels, radius, counts, methods in (
        ("rings", NUM_PIXELS, RADIUS, (40_000, 400_000), METHODS),
        ("large_rings", LARGE_PIXELS, LARGE_RADIUS, (2_000, 20_000), LARGE_METHODS),
    ):
        cells = [
            Cell({"rings": count}, partial(draw, rings=count, pixels=pixels, radius=radius), methods, TRIALS)
            for count in counts
        ]
        title = f"Rings of {pixels} pixels from two photographs, half of them for validation"
        found.append(Plan(name, title, ("pd", "groups", "symmetric"), cells))
    return found


run = experiment("rings", plans)


def sample_rings(
    count: int,
    pixels: int = NUM_PIXELS,
    radius: float = RADIUS,
    noise: float = NOISE,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut ``count`` rings from scikit-learn's two sample photographs.

    Args:
        count: Number of rings.
        pixels: Points on each ring, equally spaced.
        radius: Radius of the circle in pixels, at most 9.
        noise: Standard deviation of the noise, in units of the grey scale 0 (black) to 1.
        seed: Seed of numpy's generator.

    Returns:
        Noisy rings x and clean rings y, both (count, pixels) float32. A grey value is the mean
        of the three colours divided by 255; the mean over all clean rings is subtracted.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: an argument lies outside its range.
    """
    if count < 1 or pixels < 1:
        raise ValueError(f"count and pixels must be at least 1, got {count} and {pixels}")
    if not 0 <= radius <= MARGIN - 1:
        raise ValueError(f"radius must lie in 0..{MARGIN - 1}, got {radius}")
    if not noise >= 0 or seed < 0:
        raise ValueError(f"noise and seed must not be negative, got {noise} and {seed}")
    images = photographs()
    height, width = images.shape[1:]
    rng = np.random.default_rng(seed)
    which = rng.integers(len(images), size=(count, 1))
    row = rng.uniform(MARGIN, height - 1 - MARGIN, size=(count, 1))
    column = rng.uniform(MARGIN, width - 1 - MARGIN, size=(count, 1))
    angle = rng.uniform(0, 2 * np.pi, size=(count, 1)) + 2 * np.pi * np.arange(pixels) / pixels
    clean = _bilinear(images, which, row + radius * np.sin(angle), column + radius * np.cos(angle))
    clean -= clean.mean()
    noisy = clean + noise * rng.standard_normal(clean.shape)
    return noisy.astype(np.float32), clean.astype(np.float32)


def draw(rng: np.random.Generator, trials: int, *, rings: int, pixels: int, radius: float) -> Draws:
    """Draw ``trials`` problems of ``rings`` rings.

    Scored are the partition distance to the distances on the ring, the number of groups, and whether the pattern is
    exactly unchanged by turning and flipping the ring.
    """
    truth = Partition(dihedral(pixels))
    train = rings // 2
    problems = []
    for _ in range(trials):
        x, y = sample_rings(rings, pixels, radius, seed=int(rng.integers(2**63)))
        problems.append(LinearProblem(x[:train], y[:train], x_val=x[train:], y_val=y[train:]))

    def score(_trial: int, answer: Discovery) -> Scores:
        return {
            "pd": float(partition_distance(answer.partition, truth)),
            "groups": float(answer.partition.num_groups),
            "symmetric": float(truth.refines(answer.partition)),
        }

    return Draws(problems, [truth] * trials, score)


def photographs() -> np.ndarray:
    """The grey values of both photographs, (2, height, width), from 0 to 1."""
    try:
        from sklearn.datasets import load_sample_images
    except ImportError:
        raise ImportError(f"the photographs come with scikit-learn: {installing('examples')}") from None
    return np.stack([image.mean(axis=2) / 255 for image in load_sample_images().images])


def _bilinear(images: np.ndarray, which: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    down, right = row - top, column - left
    above = (1 - right) * images[which, top, left] + right * images[which, top, left + 1]
    below = (1 - right) * images[which, top + 1, left] + right * images[which, top + 1, left + 1]
    return (1 - down) * above + down * below
