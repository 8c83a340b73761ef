"""Discovery: a method proposes patterns, one of them is selected, and its values are refitted."""

from __future__ import annotations

import inspect
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import torch

from equishare import ranks
from equishare.asking import as_problems, problem_and_method, session_class, types
from equishare.checks import CLOSED_FORM, TRAINED, checked_options
from equishare.methods import METHODS, Method, methods_for, name_of, options_in_words
from equishare.partition import Partition
from equishare.problems import GeneralizedLinearProblem, LinearProblem, MeanProblem
from equishare.problems.answers import Predictor, Refit
from equishare.problems.base import Problem, Proposal, Session, partitions_of
from equishare.progress import Progress, part_of, progress_bar, silent
from equishare.result import calibration
from equishare.result.confidence import Confidence
from equishare.result.discovery import Discovery
from equishare.result.origin import Origin

__all__ = ["discover"]


#: The methods by name; :data:`equishare.methods.METHODS` holds them.
MethodName = Literal[
    "auto",
    "bilevel",
    "brute_force",
    "closure",
    "gap",
    "merge",
    "msr",
    "no_sharing",
    "oracle",
    "sinkhorn",
    "slope",
    "weight_sharing",
]

# Where resamples take seconds, they are the default: so many, for up to so many means, or weights. Logistic and Poisson
# regression are fitted to the samples again, of which there must be few.
_RESAMPLES = 20
_MOST_MEANS, _MOST_WEIGHTS, _MOST_NUMBERS = 100, 40, 10_000
# Where patterns are drawn anyway, their ties are counted for up to so many entries: it takes their square.
_MOST_DRAWN = 1000


