"""Parameters as trees of tensors, and as the rows of one matrix that the solvers work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, keystr, tree_flatten_with_path, tree_unflatten


@dataclass(frozen=True)
class Tree:
    """The parameters of one level.

    ``pack`` lays the leaves side by side in a matrix (R, n): one row for each replica, a single row without replicas.

    Attributes:
        name: of the argument they came in.
        leaves: detached tensors that share memory with the argument's; with replicas each is (R, ...).
        paths: name of each leaf, for errors.
        spec: structure.
        batched: whether there are replicas.
        rows: their number R; 1 without replicas.
    """

    name: str
    leaves: list[Tensor]
    paths: list[str]
    spec: TreeSpec
    batched: bool
    rows: int

    @property
    def size(self) -> int:
        """Entries n of one replica."""
        return sum(x.numel() for x in self.leaves) // self.rows

    def build(self, leaves: Sequence[Tensor]) -> Any:
        """The structure of the argument with other leaves."""
        return tree_unflatten(leaves, self.spec)

    def pack(self, parts: Sequence[Tensor]) -> Tensor:
        """Rows (R, n), in the widest dtype of the parts and at least float32."""
        dtype = torch.float32
        for part in parts:
            dtype = torch.promote_types(dtype, part.dtype)
        return torch.cat([part.detach().reshape(self.rows, -1).to(dtype) for part in parts], 1)

    def unpack(self, matrix: Tensor) -> list[Tensor]:
        """Parts of the shapes and dtypes of the leaves."""
        widths = [x.numel() // self.rows for x in self.leaves]
        parts = matrix.split(widths, 1)
        return [part.reshape(x.shape).to(x.dtype) for part, x in zip(parts, self.leaves, strict=True)]

    def check_finite(self, matrix: Tensor, what: str) -> None:
        """FloatingPointError that says what is not finite, in which parameter and replica."""
        if bool(torch.isfinite(matrix).all()):
            return
        for path, x, part in zip(self.paths, self.leaves, self.unpack(matrix), strict=True):
            bad = ~torch.isfinite(part.reshape(self.rows, -1))
            if bad.any():
                replica = f", replica {int(bad.any(1).nonzero()[0])}" if self.batched else ""
                raise FloatingPointError(
                    f"{what} is not finite in {path}{replica}: {int(bad.sum())} of {x.numel()} entries are NaN or inf"
                )
        raise FloatingPointError(f"{what} is not finite")


def make_tree(name: str, tree: Any, batched: bool) -> Tree:
    """Checked parameters; TypeError or ValueError names the leaf at fault."""
    found, spec = tree_flatten_with_path(tree)
    leaves, paths = [x for _, x in found], [name + keystr(path) for path, _ in found]
    for path, x in zip(paths, leaves, strict=True):
        if not isinstance(x, Tensor):
            raise TypeError(f"{path} must be a torch.Tensor, or a dict, list or tuple of them, got {type(x).__name__}")
        if not x.dtype.is_floating_point:
            raise TypeError(f"{path} must have a floating dtype, got {x.dtype}")
        if x.device != leaves[0].device:
            raise ValueError(f"{path} must be on the device of {paths[0]}, {leaves[0].device}, got {x.device}")
        if batched and (x.dim() == 0 or x.shape[0] != leaves[0].shape[0]):
            like = f"{leaves[0].shape[0]} as of {paths[0]}" if leaves[0].dim() else "R"
            raise ValueError(
                f"{path} must have a leading axis of one size for all replicas with batch_dims=1, {like}, "
                f"got shape {tuple(x.shape)}"
            )
    if sum(x.numel() for x in leaves) == 0:
        raise ValueError(f"{name} must hold at least one entry, got {'no tensors' if not leaves else 'empty tensors'}")
    rows = leaves[0].shape[0] if batched else 1
    return Tree(name, [x.detach() for x in leaves], paths, spec, batched, rows)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, (R, n), (R, n) -> (R,)."""
    return (a * b).sum(1)


def norm(a: Tensor) -> Tensor:
    """Norm of each row, (R, n) -> (R,); scaled so that squares neither underflow nor overflow."""
    largest = a.abs().amax(1)
    scale = torch.where(largest > 0, largest, torch.ones_like(largest))
    return largest * (a / scale[:, None]).square().sum(1).sqrt()


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b`` of norms, with 0 / 0 = 0 and a / 0 = inf."""
    return torch.where(a == 0, torch.zeros_like(a), a / b)
