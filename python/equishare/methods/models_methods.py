"""The methods for models, from problems to discoveries."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from equishare.methods.models_auto import auto as run_auto
from equishare.methods.models_bilevel import relaxed_search
from equishare.search.held_out import STANDARD_ERRORS
from equishare.problems.network.checkpoint import Checkpoint, fingerprint
from equishare.problems.network.refit import FinalSteps
from equishare.problems.network.fit import Training
from equishare.methods.models_known import no_sharing, oracle
from equishare.methods.models_outcome import FINAL_FITS, SEARCH_FITS, Meter, conclude, until_interrupted
from equishare.relax.alternation import Relaxation
from equishare.result.models_result import ModelDiscovery
from equishare.search.trained import Search
from equishare.methods.options import (
    check_choice,
    check_count,
    check_not_negative,
    check_positive,
    hypergradient_settings,
)
from equishare.problems.network.replicas import Stack, taken
from equishare.search.ward import check_entries
from equishare.methods.proposal import Progress
from equishare.problems.network.problem import ModelProblem

RELAXED_SCHEDULES = ("anneal", "constant")
HYPERGRADIENTS = ("direct", "identity", "neumann", "cg", "exact", "unrolled")


def auto(
    problems: Sequence[ModelProblem],
    seed: int,
    progress: Progress,
    training: Training,
    *,
    restarts: int = 3,
    steps: int = 200,
    standard_errors: float = STANDARD_ERRORS,
    refit_steps: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> list[ModelDiscovery]:
    """Fit with everything tied, release every entry, cluster where they went; see ``discovery.models.auto``.

    Args:
        training: of all fits; its fields are options too.
        restarts: starts besides the fit with everything tied.
        steps: of AdamW in each fit.
        standard_errors: a coarser pattern is preferred unless its validation loss is above the least by more than so
            many standard errors of the paired difference. Fewer find more groups, some of them by chance.
        refit_steps: of each of the final fits; None: three times ``steps``, doubled while the loss is still falling.
        checkpoint: file that keeps the fits that are done; a call with the same arguments goes on from there.
    """
    check_count(restarts=restarts, steps=steps)
    check_not_negative(standard_errors=standard_errors)
    final = FinalSteps.of(refit_steps, 3 * steps, "refit_steps")
    options = {
        "training": training, "restarts": restarts, "steps": steps, "standard_errors": standard_errors, "final": final,
    }  # fmt: skip
    kept = Checkpoint(checkpoint, fingerprint(problems, "auto", seed, options))
    meter = Meter(progress, SEARCH_FITS * steps + FINAL_FITS * final.steps)
    stack = _stack(problems, training, kept)
    for site in stack.sites:
        check_entries(site.key, site.num_entries)
    search = Search(stack, training, steps, seed, kept, meter.tick, standard_errors)
    complete = until_interrupted(search, lambda: run_auto(search, restarts))
    return conclude(search, final, "auto", [None] * len(problems), complete, meter)


def bilevel(
    problems: Sequence[ModelProblem],
    seed: int,
    progress: Progress,
    training: Training,
    *,
    restarts: int = 3,
    steps: int = 100,
    inner_steps: int = 5,
    outer_lr: float = 0.1,
    entropy: float = 0.05,
    column_norm: float = 0.05,
    penalty_schedule: str = "anneal",
    hypergradient: str = "direct",
    hypergradient_options: dict[str, Any] | None = None,
    outer_clip: float | None = None,
    refine: bool = True,
    fit_steps: int = 200,
    standard_errors: float = STANDARD_ERRORS,
    refit_steps: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> list[ModelDiscovery]:
    """Alternate inner steps on the parameters and outer steps on the assignment logits, harden, refine, select.

        min over Λ   U(w, A; val) + entropy · H(A) + column_norm · Σ_g ‖A[:, g]‖₂ / K,   A = softmax(Λ)

    with w where the inner steps on the training loss have come to; they go on from where they were.

    Args:
        training: of the inner steps and of all fits; its fields are options too. Its patience counts looks of 100 in
            the search, of 50 in a fit.
        restarts: starts of each problem; all are one vmapped batch, with the problems of a list.
        steps: of Adam on the logits.
        outer_lr: its learning rate.
        inner_steps: AdamW steps before each.
        entropy: weight of that penalty, in units of the loss.
        column_norm: likewise.
        penalty_schedule: ``anneal``: the weight of the entropy rises from 0; or ``constant``.
        hypergradient: ``direct``, ∂U/∂Λ alone, or a method of :func:`equishare.hypergradient`, which adds how w
            would follow.
        hypergradient_options: further arguments of it, such as ``{"iterations": 10}``.
        outer_clip: largest norm of the hypergradient of one restart.
        refine: also release the entries of the hardened patterns, see where they go, and try what that proposes.
        fit_steps: steps of the fits that compare hardened patterns.
        standard_errors: as for ``auto``.
        refit_steps: of each of the final fits; None: three times ``fit_steps``, doubled while the loss is still
            falling.
        checkpoint: file that keeps the state; a call with the same arguments goes on from there.
    """
    check_count(restarts=restarts, steps=steps, inner_steps=inner_steps, fit_steps=fit_steps)
    final = FinalSteps.of(refit_steps, 3 * fit_steps, "refit_steps")
    check_positive(outer_lr=outer_lr)
    check_not_negative(entropy=entropy, column_norm=column_norm, standard_errors=standard_errors)
    if outer_clip is not None:
        check_positive(outer_clip=outer_clip)
    check_choice(penalty_schedule, RELAXED_SCHEDULES, "penalty_schedule")
    check_choice(hypergradient, HYPERGRADIENTS, "hypergradient")
    relaxation = Relaxation(
        steps, inner_steps, outer_lr, entropy, column_norm, penalty_schedule, hypergradient,
        hypergradient_settings(hypergradient, hypergradient_options), outer_clip, training.patience,
    )  # fmt: skip
    options = {
        "training": training, "relaxation": relaxation, "restarts": restarts, "refine": refine,
        "fit_steps": fit_steps, "standard_errors": standard_errors, "final": final,
    }  # fmt: skip
    kept = Checkpoint(checkpoint, fingerprint(problems, "bilevel", seed, options))
    total = steps * inner_steps + SEARCH_FITS * fit_steps + FINAL_FITS * final.steps
    meter = Meter(progress, total)
    stack = _stack(problems, training, kept)
    for site in stack.sites if refine else ():
        check_entries(site.key, site.num_entries)
    search = Search(stack, training, fit_steps, seed, kept, meter.tick, standard_errors)
    relaxed = relaxed_search(search, restarts, relaxation, meter.tick)
    if not relaxed.complete:
        # What follows from here on is not what a search that goes on from the checkpoint comes to.
        search.checkpoint = Checkpoint(None, "")
        search.settles = False
    rows = relaxed.finite()
    owner = [r // restarts for r in rows]
    for problem in range(len(problems)):
        if problem not in owner:
            raise FloatingPointError(f"every restart of problem {problem} has diverged: lower lr, or clip")

    def harden() -> None:
        patterns = [relaxed.patterns[r] for r in rows]
        search.try_patterns(owner, patterns, taken(relaxed.entries, rows), taken(relaxed.buffers, rows), "hardened")
        if refine and relaxed.complete:
            search.improve(wide=True)

    complete = until_interrupted(search, harden) and relaxed.complete
    histories = []
    for problem in range(len(problems)):
        own = [r for r in rows if r // restarts == problem]
        losses = [search.found[problem][relaxed.patterns[r]].loss for r in own]
        best = own[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]
        histories.append(relaxed.history[best] or None)
    return conclude(search, final, "bilevel", histories, complete, meter)


def _stack(problems: Sequence[ModelProblem], training: Training, kept: Checkpoint) -> Stack:
    # The state of a search fits the number of replicas at a time that it was begun with.
    stack = Stack(problems, training.batch_size)
    at_once = kept.get("at once")
    if at_once is None:
        kept.keep("at once", stack.at_once())
    else:
        stack.take_at_once(at_once)
    return stack


METHODS: dict[str, Callable[..., list[ModelDiscovery]]] = {
    "auto": auto,
    "bilevel": bilevel,
    "no_sharing": no_sharing,
    "oracle": oracle,
}
