"""Mark parameters of a module as shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from equishare.sharing.assignment import Assignment
from equishare.sharing.parametrization import SharedParameter, register
from equishare.sharing.search import Location, check_module, parameter_locations, settle_ownership, wrapper_of

__all__ = ["check_distinct", "find_parameter", "share"]

_DEFAULT_GROUPS = 128
# The logits hold so many numbers by default, at two groups more.
_DEFAULT_LOGITS = 1 << 21
_INITIAL_STD = 0.1
_NAMES_SHOWN = 20


def share(
    module: nn.Module,
    name: str | Sequence[str],
    num_groups: int | None = None,
    dim: int | None = None,
) -> Assignment:
    """Mark a parameter, or several with one assignment, whose entries may be equal; training decides which are.

        θ[k] = Σ_g A[k,g] ψ[g],  A = softmax(logits, -1)

    The parameter becomes a ``torch.nn.utils.parametrize`` parametrization: ``module.weight`` reads θ, the
    trained tensors are ψ (``module.parametrizations.weight.original``) and the logits (K, G) of the assignment,
    drawn from N(0, 0.1²). ψ starts from G entries of the parameter, evenly spread. Make optimizers afterwards,
    from :func:`sharing_parameters` and :func:`model_parameters`.

    With several names the assignment is a submodule of the first of them, in the order of the module. Its logits or
    labels are in the state dict under this name alone. Take parametrizations off such names together.

    Args:
        module: holds the parameter; its class is replaced by one that reads θ.
        name: of a parameter of the module, dotted for one of a submodule (``"encoder.0.weight"``), or a
            sequence of names to be tied by one assignment, such as ``("weight", "bias")`` along ``dim=0``. All
            have the same number K of entries, or of slices.
        num_groups: G from 1 to K, the most groups that can be found. By default the logits have K columns for slices
            and min(K, 128) for single entries, but fewer where they would hold more than 2²¹ numbers, at least two:
            2 for a million entries. Methods that merge entries and have no use for logits, such as ``auto``, then find
            any number of groups.
        dim: None ties single entries: K = numel, ψ (G,). An axis ties whole slices along it: K = its size, ψ (G, C)
            with C the product of the other sizes; a negative axis counts from the last.

    Returns:
        The assignment.

    Raises:
        TypeError: an argument is of a wrong type, or the parameter is not real and floating.
        ValueError: there is no such parameter, it cannot be shared (shared or parametrized already, the same
            tensor as another, without entries, lazy and not yet initialised, of a recurrent layer, of a sparse
            embedding, or one with max_norm or padding_idx, or of a script module), dim or num_groups is out of range,
            tied names differ in K, dtype or device, or the module is wrapped for distributed training. Nothing is
            changed then.
    """
    check_module(module, "module")
    wrapper = wrapper_of(module)
    if wrapper is not None:
        raise ValueError(
            f"module must be shared before it is wrapped in {wrapper}: its replicas would not get the new parameters"
        )
    names = _names(name)
    locations = {one: find_parameter(module, one) for one in names}
    order = list(parameter_locations(module))
    names.sort(key=order.index)
    check_distinct(locations)
    dims = {one: _axis(dim, one, locations[one]) for one in names}
    shapes = {one: tuple(locations[one].original.shape) for one in names}
    sizes = {one: _num_entries(shapes[one], dims[one]) for one in names}
    _check_equal(names, sizes, "entries" if dim is None else f"slices along dim={dim}")
    first = locations[names[0]].original
    _check_equal(names, {one: locations[one].original.dtype for one in names}, "dtype")
    _check_equal(names, {one: locations[one].original.device for one in names}, "device")
    num_entries = sizes[names[0]]
    columns = _check_groups(num_groups, num_entries, dim)

    logits = torch.randn(num_entries, columns, dtype=first.dtype, device=first.device).mul_(_INITIAL_STD)
    one_shape = dim is None and len(set(shapes.values())) == 1
    assignment = Assignment(shapes[names[0]] if one_shape else (num_entries,), logits=logits)
    assignment.max_groups = num_groups
    for one in names:
        # Where there is a value for each entry, these hold all of the parameter.
        initial = locations[one].original.detach() if columns < num_entries else None
        shared = SharedParameter(assignment, shapes[one], dims[one], initial)
        register(locations[one].owner, locations[one].leaf, shared)
    settle_ownership(module)
    return assignment


def find_parameter(module: nn.Module, name: str) -> Location:
    """A parameter that can be shared.

    Raises:
        TypeError: it is not real and floating.
        ValueError: there is none, or it cannot be shared.
    """
    locations = parameter_locations(module)
    if name not in locations:
        if name in dict(module.named_buffers(remove_duplicate=False)):
            raise ValueError(f"name must be a parameter, got the buffer {name!r}; {_available(locations)}")
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}; {_available(locations)}")
    location = locations[name]
    if location.shared is not None:
        raise ValueError(f"{name!r} is shared already")
    if location.chain is not None:
        kinds = ", ".join(type(one).__name__ for one in location.chain)
        raise ValueError(f"{name!r} is parametrized already, by {kinds}: share it first, then register the others")
    if isinstance(location.owner, nn.RNNBase):
        raise ValueError(
            f"{name!r} belongs to {type(location.owner).__name__}, which reads its weights past any parametrization: "
            f"use the cell, such as torch.nn.LSTMCell"
        )
    if isinstance(location.owner, torch.jit.ScriptModule):
        raise ValueError(f"{name!r} belongs to a script module, which takes no parametrization")
    if isinstance(location.owner, (nn.Embedding, nn.EmbeddingBag)):
        _check_embedding(location.owner, name)
    parameter = location.original
    if isinstance(parameter, UninitializedParameter):
        raise ValueError(f"{name!r} has no shape yet: run the lazy module on a batch before sharing")
    if not parameter.dtype.is_floating_point:
        raise TypeError(f"{name!r} must have a real floating dtype, got {parameter.dtype}")
    if parameter.numel() == 0:
        raise ValueError(f"{name!r} has no entries, its shape is {tuple(parameter.shape)}")
    for other, its in locations.items():
        same_location = its.owner is location.owner and its.leaf == location.leaf
        if not same_location and any(tensor is parameter for tensor in its.tensors):
            raise ValueError(
                f"{name!r} is the same tensor as {other!r}, and only one would be parametrized: give {other!r} a "
                f"parameter of its own, then share both names by one assignment"
            )
    return location


def _check_embedding(owner: nn.Embedding | nn.EmbeddingBag, name: str) -> None:
    """ValueError where an embedding does more with its rows than to read them."""
    if owner.sparse:
        raise ValueError(f"{name!r} belongs to an embedding with sparse=True, whose gradients cannot reach ψ")
    if owner.max_norm is not None:
        raise ValueError(
            f"{name!r} belongs to an embedding with max_norm={owner.max_norm}, which writes into its rows past any "
            "parametrization: max_norm=None, and a penalty or a normalised row in forward"
        )
    if owner.padding_idx is not None:
        raise ValueError(
            f"{name!r} belongs to an embedding with padding_idx={owner.padding_idx}, whose row of zeros must not be "
            "tied to others: padding_idx=None, and multiply what forward reads by a mask"
        )


def _available(locations: dict[str, Location]) -> str:
    names = ", ".join(repr(name) for name in list(locations)[:_NAMES_SHOWN])
    if not names:
        return "it has no parameters"
    return f"its parameters are {names}" + (", …" if len(locations) > _NAMES_SHOWN else "")


def _names(name: Any) -> list[str]:
    names = [name] if isinstance(name, str) else list(name) if isinstance(name, Sequence) else None
    if names is None or not all(isinstance(one, str) for one in names):
        raise TypeError(f"name must be a string or a sequence of strings, got {name!r}")
    if not names:
        raise ValueError("name must hold at least one parameter name, got an empty sequence")
    for one in names:
        if names.count(one) > 1:
            raise ValueError(f"name must not hold a parameter twice, got {one!r} {names.count(one)} times")
    return names


def check_distinct(locations: Mapping[str, Location]) -> None:
    """ValueError if two names reach one parameter, as those of a module used twice do."""
    seen: dict[tuple[int, str], str] = {}
    for name, location in locations.items():
        first = seen.setdefault((id(location.owner), location.leaf), name)
        if first != name:
            raise ValueError(f"a parameter must not be named twice: {first!r} and {name!r} are one")


def _axis(dim: Any, name: str, location: Location) -> int | None:
    if dim is None:
        return None
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise TypeError(f"dim must be an integer or None, got {dim!r}")
    ndim = location.original.dim()
    if not -ndim <= dim < ndim:
        accepted = f"an axis from {-ndim} to {ndim - 1}" if ndim else "None"
        raise ValueError(f"dim must be {accepted} for {name!r} of shape {tuple(location.original.shape)}, got {dim}")
    return dim % ndim


def _num_entries(shape: tuple[int, ...], dim: int | None) -> int:
    return prod(shape) if dim is None else shape[dim]


def _check_equal(names: list[str], found: dict[str, Any], what: str) -> None:
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{name!r}: {found[name]}" for name in names)
        raise ValueError(f"parameters tied by one assignment must agree in {what}, got {listed}")


def _check_groups(num_groups: Any, num_entries: int, dim: int | None) -> int:
    if num_groups is None:
        usual = num_entries if dim is not None else min(num_entries, _DEFAULT_GROUPS)
        return min(usual, max(2, _DEFAULT_LOGITS // num_entries))
    if isinstance(num_groups, bool) or not isinstance(num_groups, int):
        raise TypeError(f"num_groups must be an integer or None, got {num_groups!r}")
    if not 1 <= num_groups <= num_entries:
        what = "entries" if dim is None else "slices"
        raise ValueError(f"num_groups must lie from 1 to {num_entries}, the number of {what}, got {num_groups}")
    return num_groups
