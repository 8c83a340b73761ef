"""How many groups to try on a path of merges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equishare.problems.base import Slot
from equishare.search.ward import MOST_GROUPS

# Of the numbers of groups tried on a path the first 8 are consecutive, from the fewest on, the rest a geometric series.
_DENSE_LEVELS = 8
_LEVELS = 14
# Where no most is given, it ends at so many groups of single entries. A path of many slices has 2048.
_MOST_SINGLES = 128
# Around a number of groups, others are tried within this part of it, and at most about so many.
_NEAR = 0.3
_NEAR_LEVELS = 10


def levels(slots: Sequence[Slot]) -> list[int]:
    """Numbers of groups to try on a path, ascending; groups of all assignments are counted together."""
    least, most = len(slots), sum(_usual(slot) for slot in slots)
    dense = list(range(least, min(most, least + _DENSE_LEVELS - 1) + 1))
    wide = np.geomspace(dense[-1], most, _LEVELS - len(dense) + 1).round().astype(int)
    return sorted({*dense, *wide.tolist()})


def near(total: int, slots: Sequence[Slot]) -> list[int]:
    """Numbers of groups to try around a given one, ascending."""
    least, most = len(slots), sum(slot.max_groups for slot in slots)
    reach = max(2, round(_NEAR * total))
    spread = np.linspace(total - reach, total + reach, min(_NEAR_LEVELS, 2 * reach) + 1).round().astype(int)
    return sorted({int(t) for t in spread if least <= t <= most})


def _usual(slot: Slot) -> int:
    if slot.max_groups < slot.num_entries:
        return slot.max_groups
    return min(slot.num_entries, MOST_GROUPS if slot.is_sliced else _MOST_SINGLES)
