"""Options of methods: frozen data classes whose fields carry their own checks, applied in one place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "CLOSED_FORM",
    "TRAINED",
    "below_one",
    "checked_options",
    "choice",
    "count",
    "defaults_of",
    "did_you_mean",
    "flag",
    "names_of",
    "not_negative",
    "option",
    "positive",
]

Check = Callable[[str, Any], None]
_T = TypeVar("_T")

#: Kinds of problems: the loss of a partition has a closed form, or a model has to be trained with it.
CLOSED_FORM, TRAINED = "closed form", "trained"
_SAME: Any = object()
# What discover itself takes.
_OF_DISCOVER = ("problem", "method", "seed", "progress", "resamples")


def option(
    default: Any = dataclasses.MISSING, check: Check | None = None, *, trained: Any = _SAME, only: str | None = None
) -> Any:
    """A field of an Options class.

    Args:
        default: value of an option that is not given; without a default the option is required.
        check: called with name and value, and raises an error; None accepts anything. A default of None is not checked.
        trained: default for problems that are trained, where it differs, or a pair (default, check).
        only: ``CLOSED_FORM`` or ``TRAINED``, where only problems of this kind have the option.
    """
    own = trained if isinstance(trained, tuple) else (trained, check)
    kinds = {
        CLOSED_FORM: (default, check),
        TRAINED: (default, check) if trained is _SAME else own,
    }
    metadata = {"kinds": {kind: pair for kind, pair in kinds.items() if only in (None, kind)}}
    stored = {} if default is dataclasses.MISSING else {"default": default}
    return dataclasses.field(**stored, metadata=metadata, kw_only=True)


def names_of(options: type, kind: str) -> list[str]:
    """The options that a class has for problems of a kind: its own, then those of its bases."""
    return list(_fields(options, kind))


def defaults_of(options: type, kind: str) -> dict[str, str]:
    """The options that a class has for problems of a kind, with their defaults in words."""
    fields = _fields(options, kind).items()
    return {name: "required" if default is dataclasses.MISSING else repr(default) for name, (default, _) in fields}


def checked_options(method: str, options: type[_T], given: Mapping[str, Any], kind: str) -> _T:
    """An instance of an Options class for problems of a kind.

    Raises:
        TypeError: an option that the class does not have for this kind, or one without a default that is not given.
        ValueError: a value that is not accepted.
    """
    if not isinstance(options, type) or not dataclasses.is_dataclass(options):
        raise TypeError(f"Options of method {method!r} must be a frozen data class, got {options!r}")
    fields = _fields(options, kind)
    reserved = sorted(set(fields) & set(_OF_DISCOVER))
    if reserved:
        raise TypeError(f"Options of method {method!r} must not have names of discover, got {', '.join(reserved)}")
    unknown = sorted(set(given) - set(fields))
    if unknown:
        other = TRAINED if kind == CLOSED_FORM else CLOSED_FORM
        belong = [name for name in unknown if name in _fields(options, other)]
        whose = "problems that are trained" if other == TRAINED else "means and linear maps"
        elsewhere = f" ({', '.join(belong)}: for {whose})" if belong else ""
        near = did_you_mean(unknown[0], [*fields, *_OF_DISCOVER])
        raise TypeError(
            f"method {method!r} has no option {', '.join(unknown)}; "
            f"it takes {', '.join(fields) or 'no options'}{elsewhere}{near}"
        )
    missing = [n for n, (default, _) in fields.items() if default is dataclasses.MISSING and n not in given]
    if missing:
        raise TypeError(f"method {method!r} needs the option {', '.join(missing)}")
    values = {}
    for name, (default, check) in fields.items():
        value = values[name] = given.get(name, default)
        if check is not None and not (value is None and default is None):
            check(name, value)
    return options(**values)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: ``; did you mean seed?``; empty where none is near."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def count(name: str, value: Any) -> None:
    """ValueError unless the value is a positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")


def positive(name: str, value: Any) -> None:
    """ValueError unless the value is a finite number above 0."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def not_negative(name: str, value: Any) -> None:
    """ValueError unless the value is a finite number of at least 0."""
    if not _is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")


def below_one(name: str, value: Any) -> None:
    """ValueError unless the value is a number from 0 to below 1."""
    if not _is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number from 0 to below 1, got {value!r}")


def natural(name: str, value: Any) -> None:
    """ValueError unless the value is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise ValueError(f"{name} must be an integer of at least 0, got {value!r}")


def flag(name: str, value: Any) -> None:
    """TypeError unless the value is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def choice(*accepted: str) -> Check:
    """A check that the value is one of the accepted words."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in accepted:
            raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {value!r}")

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fields(options: type, kind: str) -> dict[str, tuple[Any, Check | None]]:
    order = [name for base in options.__mro__ for name in base.__dict__.get("__annotations__", {})]
    fields = sorted(dataclasses.fields(options), key=lambda field: order.index(field.name))
    return {field.name: _kinds(field)[kind] for field in fields if kind in _kinds(field)}


def _kinds(field: dataclasses.Field[Any]) -> dict[str, tuple[Any, Check | None]]:
    # A plain field of somebody's own data class is an option for every problem.
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return field.metadata.get("kinds", {CLOSED_FORM: (default, None), TRAINED: (default, None)})
