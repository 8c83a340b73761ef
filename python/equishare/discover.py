"""Discovery: a method proposes partitions, one is selected, its values are refitted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any, overload

import numpy as np

from equishare.methods.auto import auto, closure
from equishare.methods.bilevel import RELEASE, RELEASE_WITHOUT_PENALTIES, bilevel
from equishare.methods.brute_force import brute_force
from equishare.result.confidence import Confidence
from equishare.methods.merge import merge
from equishare.problems.network.fit import Training
from equishare.methods.models_methods import METHODS as MODEL_METHODS
from equishare.result.models_resample import discover_with_confidence as discover_models_with_confidence
from equishare.result.models_result import ModelDiscovery
from equishare.methods.options import training_of
from equishare.result.origin import Origin
from equishare.methods.proposal import Progress, Proposal
from equishare.result.resample import discover_with_confidence
from equishare.result.discovery import Discovery
from equishare.methods.select import conclude
from equishare.methods.simple import gap, no_sharing, oracle
from equishare.problems.network.problem import ModelProblem, as_model_problems
from equishare.problems.linear import Problem, as_problems
from equishare.progress import progress_bar

__all__ = [
    "METHODS",
    "MODEL_METHODS",
    "RELEASE",
    "RELEASE_WITHOUT_PENALTIES",
    "Confidence",
    "Discovery",
    "ModelDiscovery",
    "discover",
]

METHODS: dict[str, Callable[..., list[Proposal]]] = {
    "auto": auto,
    "bilevel": bilevel,
    "merge": merge,
    "closure": closure,
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
    progress: Progress | bool | None = ...,
    resamples: int = ...,
    **options: Any,
) -> Discovery: ...
@overload
def discover(
    problem: ModelProblem,
    method: str = ...,
    seed: int = ...,
    progress: Progress | bool | None = ...,
    resamples: int = ...,
    **options: Any,
) -> ModelDiscovery: ...
@overload
def discover(
    problem: Sequence[Problem],
    method: str = ...,
    seed: int = ...,
    progress: Progress | bool | None = ...,
    resamples: int = ...,
    **options: Any,
) -> list[Discovery]: ...
@overload
def discover(
    problem: Sequence[ModelProblem],
    method: str = ...,
    seed: int = ...,
    progress: Progress | bool | None = ...,
    resamples: int = ...,
    **options: Any,
) -> list[ModelDiscovery]: ...
def discover(
    problem: Problem | ModelProblem | Sequence[Problem] | Sequence[ModelProblem],
    method: str = "auto",
    seed: int = 0,
    progress: Progress | bool | None = None,
    resamples: int = 0,
    **options: Any,
) -> Discovery | ModelDiscovery | list[Discovery] | list[ModelDiscovery]:
    """Find which entries of the problem's parameter are shared.

    Args:
        problem: a :class:`MeanProblem`, :class:`LinearProblem` or :class:`ModelProblem`, or a list of one kind and
            shape, which is solved as one batch.
        method: ``auto``, ``bilevel``, ``no_sharing`` or ``oracle``; for means and linear maps also ``merge``,
            ``closure``, ``gap`` and ``brute_force``.
        seed: of everything random.
        progress: True for a bar on the terminal, or a function that is called with the work done and the work in
            total.
        resamples: how many resamples of each problem the method is run on as well, to say how sure the answer is
            (``confidence`` of the result); 0 for none. The work grows as many times. For models, samples must be
            tensors or arrays, and the method one that searches.
        **options: of the method; see the functions in ``equishare.discover``, and for models those in
            ``equishare.methods.models_methods`` with the fields of ``equishare.problems.network.fit.Training``.

    Returns:
        ``Discovery``, for a model ``ModelDiscovery``, or a list of them for a list. After Ctrl-C a search on models
        returns the best it has found.

    Raises:
        TypeError: an option the method does not have, or of the wrong type.
        ValueError: an unknown method, an option out of range, or data the method cannot take.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be an integer from 0 to 2**63 - 1, got {seed!r}")
    if isinstance(resamples, bool) or not isinstance(resamples, int | np.integer):
        raise TypeError(f"resamples must be an integer, got {resamples!r}")
    if resamples < 0:
        raise ValueError(f"resamples must not be negative, got {resamples}")
    asked = {**options, "resamples": resamples} if resamples else dict(options)
    found: list[Any] = []
    with _progress(progress, method) as report:
        if _is_for_models(problem):
            propose: Callable[..., Any] = _method(MODEL_METHODS, method)
            if resamples and method not in ("auto", "bilevel"):
                raise ValueError(f"resamples must be 0 for method {method!r}, which does not search, got {resamples}")
            shared = [field.name for field in fields(Training)]
            _check_options(method, propose, options, shared)
            training = training_of(**{name: options.pop(name) for name in shared if name in options})
            problems_of_models = as_model_problems(problem)  # type: ignore[arg-type]
            found += discover_models_with_confidence(
                problems_of_models,
                lambda some, part, own: propose(some, int(seed), part, training, **own),
                options,
                int(resamples),
                int(seed),
                report,
            )
        else:
            propose = _method(METHODS, method)
            problems = as_problems(problem)  # type: ignore[arg-type]
            _check_options(method, propose, options)
            if resamples and method == "oracle":
                raise ValueError(
                    f"resamples must be 0 for method 'oracle', which is told the partition, got {resamples}"
                )
            run = partial(_solve, propose, method, int(seed), options)
            found += discover_with_confidence(problems, run, int(resamples), int(seed), report)
    given = problem if isinstance(problem, Sequence) else [problem]
    found = [replace(d, origin=Origin.of(p, method, int(seed), asked)) for p, d in zip(given, found, strict=True)]
    return found if isinstance(problem, Sequence) else found[0]


def _solve(
    propose: Callable[..., list[Proposal]],
    method: str,
    seed: int,
    options: dict[str, Any],
    problems: Sequence[Problem],
    progress: Progress,
) -> list[Discovery]:
    proposals = propose(problems, seed, progress, **options)
    return [conclude(p, proposal, method, seed) for p, proposal in zip(problems, proposals, strict=True)]


def _is_for_models(problem: Any) -> bool:
    several = isinstance(problem, Sequence) and len(problem) > 0
    return isinstance(problem[0] if several else problem, ModelProblem)


def _method(methods: dict[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    if name not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}; got {name!r}")
    return methods[name]


@contextmanager
def _progress(progress: Progress | bool | None, method: str) -> Iterator[Progress]:
    if callable(progress):
        yield progress
    elif progress:
        with progress_bar(f"discover ({method})") as report:
            yield report
    else:
        yield lambda done, total: None


def _check_options(
    method: str, propose: Callable[..., Any], options: dict[str, Any], shared: Sequence[str] = ()
) -> None:
    known = {name: p for name, p in inspect.signature(propose).parameters.items() if p.kind is p.KEYWORD_ONLY}
    unknown = sorted(set(options) - set(known) - set(shared))
    if unknown:
        accepted = ", ".join([*known, *shared]) or "no options"
        raise TypeError(f"method {method!r} has no option {', '.join(unknown)}; it takes {accepted}")
    missing = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if missing:
        raise TypeError(f"method {method!r} needs the option {', '.join(missing)}")
