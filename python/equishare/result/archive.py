"""Discoveries on disk: arrays and a JSON document in one .npz file, without pickled objects."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equishare.files import written_whole
from equishare.npz import read_arrays
from equishare.partition import Partition
from equishare.problems.answers import About, Belief, Predictor, Quality
from equishare.problems.base import Slot
from equishare.problems.linear import about_map
from equishare.problems.means import about_means
from equishare.problems.network.problem import about_model
from equishare.result.calibration import CLOSED_FORM, DRAWN, TRAINED
from equishare.result.confidence import Confidence
from equishare.result.origin import Origin
from equishare.result.schema import check_arrays, check_document

_FORMAT = "equishare.Discovery/2"
# Version 0.1 had a format for means and maps, and one for models.
_OLD, _OLD_MODEL = "equishare.Discovery/1", "equishare.ModelDiscovery/1"
# Fields that every format holds as they are.
_PLAIN = ("method", "seed", "validation_loss", "no_sharing_loss")


def save_discovery(path: str | os.PathLike[str], found: Any) -> None:
    """Write a :class:`equishare.Discovery`, whole or not at all.

    Raises:
        ValueError: path does not end in .npz.
        OSError: the file cannot be written.
    """
    if not str(path).endswith(".npz"):
        raise ValueError(f"path must end in .npz, got {os.fspath(path)!r}")
    state = {} if found.model is None else found.model.state_dict()
    about = {name: getattr(found, name) for name in (*_PLAIN, "complete", "settled")} | {
        "format": _FORMAT,
        "slots": [asdict(slot) for slot in found.slots],
        "about": asdict(found.about),
        "origin": None if found.origin is None else asdict(found.origin),
        "notes": found.quality.notes,
        "predictor": _plain_predictor(found.predictor),
        "averaged": _plain_predictor(None if found.belief is None else found.belief.predictor),
        "is_of_model": found.is_of_model,
        "is_trained": any(one.curves == TRAINED for one in found.confidences.values()),
        "is_drawn": any(one.curves == DRAWN for one in found.confidences.values()),
        "dtypes": {name: str(t.dtype).removeprefix("torch.") for name, t in state.items()},
    }
    # NumPy has no bfloat16; its numbers are float32 numbers too.
    wide = {n: t.float() if t.dtype == torch.bfloat16 else t for n, t in state.items()}
    gaps = {name: one.gaps for name, one in found.confidences.items() if one.gaps is not None}
    belief = (
        {}
        if found.belief is None
        else {f.name: getattr(found.belief, f.name) for f in fields(Belief) if f.name != "predictor"}
    )
    quality = {f.name: getattr(found.quality, f.name) for f in fields(Quality) if f.name != "notes"}
    kinds: dict[str, dict[str, np.ndarray]] = {
        "labels": {name: one.labels for name, one in found.partitions.items()},
        # A model holds its values.
        "values": {} if found.is_of_model else found.group_values,
        "state": {name: t.detach().cpu().numpy() for name, t in wide.items()},
        "resamples": {name: one.labels for name, one in found.confidences.items()},
        "gaps": gaps,
        "history": found.history,
        # Numbers are arrays too: an array keeps all of their bits, NaN and infinity as well.
        "belief": {name: np.asarray(value) for name, value in belief.items() if value is not None},
        "quality": {name: np.asarray(value) for name, value in quality.items() if value is not None},
    }
    arrays = {f"{kind}.{name}": array for kind, named in kinds.items() for name, array in named.items()}
    if found.bias is not None:
        arrays["bias"] = found.bias
    with written_whole(path) as temporary:
        np.savez_compressed(temporary, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def load_discovery(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields of a :class:`equishare.Discovery`, its model left out, and the state of the model.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a saved Discovery, or it is damaged.
    """
    try:
        with open(path, "rb") as opened:
            arrays = read_arrays(opened)
        if "about" not in arrays:
            raise ValueError("it has no entry about")
        return _decoded(json.loads(str(arrays.pop("about"))), arrays)
    except Exception as error:
        # A damaged archive fails in zlib, zipfile, NumPy or json, each with errors of its own.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise ValueError(f"{os.fspath(path)!r} is not a saved Discovery, or it is damaged ({error})") from error


