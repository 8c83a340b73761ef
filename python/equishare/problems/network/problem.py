"""A model with shareable parameters, and the data that decide which of them are shared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence, Sized
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equishare.problems.answers import About, Refit
from equishare.problems.base import Labels, Slot
from equishare.problems.described import Described
from equishare.problems.network.replicas import slots_of
from equishare.problems.network.samples import LoaderSamples, Samples, TensorSamples, as_samples, in_words
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.trial import check_loss, check_reached, check_smallest_batch
from equishare.sharing import assignments
from equishare.sharing.search import check_complete, check_module, shared_locations, wrapper_of

__all__ = ["INPUTS", "ModelProblem"]

#: The fact of :meth:`ModelProblem.about` that tells shapes and dtypes of the inputs.
INPUTS = "inputs"


class ModelProblem(Described):
    """Which entries of the parameters of a model are equal?

        min over A   U(w*(A), A; val) + penalties(A)    s.t.   w*(A) = argmin over w  L(w, A; train)

    with w all parameters of the model, the values ψ of the shared ones among them, and L, U the loss on either set.

    Args:
        model: a module in which :func:`equishare.share` has marked parameters. It is not changed.
        train: samples to fit, a pair (x, y) of tensors or arrays, a pair of a tuple of inputs and y, or a DataLoader
            of such pairs.
        val: samples to select by, likewise.
        loss: ``loss(model(x), y)`` -> scalar, the mean over the samples of the batch.
        stop: samples that end the final fit, on train and val together, where their loss is least; None: that fit takes
            as many steps as were best in the fit on train alone.

    Raises:
        TypeError: an argument of a wrong type, or data of another dtype than the model.
        ValueError: nothing is shared, a set without samples, data on another device, data that the model does not
            take or writes into, a loss that is no scalar, sums over the samples, or does not depend on a shared
            parameter, or a batch of one sample that the model cannot be trained on.

    Source: Yeh et al. 2022.
    """

    Session = NetworkSession

    def __init__(
        self,
        model: nn.Module,
        train: Any,
        val: Any,
        loss: Callable[[Any, Tensor], Tensor],
        stop: Any = None,
    ) -> None:
        check_module(model, "model")
        wrapper = wrapper_of(model)
        if wrapper is not None:
            raise ValueError(
                f"model must be given as it was before it was wrapped in {wrapper}: discover trains replicas of it and "
                "shares them out among the ranks"
            )
        if isinstance(loss, type):
            raise TypeError(
                f"loss must be a function of the model's output and y, got the class {loss.__name__}: call it"
            )
        if not callable(loss):
            raise TypeError(f"loss must be a function of the model's output and y, got {type(loss).__name__}")
        if not assignments(model):
            raise ValueError("model has no shared parameter: call equishare.share first")
        hard = [names[0] for assignment, names in assignments(model).items() if assignment.is_hard]
        if hard:
            raise ValueError(f"model is hardened already ({', '.join(hard)}): nothing is left to discover")
        check_complete(model)
        _check_shared(model)
        self.model, self.loss = model, loss
        #: Seed of the starts that a search takes besides the model's own; None: the seed of the search.
        self.restart_seed: int | None = None
        with torch.inference_mode(False):
            self.train, self.val = as_samples(train, "train", model), as_samples(val, "val", model)
            if type(self.train) is not type(self.val):
                raise TypeError("train and val must both be pairs of tensors or both DataLoaders")
            self.stop = None if stop is None else as_samples(stop, "stop", model)
            for name, samples in (("train", self.train), ("val", self.val), ("stop", self.stop)):
                if samples is not None:
                    check_loss(model, loss, samples, name)
                # Validation samples held as tensors are trained on together with the others alone.
                trained = name == "train" or (name == "val" and isinstance(samples, LoaderSamples))
                if samples is not None and trained:
                    check_smallest_batch(model, loss, samples, name)
            check_reached(model, loss, self.train)
            self._inputs = in_words(self.train.first()[0], "samples")

    def __repr__(self) -> str:
        about = self.about()
        shared = ", ".join(" ".join(one) for one in _sizes(self.slots))
        known = about.num_train is not None and about.num_val is not None
        samples = f"{about.num_train} samples to fit, {about.num_val} to validate" if known else "samples of a loader"
        return f"{type(self).__name__}({type(self.model).__name__}: {shared}; {samples})"

    @property
    def pooled(self) -> Samples:
        """Training and validation samples together."""
        if isinstance(self.train, TensorSamples) and isinstance(self.val, TensorSamples):
            return self.train.joined(self.val)
        assert isinstance(self.train, LoaderSamples) and isinstance(self.val, LoaderSamples)
        return self.train.joined(self.val)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The shared parameters, one slot for each assignment."""
        return slots_of(self.model)

    def estimate(self, on: str = "all") -> None:
        """None: a network has to be trained with a pattern to judge it."""

    def evaluate(self, patterns: Sequence[Labels]) -> np.ndarray:
        """Validation loss of each pattern, trained as one batch with the default options."""
        return self.Session([self]).evaluate([patterns])[0]

    def refit(self, pattern: Labels) -> Refit:
        """The model trained with the pattern, with the default options."""
        return self.Session([self]).refit([pattern])[0]

    def resampled(self, generator: np.random.Generator) -> ModelProblem:
        """The problem with training and validation samples drawn from its own, each set by itself, with replacement.

        Each resample also has restarts of its own. Because both sets are drawn by themselves, no training sample
        becomes a validation sample (pairs bootstrap; Efron 1979). A resample holds the noise twice and states it once,
        as for linear maps; see :func:`equishare.problems.bootstrap.resampled_moments`.

        Raises:
            ValueError: the samples come from a DataLoader.
        """
        # A seed decides the order of a loader, not which samples are in an epoch.
        if not isinstance(self.train, TensorSamples) or not isinstance(self.val, TensorSamples):
            raise ValueError("resamples needs train and val as tensors or arrays, got DataLoaders")
        other = copy.copy(self)
        other.train, other.val = self.train.resampled(generator), self.val.resampled(generator)
        other.restart_seed = int(generator.integers(2**63))
        return other

    def about(self) -> About:
        """The data in words and numbers, for the report."""
        train, val = (len(one) if isinstance(one, Sized) else None for one in (self.train, self.val))
        about = about_model(self.slots, train, val)
        return replace(about, facts=(*about.facts, (INPUTS, self._inputs)))


