"""The parametrization of one shared parameter: it forms θ from the values ψ of the groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from equishare import ops
from equishare.partition import Partition
from equishare.sharing.assignment import Assignment
from equishare.sharing.injection import make_portable

__all__ = ["SharedParameter", "register", "set_values"]


class SharedParameter(nn.Module):
    """Forms θ of one parameter from the values of its groups; other parameters may use the same assignment.

    The values are (G,) for single entries and (G, C) for slices, C the product of the other sizes.

    Args:
        assignment: of K entries, or of K slices along ``dim``.
        shape: shape of θ.
        dim: axis of the slices, 0 or more; None for single entries.
        initial: θ before it was shared, of which ψ holds only a part; a search starts from all of it.
    """

    assignment: Assignment

    def __init__(
        self, assignment: Assignment, shape: tuple[int, ...], dim: int | None, initial: Tensor | None = None
    ) -> None:
        super().__init__()
        self.initial = initial
        # Not a submodule here: see own().
        self.__dict__["assignment"] = assignment
        self.shape = tuple(shape)
        self.dim = dim

    @property
    def owns_assignment(self) -> bool:
        """Whether the assignment is a submodule of this parametrization."""
        return "assignment" in self._modules

    def own(self) -> None:
        """Make the assignment a submodule.

        Only one parametrization may do so for each assignment. Where two names reach a module,
        ``torch.func.functional_call`` swaps its tensors twice, and cannot restore them.
        """
        self.assignment = self.__dict__.pop("assignment")

    def forward(self, values: Tensor) -> Tensor:
        """The parameter from the values of its groups."""
        entries = self.assignment(values)
        if self.dim is None:
            return entries.view(self.shape)
        rest = self.shape[: self.dim] + self.shape[self.dim + 1 :]
        return entries.view(-1, *rest).movedim(0, self.dim)

    def right_inverse(self, theta: Tensor) -> Tensor:
        """Values for a given θ: the means of hard groups; G of the entries, evenly spread, while soft.

        Raises:
            ValueError: θ has not the shape of the parameter.
        """
        if theta.shape != self.shape:
            raise ValueError(f"the shared parameter has shape {self.shape}, got a value of shape {tuple(theta.shape)}")
        size = theta.numel() if self.dim is None else theta.shape[self.dim]
        entries = theta.reshape(-1) if self.dim is None else theta.movedim(self.dim, 0).reshape(size, -1)
        groups = self.assignment.num_groups
        if not self.assignment.is_hard:
            index = torch.arange(groups, device=theta.device) * (size - 1) // max(groups - 1, 1)
            return entries[index]
        labels = self.assignment.labels
        wide = entries if entries.dtype == torch.float64 else entries.float()
        counts = torch.bincount(labels, minlength=groups).to(wide.dtype)
        means = ops.hard_scatter(labels, wide, groups) / counts.reshape(-1, *(1,) * (wide.dim() - 1))
        return means.to(theta.dtype)

    def initial_entries(self, values: Tensor) -> Tensor | None:
        """θ before it was shared, (K,) or (K, C); None where ψ has been trained since, or is of other entries."""
        initial = self.__dict__.get("initial")
        if initial is None or self.assignment.is_hard or initial.shape != self.shape:
            return None
        initial = initial.to(values)
        if not torch.equal(self.right_inverse(initial), values):
            return None
        if self.dim is None:
            return initial.flatten().clone()
        return initial.movedim(self.dim, 0).reshape(self.assignment.num_entries, -1).clone()

    def partition(self) -> Partition:
        """The groups, in the shape of the parameter for single entries, (K,) for slices.

        Raises:
            ValueError: the logits hold NaN.
        """
        partition = self.assignment.partition()
        return partition if self.dim is not None else Partition(partition.labels.reshape(self.shape))

    def extra_repr(self) -> str:
        """Shape and axis."""
        return f"shape={self.shape}, dim={self.dim}"


def register(owner: nn.Module, leaf: str, shared: SharedParameter) -> None:
    """Replace a parameter, which :func:`equishare.share` has checked, by its parametrization."""
    parameter = getattr(owner, leaf)
    # Its shape is about to change.
    parameter.grad = None
    _forget_graphs(parameter)
    parametrize.register_parametrization(owner, leaf, shared)
    make_portable(type(owner))
    owner.parametrizations[leaf].register_load_state_dict_pre_hook(_adopt_hard_state)  # type: ignore
    shared.assignment.num_tied += 1


def set_values(parameter: nn.Parameter, values: Tensor) -> None:
    """New values of another shape; the parameter stays the object that it was."""
    parameter.grad = None
    _forget_graphs(parameter)
    parameter.data = values


def _forget_graphs(parameter: nn.Parameter) -> None:
    # A graph that is still alive keeps the gradient accumulator of the parameter, which expects the old shape for ever.
    # Torch drops the accumulator only when the dtype or the device changes.
    data = parameter.data
    other = torch.float32 if data.dtype != torch.float32 else torch.float64
    parameter.data = torch.empty(0, dtype=other, device=data.device)
    parameter.data = data


def _adopt_hard_state(
    module: Any,
    state: dict[str, Any],
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """Give the module the form of a hardened state, so that a soft model, or one with other groups, can load it."""
    shared: SharedParameter = module[0]
    assignment = shared.assignment
    values = state.get(f"{prefix}original")
    labels = state.get(f"{prefix}0.assignment.labels")
    if shared.owns_assignment and labels is not None and values is not None:
        if labels.shape != (assignment.num_entries,):
            error_msgs.append(
                f"{prefix}0.assignment.labels must have shape ({assignment.num_entries},), got {tuple(labels.shape)}"
            )
            return
        if not labels.is_meta and int(labels.max()) + 1 != len(values):
            error_msgs.append(
                f"{prefix}0.assignment.labels name {int(labels.max()) + 1} groups, {prefix}original holds {len(values)}"
            )
            return
        assignment.set_labels(labels.detach().clone().to(module.original.device))
    elif shared.owns_assignment and assignment.is_hard and f"{prefix}0.assignment.logits" in state:
        error_msgs.append(
            f"{prefix}0.assignment is soft in the state and hard in the model: "
            f"load the state into a model that is shared and not hardened"
        )
    if assignment.is_hard and values is not None:
        current = module.original
        if values.shape[1:] == current.shape[1:] and len(values) != len(current):
            set_values(current, current.data.new_empty(values.shape))
