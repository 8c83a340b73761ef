"""Replicas of one model with parameters of their own, evaluated as one vmapped batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.utils import parametrize

from equishare import ops, ranks
from equishare.modes import twice_differentiable
from equishare.problems.base import Slot
from equishare.problems.network.batches import HeldOut
from equishare.problems.network.memory import batch_bytes, replicas_at_once
from equishare.problems.network.samples import Batch
from equishare.sharing import assignments, shared_parameters, sharing_parameters

# State of a replica or, with a leading axis R, of all replicas, by name.
State = dict[str, Tensor]


class Replicas:
    """A model as a function of the state of its replicas.

    The groups of each slot are given by labels (R, K) or by logits (R, K, G). One batched operation gathers the entries
    of all replicas, and vmap then runs the model without its parametrizations.

    Args:
        problems: problems with the same model and data of one shape.
        batch_size: samples that one step of training takes, of data held as tensors; None: all.
        at_once: replicas that are worth a batch of their own; None: as the model has it.

    Attributes:
        twin: the model without its parametrizations.
        slots: the assignments with the parameters they tie, in the order of the model.
        start: initial parameters of one replica, ψ with every entry in a group of its own.
        soft_start: the same with ψ as the model has it.
        logits: initial logits of one replica.
        buffers: buffers of one replica, which training may change.
        device: where they are.
    """

    def __init__(self, problems: Sequence[Any], batch_size: int | None = None, at_once: int | None = None) -> None:
        self.problems, self.loss, self.batch_size = problems, problems[0].loss, batch_size
        model = problems[0].model
        shared = shared_parameters(model)
        self.slots = slots_of(model)
        self.twin = copied(model)
        for name in shared:
            prefix, _, leaf = name.rpartition(".")
            parametrize.remove_parametrizations(self.twin.get_submodule(prefix), leaf)
        trained = {name: p.detach().clone() for name, p in self.twin.named_parameters() if p.requires_grad}
        values = {name: psi(model, name).detach().clone() for name in shared}
        self.soft_start = {**trained, **values}
        self.logits = {names[0]: a.logits.detach() for a, names in assignments(model).items()}
        self.buffers = {name: b.detach().clone() for name, b in self.twin.named_buffers()}
        self.start = dict(self.soft_start)
        for slot in self.slots:
            for name in slot.names:
                initial = shared[name].initial_entries(values[name])
                self.start[name] = _spread(values[name], slot.num_entries) if initial is None else initial
        self.device = next(iter(self.start.values())).device
        self._at_once = at_once

    def losses(self, lower: State, upper: State, buffers: State, batch: Batch, own_data: bool) -> Tensor:
        """Loss (R,) of each replica on a batch, whose tensors have a leading axis R if each has its own data."""
        return self._map(self._loss, lower, upper, buffers, batch, own_data)

    def held_losses(self, lower: State, upper: State, buffers: State, held: HeldOut, cautious: bool = False) -> Tensor:
        """Mean loss (R,) on held-out samples.

        Args:
            lower, upper, buffers: of the replicas.
            held: the samples.
            cautious: whether to add, where labels are classes, what one more sample with the label of another would
                cost, ``(1/n) mean loss(model(x), y of another sample)`` for n samples. That no mistake is seen in n
                samples does not mean that there are none (Laplace's rule of succession). Without it a classifier that
                makes none on few held-out samples is the better the more certain it is, and is far off on others.
        """
        cautious = cautious and held.has_classes
        total: Tensor | float = 0.0
        count = 0
        for batch, own_data in held:
            size = batch[1].shape[int(own_data)]
            total = total + size * self._map(self._losses(cautious), lower, upper, buffers, batch, own_data)
            count += size
        assert isinstance(total, Tensor)
        own, *others = (total / count).unbind(-1)
        return own + sum(torch.where(other.isfinite(), other, 0.0) for other in others) / count

    def block_losses(
        self, lower: State, upper: State, buffers: State, held: HeldOut, cautious: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Losses (R, B) of blocks of held-out samples as in :meth:`held_losses`, and the samples (B,) in each."""
        losses, sizes = [], []
        function = self._losses(cautious and held.has_classes)
        for batch, own_data in held:
            count = batch[1].shape[int(own_data)]
            size = held.block_size(count)
            bounds = [(i, min(i + size, count)) for i in range(0, count, size)]

            def blocks(full: State, buffers: State, x: Any, y: Tensor, bounds: Any = tuple(bounds)) -> Tensor:
                # Whatever the model returns, and where it puts the samples in it, belongs to the block.
                parts = [(tuple(t[i:j] for t in x), y[i:j]) for i, j in bounds]
                return torch.stack([function(full, buffers, *part) for part in parts])

            losses.append(self._map(blocks, lower, upper, buffers, batch, own_data))
            sizes += [j - i for i, j in bounds]
        own, *others = torch.cat(losses, 1).double().cpu().numpy().transpose(2, 0, 1)
        return own + sum(np.where(np.isfinite(other), other, 0) for other in others) / sum(sizes), np.array(sizes)

    def parts(self, count: int) -> list[slice]:
        """So many replicas in parts that are trained at a time, each of ``at_once`` to twice as many, if there are.

        A part fits into memory and is large enough for the time of a step to be that of its arithmetic. Numbers differ
        in their last bits with the size of a batch. So parts depend on nothing but the model and its data, above all
        not on the number of processes.
        """
        return ranks.even_parts(count, self.at_once())

    def at_once(self) -> int:
        """How many replicas are worth a batch of their own."""
        if self._at_once is None:
            batch = _part(self.problems[0].train.first(), self.batch_size)

            def run() -> Tensor:
                lower = {name: t.requires_grad_() for name, t in stacked(self.start, 1).items()}
                return self.losses(lower, {}, stacked(self.buffers, 1), batch, False)

            state = sum(t.numel() * t.element_size() for t in (*self.start.values(), *self.logits.values()))
            with seeded(self.device, 0):
                self._at_once = replicas_at_once(run, state, batch_bytes(self.device))
        return self._at_once

    def entries(self, lower: State, upper: State) -> State:
        """The parameters (R, ...) of the twin: θ in place of ψ; of a slot that ``upper`` lacks ``lower`` holds θ."""
        full = dict(lower)
        for slot in self.slots:
            groups = upper.get(slot.key)
            for name, shape, dim in zip(slot.names, slot.shapes, slot.axes, strict=True):
                if groups is None:
                    theta = lower[name]
                else:
                    theta = (ops.soft_gather if groups.is_floating_point() else ops.hard_gather)(groups, lower[name])
                if dim is None:
                    full[name] = theta.view(-1, *shape)
                else:
                    full[name] = theta.view(*theta.shape[:2], *shape[:dim], *shape[dim + 1 :]).movedim(1, 1 + dim)
        return full

    def output(self, parameters: State, buffers: State, x: tuple[Tensor, ...]) -> Any:
        """What the model returns, of one replica."""
        return functional_call(self.twin, {**parameters, **buffers}, x)

    def _loss(self, parameters: State, buffers: State, x: tuple[Tensor, ...], y: Tensor) -> Tensor:
        return self.loss(self.output(parameters, buffers, x), y)

    def _losses(self, cautious: bool) -> Callable[..., Tensor]:
        """A function that gives the loss (1,), and with caution that with the labels of other samples (2,)."""

        def losses(parameters: State, buffers: State, x: tuple[Tensor, ...], y: Tensor) -> Tensor:
            output = self.output(parameters, buffers, x)
            return torch.stack([self.loss(output, one) for one in ((y, y.roll(1, 0)) if cautious else (y,))])

        return losses

    def _map(
        self,
        function: Callable[..., Tensor],
        lower: State,
        upper: State,
        buffers: State,
        batch: Batch,
        own_data: bool,
    ) -> Tensor:
        with twice_differentiable():
            return self._mapped(function, self.entries(lower, upper), buffers, batch, own_data)

    def _mapped(
        self, function: Callable[..., Tensor], full: State, buffers: State, batch: Batch, own_data: bool
    ) -> Tensor:
        x, y = batch
        if len(next(iter(full.values()))) == 1:
            # A batch of one needs no vmap, which costs as much Python as the rest of a step.
            alone = ({name: t.squeeze(0) for name, t in state.items()} for state in (full, buffers))
            own_x, own_y = (tuple(t.squeeze(0) for t in x), y.squeeze(0)) if own_data else (x, y)
            return function(*alone, own_x, own_y).unsqueeze(0)
        if self.vmapped:
            data = 0 if own_data else None
            return vmap(function, (0, 0, data, data), randomness="different")(full, buffers, x, y)
        parts = []
        for r in range(len(next(iter(full.values())))):
            own_x, own_y = (tuple(t[r] for t in x), y[r]) if own_data else (x, y)
            parts.append(function(taken(full, r), taken(buffers, r), own_x, own_y))
        return torch.stack(parts)

    @cached_property
    def vmapped(self) -> bool:
        """Whether the model can be evaluated for several replicas at a time."""
        # Some models have no batching rule (a recurrent kernel, a branch on data): those run one by one.
        batch = _part(self.problems[0].train.first(), 2)
        lower = {name: t.requires_grad_() for name, t in stacked(self.start, 2).items()}
        training = self.twin.training
        self.vmapped = True
        self.twin.train()
        try:
            with seeded(self.device, 0), torch.enable_grad():
                losses = self.losses(lower, {}, stacked(self.buffers, 2), batch, False)
                losses.sum().backward()
        except Exception:  # whatever torch raises for what it cannot batch; a true error comes back in the loop
            return False
        finally:
            self.twin.train(training)
        return True


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Inside the block random numbers follow a seed; afterwards the generators are as they were before it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def copied(model: nn.Module) -> nn.Module:
    """A deep copy for groups of its own: it has the same logits, which may be the largest tensors."""
    return copy.deepcopy(model, {id(one): one for one in sharing_parameters(model)})


def stacked(state: State, replicas: int) -> State:
    """A leading axis R of copies."""
    return {name: t.expand(replicas, *t.shape).clone() for name, t in state.items()}


def taken(state: State, index: Any) -> State:
    """Some of the replicas."""
    return {name: t[index] for name, t in state.items()}


def reordered(state: State, generator: torch.Generator) -> State:
    """Another start: the numbers of each tensor, which were drawn alike, in another order; zeros stay in place."""
    return {name: _reordered(t, generator) for name, t in state.items()}


def joined(states: Sequence[State]) -> State:
    """Replicas of several states."""
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}


