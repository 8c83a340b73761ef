"""What a saved discovery must hold: every field checked here, so that no later step meets a value that it cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from equishare.naming import printable
from equishare.problems.answers import Belief, Quality

#: Arrays by kind and name: labels, values, state, resamples, gaps, history, belief, quality, and the bias by itself.
Kinds = Mapping[str, Mapping[str, np.ndarray]]
_Check = Callable[[Any], bool]

_LONGEST_METHOD = 200
_DTYPES = {str(one).removeprefix("torch.") for one in vars(torch).values() if isinstance(one, torch.dtype)}
_FAMILIES = ("gaussian", "binomial", "poisson")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_method(value: Any) -> bool:
    return _is_text(value) and 0 < len(value) <= _LONGEST_METHOD and value == printable(value)


def _list_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _map_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


_NATURAL = (_is_natural, "an integer of at least 0")
_TEXT = (_is_text, "text")
_FLAG = (_is_flag, "true or false")
_NUMBERS = (_list_of(_is_number), "a list of numbers")

_DOCUMENT: dict[str, tuple[_Check, str]] = {
    "method": (_is_method, f"the name of a method, a line of at most {_LONGEST_METHOD} printable characters"),
    "seed": _NATURAL,
    "validation_loss": (lambda value: _is_number(value) and not math.isnan(value), "a number"),
    "no_sharing_loss": (_is_number, "a number, or NaN where it is not known"),
    "complete": _FLAG,
    "settled": _FLAG,
    "is_of_model": _FLAG,
    "is_trained": _FLAG,
    "dtypes": (_map_of(lambda value: _is_text(value) and value in _DTYPES), "names of dtypes of torch"),
    "slots": (lambda value: _list_of(lambda one: isinstance(one, dict))(value) and value, "a list of parameters"),
    "about": (lambda value: isinstance(value, dict), "an object"),
    "origin": (_or_none(lambda value: isinstance(value, dict)), "an object or null"),
}
_OPTIONAL: dict[str, tuple[_Check, str]] = {
    "is_drawn": _FLAG,
    "notes": (_list_of(_is_text), "a list of sentences"),
    "predictor": (_or_none(lambda value: isinstance(value, dict)), "an object or null"),
    "averaged": (_or_none(lambda value: isinstance(value, dict)), "an object or null"),
}
_SLOT = {
    "names": (lambda value: _list_of(_is_text)(value) and 0 < len(value) == len(set(value)), "names, each once"),
    "shapes": (_list_of(_list_of(_is_natural)), "a list of shapes"),
    "axes": (_list_of(_or_none(_is_natural)), "a list of axes, or null where entries are tied"),
    "num_entries": (lambda value: _is_natural(value) and value > 0, "an integer of at least 1"),
    "max_groups": (lambda value: _is_natural(value) and value > 0, "an integer of at least 1"),
    "noun": _TEXT,
    "named": _FLAG,
}
_SLOT_OPTIONAL = {"labels": (_list_of(_list_of(_is_text)), "lists of names"), "same_action": _FLAG}
_ABOUT = {
    "question": _TEXT,
    "num_train": (_or_none(_is_natural), "an integer of at least 0, or null"),
    "num_val": (_or_none(_is_natural), "an integer of at least 0, or null"),
    "loss": _TEXT,
    "facts": (_list_of(lambda one: _list_of(_is_text)(one) and len(one) == 2), "pairs of texts"),
}
_ORIGIN = {
    "call": _TEXT,
    "versions": (_map_of(_is_text), "versions as texts"),
    "data": (_or_none(_is_text), "the name of a file, or null"),
}
_PREDICTOR = {
    "family": (lambda value: _is_text(value) and value in _FAMILIES, f"one of {', '.join(_FAMILIES)}"),
    "bias": (lambda value: _is_number(value) or _list_of(_is_number)(value), "a number or a list of numbers"),
    "numeric": (_list_of(_is_text), "names of columns"),
    "coefficients": _NUMBERS,
    "unseen": _NUMBERS,
}


def check_document(document: Any) -> None:
    """The JSON document of a discovery, as far as it can be told without the arrays.

    Raises:
        ValueError: a field that is missing or holds something else than it must; the message names it.
    """
    _check_object("", document, _DOCUMENT, _OPTIONAL)
    for i, slot in enumerate(document["slots"]):
        _check_object(f"slots[{i}].", slot, _SLOT, _SLOT_OPTIONAL)
        _check_slot(f"slots[{i}]", slot)
    _check_object("about.", document["about"], _ABOUT, {})
    if document["origin"] is not None:
        _check_object("origin.", document["origin"], _ORIGIN, {})
    for name in ("predictor", "averaged"):
        if document.get(name) is not None:
            _check_object(f"{name}.", document[name], _PREDICTOR, {})
            _require(
                len(document[name]["coefficients"]) == len(document[name]["numeric"]),
                f"{name}.coefficients",
                f"{len(document[name]['numeric'])} numbers, one a numeric column",
                document[name]["coefficients"],
            )


def check_arrays(document: Mapping[str, Any], kinds: Kinds) -> None:
    """The arrays of a discovery against its document, which was checked before.

    Raises:
        ValueError: an array that is missing, or of another dtype or shape than it must be, or not finite where it must;
            the message names it.
    """
    shapes, sliced = {}, set()
    for slot in document["slots"]:
        for name, shape, axis in zip(slot["names"], slot["shapes"], slot["axes"], strict=True):
            shapes[name] = tuple(shape) if axis is None else (slot["num_entries"],)
            sliced |= set() if axis is None else {name}
    labels = kinds.get("labels", {})
    _check_names("labels", labels, shapes)
    for name, one in labels.items():
        _check_array(f"labels.{name}", one, "iu", shapes[name])
    groups = {name: len(np.unique(one)) for name, one in labels.items()}
    _check_values(kinds.get("values", {}), groups, sliced, document["is_of_model"])
    for name, one in kinds.get("bias", {}).items():
        of_map = len(shapes) == 1 and document["slots"][0]["noun"] == "weight" and len(next(iter(shapes.values()))) == 2
        _check_array(f"bias{name}", one, "f", (next(iter(shapes.values()))[0] if of_map else None,), is_finite=True)
    _check_resamples(kinds.get("resamples", {}), {name: one.size for name, one in labels.items()})
    for name, one in kinds.get("gaps", {}).items():
        _require(name in groups, f"gaps.{name}", "of a parameter of the discovery", name)
        _check_array(f"gaps.{name}", one, "f", (groups[name],))
        _require(bool((one >= 0).all()), f"gaps.{name}", "numbers of at least 0", one)
    for name, one in kinds.get("history", {}).items():
        _check_array(f"history.{name}", one, "fiub", (None,))
    # Arrays of all entries have those of each slot once, or those of each of its parameters.
    sizes = {sum(slot["num_entries"] for slot in document["slots"]), sum(one.size for one in labels.values())}
    if "belief" in kinds:
        _check_belief(kinds["belief"], sizes, next(iter(labels.values())).shape)
    _check_quality(kinds.get("quality", {}), sizes, sum(groups[slot["names"][0]] for slot in document["slots"]))
    _check_names("state", kinds.get("state", {}), document["dtypes"])
    for name, one in kinds.get("state", {}).items():
        _check_array(f"state.{name}", one, "fiubc", None)


def _check_slot(where: str, slot: Mapping[str, Any]) -> None:
    count = len(slot["names"])
    _require(len(slot["shapes"]) == count, f"{where}.shapes", f"{count} shapes, one a name", slot["shapes"])
    _require(len(slot["axes"]) == count, f"{where}.axes", f"{count} axes, one a name", slot["axes"])
    for shape, axis in zip(slot["shapes"], slot["axes"], strict=True):
        _require(axis is None or axis < len(shape), f"{where}.axes", f"axes of the shape {shape}", axis)
        own = math.prod(shape) if axis is None else shape[axis]
        _require(
            own == slot["num_entries"], f"{where}.num_entries", f"{own} as shapes and axes say", slot["num_entries"]
        )
    first = slot["shapes"][0] if slot["axes"][0] is None else [slot["num_entries"]]
    sizes = [len(own) for own in slot.get("labels", ())]
    fits = not sizes or (len(sizes) == len(first) and all(a in (0, b) for a, b in zip(sizes, first, strict=True)))
    _require(fits, f"{where}.labels", f"a name for each entry along each axis of {first}, or none", sizes)


def _check_values(
    values: Mapping[str, np.ndarray], groups: dict[str, int], sliced: set[str], is_of_model: bool
) -> None:
    if is_of_model and not values:
        return  # a model holds its values
    _check_names("values", values, groups)
    for name, one in values.items():
        shape = (groups[name], *([None] * (one.ndim - 1) if name in sliced else []))
        _check_array(f"values.{name}", one, "f", shape, is_finite=True)


def _check_resamples(resamples: Mapping[str, np.ndarray], sizes: dict[str, int]) -> None:
    for name, one in resamples.items():
        _require(name in sizes, f"resamples.{name}", "of a parameter of the discovery", name)
        _check_array(f"resamples.{name}", one, "iu", (None, sizes[name]))
        _require(len(one) > 0, f"resamples.{name}", "at least one resample", 0)
        _require(
            0 <= one.min() <= one.max() < sizes[name], f"resamples.{name}", f"groups from 0 to {sizes[name] - 1}", one
        )
    counts = {len(one) for one in resamples.values()}
    _require(len(counts) < 2, "resamples", "as many resamples for each parameter", sorted(counts))


def _check_belief(belief: Mapping[str, np.ndarray], sizes: set[int], shape: tuple[int, ...]) -> None:
    known = {one.name for one in fields(Belief)} - {"predictor"}
    for name in ("spread", "spread_interval", "posterior_mean"):
        _require(name in belief, f"belief.{name}", "there", "nothing")
    for name, one in belief.items():
        _require(name in known, f"belief.{name}", f"one of {', '.join(sorted(known))}", name)
        if name == "posterior_mean":
            _check_entries("belief.posterior_mean", one, sizes)
        elif name == "guess":
            _check_array("belief.guess", one, "iu", shape)
        else:
            _check_array(f"belief.{name}", one, "fiu", (2,) if name == "spread_interval" else ())


def _check_quality(quality: Mapping[str, np.ndarray], sizes: set[int], num_groups: int) -> None:
    known = {one.name for one in fields(Quality)} - {"notes"}
    for name, one in quality.items():
        _require(name in known, f"quality.{name}", f"one of {', '.join(sorted(known))}", name)
        if name in ("unshared", "unshared_errors"):
            _check_entries(f"quality.{name}", one, sizes)
        else:
            _check_array(f"quality.{name}", one, "fiu", (num_groups,) if name == "value_errors" else ())
    chance = quality.get("dependence", np.float64(np.nan))
    is_chance = bool(np.isnan(chance) or 0 <= chance <= 1)
    _require(is_chance, "quality.dependence", "a probability, or NaN where there is none", float(chance))


def _check_entries(name: str, array: np.ndarray, sizes: set[int]) -> None:
    """Numbers of all entries, in any shape but that of a single number."""
    _check_array(name, array, "f", None)
    accepted = f"an array of {' or '.join(map(str, sorted(sizes)))} numbers"
    _require(array.ndim > 0 and array.size in sizes, name, accepted, f"shape {array.shape}")


def _check_object(
    where: str, found: Any, needed: Mapping[str, tuple[_Check, str]], optional: Mapping[str, tuple[_Check, str]]
) -> None:
    _require(isinstance(found, dict), where.rstrip(".") or "about", "an object", found)
    for name, (check, accepted) in {**needed, **optional}.items():
        if name in found:
            _require(bool(check(found[name])), f"{where}{name}", accepted, found[name])
        elif name in needed:
            raise ValueError(f"{where}{name} is missing, which must be {accepted}")


def _check_names(kind: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    lacking, odd = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if lacking or odd:
        which = f"lacks {', '.join(lacking[:3])}" if lacking else f"holds {', '.join(map(repr, odd[:3]))} too"
        raise ValueError(f"{kind} must be those of {', '.join(list(expected)[:5]) or 'nothing'}, and {which}")


def _check_array(
    name: str, array: np.ndarray, kinds: str, shape: tuple[int | None, ...] | None, is_finite: bool = False
) -> None:
    words = {"f": "real numbers", "i": "integers"}.get(kinds[0], "numbers")
    _require(array.dtype.kind in kinds, name, f"{words}", f"dtype {array.dtype}")
    if shape is not None:
        fits = array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
        accepted = "(" + ", ".join("…" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        _require(fits, name, f"of shape {accepted}", f"shape {array.shape}")
    if is_finite and not np.isfinite(array).all():
        _require(False, name, "finite", array[~np.isfinite(array)].flat[0])


def _require(holds: bool, name: str, accepted: str, got: Any) -> None:
    if not holds:
        text = printable(str(got) if isinstance(got, str) and got.startswith(("dtype ", "shape ")) else repr(got))
        raise ValueError(f"{printable(name)} must be {accepted}, got {text[:80]}{'…' * (len(text) > 80)}")
