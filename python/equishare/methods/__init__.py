"""Methods: each proposes patterns for a batch of problems. Every file of this package with ``propose`` is a method."""

from __future__ import annotations

import pkgutil
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any, Protocol

from equishare.checks import CLOSED_FORM, TRAINED, defaults_of, names_of
from equishare.problems.base import Proposal, Session

__all__ = ["METHODS", "Method", "methods_for", "name_of", "options_in_words"]


class Method(Protocol):
    """What proposes patterns: a module of this package, or any object with these members.

    Attributes:
        Options: a frozen data class, whose fields are the keyword options of the method and whose docstring is their
            documentation; see :mod:`equishare.checks` for fields that check themselves.

    It may also have ``NEEDS_ESTIMATE = True``, if it does not take problems that are trained, and ``SEARCHES = False``,
    if the answer is given to it, so that resamples would tell nothing. ``KEEPS_WITHIN = True`` says that it ties only
    entries of one block where a problem has ``within``; other methods do not get such problems.
    """

    Options: type[Any]

    def propose(self, session: Session, options: Any) -> Sequence[Proposal]:
        """One proposal for each problem of the session."""


def _registered() -> dict[str, Any]:
    found = {}
    for module in pkgutil.iter_modules(__path__):
        one = import_module(f"{__name__}.{module.name}")
        if hasattr(one, "propose"):
            found[module.name] = one
    # The default first.
    return dict(sorted(found.items(), key=lambda pair: (pair[0] != "auto", pair[0])))


#: The methods by name.
METHODS: dict[str, Any] = _registered()


def name_of(method: Any) -> str:
    """What a method is called: the last part of a module's name, else its ``name`` or that of its class."""
    named = getattr(method, "__name__", None) or getattr(method, "name", None) or type(method).__name__
    return str(named).rpartition(".")[2]


def methods_for(is_trained: bool, without_options: bool = False) -> list[str]:
    """Names of the methods that take problems of a kind.

    Args:
        is_trained: whether a pattern has to be trained to be evaluated.
        without_options: leave out those that need an option.
    """
    kind = TRAINED if is_trained else CLOSED_FORM
    taken = [name for name, one in METHODS.items() if not (is_trained and getattr(one, "NEEDS_ESTIMATE", False))]
    if not without_options:
        return taken
    needed = {name: {f.name for f in fields(METHODS[name].Options) if f.default is MISSING} for name in taken}
    return [name for name in taken if not needed[name] & set(names_of(METHODS[name].Options, kind))]


def options_in_words() -> str:
    """The options of each method with their defaults, for ``help``."""
    lines = []
    for name, method in METHODS.items():
        closed, trained = (defaults_of(method.Options, kind) for kind in (CLOSED_FORM, TRAINED))
        takes_networks = name in methods_for(is_trained=True)
        for kind, own in (("", closed), (", networks", trained if takes_networks else {})):
            listed = ", ".join(f"{key}={value}" for key, value in own.items())
            if own or not kind:
                lines.append(textwrap.fill(f"{name}{kind}: {listed or 'none'}", 100, subsequent_indent="    "))
    return "\n".join(lines)
