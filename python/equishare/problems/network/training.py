"""How networks are trained: the options of every method that trains them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TypeVar

from equishare.checks import TRAINED, below_one, choice, count, not_negative, option, positive

SCHEDULES = ("cosine", "constant")
#: A coarser pattern is preferred unless it is worse by so many standard errors of the paired difference. It is compared
#: with the best of many.
STANDARD_ERRORS = 3.0
# Steps of a final fit where no search has a length of its own, and how often it may be doubled.
_FINAL_STEPS = 600
_DOUBLINGS = 2
# What the progress of a search counts as: fits of candidates, and the final ones.
SEARCH_FITS = 10
FINAL_FITS = 3

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
    def of(cls, asked: int | None, usual: int = _FINAL_STEPS) -> FinalSteps:
        """As many as asked for; None: from the usual number on as many as it takes."""
        return cls(usual, _DOUBLINGS) if asked is None else cls(asked, 0)


@dataclass(frozen=True)
class Training:
    """How networks are trained. The options belong to problems that have to be trained, and to no others.

    Attributes:
        lr: the learning rate of AdamW.
        weight_decay: likewise.
        clip: largest norm of the gradient of one replica; None: as it is.
        schedule: ``cosine``, the rate falls to 0, or ``constant``.
        batch_size: samples a step, of data held as tensors; None: all.
        patience: looks at the held-out samples (50 in a fit) without progress before a fit ends; None: never.
        average: decay of the running average of the parameters, which is what is judged and kept; 0: the
            parameters themselves. Averages cancel the noise of the last steps, and of losses that are flat around
            their minimum, such as L1, they find the middle (Polyak and Juditsky 1992).
    """

    lr: float = option(1e-3, positive, only=TRAINED)
    weight_decay: float = option(0.0, not_negative, only=TRAINED)
    clip: float | None = option(None, positive, only=TRAINED)
    schedule: str = option("cosine", choice(*SCHEDULES), only=TRAINED)
    batch_size: int | None = option(None, count, only=TRAINED)
    patience: int | None = option(None, count, only=TRAINED)
    average: float = option(0.98, below_one, only=TRAINED)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step."""
        return self.lr * (0.5 + 0.5 * math.cos(math.pi * step / steps)) if self.schedule == "cosine" else self.lr

    @property
    def final(self) -> FinalSteps:
        """How long the final fits are."""
        return FinalSteps.of(None)

    @property
    def fit_length(self) -> int:
        """Steps of a fit without sharing; one of a pattern, which starts from there, takes half as many."""
        return self.final.steps

    @property
    def search_length(self) -> int:
        """Training steps of a search, about; progress is reckoned in them."""
        return 0


@dataclass(frozen=True)
class SearchOptions(Training):
    """Options of a search by training, besides those of :class:`Training`.

    Attributes:
        standard_errors: a coarser pattern is preferred unless its validation loss is above the least by more than so
            many standard errors of the paired difference. Fewer find more groups, some of them by chance.
        refit_steps: of each of the final fits; None: three times as many as a fit of the search, doubled while the
            loss is still falling.
        checkpoint: file that keeps the fits that are done; a call with the same arguments goes on from there.
    """

    standard_errors: float = option(STANDARD_ERRORS, not_negative, only=TRAINED)
    refit_steps: int | None = option(None, count, only=TRAINED)
    checkpoint: str | os.PathLike[str] | None = option(None, only=TRAINED)

    @property
    def final(self) -> FinalSteps:
        """How long the final fits are."""
        return FinalSteps.of(self.refit_steps, 3 * self.fit_length)

    def for_resamples(self: _O, problem: int) -> _O:
        """The options of a search on resamples of the i-th problem.

        A search that prefers coarse patterns ties everything where the data cannot tell, on every resample. One that
        takes the least loss ties at random there, and finds again and again what the data do tell.
        """
        path = None if self.checkpoint is None else f"{os.fspath(self.checkpoint)}.resamples{problem}"
        return replace(self, standard_errors=0.0, checkpoint=path)
