"""The answer: which entries are shared, with which values, and how it was found."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from equishare.result.archive import HISTORY, open_archive, save_archive
from equishare.result.confidence import Confidence
from equishare.result.models_result import FORMAT as MODEL_FORMAT
from equishare.result.models_result import ModelDiscovery, from_archive, with_model
from equishare.result.origin import Origin
from equishare.result.plotting import Shown
from equishare.partition import Partition
from equishare.symmetry import EquivarianceError, SymmetryGroup, equivariance_error, symmetry_group

_FORMAT = "equishare.Discovery/1"


@dataclass(frozen=True, eq=False)
class Discovery(Shown):
    """A discovered sharing pattern and the model refitted with it.

    Attributes:
        partition: which entries share a value; has the shape of the parameter, (K,) or (O, I).
        values: (G,) shared values ψ, least squares on training and validation samples together.
        bias: (O,) bias of a linear map, or None.
        validation_loss: mean squared error per sample and output on the validation samples, of the fit
            on the training samples with this partition.
        no_sharing_loss: the same without sharing.
        method: what it was found with.
        seed: likewise.
        history: columns of equal length; ``validation_loss`` against ``step`` or ``num_groups``.
        confidence: how sure the partition is, where ``discover`` was called with ``resamples``; else None.
        origin: what it takes to repeat it; None where that is not known.
    """

    partition: Partition
    values: np.ndarray
    bias: np.ndarray | None
    validation_loss: float
    no_sharing_loss: float
    method: str
    seed: int
    history: dict[str, np.ndarray]
    confidence: Confidence | None = None
    origin: Origin | None = None

    @property
    def theta(self) -> np.ndarray:
        """The shared parameter ``θ = ψ[label]`` in its shape."""
        return self.values[self.partition.labels]

    def symmetry(self, same_action: bool = False) -> SymmetryGroup:
        """The group of permutations that leave the pattern unchanged, see :func:`equishare.symmetry_group`.

        Args:
            same_action: demand the same permutation of outputs and inputs.

        Raises:
            ValueError: same_action for means, or for O ≠ I.
            TypeError: same_action is neither True nor False.
            ImportError: igraph or sympy are not installed.
        """
        return symmetry_group(self.partition, same_action=same_action)

    def equivariance_error(
        self, x: Any, function: Callable[[np.ndarray], np.ndarray] | None = None, num_permutations: int = 199
    ) -> EquivarianceError:
        """How far a function of (n, I) inputs is from commuting with each generator of the symmetry found.

        Args:
            x: (n, I) inputs on which it is measured.
            function: your own function or module, (n, I) to (n, O); the fitted map ``W x + b`` if None.
            num_permutations: random permutations of the test of each generator; the seed is the discovery's.

        Raises:
            ValueError: means, which are no function.
            ValueError, TypeError: see :func:`equishare.equivariance_error`.
        """
        if len(self.partition.shape) != 2:
            raise ValueError("equivariance_error needs the discovery of a linear map; this one is of means")
        group = self.symmetry()
        return equivariance_error(self._map if function is None else function, group, x, num_permutations, self.seed)

    def _map(self, x: np.ndarray) -> np.ndarray:
        return x @ self.theta.T + (0.0 if self.bias is None else self.bias)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to ``path``, a .npz file without pickled objects, whole or not at all.

        Raises:
            ValueError: path does not end in .npz.
            OSError: the file cannot be written.
        """
        about = {
            "format": _FORMAT,
            "method": self.method,
            "seed": self.seed,
            "validation_loss": self.validation_loss,
            "no_sharing_loss": self.no_sharing_loss,
            "origin": Origin.to_archive(self.origin),
        }
        arrays = {
            "labels": self.partition.labels,
            "values": self.values,
        }
        if self.bias is not None:
            arrays["bias"] = self.bias
        if self.confidence is not None:
            arrays["resamples"] = self.confidence.labels
            if self.confidence.gaps is not None:
                arrays["gaps"] = self.confidence.gaps
        arrays |= {HISTORY + name: column for name, column in self.history.items()}
        save_archive(path, about, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: nn.Module | None = None) -> Discovery | ModelDiscovery:
        """Read what :meth:`save` wrote, here or in :class:`ModelDiscovery`.

        Args:
            path: the file.
            model: for the discovery of a model, a module of the same architecture, with the same parameters shared
                by :func:`equishare.share` (those shared entry by entry, each on its own, may be plain); it is
                hardened and gets the saved state.

        Raises:
            OSError: the file cannot be read.
            TypeError: model is no module.
            ValueError: it is not a saved Discovery, or damaged, or the model does not fit, which stays as it was.
        """
        try:
            about, arrays = open_archive(path)
            if about["format"] == MODEL_FORMAT:
                of_model, state = from_archive(about, arrays)
            else:
                found = cls._from_archive(about, arrays)
        except Exception as error:
            # A damaged archive fails in zlib, zipfile, NumPy or json, each with errors of its own.
            if isinstance(error, OSError) and error.filename is not None:
                raise
            raise ValueError(f"{os.fspath(path)!r} is not a saved Discovery, or it is damaged ({error})") from error
        if about["format"] == MODEL_FORMAT:
            return of_model if model is None else with_model(of_model, state, model)
        if model is not None:
            raise ValueError("model belongs to the discovery of a model, and this is one of means or of a linear map")
        return found

    @classmethod
    def _from_archive(cls, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Discovery:
        if about["format"] != _FORMAT:
            raise KeyError("format")
        partition, resamples = Partition(arrays["labels"]), arrays.get("resamples")
        found = cls(
            partition=partition,
            values=arrays["values"],
            bias=arrays.get("bias"),
            history={n.removeprefix(HISTORY): a for n, a in arrays.items() if n.startswith(HISTORY)},
            confidence=None if resamples is None else Confidence(partition, resamples, arrays.get("gaps")),
            origin=Origin.from_archive(about.get("origin")),
            **{name: value for name, value in about.items() if name not in ("format", "origin")},
        )
        if found.values.shape != (found.partition.num_groups,):
            raise ValueError(f"{found.partition.num_groups} groups but values of shape {found.values.shape}")
        return found
