"""Which entries share a value: assignment logits during training, integer labels once the groups are decided."""

from __future__ import annotations

from torch import Tensor, nn

from equishare import ops
from equishare.partition import Partition

__all__ = ["Assignment"]


class Assignment(nn.Module):
    """Assignment of K entries, or of K slices, to G groups; one may serve several parameters.

    Soft, ``θ = A ψ`` with ``A = softmax(logits, -1)``; hard, ``θ[k] = ψ[labels[k]]``. Made by
    :func:`equishare.share`.

    Attributes:
        logits: (K, G) Parameter, while soft.
        labels: (K,) buffer, once hard: uint8 for at most 256 groups, int16 for at most 32,768, else int32.
        shape: shape of :meth:`partition`, which has K entries.
        num_tied: number of parameters that it serves.
        max_groups: the most groups that may be found, where :func:`equishare.share` was given a number; else None.
    """

    logits: nn.Parameter
    labels: Tensor
    shape: tuple[int, ...]
    num_tied: int
    max_groups: int | None = None

    def __init__(self, shape: tuple[int, ...], logits: Tensor | None = None, labels: Tensor | None = None) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.num_tied = 0
        if logits is not None:
            self.logits = nn.Parameter(logits)
        if labels is not None:
            self.set_labels(labels)

    @property
    def is_hard(self) -> bool:
        """Whether the groups are decided."""
        return "labels" in self._buffers

    @property
    def num_entries(self) -> int:
        """K."""
        return self.labels.shape[0] if self.is_hard else self.logits.shape[0]

    @property
    def num_groups(self) -> int:
        """G."""
        return int(self.labels.max()) + 1 if self.is_hard else self.logits.shape[1]

    def forward(self, values: Tensor) -> Tensor:
        """Entries (K,) from values (G,), or slices (K, C) from values (G, C)."""
        if self.is_hard:
            return ops.hard_gather(self.labels, values)
        return ops.soft_gather(self.logits, values)

    def partition(self) -> Partition:
        """The groups, those of the largest logit in each row while soft.

        Its shape is that of the parameter for single entries, (K,) for slices and for parameters of
        different shapes.

        Raises:
            ValueError: the logits hold NaN.
        """
        if self.is_hard:
            return Partition(self.labels.reshape(self.shape))
        return Partition(Partition.from_assignment(self.logits).labels.reshape(self.shape))

    def set_labels(self, labels: Tensor) -> None:
        """Make it hard; labels (K,) are 0 … G−1, each of them used."""
        if not self.is_hard and "logits" in self._parameters:
            del self.logits
        self.register_buffer("labels", labels)

    def extra_repr(self) -> str:
        """Entries and form."""
        return f"num_entries={self.num_entries}, " + ("hard" if self.is_hard else f"num_groups={self.num_groups}")
