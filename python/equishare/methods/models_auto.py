"""The default for models: from where all entries are equal, see where they go apart."""

from __future__ import annotations

from torch import Tensor

from equishare.search.held_out import levels
from equishare.problems.network.patterns import all_tied, free_state, hard_state
from equishare.search.trained import Search
from equishare.problems.network.replicas import Stack, State, joined, reordered, stacked

# So many of the fits without sharing go on to paths of merges.
_BEST_FITS = 2


def auto(search: Search, restarts: int) -> None:
    """Fit with everything tied, release every entry, and cluster where they went.

    1. The model is fitted with one group for each assignment.
    2. From there it is fitted without sharing, from the model's own start and from others too, and the best fits go
       on: the fit with everything tied can be a saddle that is slow to leave or, where it has no use for what it
       cannot tell apart and all ReLUs have died, is not left at all; and any one start can end in a poor
       minimum. In every start the slices of an assignment are equal, so that they keep the order of their hidden
       units and can be compared afterwards; single entries have no such order.
    3. The entries are clustered in the metric of the loss (diagonal of the Fisher information), and the cuts of
       that path of merges are fitted as models, all as one batch, and compared on the validation samples: the
       coarsest is taken that they do not tell from the best.
    4. The best pattern is released in turn, and so on while that finds a better one.

    Args:
        search: of the problems.
        restarts: starts besides the fit with everything tied: the model's own, and its numbers in another order.
    """
    stack = search.stack
    problems = list(range(len(stack.problems)))
    lower, buffers = stacked(stack.start, len(problems)), stacked(stack.buffers, len(problems))
    tied = [all_tied(stack)] * len(problems)
    search.try_patterns(problems, tied, lower, buffers, "tied", mean=False)
    fits = [search.found[p][tied[p]].fit for p in problems]
    _, upper = hard_state(stack, tied, lower, mean=True)
    released = free_state(stack, joined([f.lower for f in fits]), upper)
    starts, owner = [(released, joined([f.buffers for f in fits]))], list(problems)
    generators = search.generators()
    for i in range(restarts):
        own = [stack.start if i == 0 else reordered(stack.start, generator) for generator in generators]
        starts.append((joined([stacked(_with_equal_slices(stack, one), 1) for one in own]), buffers))
        owner += problems
    free = search.fit_free(owner, joined([s[0] for s in starts]), joined([s[1] for s in starts]), "free 0")
    rows = [r for p in problems for r in _best_rows(free.loss, owner, p)]
    owner = [owner[r] for r in rows]
    search.try_paths(owner, free[rows], [levels(stack)] * len(owner), "path 0")
    search.improve()


def _with_equal_slices(stack: Stack, start: State) -> State:
    """The start, with all slices of an assignment equal to the first."""
    start = dict(start)
    for site in stack.sites:
        for name in site.names if site.is_sliced else ():
            start[name] = start[name][:1].expand_as(start[name])
    return start


def _best_rows(loss: Tensor, owner: list[int], problem: int) -> list[int]:
    rows = [r for r, one in enumerate(owner) if one == problem]
    return sorted(rows, key=lambda r: float(loss[r]))[:_BEST_FITS]
