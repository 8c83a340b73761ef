"""Options of the methods for models, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from equishare.problems.network.fit import SCHEDULES, Training
from equishare.hypergradient.settings import Settings

# The options of a hypergradient that a search passes on, and their defaults.
HYPERGRADIENT_OPTIONS: dict[str, Any] = {"iterations": 100, "tolerance": 1e-8, "alpha": None, "damping": 0.0}


def training_of(**options: Any) -> Training:
    """A :class:`Training` of checked options.

    Raises:
        ValueError: an option out of range.
    """
    training = Training(**options)
    check_positive(lr=training.lr)
    check_not_negative(weight_decay=training.weight_decay)
    if training.clip is not None:
        check_positive(clip=training.clip)
    for name in ("batch_size", "patience"):
        if getattr(training, name) is not None:
            check_count(**{name: getattr(training, name)})
    if not _is_number(training.average) or not 0 <= training.average < 1:
        raise ValueError(f"average must be a number from 0 to below 1, got {training.average!r}")
    check_choice(training.schedule, SCHEDULES, "schedule")
    return training


def hypergradient_settings(method: str, options: Any) -> dict[str, Any]:
    """Options of :func:`equishare.hypergradient` for its method, checked.

    Raises:
        TypeError: they are no mapping.
        ValueError: one is not accepted.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(f"hypergradient_options must be a mapping, got {type(options).__name__}")
    accepted = () if method == "direct" else HYPERGRADIENT_OPTIONS
    unknown = [name for name in options if name not in accepted]
    if unknown:
        names = ", ".join(accepted) or "nothing"
        raise ValueError(
            f"hypergradient_options takes {names} for the method {method!r}, got {', '.join(map(str, unknown))}"
        )
    try:
        Settings(method, **{**HYPERGRADIENT_OPTIONS, **options}, curvature="hessian", batch_dims=1, compare_exact=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"hypergradient_options: {error}") from None
    return dict(options)


def check_count(**values: Any) -> None:
    """Positive integers, else ValueError."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}")


def check_positive(**values: Any) -> None:
    """Finite numbers above 0, else ValueError."""
    for name, value in values.items():
        if not _is_number(value) or not 0 < value < math.inf:
            raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def check_not_negative(**values: Any) -> None:
    """Finite numbers of at least 0, else ValueError."""
    for name, value in values.items():
        if not _is_number(value) or not 0 <= value < math.inf:
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")


def check_choice(value: Any, accepted: tuple[str, ...], name: str) -> None:
    """One of the accepted words, else ValueError."""
    if value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
