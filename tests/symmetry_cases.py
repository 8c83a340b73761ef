"""The patterns of examples/symmetry_groups.py, and what is right for each."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location(
    "example_symmetry_groups", Path(__file__).parent.parent / "examples" / "symmetry_groups.py"
)
example = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)

f = math.factorial

# Title: name, order, closure gap. The gap of blocks with one action is one diagonal of each block (12 cells); that of
# blocks of two kinds is the smaller of the two rectangles outside; without any symmetry each label keeps one cell.
EXPECTED = {
    "circulant, 16": ("C_16", 16, 0),
    "circulant, 64": ("C_64", 64, 0),
    "circulant and symmetric, 8": ("D_8", 16, 0),
    "circulant and symmetric, 64": ("D_64", 128, 0),
    "all tied, 5 × 3": ("S_5 × S_3", f(5) * f(3), 0),
    "all tied, 64 × 64": ("S_64 × S_64", f(64) ** 2, 0),
    "a I + b 11ᵀ, 6, same action": ("S_6", f(6), 0),
    "a I + b 11ᵀ, 64": ("S_64", f(64), 0),
    "array of 4 × 5, rows and columns exchangeable": ("S_4 × S_5", f(4) * f(5), 0),
    "array of 8 × 8, rows and columns exchangeable": ("S_8 × S_8", f(8) ** 2, 0),
    "array of 3 × 4 × 5, exchangeable along each axis": ("S_3 × S_4 × S_5", f(3) * f(4) * f(5), 0),
    "shifts of a torus of 4 × 4": ("C_4 × C_4", 16, 0),
    "shifts of a torus of 4 × 6": ("C_4 × C_6", 24, 0),
    "shifts of a torus of 8 × 8": ("C_8 × C_8", 64, 0),
    "shifts and reflections of a torus of 5 × 8": ("D_5 × D_8", 10 * 16, 0),
    "the same and an exchange of the axes, 8 × 8": ("D_8 ≀ C_2", 16**2 * 2, 0),
    "ring of 5 along one axis, 4 exchangeable rows": ("C_5 × S_4", 5 * f(4), 0),
    "16 blocks of 4 × 4, all tied": ("(S_4 × S_4) ≀ S_16", f(4) ** 32 * f(16), 0),
    "4 blocks of 3 × 3, same action": ("S_3 ≀ S_4", f(3) ** 4 * f(4), 12),
    "16 blocks a I + b 11ᵀ of 4": ("S_4 ≀ S_16", f(4) ** 16 * f(16), 0),
    "8 circulant blocks of 4": ("C_4 ≀ S_8", 4**8 * f(8), 0),
    "blocks of 3 × 3, all tied, in a ring of 4": ("(S_3 × S_3) ≀ C_4", f(3) ** 8 * 4, 0),
    "pooling of 64 inputs by fours": ("S_4 ≀ S_16", f(4) ** 16 * f(16), 0),
    "a circulant block of 4, a block a I + b 11ᵀ of 3": ("C_4 × S_3", 4 * 6, 12),
    "a ring of 8 and an array of 4 × 5": ("D_8 × S_4 × S_5", 16 * f(4) * f(5), 160),
    "corners of a cube by distance": ("S_2 × S_4", 2 * f(4), 0),
    "corners of a cube of 6 dimensions": ("C_2 ≀ S_6", 2**6 * f(6), 0),
    "words of 3 letters out of 4": ("S_4 ≀ S_3", f(4) ** 3 * f(3), 0),
    "regular, even permutations of 4": ("A_4", 12, 0),
    "regular, permutations of 4": ("S_4", 24, 0),
    "regular, quaternions": ("Q_8", 8, 0),
    "pairs of five points": ("S_5", 120, 0),
    "valid convolution, 3 taps, 62 × 64": ("trivial", 1, 62 * 64 - 4),
    "convolution kernel, turned by quarters": ("C_4", 4, 0),
    "means, groups of 3, 2 and 1": ("S_2 × S_3", 12, 0),
    "random labels, 64 × 64": ("trivial", 1, 64 * 64 - 3),
}
