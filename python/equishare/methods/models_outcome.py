"""From a search to discoveries: progress, interruption, the final fits and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from equishare.problems.network.refit import FinalFits, FinalSteps, discovery
from equishare.problems.network.fit import Fit
from equishare.problems.network.patterns import Pattern
from equishare.result.models_result import ModelDiscovery
from equishare.search.trained import Search
from equishare.methods.proposal import Progress

# What the progress of a search counts as: fits of candidates, and the final ones.
SEARCH_FITS = 10
FINAL_FITS = 3


class Meter:
    """Turns steps done into progress; the number of fits is not known beforehand."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def tick(self, steps: int) -> None:
        """Count steps done."""
        self.done += steps
        self.progress(min(self.done, self.total - 1), self.total)

    def finish(self) -> None:
        """Everything is done."""
        self.progress(self.total, self.total)


def until_interrupted(search: Search, run: Callable[[], None]) -> bool:
    """Whether the search ran to its end; Ctrl-C before every problem has a candidate is raised."""
    try:
        run()
    except KeyboardInterrupt:
        if not all(search.found):
            raise
        return False
    return True


def conclude(
    search: Search,
    final: FinalSteps,
    method: str,
    histories: Sequence[dict[str, np.ndarray] | None],
    complete: bool,
    meter: Meter,
) -> list[ModelDiscovery]:
    """Select and refit; of a search that was cut off, the best candidates as they are.

    Args:
        search: with a candidate for every problem.
        final: length of the final fits.
        method: its name.
        histories: of each problem; None: the best loss for each number of groups.
        complete: whether the search ran to its end.
        meter: of the progress.
    """
    best = [search.best(problem) for problem in range(len(search.found))]
    columns = [own or _by_groups(search, problem) for problem, own in enumerate(histories)]
    if complete:
        try:
            patterns = [candidate.pattern for candidate in best]
            return report(search, patterns, final, method, columns, meter, [candidate.fit for candidate in best])
        except KeyboardInterrupt:
            pass
    about: dict[str, Any] = {"method": method, "seed": search.seed, "no_sharing_loss": float("nan"), "complete": False}
    return [
        discovery(problem, search.stack, c.pattern, c.fit, validation_loss=c.loss, history=history, **about)
        for problem, c, history in zip(search.stack.problems, best, columns, strict=True)
    ]


def report(
    search: Search,
    patterns: Sequence[Pattern],
    final: FinalSteps,
    method: str,
    histories: Sequence[dict[str, np.ndarray]],
    meter: Meter,
    searched: Sequence[Fit] | None = None,
) -> list[ModelDiscovery]:
    """Refit the pattern of each problem and put the discoveries together.

    Args:
        search, final, method, histories, meter: as for :func:`conclude`.
        patterns: one for each problem.
        searched: their fits in the search, if there was one.
    """
    fits = FinalFits(
        search.stack, patterns, searched, search.training, final, search.seed, search.checkpoint, meter.tick
    )
    refitted, losses, unshared, settled = fits.run()
    meter.finish()
    return [
        discovery(
            problem,
            search.stack,
            patterns[i],
            refitted[i : i + 1],
            validation_loss=float(losses[i]),
            no_sharing_loss=float(unshared[i]),
            settled=bool(settled[i]),
            method=method,
            seed=search.seed,
            history=histories[i],
        )
        for i, problem in enumerate(search.stack.problems)
    ]


def _by_groups(search: Search, problem: int) -> dict[str, np.ndarray]:
    """The best loss for each number of groups, fewest first."""
    best: dict[int, float] = {}
    for candidate in search.found[problem].values():
        groups = sum(candidate.pattern.num_groups)
        best[groups] = min(best.get(groups, np.inf), candidate.loss)
    return {"num_groups": np.array(sorted(best)), "validation_loss": np.array([best[g] for g in sorted(best)])}
