"""Resamples of a model problem: its samples drawn again, with replacement."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from equishare.result.calibration import MODELS
from equishare.result.confidence import Confidence
from equishare.result.models_result import ModelDiscovery
from equishare.methods.proposal import Progress, part_of
from equishare.problems.network.problem import ModelProblem

# Where the data cannot tell, a search that prefers coarse patterns ties everything, on every resample. One that takes
# the least loss as it comes ties at random there, and what the data tell it finds again and again.
_STANDARD_ERRORS = 0.0
# A method, from problems, progress and its own options to discoveries.
Run = Callable[[Sequence[ModelProblem], Progress, dict[str, Any]], list[ModelDiscovery]]


def discover_with_confidence(
    problems: Sequence[ModelProblem],
    run: Run,
    options: dict[str, Any],
    resamples: int,
    seed: int,
    progress: Progress,
) -> list[ModelDiscovery]:
    """Run a method on problems and, one vmapped batch a problem, on resamples of each.

    Training and validation samples are drawn with replacement, each from their own (pairs bootstrap; Efron 1979),
    so the samples that one resample has twice never stand on both sides. As with the statistics
    (:func:`equishare.result.resample.resampled`) the noise is there twice and claimed once. Each search of a
    resample has restarts of its own, so a tie that hangs on the start is found less often too.

    The resamples end at a search that is cut off by Ctrl-C, or that diverges on one of them: what was found on
    the data themselves is returned, without confidence where that had not come.

    Args:
        problems: what is to be solved.
        run: the method.
        options: of the method. A checkpoint gets a second file beside it for the resamples of each problem.
        resamples: B; with 0 the discoveries have no confidence.
        seed: of the resamples.
        progress: counts problems and resamples.

    Raises:
        ValueError: the samples come from a DataLoader.
    """
    if not resamples:
        return run(problems, progress, options)
    total = len(problems) * (1 + resamples)
    # A seed decides the order of a loader, not which samples are in an epoch.
    batches = [problem.resampled(np.random.default_rng([seed, i]), resamples) for i, problem in enumerate(problems)]
    found = run(problems, part_of(progress, 0, len(problems), total), options)
    if not all(one.complete for one in found):
        return found
    for i, batch in enumerate(batches):
        part = part_of(progress, len(problems) + i * resamples, resamples, total)
        try:
            answers = run(batch, part, _of_resamples(options, i))
        except KeyboardInterrupt:
            break
        except FloatingPointError as error:
            warnings.warn(f"no confidence for problem {i}: on a resample, {error}", RuntimeWarning, stacklevel=3)
            continue
        if not all(one.complete for one in answers):
            break
        found[i] = replace(found[i], confidence=_confidence(found[i], answers))
    return found


def _of_resamples(options: dict[str, Any], problem: int) -> dict[str, Any]:
    # Only the partitions are wanted: the final fits, which come after the search, are as short as can be.
    changed = {**options, "refit_steps": 1, "standard_errors": _STANDARD_ERRORS}
    if options.get("checkpoint") is not None:
        changed["checkpoint"] = f"{os.fspath(options['checkpoint'])}.resamples{problem}"
    return changed


def _confidence(found: ModelDiscovery, answers: Sequence[ModelDiscovery]) -> dict[str, Confidence]:
    return {
        name: Confidence(partition, np.stack([one.partitions[name].labels.ravel() for one in answers]), curves=MODELS)
        for name, partition in found.partitions.items()
    }
