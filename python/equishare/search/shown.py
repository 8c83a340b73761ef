"""Whether the entries of a network show a pattern: the evidence for it, of a fit without sharing that starts at it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from equishare import ranks
from equishare.partition import Partition
from equishare.problems.base import Slot
from equishare.problems.estimates import BlockEstimate
from equishare.problems.network.fisher import MOST_DENSE, calibrated_estimates, dense_estimate
from equishare.problems.network.fit import Fit, Start
from equishare.problems.network.patterns import free_state
from equishare.problems.network.replicas import joined, taken
from equishare.problems.network.samples import num_samples
from equishare.problems.network.session import NetworkSession
from equishare.search.posterior import Posterior
from equishare.search.slices import log_odds_of_slices
from equishare.search.structures import MOST_SEARCHED, by_name

# How entries covary is told by so many samples an entry, or more.
_DENSE_SAMPLES = 2


def shown(session: NetworkSession, problems: Sequence[int]) -> set[int]:
    """Those of some problems whose best pattern the entries show.

    The network is fitted to all samples without sharing, from the best pattern to the end. The pattern is shown where
    the evidence of every parameter that it ties is rather for it than for entries that scatter about one value
    (:meth:`equishare.search.posterior.Posterior.log_odds`, :func:`equishare.search.slices.log_odds_of_slices`). No
    evidence is formed of more than 65,536 entries, nor of slices but where the samples tell how all that is shared
    covaries: within blocks with hidden units much of it can change without a change of the outputs.
    """
    bests = {p: session.best(p).pattern.labels for p in problems}
    slots = session.replicas.slots
    asked = [
        p for p, every in bests.items() if all(_is_judged(session, p, *one) for one in zip(slots, every, strict=True))
    ]
    if not asked:
        return set()
    fits = [session.best(p).fit for p in asked]
    labels = [session.labels(session.best(p).pattern) for p in asked]
    states = [free_state(session.replicas, fit.lower, own) for fit, own in zip(fits, labels, strict=True)]
    start = Start(asked, joined(states), {}, joined([fit.buffers for fit in fits]))
    steps = session.fit_length
    until = torch.full((len(asked),), steps)
    ended = session.trainer.fit("shown", start, steps, sets=("pooled", None), until=until)
    found = ranks.mapped(lambda r: _is_shown(session, ended, r, asked[r], bests[asked[r]]), range(len(asked)))
    return {p for p, is_shown in zip(asked, found, strict=True) if is_shown}


def _is_judged(session: NetworkSession, problem: int, slot: Slot, labels: np.ndarray) -> bool:
    """Whether evidence is formed of a parameter, or none is needed as nothing is tied."""
    is_possible = _is_dense(session, problem) if slot.is_sliced else slot.num_entries <= MOST_SEARCHED
    return is_possible or not _is_tied(labels)


def _is_dense(session: NetworkSession, problem: int) -> bool:
    """Whether the samples tell how all entries covary that are shared: those of one parameter, or of slices."""
    slot, *others = session.replicas.slots
    if others or not (slot.is_sliced or len(slot.names) == 1):
        return False
    size, samples = sum(math.prod(shape) for shape in slot.shapes), session.problems[problem].pooled.first()
    return size <= min(MOST_DENSE, len(samples[1]) // _DENSE_SAMPLES)


def _is_tied(labels: np.ndarray) -> bool:
    return int(labels.max()) + 1 < labels.size


def _is_shown(session: NetworkSession, free: Fit, r: int, problem: int, labels: Sequence[np.ndarray]) -> bool:
    every = zip(session.replicas.slots, labels, _estimates(session, free, r, problem), strict=True)
    return all(sum(_log_odds(slot, one, own) for one in some) > 0 for slot, own, some in every if _is_tied(own))


def _log_odds(slot: Slot, estimate: BlockEstimate, labels: np.ndarray) -> float:
    if slot.is_sliced:
        return log_odds_of_slices(estimate, labels)
    posterior, partition = Posterior(estimate, symmetric=True), Partition(labels.reshape(estimate.values.shape))
    posterior.judge([partition], 0.0)
    return posterior.log_odds(partition)


def _estimates(session: NetworkSession, free: Fit, r: int, problem: int) -> list[list[BlockEstimate]]:
    """Of the parameters of each slot, all slices together; with all that they covary, where the samples tell that."""
    slots, own = session.replicas.slots, session.problems[problem]
    samples = own.pooled.first()
    state = session.replicas, taken(free.lower, r), taken(free.buffers, r), samples, num_samples(own.pooled)
    if _is_dense(session, problem):
        dense = dense_estimate(*state)
        if dense is not None:
            return [[dense]]
    found = zip(slots, calibrated_estimates(*state), strict=True)
    return [[] if slot.is_sliced else by_name(one, slot) for slot, one in found]
