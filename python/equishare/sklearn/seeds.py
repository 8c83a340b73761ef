"""The seed that scikit-learn's ``random_state`` stands for."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np


def seed_of(random_state: Any) -> int:
    """An integer as it is, 0 for None, a number drawn from a generator.

    Raises:
        ValueError: something else, or a negative number.
    """
    if random_state is None:
        return 0
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if isinstance(random_state, bool) or not isinstance(random_state, Integral) or random_state < 0:
        raise ValueError(
            "random_state must be an integer of at least 0, None, or a RandomState or Generator of numpy, "
            f"got {random_state!r}"
        )
    return int(random_state)
