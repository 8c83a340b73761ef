"""Where a discovery came from: the call, the data and the versions, so that it can be repeated."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

# An option with a longer repr, an array or a model say, is shown by its type.
_LONGEST_OPTION = 200


@dataclass(frozen=True)
class Origin:
    """What it takes to repeat a discovery.

    Attributes:
        call: the Python call or the command line, quoted for a shell.
        versions: of python, equishare, torch and numpy.
        data: name of the file the samples were read from, or None.
    """

    call: str
    versions: dict[str, str]
    data: str | None = None

    @classmethod
    def of(cls, method: str, seed: int, options: dict[str, Any]) -> Origin:
        """That of a call of :func:`equishare.discover`."""
        arguments = {"method": method, "seed": seed, **options}
        shown = "".join(f", {name}={_shown(value)}" for name, value in arguments.items())
        return cls(f"equishare.discover(problem{shown})", dict(_versions()))


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in ("equishare", "torch", "numpy")}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_OPTION and "\n" not in text else f"<{type(value).__name__}>"
