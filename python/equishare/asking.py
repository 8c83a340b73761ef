"""What ``discover`` was asked: problems, or the arrays of a map."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from equishare.problems import LinearProblem
from equishare.problems.base import Problem, Session


def problem_and_method(problem: Any, y: Any, method: Any, seed: int) -> tuple[Any, Any]:
    """The problem and the method, from arguments in either form."""
    if problem is None and _is_data(y):
        raise TypeError("discover takes inputs x and outputs y, got y alone: discover(x, y)")
    if _is_problem(problem) or isinstance(problem, list | tuple) and any(map(_is_problem, problem)):
        if y is None:
            return problem, method
        if method != "auto" or _is_data(y) or _is_problem(y):
            raise TypeError(
                f"y must not stand beside a problem, which holds its data, got {types(y)}: discover(problem, method) "
                "takes a problem or a list of problems, discover(x, y, method) arrays"
            )
        return problem, y
    if _is_data(problem) and (y is None or isinstance(y, str)):
        kind = "dict of columns" if isinstance(problem, Mapping) else "array"
        got = f"one {kind} of samples" if y is None else f"one {kind} and y={y!r}, which is no array"
        raise TypeError(
            f"problem must be a problem, or inputs x followed by outputs y, got {got}: "
            "MeanProblem(samples) asks which means are equal, discover(x, y) which weights of the map from x to y, "
            "CovarianceProblem(samples) which variables are interchangeable"
        )
    if _is_problem(y):
        raise TypeError(
            f"y must be outputs of a map, got a {type(y).__name__}: discover(problem) takes a problem alone"
        )
    return (problem, method) if y is None or isinstance(y, str) else (LinearProblem(problem, y, seed=seed), method)


def _is_data(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and isinstance(value[0], list | tuple | float | np.ndarray | Tensor)
    return isinstance(value, Mapping) or hasattr(value, "__array__") or hasattr(value, "columns")


def as_problems(problem: Any) -> list[Any]:
    """One problem or a batch of them as a list.

    Raises:
        TypeError: something else, or problems of several kinds.
        ValueError: an empty list, or problems that are no batch.
    """
    if isinstance(problem, str | os.PathLike):
        path = os.fspath(problem)
        raise TypeError(
            f"problem must be data, got the text {path!r}: a file is read first (pandas.read_csv, numpy.load), or "
            "asked in a terminal by equishare discover FILE"
        )
    problems = [problem] if _is_problem(problem) else problem
    if not isinstance(problems, Sequence) or not all(map(_is_problem, problems)):
        raise TypeError(
            "problem must be a MeanProblem, a LinearProblem, a GeneralizedLinearProblem, a FactorProblem, a "
            "CovarianceProblem, a ModelProblem (for a torch.nn.Module with its data), one of your own (see "
            f"equishare.problems.Problem) or a list of one of them, got {types(problem)}"
        )
    if not problems:
        raise ValueError("problem must not be an empty list")
    kinds = {session_class([one]) for one in problems}
    if len(kinds) > 1:
        names = ", ".join(sorted({type(one).__name__ for one in problems}))
        raise TypeError(f"problem must be a list of problems of one kind, got {names}")
    kinds.pop().check(problems)
    return list(problems)


def _is_problem(one: Any) -> bool:
    return isinstance(one, Problem) and not isinstance(one, type)


def types(problem: Any) -> str:
    """What was given, in words of types."""
    if not isinstance(problem, list | tuple):
        return type(problem).__name__
    return f"a {type(problem).__name__} of {', '.join(sorted({type(one).__name__ for one in problem}))}"


def session_class(problems: Sequence[Any]) -> type[Session]:
    """The session that solves problems of this kind."""
    return getattr(problems[0], "Session", Session)
