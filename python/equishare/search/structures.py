"""Candidates for networks that a structure ties: shifts of rows and columns, and symmetries of a free fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equishare.problems.base import Slot
from equishare.problems.estimates import BlockEstimate
from equishare.problems.network.fisher import calibrated_estimates
from equishare.problems.network.fit import Fit
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.replicas import stacked, taken
from equishare.problems.network.samples import num_samples
from equishare.problems.network.session import NetworkSession
from equishare.search import price, shifts
from equishare.search.evidence import Evidence
from equishare.search.orbits import find_symmetries
from equishare.search.shifts import shift_patterns

# Of the merges of orbits of a symmetry so many are tried, those of the best evidence.
_MERGES = 4
#: Larger parameters are not searched, of which networks may have many: that takes seconds to minutes each.
MOST_SEARCHED = 1 << 16
# The patterns of shifts, that are not searched but fitted, take a network for each.
_MOST_SHIFTED = 1 << 17


def try_structures(session: NetworkSession, owner: Sequence[int], free: Fit, stage: str) -> None:
    """Try patterns of matrices whose single entries a structure ties, beside what the best candidates have otherwise.

    1. All patterns of shifts (:func:`equishare.search.shifts.shift_patterns`), fitted from the model's own start: where
       many weights serve equally well, such as those of filters that are summed up, a fit without sharing tells nothing
       of them.
    2. Orbits of the symmetries that a fit without sharing shows (:func:`equishare.search.orbits.find_symmetries`), and
       their merges of the best evidence, fitted from there.

    One assignment after another: each takes for the others what is best so far.

    Args:
        session: with a candidate for every problem.
        owner: problem of each fit.
        free: fits without sharing; of each problem the first counts.
        stage: name of the stages.
    """
    replicas = session.replicas
    rows = [owner.index(problem) for problem in range(len(session.problems))]
    start, buffers = stacked(replicas.start, len(rows)), stacked(replicas.buffers, len(rows))
    for s, slot in enumerate(replicas.slots):
        if not _is_matrix(slot) or slot.num_entries > _MOST_SHIFTED:
            continue
        shifted = [one.labels for one in shift_patterns(slot.shape_of(slot.key)) if one.num_groups <= slot.max_groups]
        owners = [problem for problem in range(len(rows)) for _ in shifted]
        tried = [_with(session, problem, s, labels) for problem in range(len(rows)) for labels in shifted]
        session.try_patterns(owners, tried, start, buffers, f"{stage} {s}, shifts", mean=False, of=owners)
        owners, tried = [], []
        for problem, row in enumerate(rows) if _is_searched(slot) else ():
            own = session.problems[problem]
            state = taken(free.lower, row), taken(free.buffers, row)
            estimate = calibrated_estimates(replicas, *state, own.val.first(), num_samples(own.train))[s]
            for labels in _orbits_of(estimate, slot):
                owners.append(problem)
                tried.append(_with(session, problem, s, labels))
        of = [rows[problem] for problem in owners]
        session.try_patterns(owners, tried, free.lower, free.buffers, f"{stage} {s}, orbits", of=of)


def left_out(slots: Sequence[Slot]) -> tuple[str, ...]:
    """What :func:`try_structures` does not try of large matrices, a sentence each."""
    found = []
    for slot in slots:
        shape = slot.shape_of(slot.key)
        if not _is_matrix(slot) or min(shape) < 2:
            continue
        found += [] if _is_searched(slot) else [price.unsearched(shape, MOST_SEARCHED)]
        found += [one for one in [shifts.unsearched(shape, _MOST_SHIFTED)] if one is not None]
    return tuple(found)


def _is_matrix(slot: Slot) -> bool:
    return not slot.is_sliced and len(slot.shape_of(slot.key)) == 2


def _is_searched(slot: Slot) -> bool:
    return slot.num_entries <= MOST_SEARCHED and price.may_have_symmetry(slot.shape_of(slot.key))


def by_name(estimate: BlockEstimate, slot: Slot) -> list[BlockEstimate]:
    """The estimate (K, C) of C parameters that are tied alike as one of each; none where the fit has diverged."""
    shape = (-1, *slot.shape_of(slot.key))
    values, variance = (
        one.reshape(slot.num_entries, -1).T.reshape(shape) for one in (estimate.values, estimate.variance)
    )
    if not (np.isfinite(values).all() and np.isfinite(variance).all() and variance.all()):
        return []
    return [BlockEstimate.diagonal(*one) for one in zip(values, variance, strict=True)]


def _with(session: NetworkSession, problem: int, s: int, labels: np.ndarray) -> Pattern:
    """The best pattern of a problem with other labels of one slot."""
    own = list(session.best(problem).pattern.labels)
    own[s] = labels
    return Pattern(own)


def _orbits_of(estimate: BlockEstimate, slot: Slot) -> list[np.ndarray]:
    """Orbits of symmetries, and the merges of them that have the best evidence."""
    found: list[np.ndarray] = []
    for matrix in by_name(estimate, slot):
        evidence = Evidence(matrix)
        for symmetry in find_symmetries(matrix):
            ranked = sorted(symmetry.merges, key=lambda labels: evidence.score(_numbered(labels)))
            found += [symmetry.orbits, *ranked[:_MERGES]]
    return [labels for labels in found if labels.max() < slot.max_groups]


def _numbered(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
