"""The default for models: from one common start, see where the entries go apart."""

from __future__ import annotations

from equishare.discovery.models.candidates import levels
from equishare.discovery.models.patterns import all_tied, free_state, hard_state
from equishare.discovery.models.search import Search
from equishare.discovery.models.stack import joined, stacked


def auto(search: Search) -> None:
    """Fit with everything tied, release every entry, and cluster where they went.

    1. The model is fitted with one group for each assignment.
    2. From there it is fitted without sharing. Slices that start from the same values keep the order of their
       hidden units, so that they can be compared afterwards. Single entries, which have no such order, are
       fitted from the model's own start too: equal weights can be a saddle that is slow to leave.
    3. The entries are clustered in the metric of the loss (diagonal of the Fisher information), and the cuts of
       that path of merges are fitted as models, all as one batch, and compared on the validation samples: the
       coarsest is taken that they do not tell from the best.
    4. The best pattern is released in turn, and so on while that finds a better one.
    """
    stack = search.stack
    problems = list(range(len(stack.problems)))
    lower, buffers = stacked(stack.start, len(problems)), stacked(stack.buffers, len(problems))
    tied = [all_tied(stack)] * len(problems)
    search.try_patterns(problems, tied, lower, buffers, "tied", mean=False)
    fits = [search.found[p][tied[p]].fit for p in problems]
    _, upper = hard_state(stack, tied, lower, mean=True)
    released = free_state(stack, joined([f.lower for f in fits]), upper)
    starts, owner = (released, joined([f.buffers for f in fits])), problems
    if not all(site.is_sliced for site in stack.sites):
        starts = joined([released, lower]), joined([starts[1], buffers])
        owner = problems + problems
    free = search.fit_free(owner, *starts, "free 0")
    search.try_paths(owner, free, [levels(stack)] * len(owner), "path 0")
    search.improve()
