"""The paper's method: relax the assignment, lower the validation loss by gradient steps, harden, refine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from equishare import ranks
from equishare.checks import CLOSED_FORM, TRAINED, choice, count, flag, not_negative, option, positive
from equishare.hypergradient.settings import Settings
from equishare.partition import Partition
from equishare.problems.base import Proposal, Session
from equishare.problems.estimates import BlockEstimate
from equishare.problems.least_squares import LeastSquares
from equishare.problems.network.checkpoint import Checkpoint
from equishare.problems.network.replicas import taken
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.training import SCHEDULES, SEARCH_FITS, SEARCH_STEPS, SearchOptions
from equishare.relax.alternation import Relaxation
from equishare.relax.assignment import SOFTMAX, Assignment
from equishare.relax.descent import Descent, Rule
from equishare.relax.from_starts import relaxed_search
from equishare.relax.objective import LOWER_LEVELS, UNITS, Penalties, Value, make_batch
from equishare.search.by_training import improve
from equishare.search.path import greedy_merges, greedy_splits
from equishare.search.polish import polish

OPTIMISERS = ("adam", "rmsprop")
PENALTY_SCHEDULES = ("anneal", "constant")
HYPERGRADIENTS = ("direct", "identity", "neumann", "cg", "exact", "unrolled")

# The options of a hypergradient that a search passes on, and their defaults.
_HYPERGRADIENT_OPTIONS: dict[str, Any] = {"iterations": 100, "tolerance": 1e-8, "alpha": None, "damping": 0.0}
# Columns of A unless asked for more: the descent decides far fewer groups than this.
_MOST_COLUMNS = 128
# Logits drawn at a time (64 MiB of float32), and for at least so many problems.
_LOGITS_DRAWN = 1 << 24
_LEAST_DRAWN = 8
# Logits optimised at a time: with more of them a step costs as much for each.
_LOGITS_AT_A_TIME = 1 << 15
# The annealed column norm begins at this multiple of its weight.
_ANNEAL = 4.0
_RECORDS = 100
# How many merges and splits of each restart are polished.
_POLISHED = 6


@dataclass(frozen=True)
class Options(SearchOptions):
    """Gradient descent on assignment logits Λ, then the largest entry of each row.

        min over Λ   U(w*(Λ), Λ) + e·entropy(A) + c·Σ_g ‖A[:, g]‖₂ + n·‖A‖_*,   A = softmax(Λ)

    with U the validation loss and w* the lower level on the training samples. All problems and restarts are one batch.

    *Means and linear maps*: w* = A ψ*(A) has a closed form, and the gradient is taken through it. Of all hard
    partitions the one with the least ``U + (c + n) Σ_g √m_g`` is selected, for groups of m_g entries.

    *Networks*: inner steps on the training loss change w; each outer step takes w as the inner steps have left it. The
    column norm is divided by K. The hardened patterns are fitted, and compared on the validation samples.

    Attributes:
        restarts: starting points Λ ~ N(0, 0.1²); for a network the first start is its own.
        steps: of the descent; 500, for networks 100.
        lr: learning rate of the logits, 0.1. For networks that of their parameters, chosen without
            sharing; see ``outer_lr``.
        weight_decay: of the logits; for networks of their parameters.
        schedule: of the penalties: ``anneal``, e rises from 0, c and n fall from 4 times their weights; or
            ``constant``. For networks that of the learning rate, ``cosine`` or ``constant``; see ``penalty_schedule``.
        entropy: weight e of the mean row entropy. None: 5 K, good for ``nats``. For networks 0.05, in units of the
            loss.
        column_norm: weight c. None: max(5, 1.5 √K), good for ``nats``. For networks 0.05.
        refine: also propose patterns near the hardened ones. For means and linear maps these are the merges and splits
            of the groups found, and the best of those with every entry moved to the group that fits it best. They are
            needed because descent does not unite two groups of equal value and size (moving one entry from one to the
            other gains nothing), and leaves some rows undecided where there are many groups. For networks the
            hardened patterns are fitted without sharing, and merges of the entries from there are tried.
        optimizer: of the logits, ``adam`` or ``rmsprop``.
        lower: ``normalised`` ψ = (A / colsum A)ᵀ θ̂, ``least_squares`` ψ = A⁺ θ̂, or ``exact``, which fits linear
            maps from their statistics and needs no unshared estimates θ̂.
        unit: ``nats``: U = ½ Σ r²/σ̂², with which the weights of the penalties mean the same for any scale of the data;
            ``mse``: U = mean squared error (the release).
        nuclear_norm: weight n (the paper's penalty).
        num_groups: columns G of A, the most groups that can be found; None: K, at most 128. For networks
            :func:`equishare.share` says it.
        inner_steps: AdamW steps of a network before each step of its logits.
        outer_lr: learning rate of Adam on the logits of a network.
        penalty_schedule: of a network: ``anneal``, the weight of the entropy rises from 0; or ``constant``.
        hypergradient: ``direct``: ∂U/∂Λ alone; or a method of :func:`equishare.hypergradient`, which adds the indirect
            term.
        hypergradient_options: further arguments of that method, such as ``{"iterations": 10}``.
        outer_clip: largest norm of the hypergradient of one restart; None: no limit.
        fit_steps: steps of the fits that compare hardened patterns; None: as for ``auto``.
    """

    restarts: int = option(3, count)
    steps: int = option(500, count, trained=100)
    lr: float | None = option(0.1, not_negative, trained=(None, positive))
    weight_decay: float = option(0.0, not_negative)
    schedule: str = option("anneal", choice(*PENALTY_SCHEDULES), trained=("cosine", choice(*SCHEDULES)))
    entropy: float | None = option(None, not_negative, trained=0.05)
    column_norm: float | None = option(None, not_negative, trained=0.05)
    refine: bool = option(True, flag)
    optimizer: str = option("adam", choice(*OPTIMISERS), only=CLOSED_FORM)
    lower: str = option("normalised", choice(*LOWER_LEVELS), only=CLOSED_FORM)
    unit: str = option("nats", choice(*UNITS), only=CLOSED_FORM)
    nuclear_norm: float = option(0.0, not_negative, only=CLOSED_FORM)
    num_groups: int | None = option(None, count, only=CLOSED_FORM)
    inner_steps: int = option(5, count, only=TRAINED)
    outer_lr: float = option(0.1, positive, only=TRAINED)
    penalty_schedule: str = option("anneal", choice(*PENALTY_SCHEDULES), only=TRAINED)
    hypergradient: str = option("direct", choice(*HYPERGRADIENTS), only=TRAINED)
    hypergradient_options: dict[str, Any] | None = option(None, only=TRAINED)
    outer_clip: float | None = option(None, positive, only=TRAINED)
    fit_steps: int | None = option(None, count, only=TRAINED)

    def __post_init__(self) -> None:
        _check_hypergradient(self.hypergradient, self.hypergradient_options)

    @property
    def fit_length(self) -> int | None:
        """Steps of a fit without sharing."""
        return self.fit_steps

    @property
    def search_length(self) -> int:
        """Training steps of a search, about."""
        return self.steps * self.inner_steps + SEARCH_FITS * (self.fit_steps or SEARCH_STEPS)

    def penalties(self, step: int, num_entries: int) -> Penalties:
        """Weights of the penalties at a step, for a closed form."""
        entropy = 5.0 * num_entries if self.entropy is None else self.entropy
        column_norm = self._column_norm(num_entries)
        if self.schedule == "constant":
            return Penalties(entropy, column_norm, self.nuclear_norm)
        done = step / self.steps
        falling = _ANNEAL + (1 - _ANNEAL) * done
        return Penalties(entropy * done, column_norm * falling, self.nuclear_norm * falling)

    def final_norm(self, num_entries: int) -> float:
        """Weight of the norm of a hard assignment, Σ_g √m_g: column and nuclear norm are then equal."""
        return self._column_norm(num_entries) + self.nuclear_norm

    def _column_norm(self, num_entries: int) -> float:
        return max(5.0, 1.5 * math.sqrt(num_entries)) if self.column_norm is None else self.column_norm


def _check_hypergradient(method: str, options: Any) -> None:
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise TypeError(f"hypergradient_options must be a mapping, got {type(options).__name__}")
    accepted = () if method == "direct" else _HYPERGRADIENT_OPTIONS
    unknown = [name for name in options if name not in accepted]
    if unknown:
        names = ", ".join(accepted) or "nothing"
        raise ValueError(
            f"hypergradient_options takes {names} for the method {method!r}, got {', '.join(map(str, unknown))}"
        )
    try:
        given = {**_HYPERGRADIENT_OPTIONS, **options}
        Settings(method, **given, curvature="hessian", batch_dims=1, compare_exact=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"hypergradient_options: {error}") from None


def propose(session: Session, options: Options, assignment: Assignment = SOFTMAX) -> list[Proposal]:
    """Candidates for each problem.

    Args:
        session: of the problems.
        options: of the method.
        assignment: what the logits mean.
    """
    if isinstance(session, NetworkSession):
        return _of_networks(session, options, assignment)
    problems = session.problems
    other = next((p for p in problems if not isinstance(p, LeastSquares)), None)
    if other is not None:
        raise TypeError(
            f"method {session.method!r} takes means, linear maps and networks, got a {type(other).__name__}: use 'auto'"
        )
    num_entries = problems[0].num_entries
    if options.num_groups is not None and options.num_groups > num_entries:
        raise ValueError(f"num_groups must be at most the number of entries {num_entries}, got {options.num_groups}")
    columns = options.num_groups or min(num_entries, _MOST_COLUMNS)
    generator = torch.Generator().manual_seed(session.seed)
    shape = options.restarts, num_entries, columns
    at_once = max(1, _LOGITS_AT_A_TIME // math.prod(shape))
    drawn = max(_LEAST_DRAWN, _LOGITS_DRAWN // math.prod(shape))
    total = options.steps * len(problems)
    proposals: list[Proposal] = []
    for start in range(0, len(problems), drawn):
        several = problems[start : start + drawn]
        logits = 0.1 * torch.randn((len(several), *shape), generator=generator)

        def descended(part: slice, start: int = start, logits: torch.Tensor = logits) -> list[Proposal]:
            def tick(step: int) -> None:
                session.progress((start + part.start) * options.steps + step * (part.stop - part.start), total)

            return _descend(problems[start:][part], options, assignment, logits[part], tick)

        parts = ranks.mapped(descended, ranks.even_parts(len(several), at_once))
        proposals += [proposal for own in parts for proposal in own]
    return proposals


def _descend(
    problems: Sequence[LeastSquares],
    options: Options,
    assignment: Assignment,
    logits: torch.Tensor,
    tick: Callable[[int], None],
) -> list[Proposal]:
    num_entries = problems[0].num_entries
    batch = make_batch(problems, options.unit, options.lower != "exact")
    assert options.lr is not None
    rule = Rule(
        options.lower, options.optimizer, options.lr, options.weight_decay, options.nuclear_norm > 0, assignment
    )
    descent = Descent(logits, batch, rule)
    every = max(1, options.steps // _RECORDS)
    records: list[tuple[int, Value]] = []
    for step in range(options.steps):
        value = descent.step(options.penalties(step, num_entries))
        if step % every == 0 or step == options.steps - 1:
            records.append((step, value))
            tick(step + 1)
    labels = assignment.harden(logits).numpy()
    upper = torch.stack([value.upper_loss for _, value in records]) * batch.loss_scale[:, None]
    entropy = torch.stack([value.entropy for _, value in records])
    norm = torch.stack([value.column_norm for _, value in records])
    proposals = []
    for i, problem in enumerate(problems):
        proposal, best = _harden(problem, labels[i], options, float(1 / batch.loss_scale[i]))
        history = {
            "step": np.array([step for step, _ in records]),
            "validation_loss": upper[:, i, best].double().numpy(),
            "entropy": entropy[:, i, best].double().numpy(),
            "column_norm": norm[:, i, best].double().numpy(),
        }
        proposals.append(replace(proposal, history=history))
    return proposals


def _harden(problem: LeastSquares, labels: np.ndarray, options: Options, upper_per_mse: float) -> tuple[Proposal, int]:
    """Hard partitions of all restarts and their refinements, scored by the upper objective; the restart of the best."""
    weight = options.final_norm(problem.num_entries)

    def judge(labels: np.ndarray) -> float:
        norm = float(np.sqrt(np.bincount(labels.ravel())).sum())
        return problem.validation_loss(labels) * upper_per_mse + weight * norm

    # Of equal partitions the first restart's counts.
    found: dict[Partition, tuple[np.ndarray, int, float]] = {}

    def add(candidates: list[np.ndarray], restart: int) -> None:
        for labels in candidates:
            if Partition(labels) not in found:
                found[Partition(labels)] = (labels, restart, judge(labels))

    hardened: set[Partition] = set()
    for restart, row in enumerate(labels):
        hard = Partition(row.reshape(problem.shape)).labels
        if Partition(hard) in hardened:
            continue
        hardened.add(Partition(hard))
        add([hard], restart)
        if options.refine:
            estimate = problem.train_estimate(determined=False)
            near = _neighbours(estimate, hard)
            add(near, restart)
            near.sort(key=lambda one: found[Partition(one)][2])
            add([polish(estimate, one) for one in near[:_POLISHED]], restart)
    candidates, restarts, scores = zip(*found.values(), strict=True)
    proposal = Proposal(list(candidates), np.array(scores))
    return proposal, restarts[int(np.argmin(scores))]


def _neighbours(estimate: BlockEstimate, labels: np.ndarray) -> list[np.ndarray]:
    """Merges and splits of the groups of ``labels``."""
    start = polish(estimate, labels)
    splits = greedy_splits(estimate, start, 2 * int(start.max()) + 2)
    return [*greedy_merges(estimate, start), *splits, *greedy_merges(estimate, splits[-1])]


def _of_networks(session: NetworkSession, options: Options, assignment: Assignment) -> list[Proposal]:
    relaxation = Relaxation(
        steps=options.steps,
        inner_steps=options.inner_steps,
        outer_lr=options.outer_lr,
        entropy=options.entropy or 0.0,
        column_norm=options.column_norm or 0.0,
        schedule=options.penalty_schedule,
        hypergradient=options.hypergradient,
        hypergradient_options=dict(options.hypergradient_options or {}),
        outer_clip=options.outer_clip,
        assignment=assignment,
    )
    relaxed = relaxed_search(session, options.restarts, relaxation)
    if not relaxed.complete:
        # The relaxed search is not complete: later stages must not be kept for a call that goes on from the checkpoint.
        session.trainer.checkpoint = Checkpoint(None, "")
        session.settles = False
        session.interrupted = True
    rows = relaxed.finite()
    owner = [r // options.restarts for r in rows]
    for problem in range(len(session.problems)):
        if problem not in owner:
            raise FloatingPointError(f"every restart of problem {problem} has diverged: lower lr, or clip")

    def harden() -> None:
        patterns = [relaxed.patterns[r] for r in rows]
        entries, buffers = taken(relaxed.entries, rows), taken(relaxed.buffers, rows)
        session.try_patterns(owner, patterns, entries, buffers, "hardened")
        if options.refine and relaxed.complete:
            improve(session, wide=True)

    session.until_interrupted(harden)
    proposals = []
    for problem in range(len(session.problems)):
        own = [r for r in rows if r // options.restarts == problem]
        found = session.found[problem]
        losses = [found[one].loss if (one := relaxed.patterns[r]) in found else np.inf for r in own]
        best = own[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]
        proposals.append(found.proposal(relaxed.history[best] or None))
    return proposals
