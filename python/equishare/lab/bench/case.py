"""What a row of the benchmark is: inputs, contenders, the work that cannot be avoided, the bounds required."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

__all__ = ["Call", "Case", "Contenders", "Requirement", "Work", "at_least", "at_most", "times_faster"]

#: One timed step; it returns what must agree between the contenders.
Call = Callable[[], tuple[Tensor, ...]]
Sizes = Mapping[str, int]

#: Largest difference relative to the largest number of the baseline's result.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Work:
    """What a step must do at least: bytes read and written, floating-point operations, exponentials."""

    read: int
    write: int
    flops: int = 0
    exps: int = 0

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.write


@dataclass(frozen=True)
class Contenders:
    """Two ways to do the same, on the same inputs.

    Attributes:
        ours: the operation of this package.
        eager: the baseline.
        compiled: makes the baseline under torch.compile; None where that is not asked.
        check: the baseline's results in the form of ours, where its own have another.
        held: bytes that ours and the baseline hold at rest, for a row that compares memory and not time.
    """

    ours: Call
    eager: Call
    compiled: Callable[[], Call] | None = None
    check: Call | None = None
    held: tuple[int, int] | None = None


@dataclass(frozen=True)
class Requirement:
    """A bound on a quantity of a row; see :attr:`equishare.lab.bench.result.Row.quantities`.

    Attributes:
        quantity: what it bounds.
        limit: the bound.
        least: whether from below.
        on: the instruction set that it holds for; empty: every one.
        unless: another bound that will do in its place.
    """

    quantity: str
    limit: float
    least: bool
    on: str = ""
    unless: Requirement | None = None

    def met(self, found: Mapping[str, float]) -> bool | None:
        """Whether the bound holds; None without a measurement."""
        value = found.get(self.quantity, math.nan)
        if math.isnan(value):
            return None
        met = value >= self.limit if self.least else value <= self.limit
        return met or (self.unless is not None and bool(self.unless.met(found)))

    def __str__(self) -> str:
        bound = f"{self.quantity} {'≥' if self.least else '≤'} {self.limit:g}"
        return bound if self.unless is None else f"{bound} or {self.unless}"


def at_least(quantity: str, limit: float, on: str = "", unless: Requirement | None = None) -> Requirement:
    """The quantity must reach the limit."""
    return Requirement(quantity, limit, True, on, unless)


def at_most(quantity: str, limit: float, on: str = "") -> Requirement:
    """The quantity must not pass the limit."""
    return Requirement(quantity, limit, False, on)


def times_faster(v4: float, v3: float, unless: Requirement | None = None) -> tuple[Requirement, ...]:
    """So many times faster than the baseline with AVX-512 and with AVX2."""
    return at_least("eager", v4, "v4", unless), at_least("eager", v3, "v3", unless)


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        name: tells it from all others.
        curve: rows of one curve are one line of the plot.
        sizes: passed to ``make`` and ``work``.
        make: ``make(generator, sizes, dtype)`` draws the inputs.
        work: ``work(sizes, itemsize)``.
        against: the baseline, in words.
        required: bounds, of every instruction set.
        dtype: of the floating tensors.
        gradients: False runs everything under ``torch.no_grad``.
        tolerance: of the agreement, where not that of the dtype.
    """

    name: str
    curve: str
    sizes: Sizes
    make: Callable[[torch.Generator, Sizes, torch.dtype], Contenders]
    work: Callable[[Sizes, int], Work]
    against: str = "eager"
    required: tuple[Requirement, ...] = ()
    dtype: torch.dtype = torch.float32
    gradients: bool = True
    tolerance: float | None = field(default=None)

    @property
    def allowed(self) -> float:
        """Largest difference, relative to the largest number of the baseline's result."""
        return TOLERANCE[self.dtype] if self.tolerance is None else self.tolerance

    @property
    def moved(self) -> Work:
        """The work at these sizes."""
        return self.work(self.sizes, self.dtype.itemsize)

    def reduced(self, limit: int) -> Case:
        """The same with every size at most ``limit``, for tests."""
        return replace(self, sizes={name: min(size, limit) for name, size in self.sizes.items()})
