"""No sharing, and a partition that is told: the frame of every table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equishare.problems.network.checkpoint import Checkpoint
from equishare.problems.network.refit import FinalSteps
from equishare.problems.network.fit import Training
from equishare.methods.models_outcome import FINAL_FITS, Meter, report
from equishare.problems.network.patterns import Pattern, all_free
from equishare.result.models_result import ModelDiscovery
from equishare.search.trained import Search
from equishare.problems.network.replicas import Stack
from equishare.methods.proposal import Progress
from equishare.problems.network.problem import ModelProblem
from equishare.partition import Partition

# Of each final fit, as many as those of a search have by default.
_STEPS = 600


def no_sharing(
    problems: Sequence[ModelProblem],
    seed: int,
    progress: Progress,
    training: Training,
    *,
    steps: int | None = None,
) -> list[ModelDiscovery]:
    """Every entry in a group of its own.

    Args:
        training: of the fits; its fields are options too.
        steps: of each of the final fits; None: 600, doubled while the loss is still falling.
    """
    stack = Stack(problems, training.batch_size)
    return _known(stack, [all_free(stack)] * len(problems), "no_sharing", seed, progress, training, steps)


def oracle(
    problems: Sequence[ModelProblem],
    seed: int,
    progress: Progress,
    training: Training,
    *,
    partition: Any,
    steps: int | None = None,
) -> list[ModelDiscovery]:
    """A partition that is told.

    Args:
        training: of the fits; its fields are options too.
        partition: a Partition or label array, a dict of them by parameter name, or, for a list of problems, also a
            list of either.
        steps: of each of the final fits; None: 600, doubled while the loss is still falling.
    """
    stack = Stack(problems, training.batch_size)
    # A list of numbers, or of rows where there is one problem, is one partition.
    several = isinstance(partition, list | tuple) and len(partition) > 0 and not np.isscalar(partition[0])
    several = several and (len(problems) > 1 or isinstance(partition[0], Partition | dict))
    told = partition if several else [partition] * len(problems)
    if len(told) != len(problems):
        raise ValueError(f"partition must hold one partition for each of the {len(problems)} problems, got {len(told)}")
    patterns = [_as_pattern(stack, one) for one in told]
    return _known(stack, patterns, "oracle", seed, progress, training, steps)


def _as_pattern(stack: Stack, told: Any) -> Pattern:
    if not isinstance(told, dict) and len(stack.sites) > 1:
        names = ", ".join(repr(site.names[0]) for site in stack.sites)
        raise ValueError(f"partition must be a dict with the names {names}, got {type(told).__name__}")
    by_name = told if isinstance(told, dict) else {stack.sites[0].names[0]: told}
    unknown = set(by_name) - {name for site in stack.sites for name in site.names}
    if unknown:
        raise ValueError(f"partition must name shared parameters, got {', '.join(map(repr, sorted(unknown)))}")
    labels = []
    for site in stack.sites:
        name = next((n for n in site.names if n in by_name), None)
        if name is None:
            raise ValueError(f"partition must name {site.names[0]!r}, got {', '.join(map(repr, by_name)) or 'nothing'}")
        one = by_name[name] if isinstance(by_name[name], Partition) else Partition(by_name[name])
        shape = (site.num_entries,) if site.is_sliced else site.shapes[site.names.index(name)]
        if one.shape not in (shape, (site.num_entries,)):
            raise ValueError(f"partition of {name!r} must have shape {shape}, got {one.shape}")
        labels.append(one.labels.reshape(-1))
    return Pattern(labels)


def _known(
    stack: Stack,
    patterns: list[Pattern],
    method: str,
    seed: int,
    progress: Progress,
    training: Training,
    steps: int | None,
) -> list[ModelDiscovery]:
    final = FinalSteps.of(steps, _STEPS, "steps")
    meter = Meter(progress, FINAL_FITS * final.steps)
    search = Search(stack, training, final.steps, seed, Checkpoint(None, ""), meter.tick)
    return report(search, patterns, final, method, [{}] * len(patterns), meter)
