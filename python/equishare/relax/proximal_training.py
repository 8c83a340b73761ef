"""Networks trained with a penalty on their shared entries, one replica for each strength."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equishare import ranks
from equishare.problems.network.batches import Batches
from equishare.problems.network.fit import Start
from equishare.problems.network.optimizer import ReplicaAdam
from equishare.problems.network.patterns import all_tied, hard_state
from equishare.problems.network.replicas import State, joined, seeded, stacked, taken
from equishare.problems.network.session import NetworkSession
from equishare.relax.proximal import Penalty, strengths_of

# Of the moments of gradients, and what is added to their root: those of Adam.
_MEMORY = (0.9, 0.999)
_SMALLEST = 1e-8


def penalised_fits(
    session: NetworkSession, penalty: Penalty, count: int, smallest: float
) -> tuple[list[int], State, State]:
    """Fits of networks with a penalty: proximal gradient steps on the shared entries, AdamW on the other parameters.

    The strongest penalty is the least that keeps the fit with all entries tied, as its gradient tells.

    Args:
        session: of the problems.
        penalty: with its proximal map.
        count: strengths.
        smallest: the last of them, as a part of the first.

    Returns:
        The problem of each replica, its state with every entry in a group of its own, and its buffers.
    """
    replicas, problems = session.replicas, list(range(len(session.problems)))
    start, buffers = stacked(replicas.start, len(problems)), stacked(replicas.buffers, len(problems))
    tied = [all_tied(replicas)] * len(problems)
    session.try_patterns(problems, tied, start, buffers, "tied", mean=False)
    fits = [session.found[p][tied[p]].fit for p in problems]
    lower = joined([fit.lower for fit in fits])
    _, upper = hard_state(replicas, tied, start, mean=True)
    theta = replicas.entries(lower, upper)
    names = {name: slot for slot in replicas.slots for name in slot.names}
    state = {n: t.detach().reshape(len(problems), -1) if n in names else t.detach() for n, t in theta.items()}
    owner = [p for p in problems for _ in range(count)]
    pulls = _strongest(session, penalty, problems, state, joined([fit.buffers for fit in fits]))
    strengths = {
        name: np.concatenate([strengths_of(pulls[name][p], count, smallest) for p in problems]) for name in names
    }
    begin = Start(
        owner,
        taken(state, owner),
        {},
        taken(joined([fit.buffers for fit in fits]), owner),
    )

    def fitted(part: slice) -> tuple[State, State]:
        own = {name: values[part] for name, values in strengths.items()}
        return _fit(session, penalty, begin[part], own)

    parts = ranks.mapped(fitted, replicas.parts(len(owner)))
    entries, trained = (joined([part[i] for part in parts]) for i in range(2))
    to = replicas.device
    return owner, {n: t.to(to) for n, t in entries.items()}, {n: t.to(to) for n, t in trained.items()}


def _strongest(
    session: NetworkSession, penalty: Penalty, problems: list[int], state: State, buffers: State
) -> dict[str, list[float]]:
    replicas = session.replicas
    names = [name for slot in replicas.slots for name in slot.names]
    lower = {name: t.clone().requires_grad_(name in names) for name, t in state.items()}
    batches = Batches(session.problems, "train", problems, None, session.seed)
    replicas.twin.eval()
    losses = replicas.losses(lower, {}, buffers, *batches.next())
    found = torch.autograd.grad(losses.sum(), [lower[name] for name in names])
    return {
        name: [penalty.strongest(-row.double().cpu().numpy()) for row in gradient]
        for name, gradient in zip(names, found, strict=True)
    }


def _fit(
    session: NetworkSession, penalty: Penalty, start: Start, strengths: dict[str, np.ndarray]
) -> tuple[State, State]:
    replicas, training = session.replicas, session.training
    lower = {name: t.clone().requires_grad_() for name, t in start.lower.items()}
    buffers = {name: t.clone() for name, t in start.buffers.items()}
    batches = Batches(session.problems, "train", start.owner, training.batch_size, session.seed)
    others = [t for name, t in lower.items() if name not in strengths]
    rates, steps = session.trainer.rates_of(start), session.fit_length
    optimizer = ReplicaAdam(others, rates, training.weight_decay) if others else None
    moments = {name: Moments(lower[name]) for name in strengths}
    replicas.twin.train()
    with seeded(replicas.device, session.seed):
        for step in range(steps):
            rate = (rates * training.decay(step, steps)).to(replicas.device)[:, None]
            losses = replicas.losses(lower, start.upper, buffers, *batches.next())
            gradients = torch.autograd.grad(losses.sum(), list(lower.values()))
            for (name, t), gradient in zip(lower.items(), gradients, strict=True):
                if name not in strengths:
                    t.grad = gradient
                    continue
                direction, scale = moments[name].after(gradient)
                ahead = (t.detach() - (rate * scale).to(t) * direction).double().cpu().numpy()
                pulls = (rate * scale)[:, 0].double().cpu().numpy() * strengths[name]
                tied = [penalty.prox(row, float(pull)) for row, pull in zip(ahead, pulls, strict=True)]
                t.detach().copy_(torch.from_numpy(np.stack(tied)))
            if optimizer is not None:
                optimizer.step(training.decay(step, steps))
            session.tick(1)
    return {name: t.detach().cpu() for name, t in lower.items()}, {name: t.cpu() for name, t in buffers.items()}


class Moments:
    """Running moments of gradients (R, K), as in Adam, but with one second moment for all entries of a replica.

    Steps of Adam have a length of their own for each entry, and would part the entries that a proximal map has tied.
    """

    def __init__(self, like: Tensor) -> None:
        self.first, self.second, self.steps = torch.zeros_like(like), like.new_zeros(len(like), 1), 0

    def after(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The mean gradient (R, K), and the inverse (R, 1) of its root mean square, after one more."""
        self.steps += 1
        self.first = _MEMORY[0] * self.first + (1 - _MEMORY[0]) * gradient
        square = gradient.square().mean(1, keepdim=True)
        self.second = _MEMORY[1] * self.second + (1 - _MEMORY[1]) * square
        mean, second = (
            m / (1 - decay**self.steps) for m, decay in zip((self.first, self.second), _MEMORY, strict=True)
        )
        return mean, 1 / (second.sqrt() + _SMALLEST)
