"""Meta-learning symmetries: one matrix of weight sharing for all problems of a list, learned in an outer loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equishare.checks import count, not_negative, option, positive
from equishare.problems.base import Proposal, Session
from equishare.problems.least_squares import LeastSquares
from equishare.problems.moments import Moments

NEEDS_ESTIMATE = True
# All pairs of entries are compared: 1 GiB.
_MOST_ENTRIES = 16_384
# Cuts with up to this many times num_values groups are tried.
_MOST_GROUPS = 4
_RECORDS = 100


@dataclass(frozen=True)
class Options:
    """The problems of a list are tasks with weights ``vec(W_t) = U v_t``: U is common, v_t belongs to the task.

    In the inner loop v_t fits the training samples of its task, here in closed form. In the outer loop Adam lowers the
    mean loss on the validation samples of all tasks by steps on U. U has no groups. So the entries are clustered (Ward
    1963) by the weights that they have in all tasks, and the cut has the least mean validation loss when its groups are
    fitted. All problems get the same pattern. A single problem is one task, from which little can be learned.

    Attributes:
        num_values: length of v.
        steps: of Adam on U.
        lr: its learning rate.
        ridge: weight of ``‖v‖²`` in the inner loop, as a part of the mean curvature.

    Source: Zhou, Knowles, Finn 2021, Meta-learning symmetries by reparameterization, where the inner loop takes a few
    gradient steps, and nothing is clustered.
    """

    num_values: int = option(8, count)
    steps: int = option(1000, count)
    lr: float = option(3e-2, positive)
    ridge: float = option(1e-3, not_negative)


@dataclass(frozen=True)
class _Split:
    """Moments of one split of T tasks for a mean of squares: curvature (T, I, I), linear (T, O, I), square (T,)."""

    curvature: Tensor
    linear: Tensor
    square: Tensor

    @classmethod
    def of(cls, moments: Sequence[Moments]) -> _Split:
        def stack(arrays: list[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.stack(arrays))

        counts = [m.count * len(m.sxy) for m in moments]
        return cls(
            stack([m.sxx / n for m, n in zip(moments, counts, strict=True)]),
            stack([m.sxy / n for m, n in zip(moments, counts, strict=True)]),
            stack([np.asarray(m.syy.sum() / n) for m, n in zip(moments, counts, strict=True)]),
        )

    def loss(self, weight: Tensor) -> Tensor:
        """Mean squared error (T,) of weights (T, O, I), but for the shift of means."""
        return self.square + ((weight @ self.curvature - 2 * self.linear) * weight).sum((1, 2))


def propose(session: Session, options: Options) -> list[Proposal]:
    """The same patterns for every problem.

    Raises:
        TypeError: the problems are no least-squares problems.
        ValueError: more than 16,384 entries.
    """
    problems = session.problems
    other = next((p for p in problems if not isinstance(p, LeastSquares)), None)
    if other is not None:
        raise TypeError(f"method {session.method!r} takes means and linear maps, got a {type(other).__name__}")
    if problems[0].num_entries > _MOST_ENTRIES:
        raise ValueError(
            f"method {session.method!r} takes at most {_MOST_ENTRIES} entries, got {problems[0].num_entries}"
        )
    weights, history = _learned(session, options)
    most = min(problems[0].num_entries, _MOST_GROUPS * options.num_values)
    patterns = [one.reshape(problems[0].shape) for one in _cuts(weights, most)]
    losses = session.evaluate([[(one,) for one in patterns] for _ in problems])
    # One pattern for all tasks: the sum of their losses selects.
    scores = np.mean([np.asarray(own, float) for own in losses], axis=0)
    return [Proposal(patterns, scores, history=history) for _ in problems]


def _learned(session: Session, options: Options) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Weights (K, T) of all tasks after the outer loop, and its course."""
    problems: Sequence[LeastSquares] = session.problems
    train, val = (_Split.of([getattr(p, name) for p in problems]) for name in ("train", "val"))
    outputs, inputs = problems[0].weight_shape
    shape = outputs, inputs, min(options.num_values, problems[0].num_entries)
    generator = torch.Generator().manual_seed(session.seed)
    sharing = torch.randn(shape, dtype=torch.float64, generator=generator).div_(shape[-1] ** 0.5).requires_grad_()
    optimizer = torch.optim.Adam([sharing], options.lr)
    records = []
    for step in range(options.steps):
        optimizer.zero_grad()
        loss = val.loss(_fitted(sharing, train, options.ridge)).mean()
        loss.backward()
        optimizer.step()
        if step % max(1, options.steps // _RECORDS) == 0 or step == options.steps - 1:
            records.append((step, float(loss.detach())))
            session.progress(step + 1, options.steps)
    with torch.no_grad():
        weights = _fitted(sharing, train, options.ridge)
    steps, losses = zip(*records, strict=True)
    history = {"step": np.array(steps), "validation_loss": np.array(losses)}
    return weights.flatten(1).T.contiguous().numpy(), history


def _fitted(sharing: Tensor, train: _Split, ridge: float) -> Tensor:
    """``U v_t`` (T, O, I), v_t by least squares with a ridge."""
    curved = torch.einsum("tij,ojr->toir", train.curvature, sharing)
    normal = torch.einsum("ois,toir->tsr", sharing, curved)
    right = torch.einsum("ois,toi->ts", sharing, train.linear)
    size = normal.diagonal(dim1=1, dim2=2).mean(1).detach().clamp_min(torch.finfo(normal.dtype).tiny)
    eye = torch.eye(normal.shape[-1], dtype=normal.dtype)
    values = torch.linalg.solve(normal + (ridge * size + 1e-12 * size)[:, None, None] * eye, right)
    return torch.einsum("ois,ts->toi", sharing, values)


def _cuts(weights: np.ndarray, most: int) -> list[np.ndarray]:
    """Labels (K,) of the clusters of rows, for each number of clusters from 1."""
    if len(weights) == 1:
        return [np.zeros(1, np.int64)]
    from scipy.cluster.hierarchy import cut_tree, linkage

    cuts = cut_tree(linkage(weights, "ward"), n_clusters=list(range(1, most + 1)))
    return [np.unique(one, return_inverse=True)[1].astype(np.int64) for one in cuts.T]
