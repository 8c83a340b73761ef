"""Train replicas by Adam and keep, of each, the state that did best on held-out samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from equishare import ranks
from equishare.problems.network.batches import Batches, HeldOut
from equishare.problems.network.replicas import Replicas, State, joined, seeded, taken
from equishare.problems.network.training import Training

# Held-out samples are looked at about so often.
_LOOKS = 50
# A loss that falls by less than this part does not gain from more steps.
_GAIN = 0.02


@dataclass(frozen=True)
class Start:
    """Where replicas start from.

    Attributes:
        owner: problem of each replica.
        lower, upper, buffers: initial state (R, ...); upper, the groups, stays.
    """

    owner: Sequence[int]
    lower: State
    upper: State
    buffers: State

    def __getitem__(self, part: slice) -> Start:
        return Start(self.owner[part], *(taken(state, part) for state in (self.lower, self.upper, self.buffers)))


@dataclass(frozen=True)
class Plan:
    """How replicas are fitted.

    Attributes:
        training: rates, batches and averages.
        steps: where the schedule ends.
        seed: of batches and dropout.
        sets: names of the set to fit, and of the set whose loss says which state of a replica is the best; None for
            the second: ``until`` says it.
        until: (R,) number of steps after which each replica is kept.
        moved: whether the best state must be one after the start.
    """

    training: Training
    steps: int
    seed: int
    sets: tuple[str, str | None] = ("train", "val")
    until: Tensor | None = None
    moved: bool = False


@dataclass(frozen=True)
class Fit:
    """Trained replicas.

    Attributes:
        lower, buffers: the best state of each.
        loss: (R,) of that state on the held-out samples, infinite where there is none.
        step: (R,) number of training steps that lead to it.
    """

    lower: State
    buffers: State
    loss: Tensor
    step: Tensor

    def to(self, device: torch.device | str) -> Fit:
        """The same on a device."""
        lower, buffers = ({name: t.to(device) for name, t in state.items()} for state in (self.lower, self.buffers))
        return Fit(lower, buffers, self.loss.to(device), self.step.to(device))

    def copy(self) -> Fit:
        """The same in memory of its own."""
        lower, buffers = ({name: t.clone() for name, t in state.items()} for state in (self.lower, self.buffers))
        return Fit(lower, buffers, self.loss.clone(), self.step.clone())

    def __getitem__(self, index: object) -> Fit:
        return Fit(taken(self.lower, index), taken(self.buffers, index), self.loss[index], self.step[index])  # type: ignore

    def replaced(self, index: np.ndarray, other: Fit) -> Fit:
        """With the replicas at an index replaced by others."""
        at = torch.from_numpy(index)

        def put(tensor: Tensor, new: Tensor) -> Tensor:
            return tensor.index_copy(0, at.to(tensor.device), new)

        lower, buffers = (
            {name: put(t, theirs[name]) for name, t in own.items()}
            for own, theirs in ((self.lower, other.lower), (self.buffers, other.buffers))
        )
        return Fit(lower, buffers, put(self.loss, other.loss), put(self.step, other.step))


def gained(before: Tensor, after: Tensor) -> Tensor:
    """Whether losses, of any sign, have fallen by so large a part that more steps are worth while."""
    return before - after > _GAIN * before.abs()


def fit(replicas: Replicas, start: Start, plan: Plan, tick: Callable[[int], None]) -> Fit:
    """Train replicas on one set and keep of each the state that is best on another, part by part.

    Args:
        replicas: of the model.
        start: of the replicas.
        plan: of the fits.
        tick: called with the number of steps done since the last call.

    Raises:
        FloatingPointError: the loss of every replica is NaN or infinite at the start.
    """

    def fitted(part: slice) -> Fit:
        until = None if plan.until is None else plan.until[part]
        return _fit(replicas, start[part], replace(plan, until=until), tick).to("cpu")

    parts = [one.to(replicas.device) for one in ranks.mapped(fitted, replicas.parts(len(start.owner)))]
    if len(parts) == 1:
        return parts[0]
    return Fit(
        joined([p.lower for p in parts]),
        joined([p.buffers for p in parts]),
        torch.cat([p.loss for p in parts]),
        torch.cat([p.step for p in parts]),
    )


def _fit(replicas: Replicas, start: Start, plan: Plan, tick: Callable[[int], None]) -> Fit:
    training, steps, until, owner, upper = plan.training, plan.steps, plan.until, start.owner, start.upper
    lower = {name: t.detach().clone().requires_grad_() for name, t in start.lower.items()}
    buffers = {name: t.clone() for name, t in start.buffers.items()}
    batches = Batches(replicas.problems, plan.sets[0], owner, training.batch_size, plan.seed)
    held = None
    if plan.sets[1] is not None:
        held = HeldOut(replicas.problems, plan.sets[1], owner, training.batch_size)
    optimizer = torch.optim.AdamW(lower.values(), training.lr, weight_decay=training.weight_decay, fused=True)
    average = Average(lower, training.average)
    best = Best(average.state, buffers, len(owner))
    every = max(1, steps // _LOOKS)
    idle = 0
    last = steps if until is None else int(until.max())
    with seeded(replicas.device, plan.seed):
        for step in range(last + 1):
            if until is not None:
                best.keep(until == step, average.state, buffers, step)
            elif held is not None and (step % every == 0 or step == steps):
                loss = look(replicas, average.state, upper, buffers, held)
                if step == 0 and not torch.isfinite(loss).any():
                    raise FloatingPointError("the loss of the model is NaN or infinite before the first step")
                better = best.offer(loss, average.state, buffers, step) if step or not plan.moved else True
                idle = 0 if better else idle + 1
                if training.patience is not None and idle > training.patience:
                    tick(last - step)
                    break
            if step == last:
                break
            replicas.twin.train()
            optimizer.param_groups[0]["lr"] = training.rate(step, steps)
            losses = replicas.losses(lower, upper, buffers, *batches.next())
            optimizer.zero_grad()
            losses.sum().backward()
            if training.clip is not None:
                clip_replicas(lower.values(), training.clip)
            optimizer.step()
            average.update()
            tick(1)
    return Fit(best.lower, best.buffers, best.loss, best.step)


def look(replicas: Replicas, lower: State, upper: State, buffers: State, held: HeldOut) -> Tensor:
    """Mean loss (R,) on held-out samples, in evaluation mode; infinite where it is not finite."""
    replicas.twin.eval()
    with torch.no_grad():
        loss = replicas.held_losses(lower, upper, buffers, held)
    return torch.where(loss.isfinite(), loss, math.inf)


class Average:
    """Running average of parameters, in which the first steps soon count little.

    Attributes:
        state: the average.
    """

    def __init__(self, parameters: State, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._now = [p.detach() for p in parameters.values()]
        self._kept = [p.clone() for p in self._now] if decay else self._now
        self.state = dict(zip(parameters, self._kept, strict=True))

    def update(self) -> None:
        """Take in the parameters as they are now."""
        if self.decay:
            self.steps += 1
            # Until there are enough steps, an average over the last tenth of them.
            decay = min(self.decay, self.steps / (self.steps + 9))
            torch._foreach_lerp_(self._kept, self._now, 1 - decay)


class Best:
    """The best state of each replica so far."""

    def __init__(self, lower: State, buffers: State, replicas: int) -> None:
        self.lower = {name: t.detach().clone() for name, t in lower.items()}
        self.buffers = {name: t.clone() for name, t in buffers.items()}
        device = next(iter(lower.values())).device
        # One dtype for fits with and without held-out samples, whatever the loss returns.
        self.loss = torch.full((replicas,), math.inf, dtype=torch.float64, device=device)
        self.step = torch.zeros(replicas, dtype=torch.long, device=device)

    def offer(self, loss: Tensor, lower: State, buffers: State, step: int) -> bool:
        """Keep the replicas with a lower loss; whether there was one."""
        better = loss < self.loss
        self.loss = torch.where(better, loss, self.loss)
        self.keep(better, lower, buffers, step)
        return bool(better.any())

    def keep(self, which: Tensor, lower: State, buffers: State, step: int) -> None:
        """Keep some replicas as they are."""
        if not which.any():
            return
        self.step[which] = step
        for kept, now in ((self.lower, lower), (self.buffers, buffers)):
            for name, tensor in now.items():
                kept[name][which] = tensor.detach()[which]


def clip_replicas(tensors: object, largest: float) -> None:
    """Scale the gradient of each replica, over all tensors, to at most a norm."""
    gradients = [t.grad for t in tensors if t.grad is not None]  # type: ignore[attr-defined]
    norm = torch.stack([g.reshape(len(g), -1).norm(dim=1) for g in gradients]).norm(dim=0)
    scale = (largest / norm.clamp_min(1e-30)).clamp_max(1.0)
    for g in gradients:
        g.mul_(scale.view(-1, *(1,) * (g.dim() - 1)))
