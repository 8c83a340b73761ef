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
from equishare.problems.network.memory import release
from equishare.problems.network.optimizer import ReplicaAdam
from equishare.problems.network.replicas import Replicas, State, joined, seeded, taken
from equishare.problems.network.training import Training

# Held-out samples are looked at about so often.
_LOOKS = 50
# A loss does not gain from more steps where it falls by less than this part of it, or of its standard error.
_GAIN = 0.01
_GAIN_IN_ERRORS = 0.5
#: A loss may be above another by this part of it: training alone makes losses differ by as much.
SLACK = 0.01
# However uncertain the difference is, it may be above by no more than this part.
_MOST_COST = 0.05


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

    def joined(self, other: Start) -> Start:
        """These replicas, then others."""
        pairs = zip(self._states, other._states, strict=True)
        return Start([*self.owner, *other.owner], *(joined(list(pair)) for pair in pairs))

    @property
    def _states(self) -> tuple[State, ...]:
        return self.lower, self.upper, self.buffers

    def __getitem__(self, part: slice | np.ndarray) -> Start:
        owner = [int(one) for one in np.asarray(self.owner)[part]]
        return Start(owner, *(taken(state, part) for state in self._states))


@dataclass(frozen=True)
class Plan:
    """How replicas are fitted.

    Attributes:
        training: batches, schedule and averages.
        steps: where the schedule ends.
        rates: (R,) learning rate of each replica.
        seed: of batches and dropout.
        sets: names of the set to fit, and of the set whose loss says which state of a replica is the best; None for
            the second: ``until`` says it.
        until: (R,) number of steps after which each replica is kept.
        moved: whether the best state must be one after the start.
    """

    training: Training
    steps: int
    rates: Tensor
    seed: int
    sets: tuple[str, str | None] = ("train", "val")
    until: Tensor | None = None
    moved: bool = False


@dataclass(frozen=True)
class Fit:
    """Trained replicas.

    Attributes:
        lower, buffers: the best state of each.
        loss: (R,) of that state on the held-out samples, with caution (:meth:`Replicas.held_losses`); infinite where
            there is none.
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

    @classmethod
    def joined(cls, fits: Sequence[Fit]) -> Fit:
        """The replicas of several fits, one fit after another."""
        if len(fits) == 1:
            return fits[0]
        lower, buffers = joined([one.lower for one in fits]), joined([one.buffers for one in fits])
        return cls(lower, buffers, torch.cat([one.loss for one in fits]), torch.cat([one.step for one in fits]))

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


def gained(before: Tensor, after: Tensor, error: np.ndarray) -> np.ndarray:
    """Whether losses (R,), of any sign, have fallen by so much that more steps are worth while.

    A gain far below the standard error of a classifier's loss is not known to be there on other samples; one that makes
    no mistake on few held-out samples would gain for ever.
    """
    least = np.maximum(_GAIN * before.abs().cpu().numpy(), _GAIN_IN_ERRORS * error)
    return (before - after).cpu().numpy() > least


def block_losses(
    replicas: Replicas, owner: Sequence[int], fitted: Fit, upper: State, cautious: bool = True, which: str = "val"
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (R, B) of fits on blocks of a set of samples, and the number of samples (B,) in each."""
    replicas.twin.eval()

    def of(part: slice) -> tuple[np.ndarray, np.ndarray]:
        held = HeldOut(replicas.problems, which, owner[part], replicas.batch_size)
        lower, buffers = taken(fitted.lower, part), taken(fitted.buffers, part)
        with torch.no_grad():
            return replicas.block_losses(lower, taken(upper, part), buffers, held, cautious)

    parts = ranks.mapped(of, replicas.parts(len(owner)))
    return np.concatenate([losses for losses, _ in parts]), parts[0][1]


def has_classes(replicas: Replicas) -> bool:
    """Whether the labels are classes: only of these does caution add to the losses."""
    return HeldOut(replicas.problems, "val", [0]).has_classes


def loss_errors(replicas: Replicas, owner: Sequence[int], fitted: Fit, upper: State) -> np.ndarray:
    """Standard errors (R,) of the validation losses of fits, for :func:`gained`; 0 where labels are no classes."""
    if not has_classes(replicas):
        return np.zeros(len(owner))
    return mean_and_error(*block_losses(replicas, owner, fitted, upper))[1]


def fitted_loss(replicas: Replicas, owner: Sequence[int], fitted: Fit, upper: State, which: str = "val") -> np.ndarray:
    """Mean losses (R,) of fits on a set of samples, without caution."""
    return mean_and_error(*block_losses(replicas, owner, fitted, upper, cautious=False, which=which))[0]


def tolerance(loss: np.ndarray, error: np.ndarray, standard_errors: float, rounding: float = 0.0) -> np.ndarray:
    """By how much a loss may be above another that it cannot be told from: so many standard errors of the difference.

    However uncertain the difference is, it is at most a small part of the loss; at least a lesser part, or rounding.
    """
    least = np.maximum(SLACK * np.abs(loss), rounding) if standard_errors else 0.0
    return np.maximum(np.minimum(standard_errors * error, _MOST_COST * np.abs(loss)), least)


def mean_and_error(losses: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (...) of the losses of blocks (..., B) of so many samples (B,), and its standard error."""
    mean = np.average(losses, axis=-1, weights=sizes)
    with np.errstate(invalid="ignore"):  # of a fit that has diverged the error is NaN
        spread = np.sqrt(np.average((losses - mean[..., None]) ** 2, axis=-1, weights=sizes))
    return mean, spread / math.sqrt(max(1, len(sizes) - 1))


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
        own = replace(plan, rates=plan.rates[part], until=until)
        return _fit(replicas, start[part], own, tick).to("cpu")

    parts = ranks.mapped(fitted, replicas.parts(len(start.owner)))
    release(replicas.start.values())
    return Fit.joined([one.to(replicas.device) for one in parts])


def _fit(replicas: Replicas, start: Start, plan: Plan, tick: Callable[[int], None]) -> Fit:
    training, steps, until, owner, upper = plan.training, plan.steps, plan.until, start.owner, start.upper
    lower = {name: t.detach().clone().requires_grad_() for name, t in start.lower.items()}
    buffers = {name: t.clone() for name, t in start.buffers.items()}
    batches = Batches(replicas.problems, plan.sets[0], owner, training.batch_size, plan.seed)
    held = None
    if plan.sets[1] is not None:
        held = HeldOut(replicas.problems, plan.sets[1], owner, training.batch_size)
    optimizer = ReplicaAdam(lower.values(), plan.rates, training.weight_decay)
    average = Average(lower, training.average)
    best = Best(average.state, buffers, len(owner))
    every = max(1, steps // _LOOKS)
    idle = 0
    last = steps if until is None else int(until.max())
    with seeded(replicas.device, plan.seed):
        for step in range(last + 1):
            if step % every == 0:
                release(replicas.start.values())
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
            losses = replicas.losses(lower, upper, buffers, *batches.next())
            optimizer.adam.zero_grad()
            losses.sum().backward()
            if training.clip is not None:
                clip_replicas(lower.values(), training.clip)
            optimizer.step(training.decay(step, steps))
            average.update()
            tick(1)
    return Fit(best.lower, best.buffers, best.loss, best.step)


def look(replicas: Replicas, lower: State, upper: State, buffers: State, held: HeldOut) -> Tensor:
    """Cautious mean loss (R,) on held-out samples, in evaluation mode; infinite where it is not finite."""
    replicas.twin.eval()
    with torch.no_grad():
        loss = replicas.held_losses(lower, upper, buffers, held, cautious=True)
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
