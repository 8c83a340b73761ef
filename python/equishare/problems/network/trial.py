"""Model and loss are tried before any training: what would go wrong without a word is refused in a sentence."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from equishare.modes import evaluating
from equishare.problems.network.remedies import remedy
from equishare.problems.network.samples import Batch, LoaderSamples, Samples
from equishare.sharing.search import model_parameters, shared_locations, sharing_parameters

Loss = Callable[[Any, Tensor], Tensor]

# Samples that model and loss are tried on.
_CHECKED = 64
# Where parameters happen to give a gradient of zero, such as a last layer of zeros, others do not: so many are tried.
_PERTURBATIONS = 3


def check_loss(model: nn.Module, loss: Loss, samples: Samples, name: str) -> None:
    """Model and loss take the samples, leave them as they are, and give a mean.

    Raises:
        ValueError: they do not.
    """
    x, y = _some(samples)
    value = _tried(model, loss, (x, y), name)
    if not isinstance(value, Tensor) or value.dim() > 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss must return a scalar tensor (the mean over the batch), got {got}")
    if value.is_complex():
        raise ValueError(f"loss must return a real number, got {value.dtype}")
    if not torch.isfinite(value):
        raise ValueError(f"loss must be finite for the model as it is, got {float(value)} on {name}")
    try:
        twice = float(_tried(model, loss, (tuple(torch.cat([t, t]) for t in x), torch.cat([y, y])), name))
    except ValueError:  # a model or a loss for batches of one size, or of different samples
        return
    once = float(value)
    if once and abs(twice - 2 * once) < 1e-3 * abs(once):
        raise ValueError(
            f"loss must be the mean over the samples, got one that doubles when {name} holds every sample twice: "
            "reduction='mean' in place of 'sum'"
        )


def check_reached(model: nn.Module, loss: Loss, samples: Samples) -> None:
    """A gradient of the loss reaches each shared parameter.

    Raises:
        ValueError: it does not.
    """
    # Not the logits, which may be large: no gradient in them is asked for.
    logits = {id(one): nn.Parameter(one.detach(), requires_grad=False) for one in sharing_parameters(model)}
    tried = copy.deepcopy(model, dict(logits))
    named = {name: one.original for name, one in shared_locations(tried).items()}
    generator = torch.Generator().manual_seed(0)
    missing = list(named)
    for _ in range(1 + _PERTURBATIONS):
        x, y = _some(samples)
        with evaluating(tried), torch.enable_grad():
            value = loss(tried(*x), y)
            found = torch.autograd.grad(value, [named[n] for n in missing], allow_unused=True) if _has(value) else ()
        missing = [n for n, g in zip(missing, found or [None] * len(missing), strict=True) if g is None or not g.any()]
        if not missing:
            return
        with torch.no_grad():
            for parameter in model_parameters(tried):
                noise = torch.randn(parameter.shape, generator=generator).to(parameter.device, parameter.dtype)
                parameter.add_(0.1 * noise)
    raise ValueError(
        f"the loss must depend on every shared parameter, got one that does not change with {', '.join(missing)}: "
        "share only what forward uses, and keep modules in attributes or a ModuleList"
    )


def check_smallest_batch(model: nn.Module, loss: Loss, samples: Samples, name: str) -> None:
    """A batch of one sample, if there is one, can be trained on; BatchNorm needs two.

    Raises:
        ValueError: it cannot.
    """
    if not _has_batch_of_one(samples):
        return
    x, y = _some(samples, 1)
    tried = copy.deepcopy(model).train()
    try:
        loss(tried(*x), y)
    except ValueError as error:
        raise ValueError(
            f"{name} has a batch of one sample, which the model cannot be trained on ({error}): give the DataLoader "
            "drop_last=True, or more samples"
        ) from error


def _has(value: Tensor) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _has_batch_of_one(samples: Samples) -> bool:
    if not isinstance(samples, LoaderSamples):
        return len(samples) == 1
    for loader in samples.loaders:
        try:
            count, size = len(loader.sampler), loader.batch_size  # type: ignore[arg-type]
        except TypeError:  # an iterable data set has no sampler of a length
            continue
        if size is not None and (size == 1 or (count % size == 1 and not loader.drop_last)):
            return True
    return False


def _some(samples: Samples, count: int = _CHECKED) -> Batch:
    """Copies of the first samples: a model may write into what it is given."""
    x, y = samples.first()
    return tuple(t[:count].clone() for t in x), y[:count].clone()


def _tried(model: nn.Module, loss: Loss, batch: Batch, name: str) -> Any:
    x, y = batch
    before = [t.clone() for t in (*x, y)]
    try:
        with evaluating(model), torch.no_grad(), warnings.catch_warnings():
            # Torch only warns where a loss spreads y over the outputs of others.
            warnings.filterwarnings("error", message="Using a target size")
            value = loss(model(*x), y)
    except (RuntimeError, IndexError, TypeError, ValueError, AttributeError, KeyError, UserWarning) as error:
        shapes = ", ".join(str(tuple(t.shape)) for t in x)
        raise ValueError(
            f"model and loss do not take the samples of {name}, x {shapes} and y {tuple(y.shape)}: {error}"
            f"{remedy(model, loss, x, y)}"
        ) from error
    for i, (kept, now) in enumerate(zip(before, (*x, y), strict=True)):
        if not torch.equal(kept, now):
            what = "y" if i == len(x) else f"input {i}"
            raise ValueError(
                f"model and loss must leave their samples as they are, but {what} of {name} is changed: "
                "write x = x / 2 in place of x /= 2, and inplace=False"
            )
    return value