@overload
def discover(
    problem: Problem,
    method: MethodName | Method = "auto",
    *,
    seed: int = 0,
    progress: Progress | bool | None = None,
    resamples: int | None = None,
    **options: Any,
) -> Discovery: ...
@overload
def discover(
    problem: Sequence[Problem],
    method: MethodName | Method = "auto",
    *,
    seed: int = 0,
    progress: Progress | bool | None = None,
    resamples: int | None = None,
    **options: Any,
) -> list[Discovery]: ...
@overload
def discover(
    x: Any,
    y: Any,
    method: MethodName | Method = "auto",
    *,
    seed: int = 0,
    progress: Progress | bool | None = None,
    resamples: int | None = None,
    **options: Any,
) -> Discovery: ...
def discover(  # type: ignore[misc]  # behind a problem, method is the second argument
    problem: Any = None,
    y: Any = None,
    method: MethodName | Method = "auto",
    *more: Any,
    seed: int = 0,
    progress: Progress | bool | None = None,
    resamples: int | None = None,
    **options: Any,
) -> Discovery | list[Discovery]:
    """Find which entries of the problem's parameters are shared.

    ``discover(problem)`` takes a problem, ``discover(x, y)`` inputs and outputs: it is short for
    ``discover(LinearProblem(x, y, seed=seed))``. ``method`` may follow either by position.

    Args:
        problem: a :class:`MeanProblem`, :class:`LinearProblem`, :class:`GeneralizedLinearProblem`,
            :class:`FactorProblem`, :class:`CovarianceProblem`, :class:`ModelProblem` or one of your own
            (:class:`equishare.problems.Problem`), or a list of one kind and shape, which is solved as one batch; or
            (n, I) inputs of a linear map.
        y: (n, O) outputs, where the first argument is inputs.
        method: name of a method, or one of your own (:class:`equishare.methods.Method`).
        seed: of everything random.
        progress: True for a bar on the terminal, or a function that is called with the work done and the work in
            total; where ``torch.distributed`` is initialised, on the first rank.
        resamples: number of resamples of each problem on which the method also runs, to say how sure the answer is
            (``confidence`` of the result); 0 for none. Each is a search of its own. For networks, samples
            must be tensors or arrays. None: 20 for ``auto`` on up to 100 means, or 40 weights of one output or one
            input (of a GLM where weights times samples are up to 10,000), 0 for all else and for lists.
        **options: of the method, listed below; the docstring of its ``Options`` explains them.

    Returns:
        A ``Discovery``, or a list of them for a list. After Ctrl-C a search on networks returns the best it has found.

    Where ``torch.distributed`` is initialised, every rank makes the same call. The fits of a network, the problems of a
    list and the resamples are shared out among the ranks, and every rank gets the answer that one process gives.

    Raises:
        TypeError: an option the method does not have, or of the wrong type; data that are no problem.
        ValueError: an unknown method, an option out of range, or data the method cannot take; ranks that were given
            different ones.
        ConnectionError: another rank has ended.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be an integer from 0 to 2**63 - 1, got {seed!r}")
    if problem is None:
        problem = options.pop("x", None)  # discover(x=x, y=y)
    if more or hasattr(method, "__array__"):
        raise TypeError(
            f"discover takes x and y, got {2 + bool(hasattr(method, '__array__')) + len(more)} arrays: for validation "
            "samples of your own, discover(LinearProblem(x_train, y_train, x_val=x_val, y_val=y_val))"
        )
    problem, method = problem_and_method(problem, y, method, int(seed))
    if resamples is not None and (isinstance(resamples, bool) or not isinstance(resamples, int | np.integer)):
        raise TypeError(f"resamples must be an integer, got {resamples!r}")
    if resamples is not None and resamples < 0:
        raise ValueError(f"resamples must not be negative, got {resamples}")
    problems = as_problems(problem)
    is_trained = session_class(problems).is_trained
    chosen = _method(method, is_trained)
    asked = options if resamples is None else {**options, "resamples": int(resamples)}
    if resamples is None:
        resamples = _RESAMPLES if method == "auto" and _is_quick(problem) else 0
    name = name_of(chosen)
    if is_trained and getattr(chosen, "NEEDS_ESTIMATE", False):
        raise ValueError(f"method {name!r} needs an estimate of the entries, which a problem that is trained has not")
    if not getattr(chosen, "KEEPS_WITHIN", False) and any(getattr(one, "within", None) is not None for one in problems):
        keep = ", ".join(one for one, own in METHODS.items() if getattr(own, "KEEPS_WITHIN", False))
        raise ValueError(f"within must be left out for method {name!r}, which may tie any entries: {keep} keep to it")
    takes = session_class(problems).takes
    if takes and METHODS.get(name) is chosen and name not in takes:
        kind = type(problems[0]).__name__
        raise ValueError(f"method must be one of {', '.join(takes)} for a {kind}, got {name!r}")
    if resamples and not getattr(chosen, "SEARCHES", True):
        raise ValueError(f"resamples must be 0 for method {name!r}, which does not search, got {resamples}")
    checked = checked_options(name, chosen.Options, options, TRAINED if is_trained else CLOSED_FORM)
    total = len(problems) * (1 + int(resamples))
    if resamples:  # Before the work: some problems cannot be drawn again.
        problems[0].resampled(np.random.default_rng(int(seed)))
    # A caller's no_grad or inference_mode must not reach the fits.
    with _progress(progress, name) as watch, torch.inference_mode(False), torch.enable_grad():
        part = part_of(watch, 0, len(problems), total) if resamples else watch
        found = _solve(chosen, _session(problems, int(seed), part, name, checked))
        for i, one in enumerate(problems if resamples and all(d.complete for d in found) else ()):
            part = part_of(watch, len(problems) + i * int(resamples), int(resamples), total)
            own = checked.for_resamples(i) if hasattr(checked, "for_resamples") else checked
            try:
                generator = np.random.default_rng([int(seed), i])
                batch = [one.resampled(generator) for _ in range(resamples)]
                session = _session(batch, int(seed), part, name, own)
                ties = [partitions_of(one.slots, p.labels(p.best)) for p in _proposals(chosen, session)]
            except KeyboardInterrupt:
                if not is_trained:
                    raise
                break
            except FloatingPointError as error:
                warnings.warn(f"no confidence for problem {i}: on a resample, {error}", RuntimeWarning, stacklevel=2)
                continue
            if session.interrupted:
                break
            found[i] = replace(found[i], confidences=_confidences(one, found[i], ties, is_trained))
            watch(len(problems) + (i + 1) * int(resamples), total)
    found = [replace(one, origin=Origin.of(name, int(seed), asked)) for one in found]
    return found if isinstance(problem, Sequence) else found[0]


# `help` shows what ``**options`` may be.
discover.__doc__ = (
    f"{inspect.cleandoc(discover.__doc__ or '')}\n\nOptions:\n{textwrap.indent(options_in_words(), '    ')}\n"
)


def _is_quick(problem: Any) -> bool:
    """Whether resamples take seconds. Other maps tell how sure their symmetry is without them."""
    if isinstance(problem, MeanProblem):
        return problem.num_entries <= _MOST_MEANS
    if not isinstance(problem, LinearProblem | GeneralizedLinearProblem) or min(problem.shape) > 1:
        return False
    is_small = isinstance(problem, LinearProblem) or problem.num_entries * len(problem.samples.y) <= _MOST_NUMBERS
    return is_small and problem.num_entries <= _MOST_WEIGHTS


def _solve(method: Method, session: Session) -> list[Discovery]:
    """Propose, select, refit."""
    proposals = _proposals(method, session)
    partitions = [
        partitions_of(problem.slots, proposal.labels(proposal.best))
        for problem, proposal in zip(session.problems, proposals, strict=True)
    ]
    # Values are in the order of the groups, which partitions number by first appearance.
    refits = session.refit(
        [tuple(own[slot.key].labels for slot in p.slots) for p, own in zip(session.problems, partitions, strict=True)]
    )
    return [
        _discovery(session, problem, proposal, own, refit)
        for problem, proposal, own, refit in zip(session.problems, proposals, partitions, refits, strict=True)
    ]


def _proposals(method: Method, session: Session) -> list[Proposal]:
    """What a method proposes for each problem, scored where there is a choice."""
    name, problems = session.method, session.problems
    proposals = method.propose(session, session.options)
    if not isinstance(proposals, Sequence) or not all(isinstance(one, Proposal) for one in proposals):
        raise TypeError(f"method {name!r} must return a list of Proposals, got {types(proposals)}")
    if len(proposals) != len(problems):
        raise ValueError(
            f"method {name!r} must return a Proposal for each of {len(problems)} problems, got {len(proposals)}"
        )
    proposals = list(proposals)
    if METHODS.get(name) is not method:
        proposals = [one.checked(problem.slots, name) for one, problem in zip(proposals, problems, strict=True)]
    open_ones = [p.scores is None and len(p.patterns) > 1 for p in proposals]
    if any(open_ones):
        patterns = [
            [p.labels(i) for i in range(len(p.patterns))] if is_open else []
            for p, is_open in zip(proposals, open_ones, strict=True)
        ]
        losses = [np.asarray(own, float) for own in session.evaluate(patterns)]
        if [len(own) for own in losses] != [len(own) for own in patterns]:
            raise ValueError(f"evaluate must return a loss for each pattern, got {[len(own) for own in losses]}")
        proposals = [
            replace(p, scores=own) if is_open else p
            for p, own, is_open in zip(proposals, losses, open_ones, strict=True)
        ]
    return proposals


def _discovery(
    session: Session, problem: Problem, proposal: Proposal, partitions: dict[str, Partition], refit: Refit
) -> Discovery:
    if not isinstance(refit, Refit) or set(refit.values) != set(partitions):
        got = ", ".join(map(repr, refit.values)) if isinstance(refit, Refit) else type(refit).__name__
        raise ValueError(f"refit must return a Refit with the values of {', '.join(map(repr, partitions))}, got {got}")
    history, about = proposal.history, problem.about()
    if history is None:
        groups = [proposal.num_groups(i) for i in range(len(proposal.patterns))]
        tried = [refit.validation_loss] if proposal.scores is None else proposal.scores
        history = {"num_groups": np.array(groups), "validation_loss": np.asarray(tried)}
    belief = proposal.belief
    draws = {} if proposal.draws is None else dict(zip((s.key for s in problem.slots), proposal.draws, strict=True))
    values = {name: np.asarray(own) for name, own in refit.values.items()}
    for name, own in values.items():
        count = partitions[name].num_groups
        if own.shape[:1] != (count,):
            raise ValueError(f"refit must return {count} values of {name!r}, one a group, got shape {own.shape}")
    if belief is not None and refit.centre is not None and refit.bias is not None:
        # The bias goes with the tied weights; others have the same outputs at the mean of the inputs.
        ((name, tied),) = values.items()
        moved = refit.bias + ((tied[partitions[name].labels] - belief.posterior_mean) * refit.centre).sum(1)
        family = "gaussian" if refit.predictor is None else refit.predictor.family
        belief = replace(belief, predictor=Predictor(family, moved))
    return Discovery(
        slots=tuple(problem.slots),
        partitions=partitions,
        group_values=values,
        method=session.method,
        seed=session.seed,
        history=history,
        about=replace(about, facts=(*about.facts, *refit.facts)),
        bias=refit.bias,
        belief=belief,
        confidences=_drawn(partitions, values, draws, refit.quality.unshared_errors),
        model=refit.model,
        is_of_model=refit.model is not None,
        validation_loss=float(refit.validation_loss),  # NumPy's numbers are no JSON
        no_sharing_loss=float(refit.no_sharing_loss),
        complete=bool(refit.complete),
        settled=bool(refit.settled),
        quality=replace(refit.quality, notes=(*refit.quality.notes, *proposal.notes)),
        predictor=refit.predictor,
    )


def _drawn(
    partitions: dict[str, Partition],
    values: dict[str, np.ndarray],
    draws: dict[str, np.ndarray],
    errors: np.ndarray | None,
) -> dict[str, Confidence]:
    """How often the ties of a discovery are in patterns drawn given the data, by parameter name."""
    confidences, start = {}, 0
    for name, own in draws.items():
        end = start + len(partitions[name])
        gaps = None if errors is None else _gaps(partitions[name], values[name], errors[start:end] ** 2)
        if len(partitions[name]) <= _MOST_DRAWN:
            confidences[name] = Confidence(partitions[name], own, gaps, calibration.DRAWN)
        start = end
    return confidences


def _confidences(
    problem: Problem, found: Discovery, ties: Sequence[dict[str, Partition]], is_trained: bool
) -> dict[str, Confidence]:
    """How often the ties of a discovery were found again on resamples, by parameter name."""
    confidences = {}
    curves = calibration.TRAINED if is_trained else calibration.CLOSED_FORM
    estimate = problem.estimate() if len(found.slots) == 1 else None
    for name, partition in found.partitions.items():
        labels = np.stack([one[name].labels.ravel() for one in ties])
        gaps = None if estimate is None else _gaps(partition, found.group_values[name], estimate.variance)
        confidences[name] = Confidence(partition, labels, gaps, curves)
    return confidences


def _gaps(partition: Partition, values: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(G,) distance of each group's value from the nearest other, in standard errors of an entry; 0 for one group."""
    order = np.argsort(values)
    steps = np.diff(values[order], prepend=-np.inf, append=np.inf)
    gaps = np.empty(len(order))
    gaps[order] = np.minimum(steps[:-1], steps[1:])
    error = np.sqrt(np.bincount(partition.labels.ravel(), variance.ravel()) / partition.group_sizes)
    return np.divide(gaps, error, out=np.zeros(len(gaps)), where=np.isfinite(gaps) & (error > 0))


def _session(problems: Sequence[Any], seed: int, progress: Progress, method: str, options: Any) -> Session:
    session = session_class(problems)(problems, seed, progress, method, options)
    ranks.check_same(session.fingerprint, "problem, method, seed and options")
    return session


def _method(method: str | Method, is_trained: bool) -> Any:
    if not isinstance(method, str):
        if not hasattr(method, "propose") or not hasattr(method, "Options"):
            raise TypeError(
                f"method must be a name or have Options and propose (see equishare.methods.Method), got {method!r}"
            )
        return method
    accepted = methods_for(is_trained)
    if method not in accepted:
        raise ValueError(f"method must be one of {', '.join(accepted)}; got {method!r}")
    return METHODS[method]


@contextmanager
def _progress(progress: Progress | bool | None, method: str) -> Iterator[Progress]:
    if not ranks.is_first():
        yield silent
    elif callable(progress):
        yield progress
    elif progress:
        with progress_bar(f"discover ({method})") as watch:
            yield watch
    else:
        yield silent
