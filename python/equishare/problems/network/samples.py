"""Data of a model problem: tensors or a DataLoader, checked once and drawn in batches that a seed decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from equishare.arrays import real_array

__all__ = [
    "Batch",
    "LoaderSamples",
    "Samples",
    "Stream",
    "TensorSamples",
    "as_samples",
    "in_words",
    "num_batches",
    "num_samples",
]

# Inputs of the model, in the order of its arguments, and the target.
Batch = tuple[tuple[Tensor, ...], Tensor]


class TensorSamples:
    """Samples that are held as tensors.

    Attributes:
        x: inputs of the model, each (n, ...).
        y: (n, ...) target.
    """

    def __init__(self, x: tuple[Tensor, ...], y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    @property
    def kinds(self) -> tuple[tuple[torch.Size, torch.dtype], ...]:
        """Shape and dtype of each tensor."""
        return tuple((t.shape, t.dtype) for t in (*self.x, self.y))

    def take(self, index: Tensor) -> Batch:
        """The samples at an index."""
        return tuple(x[index] for x in self.x), self.y[index]

    def folds(self, count: int, generator: torch.Generator) -> list[tuple[TensorSamples, TensorSamples]]:
        """So many random parts of one size, each after all samples that are not in it."""
        order, size = torch.randperm(len(self), generator=generator).to(self.y.device), len(self) // count
        held = [order[i * size : (i + 1) * size] for i in range(count)]
        rest = [torch.cat((order[: i * size], order[(i + 1) * size :])) for i in range(count)]
        return [(TensorSamples(*self.take(a)), TensorSamples(*self.take(b))) for a, b in zip(rest, held, strict=True)]

    def resampled(self, rng: np.random.Generator) -> TensorSamples:
        """As many samples, drawn with replacement."""
        return TensorSamples(*self.take(torch.from_numpy(rng.integers(len(self), size=len(self))).to(self.y.device)))

    def first(self) -> Batch:
        """All samples."""
        return self.x, self.y

    def joined(self, other: TensorSamples) -> TensorSamples:
        """The samples of both."""
        x = tuple(torch.cat(pair) for pair in zip(self.x, other.x, strict=True))
        return TensorSamples(x, torch.cat((self.y, other.y)))


class LoaderSamples:
    """Samples that a DataLoader draws anew in every epoch; batches of several loaders are mixed."""

    def __init__(self, loaders: tuple[DataLoader[Any], ...], name: str, model: nn.Module) -> None:
        self.loaders, self.name, self.model = loaders, name, model

    def __iter__(self) -> Iterator[Batch]:
        """An epoch, always the same one."""
        return self.epoch(0)

    def epoch(self, seed: int) -> Iterator[Batch]:
        """An epoch whose order, and whose augmentation by torch's generator, a seed decides.

        Torch's generator, and those of the loaders, are left as they were.
        """
        batches = _interleaved(self.loaders, seed)
        generators = _generators(self.loaders)
        states = [torch.Generator().manual_seed(seed).get_state() for _ in generators]
        while True:
            with _borrowed(generators, states):
                batch = next(batches, None)
            if batch is None:
                return
            yield _checked_batch(batch, self.name, self.model)

    def first(self) -> Batch:
        """One batch, always the same one.

        Raises:
            ValueError: there is none.
        """
        batch = next(iter(self), None)
        if batch is None:
            raise ValueError(f"{self.name} must hold at least one sample, got a DataLoader without batches")
        return batch

    def joined(self, other: LoaderSamples) -> LoaderSamples:
        """The batches of both."""
        return LoaderSamples((*self.loaders, *other.loaders), self.name, self.model)


def _interleaved(loaders: Sequence[DataLoader[Any]], seed: int) -> Iterator[Any]:
    """All batches, in an order that a seed decides and that mixes the loaders evenly."""
    running = [iter(loader) for loader in loaders]
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor([float(_length(loader)) for loader in loaders])
    while running:
        i = int(torch.multinomial(weights, 1, generator=generator)) if len(running) > 1 else 0
        batch = next(running[i], None)
        if batch is None:
            del running[i]
            weights = torch.cat([weights[:i], weights[i + 1 :]])
        else:
            yield batch


def _length(loader: DataLoader[Any]) -> int:
    try:
        return max(1, len(loader))
    except TypeError:  # an iterable data set tells no length
        return 1


Samples = TensorSamples | LoaderSamples


class Stream:
    """Endless training batches; the seed and the number of batches drawn so far decide the next one.

    Args:
        samples: where from.
        batch_size: of samples held as tensors; None: all of them. A DataLoader has its own.
        seed: of the order in each epoch.
        drawn: how many batches were drawn before, by an earlier stream to be continued.
    """

    def __init__(self, samples: Samples, batch_size: int | None, seed: int, drawn: int = 0) -> None:
        self.samples, self.seed, self.drawn = samples, seed, 0
        self.batch_size = batch_size
        self._epoch: Iterator[Any] = iter(())
        self._epochs = 0
        if self.is_whole:
            self.drawn = drawn
        while self.drawn < drawn:
            self.next_index() if isinstance(samples, TensorSamples) else self.next_batch()

    @property
    def is_whole(self) -> bool:
        """Whether every batch is all samples."""
        samples = self.samples
        return isinstance(samples, TensorSamples) and (self.batch_size is None or self.batch_size >= len(samples))

    def next_batch(self) -> Batch:
        """The next batch."""
        if isinstance(self.samples, TensorSamples):
            index = self.next_index()
            return self.samples.first() if index is None else self.samples.take(index)
        self.drawn += 1
        batch = next(self._epoch, None)
        if batch is None:
            self._epoch = self.samples.epoch(self._next_epoch_seed())
            batch = next(self._epoch, None)
        if batch is None:
            name = self.samples.name
            raise ValueError(f"{name} must be data that can be read again, got no batch in epoch {self._epochs}")
        return batch

    def next_index(self) -> Tensor | None:
        """Samples of the next batch of tensors; None: all."""
        assert isinstance(self.samples, TensorSamples)
        self.drawn += 1
        if self.is_whole:
            return None
        index = next(self._epoch, None)
        if index is None:
            generator = torch.Generator().manual_seed(self._next_epoch_seed())
            order = torch.randperm(len(self.samples), generator=generator)
            assert self.batch_size is not None
            # The last, smaller batch is dropped: every step sees as many samples.
            whole = len(order) // self.batch_size * self.batch_size
            self._epoch = iter(order[:whole].split(self.batch_size))
            index = next(self._epoch)
        return index.to(self.samples.y.device)

    def _next_epoch_seed(self) -> int:
        self._epochs += 1
        return (self.seed * 1_000_003 + self._epochs) % 2**63


def as_samples(data: Any, name: str, model: nn.Module) -> Samples:
    """``(x, y)``, ``((x1, x2, …), y)`` or a DataLoader of such pairs as samples.

    Raises:
        TypeError: something else, or a dtype that the model does not have.
        ValueError: no sample, lengths that differ, NaN or infinite numbers, or another device.
    """
    if isinstance(data, DataLoader):
        if isinstance(data.sampler, DistributedSampler):
            raise ValueError(
                f"{name} must give every rank all samples, got a DataLoader with a DistributedSampler: replicas are "
                "shared out among the ranks, samples are not"
            )
        samples = LoaderSamples((data,), name, model)
        samples.first()
        return samples
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            f"{name} must be a pair (x, y) of arrays or tensors or a DataLoader of such pairs, "
            f"got {type(data).__name__}" + (f" of {len(data)}" if isinstance(data, tuple | list) else "")
        )
    return TensorSamples(*_checked_batch(data, name, model, convert=True))


def in_words(x: Sequence[Tensor], count: str | None = None) -> str:
    """Shapes and dtypes of inputs, such as "(20, 8) of float32"; ``count`` stands for the number of samples."""

    def shape(t: Tensor) -> str:
        sizes = [count or str(t.shape[0]), *map(str, t.shape[1:])] if t.dim() else []
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"

    return ", ".join(f"{shape(t)} of {str(t.dtype).removeprefix('torch.')}" for t in x)


def num_samples(samples: Samples) -> int:
    """Number of samples; of loaders about, batches times samples of the first."""
    if isinstance(samples, TensorSamples):
        return len(samples)
    return num_batches(samples) * len(samples.first()[1])


def num_batches(samples: LoaderSamples) -> int:
    """Number of batches of an epoch, 1 where a loader tells no length."""
    try:
        return sum(len(loader) for loader in samples.loaders)
    except TypeError:  # an iterable data set
        return 1


def _generators(loaders: Sequence[DataLoader[Any]]) -> list[torch.Generator]:
    """Torch's own generator, and those that loaders and samplers were given."""
    found = [torch.default_generator]
    for loader in loaders:
        samplers = loader.sampler, getattr(loader.batch_sampler, "sampler", None)
        for generator in (loader.generator, *(getattr(sampler, "generator", None) for sampler in samplers)):
            if generator is not None and not any(generator is one for one in found):
                found.append(generator)
    return found