def _decoded(about: Any, arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    form = about.get("format") if isinstance(about, dict) else None
    if form in (_OLD, _OLD_MODEL):
        about, arrays = _upgraded(about, arrays)
        about = json.loads(json.dumps(about))  # tuples as lists, as a file has them
    elif form != _FORMAT:
        raise ValueError(f"format must be {_FORMAT}, {_OLD} or {_OLD_MODEL}, got {form!r}")
    kinds: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        kind, _, name = key.partition(".")
        kinds.setdefault(kind, {})[name] = array
    check_document(about)
    check_arrays(about, kinds)
    partitions = {name: Partition(labels) for name, labels in kinds["labels"].items()}
    slots = tuple(_slot(one) for one in about["slots"])
    values = kinds.get("values", {})
    curves = TRAINED if about["is_trained"] else DRAWN if about.get("is_drawn") else CLOSED_FORM
    gaps = kinds.get("gaps", {})
    found = {name: about[name] for name in (*_PLAIN, "complete", "settled", "is_of_model")} | {
        "slots": slots,
        "partitions": partitions,
        "group_values": values,
        "bias": arrays.get("bias"),
        "history": kinds.get("history", {}),
        "about": About(**{**about["about"], "facts": tuple(map(tuple, about["about"]["facts"]))}),
        "origin": None if about["origin"] is None else Origin(**about["origin"]),
        "belief": _belief(kinds["belief"], about.get("averaged")) if "belief" in kinds else None,
        "predictor": _predictor(about.get("predictor")),
        "quality": _quality(kinds.get("quality", {}), tuple(about.get("notes", ()))),
        "confidences": {
            name: Confidence(partitions[name], labels, gaps.get(name), curves)
            for name, labels in kinds.get("resamples", {}).items()
        },
    }
    state = {
        name: torch.from_numpy(array.copy()).to(getattr(torch, about["dtypes"][name]))
        for name, array in kinds.get("state", {}).items()
    }
    return found, state


def _plain_predictor(one: Predictor | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(one).items()}


def _predictor(content: dict[str, Any] | None) -> Predictor | None:
    if content is None:
        return None
    arrays = {name: np.array(content[name], float) for name in ("coefficients", "unseen")}
    bias = np.array(content["bias"], float) if isinstance(content["bias"], list) else float(content["bias"])
    return Predictor(content["family"], bias, tuple(content["numeric"]), **arrays)


def _belief(arrays: dict[str, np.ndarray], predictor: dict[str, Any] | None = None) -> Belief:
    low, high = arrays["spread_interval"].tolist()
    odds = ("symmetry_log_odds", "shift_log_odds", "continuum_log_odds", "rival_log_odds")
    numbers = {name: arrays.get(name, np.array(np.nan)).item() for name in odds}
    chance = arrays["symmetry_chance"].item() if "symmetry_chance" in arrays else None
    known = {"guess": arrays.get("guess"), "predictor": _predictor(predictor), "symmetry_chance": chance, **numbers}
    return Belief(arrays["spread"].item(), (low, high), arrays["posterior_mean"], **known)


def _quality(arrays: dict[str, np.ndarray], notes: tuple[str, ...]) -> Quality:
    known: dict[str, Any] = {name: one if one.ndim else one.item() for name, one in arrays.items()}
    return Quality(**known, notes=notes)


def _slot(content: dict[str, Any]) -> Slot:
    lists = {name: tuple(content[name]) for name in ("names", "axes")}
    lists |= {"shapes": tuple(map(tuple, content["shapes"])), "labels": tuple(map(tuple, content.get("labels", ())))}
    return Slot(**{**content, **lists})


def _upgraded(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The content of a file of version 0.1, in the form that the present version writes."""
    origin = about.get("origin")
    counts = {} if origin is None else {name: origin.pop(name) for name in ("num_train", "num_val")}
    samples = {"num_train": None, "num_val": None, **counts}
    is_of_model = about["format"] == _OLD_MODEL
    if is_of_model:
        # Equal labels tell that parameters were tied.
        alike: dict[bytes, list[str]] = {}
        for name in [key.removeprefix("labels.") for key in arrays if key.startswith("labels.")]:
            alike.setdefault(arrays[f"labels.{name}"].tobytes(), []).append(name)
        slots = []
        for names in alike.values():
            shapes, size = tuple(arrays[f"labels.{name}"].shape for name in names), arrays[f"labels.{names[0]}"].size
            slots.append(Slot(tuple(names), shapes, (None,) * len(names), size, size, named=True))
        described = about_model(slots, **samples)
    else:
        shape = arrays["labels"].shape
        name = "weight" if len(shape) == 2 else "mean"
        slots = [Slot.of(name, shape, name)]
        if len(shape) == 2:
            described = about_map(shape, "bias" in arrays, **samples)
        else:
            described = about_means(shape[0], **samples)
        parts = ("labels", "values", "resamples", "gaps")
        arrays = {f"{key}.{name}" if key in parts else key: array for key, array in arrays.items()}
    upgraded = {"complete": True, "settled": True, "dtypes": {}, **about}
    plain = {"slots": [asdict(slot) for slot in slots], "about": asdict(described), "origin": origin}
    return upgraded | plain | {"is_of_model": is_of_model, "is_trained": is_of_model}, arrays
