"""The search where patterns must be trained: fits without sharing are estimates, and paths of merges propose."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations, count

import numpy as np
from torch import Tensor

from equishare import ranks
from equishare.problems.estimates import Weighted
from equishare.problems.network.candidate import Candidate
from equishare.problems.network.confirm import confirm
from equishare.problems.network.fisher import MOST_DENSE, dense_estimate, fisher_estimates, one_step_estimates
from equishare.problems.network.fit import Fit
from equishare.problems.network.patterns import Pattern, all_tied, free_state, hard_state
from equishare.problems.network.replicas import Replicas, State, joined, reordered, stacked, taken
from equishare.problems.network.samples import num_samples
from equishare.problems.network.session import NetworkSession
from equishare.search.by_evidence import candidates
from equishare.search.evidence import Evidence
from equishare.search.levels import levels, near
from equishare.search.shown import shown
from equishare.search.structures import try_structures
from equishare.search.ward import ward_path

# Up to so many groups, all pairs of them are tried as merges.
_PAIRED_GROUPS = 6
_ROUNDS = 5
# Paths of so many entries in all are formed before their patterns are tried.
_LABELS_AT_A_TIME = 1 << 20
# So many of the fits without sharing go on to paths of merges.
_BEST_FITS = 2
# They hardly gain on the fit with everything tied where their loss is not below its loss by this part.
_HARDLY = 0.1


def search_from_tied(session: NetworkSession, restarts: int) -> None:
    """Fit with everything tied, release every entry, and cluster where the entries went.

    1. The model is fitted well without sharing, from its own start, and with one group for each assignment.
    2. It is fitted without sharing from there, and from other starts. The best of these fits go on, beside that of 1.
       One start would not do: the fit with everything tied can be a saddle that is slow to leave, or that is never
       left because all ReLUs have died, and any other start can end in a poor minimum. In these starts the slices of an
       assignment are equal. So they keep the order of their hidden units and can be compared afterwards. Single
       entries have no such order.
    3. The entries are merged along a path in the metric of the loss (diagonal of the Fisher information). The cuts of
       that path are fitted, all as one batch, and compared on the validation samples. The coarsest that they cannot
       tell from the best is the best pattern so far.
       For matrices, patterns that a structure ties are among them (:func:`equishare.search.structures.try_structures`).
       Where fits without sharing hardly predict better than everything tied, samples are too few for them. Then the
       entries are also merged by how far one step from everything tied would take them.
    4. The entries of that pattern are released, and so on while this finds a better pattern.

    Args:
        session: of the problems.
        restarts: starts besides the fit with everything tied: the model's own, and its numbers in another order.
    """
    owner, best = _best_free(session, restarts)
    _try_paths(session, owner, best, [levels(session.replicas.slots)] * len(owner), "path 0")
    _try_one_step(session, owner, best.loss)
    try_structures(session, owner, best, "structures")
    del best  # of large layers the fits are most of the memory
    improve(session)


def _best_free(session: NetworkSession, restarts: int) -> tuple[list[int], Fit]:
    """Steps 1 and 2 of :func:`search_from_tied`: of each problem the best fits without sharing, and whose they are."""
    replicas = session.replicas
    problems = list(range(len(session.problems)))
    unshared = session.unshared.fit
    lower, buffers = stacked(replicas.start, len(problems)), stacked(replicas.buffers, len(problems))
    tied = [all_tied(replicas)] * len(problems)
    session.try_patterns(problems, tied, lower, buffers, "tied", mean=False)
    fits = [session.found[p][tied[p]].fit for p in problems]
    _, upper = hard_state(replicas, tied, lower, mean=True)
    released = free_state(replicas, joined([f.lower for f in fits]), upper)
    starts, owner = [(released, joined([f.buffers for f in fits]))], list(problems)
    generators = session.generators()
    # Of entries the model's own start is that of the network trained without sharing.
    sliced = any(slot.is_sliced for slot in replicas.slots)
    for i in range(0 if sliced else 1, restarts):
        own = [replicas.start if i == 0 else reordered(replicas.start, generator) for generator in generators]
        starts.append((joined([stacked(_with_equal_slices(replicas, one), 1) for one in own]), buffers))
        owner += problems
    free = session.fit_free(owner, joined([s[0] for s in starts]), joined([s[1] for s in starts]), "free 0")
    rows = [r for p in problems for r in _best_rows(free.loss, owner, p)]
    return [*problems, *(owner[r] for r in rows)], Fit.joined([unshared, free[rows]])


def improve(session: NetworkSession, wide: bool = False) -> None:
    """The rounds of :func:`_improved`; then the best pattern of each problem is confirmed, or refused."""
    _improved(session, wide)
    confirm(session, partial(shown, session))


def _improved(session: NetworkSession, wide: bool) -> None:
    """Fit the best patterns without sharing, propose patterns from where the entries go, and repeat while this helps.

    Args:
        session: with a candidate for every problem.
        wide: whether the first round tries numbers of groups over the whole range, not only around the best.
    """
    slots = session.replicas.slots
    active = list(range(len(session.found)))
    for turn in range(_ROUNDS):
        before = [session.best(problem) for problem in active]
        free = _released(session, before, active, f"free {turn + 1}")
        every = levels(slots) if wide and turn == 0 else []
        # Where the fit without sharing is no better, its entries propose nothing new.
        moved = [i for i, candidate in enumerate(before) if every or float(free.loss[i]) < candidate.loss]
        owner = [active[i] for i in moved]
        totals = [sorted({*every, *near(before[i].num_groups, slots)}) for i in moved]
        _try_paths(session, owner, free[moved], totals, f"path {turn + 1}")
        _try_merges(session, active, f"merges {turn + 1}")
        active = [p for p, c in zip(active, before, strict=True) if session.best(p).pattern != c.pattern]
        if not active:
            active = session.contest(range(len(session.found)), f"contest {turn + 1}")
        if not active:
            break
    # Only a pattern that was trained as well as final fits are is selected, also of problems that were done before.
    for turn in count(_ROUNDS + 1):
        if not session.contest(range(len(session.found)), f"contest {turn}"):
            return


def _try_paths(
    session: NetworkSession, owner: Sequence[int], free: Fit, totals: Sequence[Sequence[int]], stage: str
) -> None:
    """Merge the entries of fits without sharing, and try the patterns with these numbers of groups."""

    def proposed(r: int) -> list[Pattern]:
        own = session, free, r, owner[r], totals[r]
        return [*_path(*own), *_by_evidence(*own)]

    def tried(several: Sequence[int], stage: str) -> None:
        paths = ranks.mapped(proposed, several)
        rows = [r for r, path in zip(several, paths, strict=True) for _ in path]
        patterns = [pattern for path in paths for pattern in path]
        session.try_patterns([owner[r] for r in rows], patterns, free.lower, free.buffers, stage, of=rows)
        session.drop_beaten()

    # Of large layers the labels of one path after another are held.
    size = max(1, _LABELS_AT_A_TIME // sum(slot.num_entries for slot in session.replicas.slots))
    for i in range(0, len(owner), size):
        tried(range(i, min(i + size, len(owner))), f"{stage}, row {i}" if i else stage)


def _try_one_step(session: NetworkSession, owner: Sequence[int], loss: Tensor) -> None:
    """Where fits without sharing, of this loss, hardly gain on everything tied, merge by single steps from that."""
    replicas, tied = session.replicas, all_tied(session.replicas)
    best = [min(float(loss[r]) for r, o in enumerate(owner) if o == p) for p in range(len(session.problems))]
    kept = [session.found[p][tied] for p in range(len(best))]
    problems = [p for p, one in enumerate(kept) if best[p] > one.loss - _HARDLY * abs(one.loss)]
    if not problems:
        return
    fits = [kept[p].fit for p in problems]
    free = joined([free_state(replicas, fit.lower, session.labels(tied)) for fit in fits])
    buffers = joined([fit.buffers for fit in fits])

    def proposed(r: int) -> list[Pattern]:
        batch = session.problems[problems[r]].train.first()
        estimates = one_step_estimates(replicas, taken(free, r), taken(buffers, r), batch)
        return _cuts(session, estimates, levels(replicas.slots)) if estimates else []

    paths = ranks.mapped(proposed, range(len(problems)))
    rows = [r for r, path in enumerate(paths) for _ in path]
    patterns = [pattern for path in paths for pattern in path]
    session.try_patterns([problems[r] for r in rows], patterns, free, buffers, "one step", of=rows)
    session.drop_beaten()


def _path(session: NetworkSession, free: Fit, r: int, problem: int, totals: Sequence[int]) -> list[Pattern]:
    batch = session.problems[problem].train.first()
    estimates = fisher_estimates(session.replicas, taken(free.lower, r), taken(free.buffers, r), batch)
    return _cuts(session, estimates, totals)


def _cuts(session: NetworkSession, estimates: Sequence[Weighted], totals: Sequence[int]) -> list[Pattern]:
    path = ward_path(estimates, totals, [slot.max_groups for slot in session.replicas.slots])
    # One after another: labels in two forms take much memory.
    return [Pattern(path.pop(total)) for total in list(path)]


def _by_evidence(session: NetworkSession, free: Fit, r: int, problem: int, totals: Sequence[int]) -> list[Pattern]:
    """For each number of groups the pattern of the best evidence, where one parameter has few single entries.

    The path of :func:`_path` sees each entry by itself. These patterns take into account how entries covary.
    """
    (slot, *others), own = session.replicas.slots, session.problems[problem]
    if others or slot.is_sliced or len(slot.names) > 1 or slot.num_entries > MOST_DENSE:
        return []
    state = taken(free.lower, r), taken(free.buffers, r)
    estimate = dense_estimate(session.replicas, *state, own.val.first(), num_samples(own.train))
    if estimate is None:
        return []
    best: dict[int, Pattern] = {}
    for one in candidates(Evidence(estimate), polished=True).ranked():
        if one.num_groups in totals:
            best.setdefault(one.num_groups, Pattern([one.labels]))
    return list(best.values())


def _released(session: NetworkSession, candidates: Sequence[Candidate], owner: Sequence[int], stage: str) -> Fit:
    states = [free_state(session.replicas, c.fit.lower, session.labels(c.pattern)) for c in candidates]
    buffers = joined([c.fit.buffers for c in candidates])
    return session.fit_free(owner, joined(states), buffers, stage)


def _try_merges(session: NetworkSession, owner: Sequence[int], stage: str) -> None:
    """Try the best patterns with two of their groups merged, for every pair of few groups."""
    owners, patterns, of = [], [], []
    chosen = [session.best(problem) for problem in owner]
    for row, (problem, best) in enumerate(zip(owner, chosen, strict=True)):
        for s, groups in enumerate(best.pattern.num_groups):
            for a, b in combinations(range(groups), 2) if groups <= _PAIRED_GROUPS else ():
                labels = list(best.pattern.labels)
                labels[s] = np.where(labels[s] == b, a, labels[s])
                owners.append(problem)
                patterns.append(Pattern(labels))
                of.append(row)
    if patterns:
        states = joined([free_state(session.replicas, c.fit.lower, session.labels(c.pattern)) for c in chosen])
        session.try_patterns(owners, patterns, states, joined([c.fit.buffers for c in chosen]), stage, of=of)


def _with_equal_slices(replicas: Replicas, start: State) -> State:
    """The start, with all slices of an assignment equal to the first."""
    start = dict(start)
    for slot in replicas.slots:
        for name in slot.names if slot.is_sliced else ():
            start[name] = start[name][:1].expand_as(start[name])
    return start


def _best_rows(loss: Tensor, owner: list[int], problem: int) -> list[int]:
    rows = [r for r, one in enumerate(owner) if one == problem]
    return sorted(rows, key=lambda r: float(loss[r]))[:_BEST_FITS]