@contextmanager
def _borrowed(generators: Sequence[torch.Generator], states: list[torch.Tensor]) -> Iterator[None]:
    """Inside the block the generators have these states, which are updated at its end; then their own states return."""
    before = [generator.get_state() for generator in generators]
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    try:
        yield
    finally:
        states[:] = [generator.get_state() for generator in generators]
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def _checked_batch(data: Any, name: str, model: nn.Module, convert: bool = False) -> Batch:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(f"{name} must give pairs (x, y), got {type(data).__name__}")
    several = isinstance(data[0], tuple) or (isinstance(data[0], list) and any(isinstance(t, Tensor) for t in data[0]))
    inputs = data[0] if several else (data[0],)
    if not len(inputs):
        raise ValueError(f"x of {name} must hold at least one input of the model, got an empty tuple")
    names = [f"x[{i}] of {name}" for i in range(len(inputs))] if several else [f"x of {name}"]
    x = tuple(_tensor(one, its, model, convert) for one, its in zip(inputs, names, strict=True))
    y = _tensor(data[1], f"y of {name}", model, convert)
    lengths = [len(t) for t in (*x, y)]
    if len(set(lengths)) > 1:
        raise ValueError(f"x and y of {name} must hold as many samples as each other, got {lengths}")
    if not lengths[0]:
        raise ValueError(f"{name} must hold at least one sample, got x of shape {tuple(x[0].shape)}")
    return x, y


