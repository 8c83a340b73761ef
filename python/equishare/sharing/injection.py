"""Pickle and deepcopy for modules with parametrizations.

``torch.nn.utils.parametrize`` gives such a module a class of its own, made on the spot, that no pickle can
name; it refuses pickling, and a deep copy has the original's class, so that removing a parametrization from
one breaks the other. Here the class is rebuilt from the class before it and the names of the parameters.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils import parametrize

__all__ = ["inject", "make_portable"]


def make_portable(cls: type[nn.Module]) -> None:
    """Let instances of a class that parametrize injected be pickled and copied."""
    for name in ("__getstate__", "__deepcopy__"):
        if name in vars(cls):
            delattr(cls, name)
    cls.__reduce_ex__ = _reduce_ex  # type: ignore


def inject(module: nn.Module, names: tuple[str, ...]) -> None:
    """Give a module the class with a property for each name, as parametrize does."""
    parametrize._inject_new_class(module)
    for name in names:
        parametrize._inject_property(module, name)
    make_portable(type(module))


def _reduce_ex(self: Any, protocol: Any) -> tuple[Any, ...]:
    before: Any = type(self).__bases__[0]
    state = before.__reduce_ex__(self, protocol)[2:]
    return (_blank, (before, tuple(self.parametrizations)), *state)


def _blank(before: type[nn.Module], names: tuple[str, ...]) -> nn.Module:
    module = before.__new__(before)
    inject(module, names)
    return module