def _part(batch: Batch, count: int | None) -> Batch:
    return tuple(t[:count] for t in batch[0]), batch[1][:count]


def _reordered(tensor: Tensor, generator: torch.Generator) -> Tensor:
    # Zeros were set and not drawn, such as those of a padding row.
    flat = tensor.detach().flatten().clone()
    drawn = torch.nonzero(flat)[:, 0]
    order = torch.randperm(len(drawn), generator=generator).to(drawn.device)
    flat[drawn] = flat[drawn[order]]
    return flat.view(tensor.shape)


def slots_of(model: nn.Module) -> tuple[Slot, ...]:
    """The slots of a model in which :func:`equishare.share` has marked parameters, one for each assignment."""
    shared, slots = shared_parameters(model), []
    for names in assignments(model).values():
        ones = [shared[name] for name in names]
        assignment, axes = ones[0].assignment, tuple(one.dim for one in ones)
        noun = "entry" if axes == (None,) * len(axes) else "slice"
        shapes = tuple(one.shape for one in ones)
        most = assignment.max_groups or assignment.num_entries
        slots.append(Slot(tuple(names), shapes, axes, assignment.num_entries, most, noun, True))
    return tuple(slots)


def _spread(values: Tensor, num_entries: int) -> Tensor:
    # Entries start from the values ψ, which were taken from the parameter, and not from θ, their soft means. Where
    # there are fewer values than entries they are dealt out several times, each time in another order.
    if len(values) == num_entries:
        return values.clone()
    generator = torch.Generator().manual_seed(0)
    rounds = -(-num_entries // len(values))
    rows = torch.cat([torch.randperm(len(values), generator=generator) for _ in range(rounds)])[:num_entries]
    return values[rows.to(values.device)]


def psi(model: nn.Module, name: str) -> Tensor:
    """The values of a shared parameter."""
    prefix, _, leaf = name.rpartition(".")
    return model.get_submodule(prefix).parametrizations[leaf].original  # type: ignore
