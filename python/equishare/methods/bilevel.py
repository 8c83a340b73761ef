"""The paper's method: relax the assignment, descend on the validation loss, harden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from equishare.relax.descent import Descent
from equishare.search.path import greedy_merges, greedy_splits
from equishare.search.polish import polish
from equishare.methods.proposal import Progress, Proposal
from equishare.relax.objective import (
    LOWER_LEVELS,
    UNITS,
    Penalties,
    Value,
    make_batch,
)
from equishare.methods.select import validation_loss
from equishare.problems.noise import Estimate
from equishare.partition import Partition
from equishare.problems.linear import Problem

OPTIMISERS = ("adam", "rmsprop")
SCHEDULES = ("anneal", "constant")

# Columns of A unless asked for more: the descent decides far fewer groups than this.
_MOST_COLUMNS = 128
# Logits optimised at a time (64 MiB of float32, three times that with the optimiser's state).
_LOGITS_AT_A_TIME = 1 << 24
# The annealed column norm begins at this multiple of its weight.
_ANNEAL = 4.0
_RECORDS = 100
# How many merges and splits of each restart are polished.
_POLISHED = 6

# What the authors' 2022 code does for Gaussian data.
RELEASE: dict[str, Any] = {
    "restarts": 3,
    "steps": 1000,
    "optimizer": "rmsprop",
    "lr": 2e-2,
    "weight_decay": 1e-4,
    "unit": "mse",
    "entropy": 1e-2,
    "column_norm": 1e-2,
    "schedule": "constant",
    "refine": False,
}
RELEASE_WITHOUT_PENALTIES: dict[str, Any] = {**RELEASE, "entropy": 0.0, "column_norm": 0.0}


@dataclass(frozen=True)
class _Settings:
    restarts: int
    steps: int
    optimizer: str
    lr: float
    weight_decay: float
    lower: str
    unit: str
    entropy: float | None
    column_norm: float | None
    nuclear_norm: float
    schedule: str
    num_groups: int | None
    refine: bool

    def __post_init__(self) -> None:
        for name, accepted in (
            ("optimizer", OPTIMISERS),
            ("lower", LOWER_LEVELS),
            ("unit", UNITS),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {getattr(self, name)!r}")
        for name in ("restarts", "steps", "num_groups"):
            value = getattr(self, name)
            if name == "num_groups" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        for name in ("lr", "weight_decay", "entropy", "column_norm", "nuclear_norm"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")

    def penalties(self, step: int, num_entries: int) -> tuple[float, float, float]:
        """Weights of entropy, column norm and nuclear norm at a step."""
        entropy = 5.0 * num_entries if self.entropy is None else self.entropy
        column_norm = max(5.0, 1.5 * math.sqrt(num_entries)) if self.column_norm is None else self.column_norm
        if self.schedule == "constant":
            return entropy, column_norm, self.nuclear_norm
        done = step / self.steps
        falling = _ANNEAL + (1 - _ANNEAL) * done
        return entropy * done, column_norm * falling, self.nuclear_norm * falling

    def final_norm(self, num_entries: int) -> float:
        """Weight of the norm of a hard assignment, Σ_g √m_g: column and nuclear norm are then equal."""
        column_norm = max(5.0, 1.5 * math.sqrt(num_entries)) if self.column_norm is None else self.column_norm
        return column_norm + self.nuclear_norm


def bilevel(
    problems: Sequence[Problem],
    seed: int,
    progress: Progress,
    *,
    restarts: int = 3,
    steps: int = 500,
    optimizer: str = "adam",
    lr: float = 0.1,
    weight_decay: float = 0.0,
    lower: str = "normalised",
    unit: str = "nats",
    entropy: float | None = None,
    column_norm: float | None = None,
    nuclear_norm: float = 0.0,
    schedule: str = "anneal",
    num_groups: int | None = None,
    refine: bool = True,
) -> list[Proposal]:
    """Gradient descent on assignment logits Λ through the lower level, then row argmax.

        min over Λ   U(A ψ*(A)) + e·entropy(A) + c·Σ_g ‖A[:, g]‖₂ + n·‖A‖_*,   A = softmax(Λ)

    with U the validation loss and ``ψ*(A)`` the lower level on the training samples; its derivative is taken through
    the closed form. All problems and restarts are one batch. The restart whose hard partition has the least
    ``U + (c + n) Σ_g √m_g`` is kept.

    Args:
        restarts: starting points Λ ~ N(0, 0.1²).
        steps: of the descent.
        optimizer: of the logits, ``adam`` or ``rmsprop``.
        lr: its learning rate.
        weight_decay: of the logits.
        lower: ``normalised`` ψ = (A / colsum A)ᵀ θ̂, ``least_squares`` ψ = A⁺ θ̂, or ``exact``, which fits linear
            maps from their statistics and needs no unshared estimates θ̂.
        unit: ``nats``, U = ½ Σ r²/σ̂² (penalties then do not depend on the scale of the data, nor U on the number
            of samples it is averaged over), or ``mse``, U = mean squared error (the release).
        entropy: weight e of the mean row entropy; None: 5 K, good for ``nats``.
        column_norm: weight c; None: max(5, 1.5 √K), good for ``nats``.
        nuclear_norm: weight n (the paper's penalty).
        schedule: ``anneal``: e rises from 0, c and n fall from 4 times their weights; or ``constant``.
        num_groups: columns G of A, the most groups that can be found; None: K, at most 128.
        refine: also propose the merges and splits of the groups found, and each with every entry moved to the group
            that fits it best. Descent leaves equal columns apart, since moving one entry between two groups of the
            same value and size gains nothing, and with many groups some rows undecided.
    """
    settings = _Settings(
        restarts, steps, optimizer, lr, weight_decay, lower, unit, entropy, column_norm, nuclear_norm,
        schedule, num_groups, refine,
    )  # fmt: skip
    num_entries = problems[0].num_entries
    if num_groups is not None and num_groups > num_entries:
        raise ValueError(f"num_groups must be at most the number of entries {num_entries}, got {num_groups}")
    columns = num_groups or min(num_entries, _MOST_COLUMNS)
    generator = torch.Generator().manual_seed(seed)
    at_once = max(1, _LOGITS_AT_A_TIME // (restarts * num_entries * columns))
    proposals: list[Proposal] = []
    total = steps * len(problems)
    for start in range(0, len(problems), at_once):
        part = problems[start : start + at_once]

        def report(step: int, done: int = start, count: int = len(part)) -> None:
            progress(done * steps + step * count, total)

        proposals += _solve(part, settings, columns, generator, report)
    return proposals


def _solve(
    problems: Sequence[Problem],
    settings: _Settings,
    columns: int,
    generator: torch.Generator,
    report: Any,
) -> list[Proposal]:
    num_entries = problems[0].num_entries
    batch = make_batch(problems, settings.unit, settings.lower != "exact")
    shape = (len(problems), settings.restarts, num_entries, columns)
    logits = 0.1 * torch.randn(shape, generator=generator)
    descent = Descent(
        logits, batch, settings.lower, settings.optimizer, settings.lr, settings.weight_decay, settings.nuclear_norm > 0
    )
    every = max(1, settings.steps // _RECORDS)
    records: list[tuple[int, Value]] = []
    for step in range(settings.steps):
        value = descent.step(Penalties(*settings.penalties(step, num_entries)))
        if step % every == 0 or step == settings.steps - 1:
            records.append((step, value))
            report(step + 1)
    labels = logits.argmax(-1).numpy()
    upper = torch.stack([value.upper_loss for _, value in records]) * batch.loss_scale[:, None]
    entropy = torch.stack([value.entropy for _, value in records])
    norm = torch.stack([value.column_norm for _, value in records])
    proposals = []
    for i, problem in enumerate(problems):
        proposal, best = _harden(problem, labels[i], settings, float(1 / batch.loss_scale[i]))
        history = {
            "step": np.array([step for step, _ in records]),
            "validation_loss": upper[:, i, best].double().numpy(),
            "entropy": entropy[:, i, best].double().numpy(),
            "column_norm": norm[:, i, best].double().numpy(),
        }
        proposals.append(replace(proposal, history=history))
    return proposals


def _harden(problem: Problem, labels: np.ndarray, settings: _Settings, upper_per_mse: float) -> tuple[Proposal, int]:
    """Hard partitions of all restarts and their refinements, scored by the upper objective; the best one's restart."""
    weight = settings.final_norm(problem.num_entries)

    def judge(labels: np.ndarray) -> tuple[float, float]:
        loss = validation_loss(problem, labels)
        return loss * upper_per_mse + weight * float(np.sqrt(np.bincount(labels.ravel())).sum()), loss

    # Of equal partitions the first restart's counts.
    found: dict[Partition, tuple[np.ndarray, int, float, float]] = {}

    def add(candidates: list[np.ndarray], restart: int) -> None:
        for labels in candidates:
            if Partition(labels) not in found:
                found[Partition(labels)] = (labels, restart, *judge(labels))

    hardened: set[Partition] = set()
    for restart, row in enumerate(labels):
        hard = Partition(row.reshape(problem.weight_shape)).labels
        if Partition(hard) in hardened:
            continue
        hardened.add(Partition(hard))
        add([hard], restart)
        if settings.refine:
            estimate = problem.train_estimate(determined=False)
            near = _neighbours(estimate, hard)
            add(near, restart)
            near.sort(key=lambda one: found[Partition(one)][2])
            add([polish(estimate, one) for one in near[:_POLISHED]], restart)
    candidates, restarts, scores, losses = zip(*found.values(), strict=True)
    proposal = Proposal(list(candidates), np.array(scores), np.array(losses))
    return proposal, restarts[int(np.argmin(scores))]


def _neighbours(estimate: Estimate, labels: np.ndarray) -> list[np.ndarray]:
    """Merges and splits of the groups of ``labels``."""
    start = polish(estimate, labels)
    splits = greedy_splits(estimate, start, 2 * int(start.max()) + 2)
    return [*greedy_merges(estimate, start), *splits, *greedy_merges(estimate, splits[-1])]
