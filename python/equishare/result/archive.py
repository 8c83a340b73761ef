"""Discoveries on disk: arrays and a JSON document in one .npz file, without pickled objects."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from equishare.files import written_whole

# Columns of the history are stored under this prefix.
HISTORY = "history."


def save_archive(path: str | os.PathLike[str], about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write arrays and what is to be said about them, whole or not at all.

    Raises:
        ValueError: path does not end in .npz.
        OSError: the file cannot be written.
    """
    if not str(path).endswith(".npz"):
        raise ValueError(f"path must end in .npz, got {os.fspath(path)!r}")
    with written_whole(path) as temporary:
        np.savez_compressed(temporary, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


def open_archive(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What :func:`save_archive` wrote.

    Raises:
        OSError: the file cannot be read.
        Exception: it is no such file; a damaged archive fails in zlib, zipfile, NumPy or json, each with errors
            of its own.
    """
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("about"))), arrays
