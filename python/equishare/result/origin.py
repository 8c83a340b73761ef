"""Where a discovery came from: the call, the data and the versions that it takes to repeat it."""

from __future__ import annotations

import platform
from collections.abc import Sized
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from equishare.problems.network.problem import ModelProblem
from equishare.problems.linear import Problem

# An option with a longer repr, an array or a model say, is shown by its type.
_LONGEST_OPTION = 200


@dataclass(frozen=True)
class Origin:
    """What it takes to repeat a discovery.

    Attributes:
        call: the Python call or the command line, quoted for a shell.
        num_train, num_val: number of samples; None where they come from a DataLoader without a length.
        versions: of python, equishare, torch and numpy.
        data: name of the file the samples were read from, or None.
    """

    call: str
    num_train: int | None
    num_val: int | None
    versions: dict[str, str]
    data: str | None = None

    @classmethod
    def of(cls, problem: Problem | ModelProblem, method: str, seed: int, options: dict[str, Any]) -> Origin:
        """That of a call of :func:`equishare.discover`."""
        arguments = {"method": method, "seed": seed, **options}
        shown = "".join(f", {name}={_shown(value)}" for name, value in arguments.items())
        if isinstance(problem, ModelProblem):
            train, val = (len(s) if isinstance(s, Sized) else None for s in (problem.train, problem.val))
        else:
            train, val = problem.num_train, problem.num_val
        versions = {"python": platform.python_version()} | {n: version(n) for n in ("equishare", "torch", "numpy")}
        return cls(f"equishare.discover(problem{shown})", train, val, versions)

    @classmethod
    def from_archive(cls, about: dict[str, Any] | None) -> Origin | None:
        """What :func:`dataclasses.asdict` made of one."""
        return None if about is None else cls(**about)

    @staticmethod
    def to_archive(origin: Origin | None) -> dict[str, Any] | None:
        """A JSON document, or None."""
        return None if origin is None else asdict(origin)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_OPTION and "\n" not in text else f"<{type(value).__name__}>"
