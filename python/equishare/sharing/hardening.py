"""Turn soft assignments into partitions, and impose given partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from equishare.nn import smallest_label_dtype
from equishare.partition import Partition
from equishare.sharing.assignment import Assignment
from equishare.sharing.parametrization import SharedParameter, register, set_values
from equishare.sharing.registration import check_distinct, find_parameter
from equishare.sharing.search import (
    Location,
    assignments,
    check_complete,
    check_module,
    check_whole,
    parameter_locations,
    settle_ownership,
    shared_locations,
    shared_parameters,
)

__all__ = ["harden", "impose"]


def harden(model: nn.Module) -> dict[str, Partition]:
    """Decide every soft assignment of a model, in place: each entry joins the group of its largest logit.

    Labels take the place of the logits. Groups without an entry lose their values; the others keep them, in order of
    first appearance. A model that is hard already stays as it is. Make a new optimizer afterwards.

    Returns:
        The partition of each shared parameter by its qualified name (``"encoder.0.weight"``), of the parameter's
        shape for single entries, (K,) for slices.

    Raises:
        TypeError: model is no module.
        ValueError: nothing is shared, logits hold NaN or no data, or an assignment ties a parameter outside of
            the model, or FSDP has sharded the model. Nothing is changed then.
    """
    check_module(model, "model")
    check_whole(model)
    locations = shared_locations(model)
    if not locations:
        raise ValueError("model has no shared parameter: call equishare.share first")
    check_complete(model)
    for name, location in locations.items():
        if location.original.is_meta:
            raise ValueError(f"{name!r} is on the meta device and has no data")
    shared_by_name = shared_parameters(model)
    used = {a: _used_groups(a, names[0]) for a, names in assignments(model).items() if not a.is_hard}
    partitions = {name: shared.partition() for name, shared in shared_by_name.items()}
    for name, shared in shared_by_name.items():
        if shared.assignment in used:
            original = locations[name].original
            set_values(original, original.data[torch.from_numpy(used[shared.assignment]).to(original.device)])
    for name, shared in shared_by_name.items():
        if shared.assignment in used and not shared.assignment.is_hard:
            shared.assignment.set_labels(_label_tensor(partitions[name], locations[name]))
        shared.initial = None
    return partitions


def impose(model: nn.Module, partitions: Mapping[str, Any]) -> None:
    """Give parameters of a model these groups, in place; ψ becomes the mean of θ in each group.

    Args:
        model: holds the parameters.
        partitions: by qualified name, a Partition or an array of group names. A parameter that is shared needs
            the shape of its own partition. A parameter that is not shared becomes shared entry by entry, and needs
            its own shape. Names that are tied by one assignment take equal partitions; one of them is enough.

    Raises:
        TypeError: model is no module, partitions no mapping, or labels no integers.
        ValueError: there is no such parameter, or it cannot be shared; a shape differs; tied names got different
            partitions; the model has no data, or FSDP has sharded it. Nothing is changed then.
    """
    check_module(model, "model")
    check_whole(model)
    if not isinstance(partitions, Mapping):
        raise TypeError(f"partitions must be a mapping from names to partitions, got {type(partitions).__name__}")
    check_complete(model)
    locations = parameter_locations(model)
    fresh: dict[str, tuple[Location, Partition]] = {}
    decided: dict[Assignment, tuple[str, Partition]] = {}
    for name, labels in partitions.items():
        partition = _as_partition(name, labels)
        location = locations.get(name)
        if location is None or location.shared is None:
            location = find_parameter(model, name)
        if location.original.is_meta:
            raise ValueError(f"{name!r} is on the meta device and has no data")
        _check_shape(name, location, partition)
        if location.shared is None:
            fresh[name] = (location, partition)
            continue
        first, agreed = decided.setdefault(location.shared.assignment, (name, partition))
        if not np.array_equal(agreed.labels.reshape(-1), partition.labels.reshape(-1)):
            raise ValueError(f"{first!r} and {name!r} are tied by one assignment, but got different partitions")

    check_distinct({name: location for name, (location, _) in fresh.items()})
    shared_by_name = shared_parameters(model)
    users = assignments(model)
    for assignment, (first, partition) in decided.items():
        tied = [(locations[name].original, shared_by_name[name]) for name in users[assignment]]
        with torch.no_grad():
            thetas = [shared(values) for values, shared in tied]
        assignment.set_labels(_label_tensor(partition, locations[first]))
        for (values, shared), theta in zip(tied, thetas, strict=True):
            set_values(values, shared.right_inverse(theta))
            shared.initial = None
    for location, partition in fresh.values():
        assignment = Assignment(partition.shape, labels=_label_tensor(partition, location))
        register(location.owner, location.leaf, SharedParameter(assignment, partition.shape, None))
    settle_ownership(model)


def _used_groups(assignment: Assignment, name: str) -> NDArray[np.int64]:
    # Groups that have an entry, in order of first appearance.
    try:
        labels = assignment.partition().labels.reshape(-1)
    except ValueError as error:
        raise ValueError(f"logits of {name!r}: {error}") from None
    _, first = np.unique(labels, return_index=True)
    rows = assignment.logits.detach()[torch.from_numpy(first).to(assignment.logits.device)]
    return rows.double().cpu().numpy().argmax(-1)


def _label_tensor(partition: Partition, location: Location) -> torch.Tensor:
    dtype = smallest_label_dtype(partition.num_groups)
    return torch.tensor(partition.labels.reshape(-1), dtype=dtype, device=location.original.device)


def _as_partition(name: str, labels: Any) -> Partition:
    if isinstance(labels, Partition):
        return labels
    try:
        return Partition(labels)
    except (TypeError, ValueError) as error:
        raise type(error)(f"partitions[{name!r}]: {error}") from None


def _check_shape(name: str, location: Location, partition: Partition) -> None:
    shared = location.shared
    if shared is None:
        accepted, what = tuple(location.original.shape), "the parameter's shape, as it is not shared along an axis"
    elif shared.dim is None:
        accepted, what = shared.shape, "the parameter's shape"
    else:
        accepted, what = (shared.assignment.num_entries,), f"one label for each slice along dim={shared.dim}"
    if partition.shape != accepted:
        raise ValueError(f"partitions[{name!r}] must have shape {accepted}, {what}; got {partition.shape}")
