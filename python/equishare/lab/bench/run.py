"""Checks each row, then times it."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from equishare.lab.bench.calls import call_cases
from equishare.lab.bench.case import Call, Case
from equishare.lab.bench.compiling import compiled_call
from equishare.lab.bench.hard import hard_cases
from equishare.lab.bench.linear import linear_cases
from equishare.lab.bench.machine import describe_machine
from equishare.lab.bench.penalties import penalty_cases
from equishare.lab.bench.result import Results, Row
from equishare.lab.bench.soft import soft_cases
from equishare.lab.bench.timing import FULL, QUICK, Effort, interleaved

__all__ = ["all_cases", "measure", "run", "select"]


def all_cases() -> list[Case]:
    """The rows of ``equishare bench`` in their order."""
    return [*soft_cases(), *call_cases(), *penalty_cases(), *hard_cases(), *linear_cases()]


def select(pattern: str | None, cases: Iterable[Case] | None = None) -> list[Case]:
    """The rows whose name contains ``pattern``, in which ``*``, ``?`` and ``[…]`` are wildcards.

    Raises:
        ValueError: none does; the message lists the names.
    """
    cases = all_cases() if cases is None else list(cases)
    if pattern is None:
        return cases
    found = [case for case in cases if fnmatch.fnmatch(case.name.lower(), f"*{pattern.lower()}*")]
    if not found:
        raise ValueError(f"no row matches {pattern!r}; rows: {'; '.join(case.name for case in cases)}")
    return found


def run(
    cases: Iterable[Case],
    *,
    threads: int = 2,
    seed: int = 0,
    compile: bool = True,
    quick: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Check and time rows one after another.

    Args:
        cases: from :func:`select`.
        threads: of torch and of the kernels.
        seed: of the inputs; each row draws its own from it.
        compile: whether torch.compile takes part.
        quick: three short repetitions each; shows that everything runs, its times mean little.
        progress: called with rows done and rows in all.
    """
    cases = list(cases)
    effort = QUICK if quick else FULL
    rows = []
    with _threads(threads):
        machine = describe_machine()
        for done, case in enumerate(cases):
            if progress is not None:
                progress(done, len(cases))
            rows.append(measure(case, seed=seed, compile=compile, effort=effort))
        if progress is not None:
            progress(len(cases), len(cases))
    return Results(tuple(rows), machine, seed, quick)


def measure(case: Case, *, seed: int = 0, compile: bool = True, effort: Effort = FULL) -> Row:
    """One row: nothing is timed unless all contenders agree."""
    generator = torch.Generator().manual_seed(seed)
    contenders = case.make(generator, case.sizes, case.dtype)
    with torch.set_grad_enabled(case.gradients):
        call, note = compiled_call(contenders) if compile else (None, "")
        calls: dict[str, Call] = {"ours": contenders.ours, "eager": contenders.eager}
        if call is not None:
            calls["compile"] = call
        expected = _results(contenders.check or contenders.eager)
        for name, other in calls.items():
            if name != "eager":
                error = disagreement(_results(other), expected, case.allowed)
                if error:
                    return Row(case, note=note, error=f"{name} and {case.against} disagree: {error}")
        del expected
        if contenders.held is not None:
            return Row(case, held=contenders.held)
        calls["copy"] = copy_of(case.moved.moved)
        return Row(case, interleaved(calls, effort), note=note)


def disagreement(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], allowed: float) -> str:
    """How results differ, by more than ``allowed`` times the largest expected number; empty if they do not."""
    if len(found) != len(expected):
        return f"{len(found)} results and {len(expected)}"
    for place, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a.shape != b.shape:
            return f"result {place} has shape {tuple(a.shape)} and {tuple(b.shape)}"
        if a.dtype != b.dtype:
            return f"result {place} has dtype {a.dtype} and {b.dtype}"
        if not a.numel():
            continue
        scale = b.abs().max().item()
        difference = (a - b).abs().max().item()
        if not difference <= allowed * scale:
            return f"result {place} differs by {difference:.3g}, allowed is {allowed:g} of {scale:.3g}"
    return ""


def copy_of(size: int) -> Call:
    """A copy between buffers that are there already, which moves ``size`` bytes, half read and half written."""
    count = max(1, size // 8)
    source, target = torch.ones(count), torch.ones(count)

    def call() -> tuple[Tensor, ...]:
        target.copy_(source)
        return ()

    return call


def _results(call: Call) -> tuple[Tensor, ...]:
    return tuple(x.detach().clone() for x in call())


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
