"""Store a hardened model small."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from equishare.nn import SharedConv1d, SharedConv2d, SharedEmbedding, SharedLinear
from equishare.sharing.assignment import Assignment
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
    """Copy of a hardened model that stores a few values and small integer labels for each layer.

    Each ``torch.nn.Linear``, ``Conv1d``, ``Conv2d`` and ``Embedding`` whose weight is hard and shared entry by entry
    becomes the layer of ``equishare.nn`` with the same outputs (:class:`equishare.nn.SharedLinear` and so on); its
    bias keeps the parametrizations that it has. Everything else stays as it is: values and labels behind a
    parametrization. That includes subclasses of these layers, layers with hooks or a forward of their own, weights
    with further parametrizations, and embeddings with ``scale_grad_by_freq``: a replacement would lose these. Layers
    that share an assignment get labels of their own each, so that every tensor of the state can be saved alone.

    Returns:
        A deep copy; the compact layer itself if the model is one layer.

    Raises:
        TypeError: model is no module.
        ValueError: nothing in the model is hard, or FSDP has sharded it.
    """
    check_module(model, "model")
    check_whole(model)
    if not any(assignment.is_hard for assignment in assignments(model)):
        raise ValueError("model has no hard shared parameter: call equishare.harden first")
    replica = copy.deepcopy(model)
    small: dict[nn.Module, nn.Module] = {}
    locations = shared_locations(replica).values()
    # What stays as it is keeps the labels of its assignment.
    taken = {one.shared.assignment for one in locations if one.shared is not None and not _is_replaceable(one)}
    for location in locations:
        if location.owner not in small and _is_replaceable(location):
            small[location.owner] = _compact_layer(location, taken)
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


def _linear(plain: Any, labels: Tensor, bias: bool) -> nn.Module:
    return SharedLinear(plain.in_features, plain.out_features, labels, bias, device="meta")


def _convolution(kind: type[SharedConv1d] | type[SharedConv2d]) -> Callable[[Any, Tensor, bool], nn.Module]:
    def make(plain: Any, labels: Tensor, bias: bool) -> nn.Module:
        options = (plain.stride, plain.padding, plain.dilation, plain.groups, bias, plain.padding_mode)
        return kind(plain.in_channels, plain.out_channels, plain.kernel_size, labels, *options, device="meta")

    return make


def _embedding(plain: Any, labels: Tensor, bias: bool) -> nn.Module:
    return SharedEmbedding(plain.num_embeddings, plain.embedding_dim, labels, device="meta")


_COMPACT: dict[type[nn.Module], Callable[[Any, Tensor, bool], nn.Module]] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution(SharedConv1d),
    nn.Conv2d: _convolution(SharedConv2d),
    nn.Embedding: _embedding,
}


def _is_replaceable(location: Location) -> bool:
    owner: Any = location.owner
    shared = location.shared
    kind = parametrize.type_before_parametrizations(owner)
    if location.leaf != "weight" or kind not in _COMPACT:
        return False
    if kind is nn.Embedding and owner.scale_grad_by_freq:
        return False
    if shared is None or shared.dim is not None or not shared.assignment.is_hard:
        return False
    hooks = any(value for key, value in vars(owner).items() if key.endswith("_hooks"))
    return not hooks and "forward" not in vars(owner) and location.chain is not None and len(location.chain) == 1


def _compact_layer(location: Location, taken: set[Assignment]) -> nn.Module:
    plain: Any = location.owner
    assert location.shared is not None
    labels = location.shared.assignment.labels.reshape(location.shared.shape)
    if location.shared.assignment in taken:
        labels = labels.clone()
    taken.add(location.shared.assignment)
    bias = plain._parameters.get("bias")
    # On the meta device nothing is drawn: torch's generator stays where it is.
    make = _COMPACT[parametrize.type_before_parametrizations(plain)]
    small: Any = make(plain, labels, bias is not None)
    small.values = location.original
    if isinstance(small, SharedLinear):
        small.codes = small.encoded(labels)
    else:
        small.labels = labels
    if bias is not None:
        small.bias = bias
    elif parametrize.is_parametrized(plain, "bias"):
        del small.bias
        inject(small, ("bias",))
        small.parametrizations = nn.ModuleDict({"bias": plain.parametrizations["bias"]})
    return small.train(plain.training)
