"""Discovery: a method proposes partitions, one is selected, its values are refitted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from equishare.discovery.auto import auto
from equishare.discovery.bilevel import RELEASE, RELEASE_WITHOUT_PENALTIES, bilevel
from equishare.discovery.brute_force import brute_force
from equishare.discovery.merge import merge
from equishare.discovery.proposal import Progress, Proposal
from equishare.discovery.result import Discovery
from equishare.discovery.select import conclude
from equishare.discovery.simple import gap, no_sharing, oracle
from equishare.problems import Problem, as_problems

__all__ = ["METHODS", "RELEASE", "RELEASE_WITHOUT_PENALTIES", "Discovery", "discover"]

METHODS: dict[str, Callable[..., list[Proposal]]] = {
    "auto": auto,
    "bilevel": bilevel,
    "merge": merge,
    "gap": gap,
    "brute_force": brute_force,
    "no_sharing": no_sharing,
    "oracle": oracle,
}


@overload
def discover(
    problem: Problem,
    method: str = ...,
    seed: int = ...,
    progress: Progress | None = ...,
    **options: Any,
) -> Discovery: ...
@overload
def discover(
    problem: Sequence[Problem],
    method: str = ...,
    seed: int = ...,
    progress: Progress | None = ...,
    **options: Any,
) -> list[Discovery]: ...
def discover(
    problem: Problem | Sequence[Problem],
    method: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Discovery | list[Discovery]:
    """Find which entries of the problem's parameter are shared.

    Args:
        problem: a :class:`MeanProblem` or :class:`LinearProblem`, or a list of same-shaped ones,
            which is solved as one batch.
        method: ``auto``, ``bilevel``, ``merge``, ``gap``, ``brute_force``, ``no_sharing`` or ``oracle``.
        seed: of everything random.
        progress: called with the work done and the work in total.
        **options: of the method; see the functions in ``equishare.discovery``.

    Returns:
        A :class:`Discovery`, or a list of them for a list.

    Raises:
        TypeError: an option the method does not have, or of the wrong type.
        ValueError: an unknown method, an option out of range, or data the method cannot take.
    """
    problems = as_problems(problem)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be an integer from 0 to 2**63 - 1, got {seed!r}")
    seed = int(seed)
    propose = METHODS[method]
    _check_options(method, propose, options)
    proposals = propose(problems, seed, progress or (lambda done, total: None), **options)
    found = [conclude(p, proposal, method, seed) for p, proposal in zip(problems, proposals, strict=True)]
    return found if isinstance(problem, Sequence) else found[0]


def _check_options(method: str, propose: Callable[..., Any], options: dict[str, Any]) -> None:
    known = {name: p for name, p in inspect.signature(propose).parameters.items() if p.kind is p.KEYWORD_ONLY}
    unknown = sorted(set(options) - set(known))
    if unknown:
        accepted = ", ".join(known) or "no options"
        raise TypeError(f"method {method!r} has no option {', '.join(unknown)}; it takes {accepted}")
    missing = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if missing:
        raise TypeError(f"method {method!r} needs the option {', '.join(missing)}")
