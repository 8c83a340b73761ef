"""How networks are trained: the options of every method that trains them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TypeVar

from equishare.checks import TRAINED, below_one, choice, count, not_negative, option, positive

SCHEDULES = ("cosine", "constant")
#: A coarser pattern is selected unless it is worse by so many standard errors of the paired difference.
STANDARD_ERRORS = 2.0
# Steps that final fits begin with, and how often they may be doubled.
_FINAL_STEPS = 600
_DOUBLINGS = 3
#: Learning rates that are tried where none is asked for.
RATES = (1e-3, 10**-2.5, 1e-2, 10**-1.5, 1e-1)
# Of more samples than these a step takes the second number, where no other is asked for.
_WHOLE, _BATCH = 2048, 512
# How many fits a search is taken to need, for its progress, and of how many steps: of candidates, and final ones.
SEARCH_FITS = 10
SEARCH_STEPS = 300
FINAL_FITS = 3

_T = TypeVar("_T", bound="Training")
_O = TypeVar("_O", bound="SearchOptions")


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
    def of(cls, asked: int | None) -> FinalSteps:
        """As many steps as asked for; None: the usual number, which may be doubled."""
        return cls(_FINAL_STEPS, _DOUBLINGS) if asked is None else cls(asked, 0)


@dataclass(frozen=True)
class Training:
    """How networks are trained: options of every method that trains them.

    Attributes:
        lr: learning rate of AdamW. None: several are tried without sharing, and the one of the least validation loss is
            taken.
        weight_decay: of AdamW.
        clip: largest norm of the gradient of one replica; longer gradients are scaled down to it. None: no limit.
        schedule: ``cosine``, the rate falls to 0, or ``constant``.
        batch_size: samples a step, of data held as tensors. None: all of up to 2,048 samples, else 512.
        patience: a fit looks at the held-out samples 50 times. It ends after so many looks without a lower loss; None:
            never before its last step.
        average: decay of the running average of the parameters. The average is what is judged and kept; 0: the
            parameters themselves. It cancels the noise of the last steps, and finds the middle of a flat minimum, such
            as that of an L1 loss (Polyak and Juditsky 1992).
    """

    lr: float | None = option(None, positive, only=TRAINED)
    weight_decay: float = option(0.0, not_negative, only=TRAINED)
    clip: float | None = option(None, positive, only=TRAINED)
    schedule: str = option("cosine", choice(*SCHEDULES), only=TRAINED)
    batch_size: int | None = option(None, count, only=TRAINED)
    patience: int | None = option(None, count, only=TRAINED)
    average: float = option(0.98, below_one, only=TRAINED)

    def decay(self, step: int, steps: int) -> float:
        """Learning rate at a step, as a part of the first."""
        return 0.5 + 0.5 * math.cos(math.pi * step / steps) if self.schedule == "cosine" else 1.0

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates that are tried."""
        return RATES if self.lr is None else (self.lr,)

    def for_samples(self: _T, count: int | None) -> _T:
        """With a batch size for so many training samples; None: samples that come in batches."""
        if self.batch_size is not None or count is None or count <= _WHOLE:
            return self
        return replace(self, batch_size=_BATCH)

    @property
    def final(self) -> FinalSteps:
        """How long the final fits are."""
        return FinalSteps.of(None)

    @property
    def fit_length(self) -> int | None:
        """Steps of a fit without sharing; one of a pattern, which starts from there, takes half as many.

        None: half as many as the network took without sharing to be trained well.
        """
        return None

    @property
    def search_length(self) -> int:
        """Training steps of a search, about; progress is reckoned in them."""
        return 0


@dataclass(frozen=True)
class FitOptions(Training):
    """Options of a method that fits one pattern, besides those of :class:`Training`.

    Attributes:
        steps: of each of the final fits of a network; None: 600, doubled while the loss falls.
    """

    steps: int | None = option(None, count, only=TRAINED)

    @property
    def final(self) -> FinalSteps:
        """How long the final fits are."""
        return FinalSteps.of(self.steps)


@dataclass(frozen=True)
class SearchOptions(Training):
    """Options of a search by training, besides those of :class:`Training`.

    Attributes:
        standard_errors: a coarser pattern is selected unless its validation loss is above the least by more than so
            many standard errors of the paired difference, or by more than a twentieth, or above that without sharing.
            One percent always counts as nothing, but with 0. A lower number finds more groups, some of them by chance.
        refit_steps: steps of each final fit; None: 600, doubled while the loss falls.
        checkpoint: file that keeps the fits that are done; a call with the same arguments goes on from there.
    """

    standard_errors: float = option(STANDARD_ERRORS, not_negative, only=TRAINED)
    refit_steps: int | None = option(None, count, only=TRAINED)
    checkpoint: str | os.PathLike[str] | None = option(None, only=TRAINED)

    @property
    def final(self) -> FinalSteps:
        """How long the final fits are."""
        return FinalSteps.of(self.refit_steps)

    def for_resamples(self: _O, problem: int) -> _O:
        """The options of a search on resamples of the i-th problem: it selects the pattern of least loss.

        Where the data cannot decide, a search that prefers coarse patterns ties everything on every resample, which
        looks sure. The pattern of least loss has random ties there, which differ from resample to resample, and only
        ties that the data support are found again and again.
        """
        path = None if self.checkpoint is None else f"{os.fspath(self.checkpoint)}.resamples{problem}"
        return replace(self, standard_errors=0.0, checkpoint=path)
