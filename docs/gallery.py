"""Make the pictures of docs/gallery.md, and that of the first page of the site, in docs/figures/.

    python docs/gallery.py

Needs the extra "examples". The pictures of patterns depend on nothing but the patterns: a test compares them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

import equishare as es
from equishare.lab.studies.rings import sample_rings
from equishare.report.palette import ranked_colours

FIGURES = Path(__file__).parent / "figures"
# A picture is about this wide, whatever the number of its columns.
_WIDTH = 160
_INK = {"light": "#222222", "dark": "#dddddd"}


def patterns() -> dict[str, np.ndarray]:
    """The patterns of docs/gallery.md by the names of their pictures."""
    i = np.arange(8)
    row, column = np.divmod(np.arange(16), 4)
    return {
        "ring": es.pattern("D_8").labels,
        "shifts": es.pattern("C_8").labels,
        "torus": es.pattern("C_4 × C_4").labels,
        "toeplitz": i - i[:, None] + 7,
        "window": (row - row[:, None] + 3) * 7 + (column - column[:, None] + 3),
        "set": es.pattern("S_8").labels,
        "array": es.pattern("S_3 × S_4").labels,
        "blocks": es.pattern("S_3 + S_5").labels,
        "groups": es.pattern("S_3 ≀ S_4").labels,
        "tree": es.pattern("S_2 ≀ S_2 ≀ S_2").labels,
        "mirror": es.pattern([i[::-1]]).labels,
        "cube": es.pattern("cube vertices").labels,
    }


def picture(labels: np.ndarray) -> Image.Image:
    """A square a cell in the colour of its group, as in the report; what lies between is transparent."""
    rows, columns = labels.shape
    cell = max(_WIDTH // columns, 4)
    colours = ranked_colours(np.arange(es.Partition(labels).num_groups))
    rgb = np.array([ImageColor.getrgb(colour) for colour in colours], np.uint8)[es.Partition(labels).labels]
    pixels = np.zeros((rows * cell, columns * cell, 4), np.uint8)
    pixels[..., :3] = rgb.repeat(cell, 0).repeat(cell, 1)
    drawn = np.arange(cell) < cell - 1
    pixels[..., 3] = 255 * np.outer(np.tile(drawn, rows), np.tile(drawn, columns))
    return Image.fromarray(pixels)


def first_page(scheme: str) -> None:
    """The rings of the tutorial: what least squares sees, what is found, and the symmetry that this is."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch

    found = es.discover(*sample_rings(2000, pixels=16, radius=4.0, noise=0.1, seed=0))
    labels, ink = found.partition.labels, _INK[scheme]
    seen = np.arange(256).reshape(16, 16)
    colours = ranked_colours(-found.values)
    figure = Figure(figsize=(9, 3.1))
    axes = figure.subplots(1, 3)
    titles = (
        "What least squares sees:\n256 noisy weights",
        f"What equishare finds:\n{found.partition.num_groups} values",
        f"What it is: {found.symmetry().name},\nthe ring turned and flipped",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, color=ink, fontsize=11)
        axis.set_axis_off()
        axis.set_aspect("equal")
    for axis, own, shades in (
        (axes[0], seen, ranked_colours(-found.quality.unshared.ravel())),
        (axes[1], labels, colours),
    ):
        for (row, column), group in np.ndenumerate(own):
            axis.fill(column + np.array([0, 0.92, 0.92, 0]), -row - np.array([0, 0, 0.92, 0.92]), color=shades[group])
    angle = np.pi / 2 - 2 * np.pi * np.arange(16) / 16
    for place, group in zip(angle, labels[0], strict=True):
        axes[2].plot(np.cos(place), np.sin(place), "o", ms=13, color=colours[group], mec=ink, mew=0.6)
    axes[2].plot([0, 0], [-0.8, 0.8], "--", lw=1.2, color=ink)
    turn = {"arrowstyle": "-|>", "mutation_scale": 13, "lw": 1.4, "color": ink, "connectionstyle": "arc3,rad=-0.5"}
    axes[2].add_patch(FancyArrowPatch((-0.36, 0.3), (0.36, 0.3), **turn))
    axes[2].add_patch(FancyArrowPatch((0.36, -0.3), (-0.36, -0.3), **turn))
    axes[2].set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
    figure.tight_layout()
    figure.savefig(FIGURES / f"rings_{scheme}.png", dpi=150, transparent=True)


def main() -> None:
    """Write all pictures."""
    (FIGURES / "gallery").mkdir(exist_ok=True)
    for name, labels in patterns().items():
        picture(labels).save(FIGURES / "gallery" / f"{name}.png", optimize=True)
    for scheme in _INK:
        first_page(scheme)
    print(f"wrote {len(patterns())} patterns and 2 pictures of the rings to {FIGURES}")


if __name__ == "__main__":
    main()
