"""The packages of ``pip install 'equishare[symmetry]'``, loaded only when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from equishare.extras import installing


def load_extra(name: str) -> Any:
    """A module of igraph or sympy.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ImportError(f"symmetry groups need {package}: {installing('symmetry')}") from None


def prime_factors(number: int) -> list[int]:
    """The primes that divide a number, increasing."""
    primes: list[int] = load_extra("sympy").primefactors(number)
    return primes
