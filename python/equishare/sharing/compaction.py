"""Store a hardened model small."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from equishare.nn import SharedLinear
from equishare.sharing.injection import inject
from equishare.sharing.search import (
    Location,
    assignments,
    check_module,
    check_whole,
    settle_ownership,
    shared_locations,
)

__all__ = ["compact"]


def compact(model: nn.Module) -> nn.Module:
    """Copy of a hardened model that stores a few values and small integer labels for each linear layer.

    Each ``torch.nn.Linear`` whose weight is hard and shared entry by entry becomes an
    :class:`equishare.nn.SharedLinear` with the same outputs; its bias keeps the parametrizations that it has.
    Everything else stays as it is: values and labels behind a parametrization. That includes subclasses of Linear,
    layers with hooks or a forward of their own, and weights with further parametrizations: a replacement would lose
    these.

    Returns:
        A deep copy; the SharedLinear itself if the model is one linear layer.

    Raises:
        TypeError: model is no module.
        ValueError: nothing in the model is hard, or FSDP has sharded it.
    """
    check_module(model, "model")
    check_whole(model)
    if not any(assignment.is_hard for assignment in assignments(model)):
        raise ValueError("model has no hard shared parameter: call equishare.harden first")
    replica = copy.deepcopy(model)
    small = {
        location.owner: _shared_linear(location)
        for location in shared_locations(replica).values()
        if _is_replaceable(location)
    }
    if replica in small:
        replica = small[replica]
    for parent in list(replica.modules()):
        for name, child in parent._modules.items():
            if child in small:
                parent._modules[name] = small[child]
    for assignment, names in assignments(replica).items():
        assignment.num_tied = len(names)
    settle_ownership(replica)
    return replica


def _is_replaceable(location: Location) -> bool:
    owner, shared = location.owner, location.shared
    if location.leaf != "weight" or parametrize.type_before_parametrizations(owner) is not nn.Linear:
        return False
    if shared is None or shared.dim is not None or not shared.assignment.is_hard:
        return False
    hooks = any(value for key, value in vars(owner).items() if key.endswith("_hooks"))
    return not hooks and "forward" not in vars(owner) and location.chain is not None and len(location.chain) == 1


def _shared_linear(location: Location) -> SharedLinear:
    linear: Any = location.owner
    assert location.shared is not None
    labels = location.shared.assignment.labels.reshape(location.shared.shape)
    bias = linear._parameters.get("bias")
    # On the meta device nothing is drawn: torch's generator stays where it is.
    small = SharedLinear(linear.in_features, linear.out_features, labels, bias=bias is not None, device="meta")
    small.values, small.codes = location.original, small.encoded(labels)
    if bias is not None:
        small.bias = bias
    elif parametrize.is_parametrized(linear, "bias"):
        del small.bias
        inject(small, ("bias",))
        small.parametrizations = nn.ModuleDict({"bias": linear.parametrizations["bias"]})
    return small.train(linear.training)
