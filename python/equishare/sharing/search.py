"""Find the shared parameters of a model, and the parameters of the lower and the upper level."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.utils import parametrize

from equishare.sharing.assignment import Assignment
from equishare.sharing.parametrization import SharedParameter

__all__ = [
    "Location",
    "assignments",
    "check_complete",
    "check_module",
    "check_whole",
    "model_parameters",
    "parameter_locations",
    "settle_ownership",
    "shared_parameters",
    "shared_locations",
    "sharing_parameters",
    "wrapper_of",
]

_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel", "FSDPModule")


@dataclass(frozen=True)
class Location:
    """Where a parameter lives: ``getattr(owner, leaf)``."""

    owner: nn.Module
    leaf: str

    @property
    def chain(self) -> parametrize.ParametrizationList | None:
        """Its parametrizations, if it has any."""
        if not parametrize.is_parametrized(self.owner, self.leaf):
            return None
        return self.owner.parametrizations[self.leaf]  # type: ignore

    @property
    def shared(self) -> SharedParameter | None:
        """Its sharing, if it is shared."""
        first = None if self.chain is None else self.chain[0]
        return first if isinstance(first, SharedParameter) else None

    @property
    def tensors(self) -> list[nn.Parameter]:
        """The parameter, or those that its parametrizations start from."""
        return [getattr(self.owner, self.leaf)] if self.chain is None else list(self.chain.parameters(recurse=False))

    @property
    def original(self) -> nn.Parameter:
        """The parameter; ψ if it is shared."""
        return self.tensors[0]


def assignments(model: nn.Module) -> dict[Assignment, list[str]]:
    """Every assignment of a model, once, and the qualified names of the parameters that it ties.

    Both in the order of the model; for the axes see :func:`shared_parameters`.

    Raises:
        TypeError: model is no module.
    """
    found: dict[Assignment, list[str]] = {}
    for name, shared in shared_parameters(model).items():
        found.setdefault(shared.assignment, []).append(name)
    return found


def shared_parameters(model: nn.Module) -> dict[str, SharedParameter]:
    """Qualified names of the shared parameters, and of each its ``assignment``, ``shape`` and ``dim``.

    Raises:
        TypeError: model is no module.
    """
    check_module(model, "model")
    return {name: location.shared for name, location in shared_locations(model).items() if location.shared is not None}


def wrapper_of(module: nn.Module) -> str | None:
    """What spreads a module, or a part of it, over several processes or devices: the name of torch's class, or None."""
    # By name: to load what was not used would take long.
    kinds = {kind.__name__ for one in module.modules() for kind in type(one).__mro__ if kind.__module__[:6] == "torch."}
    return next((name for name in _WRAPPERS if name in kinds), None)


def check_whole(model: nn.Module) -> None:
    """A model has its weights in this process.

    Raises:
        ValueError: FSDP has spread them over several.
    """
    wrapper = wrapper_of(model)
    if wrapper in ("FullyShardedDataParallel", "FSDPModule"):
        raise ValueError(
            f"model must have whole weights, but {wrapper} has spread them over processes: load its full state dict "
            "into the model as it was before it was wrapped"
        )


def sharing_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The logits of all soft assignments, each once: the upper level.

    Raises:
        TypeError: model is no module.
    """
    return [assignment.logits for assignment in assignments(model) if not assignment.is_hard]


def model_parameters(model: nn.Module) -> list[nn.Parameter]:
    """All parameters but the logits, values of groups included, each once: the lower level.

    Raises:
        TypeError: model is no module.
    """
    logits = {id(parameter) for parameter in sharing_parameters(model)}
    return [parameter for parameter in model.parameters() if id(parameter) not in logits]


def check_module(module: object, name: str) -> None:
    """A torch.nn.Module, else TypeError."""
    if isinstance(module, Assignment):
        raise TypeError(f"{name} must be the module that was shared, got the Assignment that share returns")
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(module).__name__}")


def check_complete(model: nn.Module) -> None:
    """ValueError if an assignment serves parameters outside of the model: they would lose their groups."""
    for assignment, names in assignments(model).items():
        if len(names) < assignment.num_tied:
            raise ValueError(
                f"{names[0]!r} is tied to {assignment.num_tied - len(names)} parameter(s) that are not, or no longer, "
                f"shared in this model: pass the module that holds all of them"
            )


def parameter_locations(module: nn.Module) -> dict[str, Location]:
    """All parameters by qualified name; a parametrized one has the name that it had before."""
    locations: dict[str, Location] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        if isinstance(owner, (parametrize.ParametrizationList, Assignment)):
            continue  # ψ, logits, and what other parametrizations start from
        leaves = [leaf for leaf, parameter in owner._parameters.items() if parameter is not None]
        if parametrize.is_parametrized(owner):
            chains = owner.parametrizations.items()
            leaves += [leaf for leaf, chain in chains if any(True for _ in chain.parameters(recurse=False))]
        for leaf in leaves:
            locations[f"{prefix}.{leaf}" if prefix else leaf] = Location(owner, leaf)
    return locations


def shared_locations(model: nn.Module) -> dict[str, Location]:
    """The shared parameters by qualified name; if two names reach a parameter, by the first."""
    locations: dict[str, Location] = {}
    for prefix, owner in model.named_modules():
        if parametrize.is_parametrized(owner):
            for leaf in owner.parametrizations:
                if Location(owner, leaf).shared is not None:
                    locations[f"{prefix}.{leaf}" if prefix else leaf] = Location(owner, leaf)
    return locations


def settle_ownership(model: nn.Module) -> None:
    """Make each assignment that is no submodule yet one of the first parametrization that uses it."""
    seen: dict[Assignment, list[SharedParameter]] = {}
    for shared in shared_parameters(model).values():
        seen.setdefault(shared.assignment, []).append(shared)
    for users in seen.values():
        if not any(shared.owns_assignment for shared in users):
            users[0].own()
