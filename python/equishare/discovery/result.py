"""The answer: which entries are shared, with which values, and how it was found."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import numpy as np

from equishare.files import written_whole
from equishare.partition import Partition

_FORMAT = "equishare.Discovery/1"
_HISTORY = "history."


@dataclass(frozen=True, eq=False)
class Discovery:
    """A discovered sharing pattern and the model refitted with it.

    Attributes:
        partition: which entries share a value; has the shape of the parameter, (K,) or (O, I).
        values: (G,) shared values ψ, least squares on training and validation samples together.
        bias: (O,) bias of a linear map, or None.
        validation_loss: mean squared error per sample and output on the validation samples, of the fit
            on the training samples with this partition.
        no_sharing_loss: the same without sharing.
        method, seed: what it was found with.
        history: columns of equal length; ``validation_loss`` against ``step`` or ``num_groups``.
    """

    partition: Partition
    values: np.ndarray
    bias: np.ndarray | None
    validation_loss: float
    no_sharing_loss: float
    method: str
    seed: int
    history: dict[str, np.ndarray]

    @property
    def theta(self) -> np.ndarray:
        """The shared parameter ``θ = ψ[label]`` in its shape."""
        return self.values[self.partition.labels]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to ``path``, a .npz file without pickled objects, whole or not at all.

        Raises:
            ValueError: path does not end in .npz.
            OSError: the file cannot be written.
        """
        if not str(path).endswith(".npz"):
            raise ValueError(f"path must end in .npz, got {os.fspath(path)!r}")
        about = {
            "format": _FORMAT,
            "method": self.method,
            "seed": self.seed,
            "validation_loss": self.validation_loss,
            "no_sharing_loss": self.no_sharing_loss,
        }
        arrays = {
            "labels": self.partition.labels,
            "values": self.values,
            "about": np.array(json.dumps(about)),
        }
        if self.bias is not None:
            arrays["bias"] = self.bias
        arrays |= {_HISTORY + name: column for name, column in self.history.items()}
        with written_whole(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Discovery:
        """Read what :meth:`save` wrote.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a saved Discovery, or damaged.
        """
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(str(arrays["about"]))
            if about.pop("format") != _FORMAT:
                raise KeyError("format")
            found = cls(
                partition=Partition(arrays["labels"]),
                values=arrays["values"],
                bias=arrays.get("bias"),
                history={n.removeprefix(_HISTORY): a for n, a in arrays.items() if n.startswith(_HISTORY)},
                **about,
            )
            if found.values.shape != (found.partition.num_groups,):
                raise ValueError(f"{found.partition.num_groups} groups but values of shape {found.values.shape}")
            return found
        except Exception as error:
            # A damaged archive fails in zlib, zipfile, NumPy or json, each with errors of its own.
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise ValueError(f"{os.fspath(path)!r} is not a saved Discovery, or it is damaged ({error})") from error