def _tensor(data: Any, name: str, model: nn.Module, convert: bool) -> Tensor:
    like = next(p for p in model.parameters() if p.dtype.is_floating_point)
    if not isinstance(data, Tensor):
        if not convert:
            raise TypeError(f"{name} must be a tensor, got {type(data).__name__}")
        if isinstance(data, dict):
            raise TypeError(
                f"{name} must be a tensor, an array or a tuple of them, got a dict: give its values as a tuple, in the "
                "order of the arguments of forward"
            )
        array = real_array(data, name)
        # Arrays are float64 unless somebody cared; tensors were made on purpose.
        data = torch.tensor(array)
        data = data.to(like.device, like.dtype if data.dtype.is_floating_point else None)
    if data.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {data.dtype}")
    if data.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got layout {data.layout}")
    if data.device != like.device:
        raise ValueError(f"{name} must be on the device of the model, {like.device}, got {data.device}")
    if data.dtype.is_floating_point and data.dtype != like.dtype:
        raise TypeError(
            f"{name} must have the dtype of the model, {like.dtype}, got {data.dtype}: {name[0]}.to({like.dtype})"
        )
    if data.dim() == 0:
        raise ValueError(f"{name} must have shape (samples, ...), got a single number")
    if data.dtype.is_floating_point and not torch.isfinite(data).all():
        raise ValueError(f"{name} must be finite, got {int((~torch.isfinite(data)).sum())} NaN or infinite numbers")
    return data.detach().clone() if data.is_inference() else data.detach()