def about_model(slots: Sequence[Slot], num_train: int | None, num_val: int | None) -> About:
    """What a report tells of the data of a model, but for its inputs."""
    facts = tuple((f"parameter {name}", size) for name, size in _sizes(slots))
    question = "which entries or slices of a model's parameters are shared"
    return About(question, num_train, num_val, "loss", facts)


def _sizes(slots: Sequence[Slot]) -> list[tuple[str, str]]:
    """Name and size of each shared parameter."""
    sizes = []
    for slot in slots:
        for name in slot.names:
            shape = " × ".join(map(str, slot.shape_of(name)))
            sizes.append((name, f"{shape} slices" if slot.is_sliced else shape))
    return sizes


def _check_shared(model: nn.Module) -> None:
    if (odd := next((name for name, t in model.named_parameters() if t.is_complex()), None)) is not None:
        raise TypeError(
            f"model must have real parameters, got complex {odd}: hold real and imaginary parts as two parameters"
        )
    if any(t.is_inference() for t in (*model.parameters(), *model.buffers())):
        raise ValueError("model must be made outside of torch.inference_mode, which allows no training")
    for name, location in shared_locations(model).items():
        assert location.chain is not None and location.shared is not None
        further = ", ".join(type(one).__name__ for one in list(location.chain)[1:])
        if further:
            raise ValueError(f"{name!r} must have no parametrization besides its sharing, got {further}")
        if not location.original.requires_grad or not location.shared.assignment.logits.requires_grad:
            raise ValueError(f"{name!r} is shared and must require gradients, got requires_grad=False")
