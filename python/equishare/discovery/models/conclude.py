"""The final fits: with and without sharing for the report, and the refit on all samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from equishare.discovery.models.checkpoint import Checkpoint
from equishare.discovery.models.fit import Fit, Training, fit
from equishare.discovery.models.patterns import Pattern, all_free, hard_state
from equishare.discovery.models.result import ModelDiscovery
from equishare.discovery.models.settings import check_count
from equishare.discovery.models.stack import Stack, psi, stacked, taken
from equishare.model_problem import ModelProblem
from equishare.partition import Partition
from equishare.sharing import impose, shared_parameters

# A fit that is best after this part of its steps is repeated with twice as many, so often, while its loss falls by
# a part.
_LATE = 0.9
_DOUBLINGS = 2
_GAIN = 0.02


@dataclass(frozen=True)
class FinalSteps:
    """How long the final fits are.

    Attributes:
        steps: of each, to begin with.
        doublings: how often it may be twice as many.
    """

    steps: int
    doublings: int

    @classmethod
    def of(cls, asked: int | None, usual: int, name: str) -> FinalSteps:
        """As many as asked for under a name, or from the usual number on as many as it takes.

        Raises:
            ValueError: the number is not a positive integer.
        """
        if asked is None:
            return cls(usual, _DOUBLINGS)
        check_count(**{name: asked})
        return cls(asked, 0)


@dataclass(frozen=True)
class FinalFits:
    """Fits of the model from its own start with the pattern of each problem.

    Args:
        stack, training, seed, checkpoint, tick: as for :class:`equishare.discovery.models.search.Search`.
        patterns: one for each problem.
        final: how long the fits are.
    """

    stack: Stack
    patterns: Sequence[Pattern]
    training: Training
    final: FinalSteps
    seed: int
    checkpoint: Checkpoint
    tick: Callable[[int], None]

    def run(self) -> tuple[Fit, np.ndarray, np.ndarray]:
        """All fits.

        Returns:
            The fit on training and validation samples together, and the (N,) validation losses of the fits on the
            training samples alone with the pattern and without sharing.
        """
        problems = np.arange(len(self.patterns))
        lengths = np.full(len(problems), self.final.steps)
        fitted = self._fit(problems, self.patterns, self.final.steps, ("train", "val"), "final")
        waiting = problems[_is_late(fitted, lengths)]
        for turn in range(self.final.doublings):
            if not len(waiting):
                break
            steps = self.final.steps * 2 ** (turn + 1)
            longer = self._fit(waiting, self.patterns, steps, ("train", "val"), f"final, {steps} steps")
            gain = 1 - (longer.loss / fitted.loss[waiting]).double().cpu().numpy()
            late = _is_late(longer, steps)
            fitted = _replaced(fitted, waiting[gain > 0], longer[np.flatnonzero(gain > 0)])
            lengths[waiting[gain > 0]] = steps
            waiting = waiting[late & (gain > _GAIN)]
        free = [all_free(self.stack)] * len(problems)
        refitted, unshared = fitted, fitted.loss.clone()
        for steps in np.unique(lengths):
            part = np.flatnonzero(lengths == steps)
            own = self._fit(part, free, int(steps), ("train", "val"), f"final, no sharing, {steps} steps")
            unshared[part] = own.loss
            until = fitted.step[part] if self.stack.problems[0].stop is None else None
            sets = ("pooled", None if until is not None else "stop")
            refit = self._fit(part, self.patterns, int(steps), sets, f"refit, {steps} steps", until)
            refitted = _replaced(refitted, part, refit)
        return refitted, fitted.loss.double().cpu().numpy(), unshared.double().cpu().numpy()

    def _fit(
        self,
        problems: np.ndarray,
        patterns: Sequence[Pattern],
        steps: int,
        sets: tuple[str, str | None],
        stage: str,
        until: Tensor | None = None,
    ) -> Fit:
        stack = self.stack
        # Filled up to the most groups of all problems, so that fits of some can take the place of others.
        lower, upper = hard_state(stack, patterns, stacked(stack.start, len(patterns)), mean=False)
        state = taken(lower, problems), taken(upper, problems), stacked(stack.buffers, len(problems))

        def run() -> Fit:
            return fit(stack, *state, problems.tolist(), sets, self.training, steps, self.seed, self.tick, until)

        return self.checkpoint.stage(stage, run)


def _is_late(fitted: Fit, steps: int | np.ndarray) -> np.ndarray:
    return fitted.step.cpu().numpy() > _LATE * np.asarray(steps)


def _replaced(fitted: Fit, index: np.ndarray, other: Fit) -> Fit:
    """The fits at an index replaced by others."""
    at = torch.from_numpy(index)

    def put(tensor: Tensor, new: Tensor) -> Tensor:
        return tensor.index_copy(0, at.to(tensor.device), new)

    return Fit(
        {name: put(t, other.lower[name]) for name, t in fitted.lower.items()},
        {name: put(t, other.buffers[name]) for name, t in fitted.buffers.items()},
        put(fitted.loss, other.loss),
        put(fitted.step, other.step),
    )


def discovery(
    problem: ModelProblem,
    stack: Stack,
    pattern: Pattern,
    fitted: Fit,
    **report: object,
) -> ModelDiscovery:
    """The answer to one problem, from its pattern and its fit (one replica)."""
    model = copy.deepcopy(problem.model)
    partitions = as_partitions(model, stack, pattern)
    impose(model, partitions)
    _load(model, fitted, stack, pattern)
    return ModelDiscovery(partitions=partitions, model=model, **report)  # type: ignore[arg-type]


def as_partitions(model: nn.Module, stack: Stack, pattern: Pattern) -> dict[str, Partition]:
    """Partition of each shared parameter by its qualified name."""
    shared = shared_parameters(model)
    partitions = {}
    for site, labels in zip(stack.sites, pattern.labels, strict=True):
        for name in site.names:
            one = shared[name]
            partitions[name] = Partition(labels.reshape(one.shape) if one.dim is None else labels)
    return partitions


def _load(model: nn.Module, fitted: Fit, stack: Stack, pattern: Pattern) -> None:
    groups = {name: g for site, g in zip(stack.sites, pattern.num_groups, strict=True) for name in site.names}
    named = model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    tensors = {name: tensor for pairs in named for name, tensor in pairs}
    with torch.no_grad():
        for name, value in {**taken(fitted.lower, 0), **taken(fitted.buffers, 0)}.items():
            if name in groups:
                psi(model, name).copy_(value[: groups[name]])
            else:
                tensors[name].copy_(value)
