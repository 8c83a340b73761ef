"""Times several calls in turns, so that noise of the machine meets all of them alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FULL", "QUICK", "Effort", "Sample", "interleaved"]


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        block: seconds that the calls of one repetition last at least.
        fewest: repetitions at least.
        most: repetitions at most.
        budget: seconds for all repetitions of all contenders, where ``fewest`` allows.
    """

    block: float
    fewest: int
    most: int
    budget: float


FULL = Effort(block=0.02, fewest=7, most=31, budget=3.0)
QUICK = Effort(block=0.002, fewest=3, most=3, budget=0.0)


@dataclass(frozen=True)
class Sample:
    """Seconds a call, one number a repetition; ``calls`` were made in each."""

    seconds: tuple[float, ...]
    calls: int

    @property
    def median(self) -> float:
        """Median of the repetitions."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        lower, _, upper = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return lower, upper


def interleaved(
    contenders: Mapping[str, Callable[[], Any]],
    effort: Effort = FULL,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Sample]:
    """Seconds a call of each contender, measured A B C A B C ….

    After a warm-up, each repetition calls each contender as often as makes ``effort.block`` seconds.

    Args:
        contenders: calls without arguments, by name.
        effort: how long to measure.
        clock: seconds, rising.
    """
    calls = {name: _calls_in_a_block(call, effort.block, clock) for name, call in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    start = clock()
    for repetition in range(effort.most):
        if repetition >= effort.fewest and clock() - start > effort.budget:
            break
        for name, call in contenders.items():
            count = range(calls[name])
            begin = clock()
            for _ in count:
                call()
            seconds[name].append((clock() - begin) / calls[name])
    return {name: Sample(tuple(times), calls[name]) for name, times in seconds.items()}


def _calls_in_a_block(call: Callable[[], Any], block: float, clock: Callable[[], float]) -> int:
    # The warm-up: doubled until it lasts half a block.
    count = 1
    while True:
        begin = clock()
        for _ in range(count):
            call()
        elapsed = clock() - begin
        if elapsed >= block / 2:
            return max(1, math.ceil(count * block / elapsed))
        count *= 2
