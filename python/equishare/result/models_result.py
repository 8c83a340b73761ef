"""The answer for a model: which entries of its parameters are shared, and the model refitted with them."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equishare.result.archive import HISTORY, save_archive
from equishare.result.calibration import MODELS
from equishare.result.confidence import Confidence
from equishare.result.origin import Origin
from equishare.result.plotting import Shown
from equishare.partition import Partition
from equishare.sharing import impose
from equishare.symmetry import SymmetryGroup, symmetry_group

FORMAT = "equishare.ModelDiscovery/1"
_LABELS = "labels."
_STATE = "state."
_RESAMPLES = "resamples."


@dataclass(frozen=True, eq=False)
class ModelDiscovery(Shown):
    """A discovered sharing pattern of a model.

    Attributes:
        partitions: partition of each shared parameter by its qualified name; of the parameter's shape for
            single entries, (K,) for slices. Parameters tied by one assignment have equal partitions.
        model: hardened copy of the model, refitted on training and validation samples; None if it was loaded
            without a model.
        validation_loss: loss on the validation samples of the fit on the training samples with these partitions.
        no_sharing_loss: the same without sharing; NaN after Ctrl-C.
        method: what it was found with.
        seed: likewise.
        history: columns of equal length; ``validation_loss`` against ``num_groups`` or ``step``.
        complete: whether the search ran to its end; False after Ctrl-C, with the best pattern until then and a
            model that saw the training samples alone.
        settled: False where the loss was still falling at the end of the longest fit: more ``steps``, or another
            ``lr``, may change the answer.
        origin: what it takes to repeat it; None where that is not known.
        confidence: how sure each of ``partitions`` is, where ``discover`` was called with ``resamples``; else None.
    """

    partitions: dict[str, Partition]
    model: nn.Module | None
    validation_loss: float
    no_sharing_loss: float
    method: str
    seed: int
    history: dict[str, np.ndarray]
    complete: bool = True
    settled: bool = True
    origin: Origin | None = None
    confidence: dict[str, Confidence] | None = None

    @property
    def partition(self) -> Partition:
        """The partition, where the model has one.

        Raises:
            ValueError: different assignments have partitions of their own; see ``partitions``.
        """
        found = list(self.partitions.values())
        if any(not np.array_equal(p.labels.ravel(), found[0].labels.ravel()) for p in found[1:]):
            raise ValueError(f"the model has several partitions: partitions[name] for {', '.join(self.partitions)}")
        return found[0]

    @property
    def theta(self) -> dict[str, Tensor]:
        """The shared parameters θ by their qualified names.

        Raises:
            ValueError: the discovery was loaded without a model.
        """
        if self.model is None:
            raise ValueError("this discovery was loaded without a model: Discovery.load(path, model=...)")
        parents = {name: name.rpartition(".") for name in self.partitions}
        return {n: getattr(self.model.get_submodule(p), leaf).detach() for n, (p, _, leaf) in parents.items()}

    def symmetry(self, same_action: bool = False) -> dict[str, SymmetryGroup]:
        """The group of each partition by the parameter's name, see :func:`equishare.symmetry_group`.

        Args:
            same_action: demand the same permutation of outputs and inputs.

        Raises:
            ValueError: same_action for slices or vectors, or for O ≠ I.
            TypeError: same_action is neither True nor False.
            ImportError: igraph or sympy are not installed.
        """
        return {name: symmetry_group(p, same_action=same_action) for name, p in self.partitions.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to ``path``, a .npz file without pickled objects, whole or not at all.

        Raises:
            ValueError: path does not end in .npz, or there is no model.
            OSError: the file cannot be written.
        """
        if self.model is None:
            raise ValueError("this discovery was loaded without a model, and saving it would lose what was fitted")
        state = self.model.state_dict()
        about = {
            "format": FORMAT,
            "method": self.method,
            "seed": self.seed,
            "validation_loss": self.validation_loss,
            "no_sharing_loss": self.no_sharing_loss,
            "complete": self.complete,
            "settled": self.settled,
            "origin": Origin.to_archive(self.origin),
            "dtypes": {name: str(t.dtype).removeprefix("torch.") for name, t in state.items()},
        }
        arrays = {_LABELS + name: p.labels for name, p in self.partitions.items()}
        # NumPy has no bfloat16; its numbers are float32 numbers too.
        wide = {n: t.float() if t.dtype == torch.bfloat16 else t for n, t in state.items()}
        arrays |= {_STATE + name: t.detach().cpu().numpy() for name, t in wide.items()}
        arrays |= {_RESAMPLES + name: one.labels for name, one in (self.confidence or {}).items()}
        arrays |= {HISTORY + name: column for name, column in self.history.items()}
        save_archive(path, about, arrays)


def from_archive(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[ModelDiscovery, dict[str, Tensor]]:
    """What :meth:`ModelDiscovery.save` wrote, without a model, and the state of the model."""
    about = dict(about)
    about.pop("format")
    state = {
        name: torch.from_numpy(arrays[_STATE + name].copy()).to(getattr(torch, kind))
        for name, kind in about.pop("dtypes").items()
    }
    partitions = {n.removeprefix(_LABELS): Partition(a) for n, a in arrays.items() if n.startswith(_LABELS)}
    history = {n.removeprefix(HISTORY): a for n, a in arrays.items() if n.startswith(HISTORY)}
    resamples = {n.removeprefix(_RESAMPLES): a for n, a in arrays.items() if n.startswith(_RESAMPLES)}
    confidence = {
        name: Confidence(partitions[name], labels, curves=MODELS) for name, labels in resamples.items()
    } or None
    about["origin"] = Origin.from_archive(about.pop("origin", None))
    return ModelDiscovery(partitions=partitions, model=None, history=history, confidence=confidence, **about), state


def with_model(found: ModelDiscovery, state: dict[str, Tensor], model: nn.Module) -> ModelDiscovery:
    """The discovery with a model, which is hardened and gets the state.

    Raises:
        TypeError: model is no module.
        ValueError: it does not fit; it is as it was then.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    try:
        for one in (copy.deepcopy(model), model):
            impose(one, found.partitions)
            one.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"model does not fit the discovery: it must have the architecture and the shared parameters of the model "
            f"that was searched ({error})"
        ) from error
    return replace(found, model=model)
