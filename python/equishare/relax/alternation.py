"""The relaxed search for networks: inner steps on the parameters, outer steps on the assignment logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from equishare import ranks
from equishare.hypergradient import hypergradient
from equishare.problems.network.batches import Batches, HeldOut
from equishare.problems.network.fit import Start, clip_replicas
from equishare.problems.network.optimizer import ReplicaAdam
from equishare.problems.network.replicas import Replicas, State, seeded, taken
from equishare.problems.network.samples import Batch
from equishare.problems.network.trainer import Trainer
from equishare.problems.network.training import Training
from equishare.relax.assignment import SOFTMAX, Assignment, as_softmax_logits
from equishare.relax.direct import DirectGradient

_RECORDS = 100


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """How the relaxed search goes.

    Attributes:
        steps: outer steps, on the logits.
        inner_steps: steps on the other parameters before each.
        outer_lr: rate of Adam on the logits.
        entropy, column_norm: weights of the penalties, (mean row entropy) and (column norm / K).
        schedule: ``anneal``: the weight of the entropy rises from 0; or ``constant``.
        hypergradient: method of :func:`equishare.hypergradient`; ``direct`` is ∂U/∂Λ alone.
        hypergradient_options: its further options.
        outer_clip: largest norm of the hypergradient of one replica; None: no limit.
        assignment: what the logits mean.
    """

    steps: int
    inner_steps: int
    outer_lr: float
    entropy: float
    column_norm: float
    schedule: str
    hypergradient: str
    hypergradient_options: dict[str, Any]
    outer_clip: float | None
    assignment: Assignment = SOFTMAX

    def weights(self, step: int) -> tuple[float, float]:
        """Weights of entropy and column norm at an outer step."""
        risen = (step + 1) / self.steps if self.schedule == "anneal" else 1.0
        return self.entropy * risen, self.column_norm


class Alternation:
    """Inner and outer steps in turn, for replicas that fit into memory together.

    Args:
        replicas: of the model.
        start: where the replicas start; ``upper`` holds the logits.
        training: how inner steps are taken. The schedule runs over all of them; ``patience`` counts records without a
            better objective.
        relaxation: how outer steps are taken.
        rates: (R,) learning rate of each replica.
        seed: of batches and dropout.
    """

    def __init__(
        self,
        replicas: Replicas,
        start: Start,
        training: Training,
        relaxation: Relaxation,
        rates: Tensor,
        seed: int,
    ) -> None:
        self.replicas, self.training, self.relaxation, self.seed = replicas, training, relaxation, seed
        self.lower = {name: t.detach().clone().requires_grad_() for name, t in start.lower.items()}
        self.upper = {name: t.detach().clone() for name, t in start.upper.items()}
        self.buffers = {name: t.clone() for name, t in start.buffers.items()}
        self.owner = start.owner
        self._open_batches(0, 0)
        self.held = HeldOut(replicas.problems, "val", self.owner, training.batch_size)
        self.inner = ReplicaAdam(self.lower.values(), rates, training.weight_decay)
        self.outer = torch.optim.Adam(self.upper.values(), relaxation.outer_lr, fused=True)
        self.direct = DirectGradient(replicas.slots, relaxation.assignment)
        self.records: list[dict[str, Tensor]] = []
        self.best, self.idle, self.done = float("inf"), 0, 0

    def _open_batches(self, drawn: int, drawn_val: int) -> None:
        problems, size = self.replicas.problems, self.training.batch_size
        self.batches = Batches(problems, "train", self.owner, size, self.seed, drawn)
        self.val_batches = Batches(problems, "val", self.owner, size, self.seed + 1, drawn_val)

    def run(self, tick: Callable[[int], None], keep: Callable[[dict[str, Any]], None]) -> None:
        """All outer steps that are left; ``keep`` is called with the state from time to time."""
        every = max(1, self.relaxation.steps // _RECORDS)
        while not self._ended():
            # Each step has its own seed, so no state of a generator has to be kept.
            with seeded(self.replicas.device, (self.seed * 1_000_003 + self.done) % 2**63):
                self._step()
            self.done += 1
            if self.done % every == 0 or self.done == self.relaxation.steps:
                self._record()
                keep(self.state())
            tick(self.relaxation.inner_steps)
        tick((self.relaxation.steps - self.done) * self.relaxation.inner_steps)

    def _ended(self) -> bool:
        patience = self.training.patience
        return self.done == self.relaxation.steps or (patience is not None and self.idle > patience)

    def _step(self) -> None:
        total = self.relaxation.steps * self.relaxation.inner_steps
        self.replicas.twin.train()
        soft = self._soft(self.upper)
        for i in range(self.relaxation.inner_steps):
            losses = self.replicas.losses(self.lower, soft, self.buffers, *self.batches.next())
            self.inner.adam.zero_grad()
            losses.sum().backward()
            if self.training.clip is not None:
                clip_replicas(self.lower.values(), self.training.clip)
            self.inner.step(self.training.decay(self.done * self.relaxation.inner_steps + i, total))
        gradients = self._outer_gradient()
        for name, tensor in self.upper.items():
            tensor.grad = gradients[name]
        if self.relaxation.outer_clip is not None:
            clip_replicas(self.upper.values(), self.relaxation.outer_clip)
        self.outer.step()

    def _outer_gradient(self) -> State:
        # In evaluation mode: dropout would differ from product to product, and buffers would change.
        self.replicas.twin.eval()
        val = self.val_batches.next()
        entropy, column_norm = self.relaxation.weights(self.done)

        def upper_loss(lower: State, upper: State, buffers: State) -> Tensor:
            value = self.replicas.losses(lower, self._soft(upper), buffers, *val)
            for logits in upper.values():
                row_entropy, norm = self.relaxation.assignment.penalties(logits)
                value = value + entropy * row_entropy + column_norm * norm / logits.shape[-2]
            return value

        if self.relaxation.hypergradient == "direct":
            loss = partial(upper_loss, buffers=self.buffers)
            return self.direct(loss, self.lower, self.upper, (entropy, column_norm))
        train = self.batches.next()
        # A replica that has diverged stays as it is; the others go on.
        alive = torch.nonzero(self._alive(val) & self._alive(train))[:, 0]
        if not len(alive):
            raise FloatingPointError(f"the loss of every restart is NaN or infinite after step {self.done}")
        buffers = taken(self.buffers, alive)
        val, train = _of(val, alive), _of(train, alive)
        found = hypergradient(
            lambda lower, upper: self.replicas.losses(lower, self._soft(upper), buffers, *train),
            lambda lower, upper: upper_loss(lower, upper, buffers),
            {name: t.detach()[alive] for name, t in self.lower.items()},
            {name: t.detach()[alive] for name, t in self.upper.items()},
            method=self.relaxation.hypergradient,
            batch_dims=1,
            **self.relaxation.hypergradient_options,
        )
        zeros = {name: torch.zeros_like(t) for name, t in self.upper.items()}
        return {name: t.index_copy(0, alive, found.gradients[name]) for name, t in zeros.items()}

    def _soft(self, upper: State) -> State:
        """Logits whose softmax is the soft assignment."""
        return {name: as_softmax_logits(self.relaxation.assignment, logits) for name, logits in upper.items()}

    def _alive(self, batch: tuple[Batch, bool]) -> Tensor:
        with torch.no_grad():
            return self.replicas.losses(self.lower, self._soft(self.upper), self.buffers, *batch).isfinite()

    def _record(self) -> None:
        self.replicas.twin.eval()
        with torch.no_grad():
            loss = self.replicas.held_losses(self.lower, self._soft(self.upper), self.buffers, self.held)
            pairs = [self.relaxation.assignment.penalties(logits) for logits in self.upper.values()]
            entropy = torch.stack([e for e, _ in pairs]).mean(0)
            sizes = [slot.num_entries for slot in self.replicas.slots]
            norm = torch.stack([n / size for (_, n), size in zip(pairs, sizes, strict=True)]).sum(0)
        if not torch.isfinite(loss).any():
            raise FloatingPointError(f"the validation loss of every restart is NaN or infinite at step {self.done}")
        self.records.append({"step": torch.tensor(self.done), "loss": loss, "entropy": entropy, "column_norm": norm})
        finite = torch.where(loss.isfinite(), loss, float("inf"))
        weights = self.relaxation.entropy, self.relaxation.column_norm
        penalties = weights[0] * entropy.nan_to_num() + weights[1] * norm.nan_to_num()
        objective = float((finite + penalties).min())
        self.idle = 0 if objective < self.best else self.idle + 1
        self.best = min(self.best, objective)

    def state(self) -> dict[str, Any]:
        """Everything that further steps depend on."""
        return {
            "lower": {name: t.detach() for name, t in self.lower.items()},
            "upper": self.upper_state(),
            "buffers": self.buffers,
            "inner": self.inner.adam.state_dict(),
            "outer": self.outer.state_dict(),
            "drawn": [self.batches.stream.drawn, self.val_batches.stream.drawn],
            "records": self.records,
            "progress": [self.best, self.idle, self.done],
        }

    def upper_state(self) -> State:
        """The logits."""
        return {name: t.detach() for name, t in self.upper.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        with torch.no_grad():
            for own, kept in (
                (self.lower, state["lower"]),
                (self.upper, state["upper"]),
                (self.buffers, state["buffers"]),
            ):
                for name, tensor in kept.items():
                    own[name].copy_(tensor)
        self.inner.adam.load_state_dict(state["inner"])
        self.outer.load_state_dict(state["outer"])
        self._open_batches(*state["drawn"])
        self.records = list(state["records"])
        self.best, self.idle, self.done = state["progress"]


def _of(batch: tuple[Batch, bool], replicas: Tensor) -> tuple[Batch, bool]:
    """The batch for some of the replicas."""
    (x, y), own_data = batch
    return ((tuple(t[replicas] for t in x), y[replicas]), True) if own_data else batch


def alternate(trainer: Trainer, start: Start, relaxation: Relaxation) -> tuple[list[Alternation], bool]:
    """Run the search for all replicas, part by part; also whether it ran to its end.

    After Ctrl-C it returns the replicas as they are.
    """
    replicas, checkpoint, tick = trainer.replicas, trainer.checkpoint, trainer.tick
    parts = [
        Alternation(replicas, one, trainer.training, relaxation, trainer.rates_of(one), trainer.seed)
        for one in (start[part] for part in replicas.parts(len(start.owner)))
    ]

    def run(i: int) -> dict[str, Any] | None:
        kept = checkpoint.get(f"relaxed {i}")
        if kept is not None:
            tick(kept["progress"][2] * relaxation.inner_steps)
            parts[i].restore(kept)
        parts[i].run(tick, lambda state: checkpoint.keep(f"relaxed {i}", state))
        return parts[i].state() if ranks.is_shared_out() else None

    try:
        states = ranks.mapped(run, range(len(parts)))
    except KeyboardInterrupt:
        return parts, False
    for i, state in enumerate(states):
        if state is not None:
            parts[i].restore(state)
            checkpoint.keep(f"relaxed {i}", state)
    return parts, True
