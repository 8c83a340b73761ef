"""Which weights of a linear map are equal?"""

from __future__ import annotations

from typing import Any

import numpy as np

from equishare.arrays import sample_matrix
from equishare.checks import flag
from equishare.problems.base import About, Slot
from equishare.problems.least_squares import LeastSquares


class LinearProblem(LeastSquares):
    """Which weights of a linear map are equal?

    The model is ``y = W x + b`` with W (O, I) shared and b free.

    Args:
        x_train: (n_t, I) inputs used to fit; array or tensor, like the others.
        y_train: (n_t, O) outputs used to fit.
        x_val: (n_v, I) inputs used to select.
        y_val: (n_v, O) outputs used to select.
        bias: whether to fit b.

    Raises:
        TypeError: not numbers, or a bias that is neither True nor False.
        ValueError: shapes that do not fit, no sample, NaN or infinite values, constant inputs or outputs.
    """

    arrays = "x_train, y_train, x_val and y_val"

    def __init__(self, x_train: Any, y_train: Any, x_val: Any, y_val: Any, bias: bool = True) -> None:
        flag("bias", bias)
        arrays = {"x_train": x_train, "y_train": y_train, "x_val": x_val, "y_val": y_val}
        x_train, y_train, x_val, y_val = (sample_matrix(a, name) for name, a in arrays.items())
        for x, y, name in ((x_train, y_train, "train"), (x_val, y_val, "val")):
            if len(x) != len(y):
                raise ValueError(
                    f"x_{name} and y_{name} must have as many rows as each other, got shapes {x.shape} and {y.shape}"
                )
        for a, b, name in ((x_train, x_val, "x"), (y_train, y_val, "y")):
            if a.shape[1] != b.shape[1]:
                raise ValueError(
                    f"{name}_train and {name}_val must have the same number of columns, "
                    f"got shapes {a.shape} and {b.shape}"
                )
            if (np.minimum(a.min(0), b.min(0)) == np.maximum(a.max(0), b.max(0))).all():
                raise ValueError(f"{name}_train and {name}_val hold constant data: no column varies")
        slot = Slot.of("weight", (y_train.shape[1], x_train.shape[1]), "weight")
        super().__init__(slot, (x_train, x_val), (y_train, y_val), bool(bias))

    def about(self) -> About:
        """The data in words and numbers, for the report."""
        return about_map(self.shape, self.has_bias, self.num_train, self.num_val)


def about_map(shape: tuple[int, ...], has_bias: bool, num_train: int | None, num_val: int | None) -> About:
    """What a report tells of the data of a map (O, I)."""
    outputs, inputs = shape
    sizes = (f"{inputs} input{'s' * (inputs > 1)}", f"{outputs} output{'s' * (outputs > 1)}")
    question = f"which weights of y = W x{' + b' if has_bias else ''} are shared"
    return About(question, num_train, num_val, facts=(("map", " → ".join(sizes)),))
