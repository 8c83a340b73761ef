"""What a run of the benchmark found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from equishare._native import instruction_set
from equishare.lab.bench.case import Case, Requirement
from equishare.lab.bench.timing import Sample

__all__ = ["Results", "Row"]


@dataclass(frozen=True)
class Row:
    """One case, measured.

    Attributes:
        case: what was measured.
        samples: times of ``ours``, ``eager``, ``compile`` (where it works) and ``copy``; empty for memory and errors.
        held: bytes at rest of ours and of the baseline, for a row of memory.
        note: why there is no ``compile``.
        error: why nothing was measured.
    """

    case: Case
    samples: dict[str, Sample] = field(default_factory=dict)
    held: tuple[int, int] | None = None
    note: str = ""
    error: str = ""

    @property
    def quantities(self) -> dict[str, float]:
        """What bounds are about.

        ``eager`` and ``compile``: how many times faster than that contender, by medians. ``floor``: time over that
        of a copy that moves the bytes of :attr:`Case.moved`. ``memory``: bytes over those of the baseline.
        ``overhead``: microseconds more than the baseline.
        """
        if self.held is not None:
            return {"memory": self.held[0] / self.held[1]}
        if not self.samples:
            return {}
        ours = self.samples["ours"].median
        others = [name for name in ("eager", "compile") if name in self.samples]
        ratios: dict[str, float] = {name: self.samples[name].median / ours for name in others}
        overhead = 1e6 * (ours - self.samples["eager"].median)
        return {**ratios, "floor": ours / self.samples["copy"].median, "overhead": overhead}

    @property
    def judged(self) -> list[tuple[Requirement, bool | None]]:
        """Each bound, and whether it is met; None without its contender or on another instruction set."""
        found, here = self.quantities, ("", instruction_set())
        return [(bound, bound.met(found) if bound.on in here else None) for bound in self.case.required]

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
        case, work, found = self.case, self.case.moved, self.quantities
        return {
            "name": case.name,
            "curve": case.curve,
            "sizes": dict(case.sizes),
            "dtype": str(case.dtype).removeprefix("torch."),
            "against": case.against,
            "bytes_read": work.read,
            "bytes_written": work.write,
            "flops": work.flops,
            "exps": work.exps,
            "quantities": found,
            "required": [
                {"quantity": b.quantity, "limit": b.limit, "at_least": b.least, "instruction_set": b.on, "met": met}
                for b, met in self.judged
            ],
            "held_bytes": None if self.held is None else {"ours": self.held[0], "baseline": self.held[1]},
            "contenders": {
                name: {
                    "median_seconds": s.median,
                    "quartiles_seconds": s.quartiles,
                    "calls_in_a_repetition": s.calls,
                    "seconds": s.seconds,
                }
                for name, s in self.samples.items()
            },
            "note": self.note,
            "error": self.error,
        }


@dataclass(frozen=True)
class Results:
    """All rows and where they were measured."""

    rows: tuple[Row, ...]
    machine: dict[str, Any]
    seed: int
    quick: bool

    @property
    def errors(self) -> list[str]:
        """One line for each row whose contenders disagree."""
        return [f"{row.case.name}: {row.error}" for row in self.rows if row.error]

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
        rows = [row.document() for row in self.rows]
        return {"machine": self.machine, "seed": self.seed, "quick": self.quick, "rows": rows}
