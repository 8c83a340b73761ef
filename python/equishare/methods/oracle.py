"""A given partition: only the values are estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equishare.checks import option
from equishare.partition import Partition
from equishare.problems.base import Labels, Proposal, Session, Slot
from equishare.problems.network.training import FitOptions
from equishare.problems.within import keeps_within

SEARCHES = False
KEEPS_WITHIN = True


@dataclass(frozen=True)
class Options(FitOptions):
    """A partition that is given: only the values are estimated.

    Attributes:
        partition: a Partition or labels of the parameter's shape, or a dict of them by parameter name; for a list of
            problems also a list of Partitions, arrays or dicts.
    """

    partition: Any = option()


def propose(session: Session, options: Options) -> list[Proposal]:
    """The given pattern for each problem."""
    problems, given = session.problems, options.partition
    # A list of numbers, or of rows where there is one problem, is one partition.
    several = isinstance(given, list | tuple) and len(given) > 0 and not np.isscalar(given[0])
    several = several and (len(problems) > 1 or isinstance(given[0], Partition | dict))
    own = given if several else [given] * len(problems)
    if len(own) != len(problems):
        raise ValueError(f"partition must hold one partition for each of the {len(problems)} problems, got {len(own)}")
    patterns = [_pattern(problem.slots, one) for problem, one in zip(problems, own, strict=True)]
    for problem, labels in zip(problems, patterns, strict=True):
        within = getattr(problem, "within", None)
        if within is not None and not keeps_within(within, labels[0]):
            raise ValueError(
                "partition must tie entries of one number in within only, got a group of several: split it, or leave "
                "within out"
            )
    return [Proposal([labels]) for labels in patterns]


def _pattern(slots: Sequence[Slot], given: Any) -> Labels:
    if not isinstance(given, dict) and len(slots) > 1:
        names = ", ".join(repr(slot.key) for slot in slots)
        raise ValueError(f"partition must be a dict with the names {names}, got {type(given).__name__}")
    by_name = given if isinstance(given, dict) else {slots[0].key: given}
    unknown = set(by_name) - {name for slot in slots for name in slot.names}
    if unknown:
        raise ValueError(f"partition must name shared parameters, got {', '.join(map(repr, sorted(unknown)))}")
    labels = []
    for slot in slots:
        name = next((one for one in slot.names if one in by_name), None)
        if name is None:
            raise ValueError(f"partition must name {slot.key!r}, got {', '.join(map(repr, by_name)) or 'nothing'}")
        one = by_name[name] if isinstance(by_name[name], Partition) else Partition(by_name[name])
        shape = slot.shape_of(name)
        if one.shape not in (shape, (slot.num_entries,)):
            expected = (
                f"partition of {name!r} must have shape" if slot.named else "partition must have the problem's shape"
            )
            raise ValueError(f"{expected} {shape}, got {one.shape}")
        labels.append(one.labels.reshape(shape))
    return tuple(labels)
