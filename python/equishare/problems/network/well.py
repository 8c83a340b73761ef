"""Train well without tuning: several starts and rates at once, and twice as long while that helps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equishare.problems.network.fit import (
    SLACK,
    Fit,
    Start,
    block_losses,
    gained,
    loss_errors,
    mean_and_error,
    tolerance,
)
from equishare.problems.network.replicas import stacked
from equishare.problems.network.trainer import Trainer

# A fit that is best after this part of its steps is repeated with twice as many, while it gains.
_LATE = 0.9
# Of the fits of a problem so many, the best, are repeated with more steps.
_KEPT = 2
# A fit whose loss is above that of others by this part of it is not repeated.
_BEHIND = 0.1
# How often rates beyond those tried are tried.
_EXTENSIONS = 6
# The last state of a fit may be worse than its best one by so many standard errors.
_TOLD = 2.0


@dataclass(frozen=True)
class Well:
    """The best fit of each of N contests.

    Attributes:
        fit: N replicas.
        losses: (N,) on the validation samples, without caution.
        rows: (N,) which of the starts they come from.
        rates: (N,) their learning rates.
        lengths: (N,) steps of their schedules.
        settled: (N,) whether more steps would gain little.
    """

    fit: Fit
    losses: np.ndarray
    rows: np.ndarray
    rates: np.ndarray
    lengths: np.ndarray
    settled: np.ndarray

    def __getitem__(self, i: int) -> Well:
        """The i-th alone."""
        return Well(self.fit[i : i + 1].copy(), *(column[i : i + 1] for column in self._columns))

    def or_better(self, other: Well) -> Well:
        """Of each contest the better one."""
        at = np.flatnonzero((other.fit.loss < self.fit.loss).cpu().numpy())
        parts = [(mine.copy(), theirs) for mine, theirs in zip(self._columns, other._columns, strict=True)]
        for mine, theirs in parts:
            mine[at] = theirs[at]
        return Well(self.fit.replaced(at, other.fit[at]), *(mine for mine, _ in parts))

    @property
    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.losses, self.rows, self.rates, self.lengths, self.settled


def train_well(
    trainer: Trainer,
    start: Start,
    rates: np.ndarray,
    stage: str,
    contests: np.ndarray,
    handicap: np.ndarray | None = None,
    moved: bool = False,
    known: Tensor | None = None,
) -> Well:
    """Fit replicas on the training samples, and keep of each contest the one of the least validation loss.

    All are fitted with as many steps as the final fits begin with. Where the best of a contest is best near its end,
    the best few are fitted again with twice as many, and so on while this lowers the loss. In the end the last state of
    a fit counts, unless an earlier one is clearly better.

    Args:
        trainer: fits them.
        start: of the replicas.
        rates: (R,) learning rates.
        stage: name for the checkpoint.
        contests: (R,) which of N contests each replica is in; each has at least one.
        handicap: (R,) part of its loss by which each replica must be better than one without.
        moved: as in :class:`Plan`.
        known: (N,) losses of other fits of each contest. One that is clearly above it is not repeated.
    """
    final = trainer.training.final
    extra = np.zeros(len(contests)) if handicap is None else handicap
    fitted = trainer.fit(stage, start, final.steps, rates=rates, moved=moved)
    count = int(contests.max()) + 1
    ranked = [_ranked(fitted, final.steps, np.flatnonzero(contests == c), extra, rates) for c in range(count)]
    rows = np.array([own[0] for own in ranked])
    best, lengths = fitted[rows], np.full(count, final.steps)
    is_open = _is_late(best, lengths) & (final.doublings > 0)
    if known is not None:
        is_open &= (best.loss < known + _BEHIND * known.abs()).cpu().numpy()
    waiting = np.flatnonzero(is_open)
    for turn in range(final.doublings):
        if not len(waiting):
            break
        steps = final.steps * 2 ** (turn + 1)
        again = np.concatenate([ranked[c][:_KEPT] for c in waiting])
        longer = trainer.fit(f"{stage}, {steps} steps", start[again], steps, rates=rates[again], moved=moved)
        goes_on = []
        for c in waiting.tolist():
            own = _ranked(longer, steps, np.flatnonzero(contests[again] == c), extra[again], rates[again])
            ranked[c] = again[own]
            winner, before = longer[own[:1]], best.loss[c]
            if winner.loss < before:
                best = best.replaced(np.array([c]), winner)
                rows[c], lengths[c] = again[own[0]], steps
                one = start[rows[c] : rows[c] + 1]
                error = loss_errors(trainer.replicas, one.owner, winner, one.upper)
                if _is_late(winner, steps) and gained(before, winner.loss[0], error).all():
                    goes_on.append(c)
        waiting = np.array(goes_on, dtype=int)
    winners = start[rows]
    del fitted
    best = _ended(trainer, f"{stage}, to the end", winners, best, rates[rows], lengths)
    losses, sizes = block_losses(trainer.replicas, winners.owner, best, winners.upper, cautious=False)
    settled = ~np.isin(np.arange(count), waiting)
    return Well(best, mean_and_error(losses, sizes)[0], rows, rates[rows], lengths, settled)


def _ended(trainer: Trainer, stage: str, start: Start, best: Fit, rates: np.ndarray, lengths: np.ndarray) -> Fit:
    """Fits as their schedules leave them, where held-out samples do not tell these from their best states.

    Of many states the best is the luckiest, and after few steps with a high rate it is not where training leads. States
    that are clearly better than the last one are kept: a network that remembers its samples must be stopped.
    """
    for steps in np.unique(lengths).tolist() if trainer.training.patience is None else ():
        at = np.flatnonzero((lengths == steps) & (best.step.cpu().numpy() < steps))
        if not len(at):
            continue
        own, until = start[at], torch.full((len(at),), steps)
        last = trainer.fit(f"{stage}, {steps}", own, steps, rates=rates[at], sets=("train", None), until=until)
        before, sizes = block_losses(trainer.replicas, own.owner, best[at], own.upper)
        after, _ = block_losses(trainer.replicas, own.owner, last, own.upper)
        with np.errstate(invalid="ignore"):  # infinite losses
            worse, error = mean_and_error(after - before, sizes)
        kept = np.flatnonzero(worse <= tolerance(mean_and_error(before, sizes)[0], error, _TOLD))
        losses = torch.from_numpy(mean_and_error(after, sizes)[0])
        last = replace(last, loss=losses.to(best.loss))
        best = best.replaced(at[kept], last[kept])
    return best


def train_unshared(trainer: Trainer, count: int) -> Well:
    """The network of each of N problems without sharing, from its own start, at the best of the learning rates.

    Where the best of several is the greatest or the least, greater or lesser ones are tried too: labels in units of a
    million need them.
    """
    replicas, tried = trainer.replicas, list(trainer.training.rates)

    def of(rates: list[float], stage: str, known: Tensor | None = None) -> Well:
        owner = np.repeat(np.arange(count), len(rates))
        # A fit copies its start, so that copies of large layers here would be others.
        lower = {name: t.expand(len(owner), *t.shape) for name, t in replicas.start.items()}
        start = Start(owner.tolist(), lower, {}, stacked(replicas.buffers, len(owner)))
        return train_well(trainer, start, np.tile(rates, count), stage, owner, known=known)

    well = of(tried, "no sharing")
    for turn in range(_EXTENSIONS if len(tried) > 1 else 0):
        least, most = min(tried), max(tried)
        more = [most * 10**0.5, most * 10] if (well.rates == most).any() else []
        more += [least / 10**0.5, least / 10] if (well.rates == least).any() else []
        if not more:
            break
        well = well.or_better(of(more, f"no sharing, more rates {turn + 1}", well.fit.loss))
        tried += more
    return well


def _ranked(fitted: Fit, steps: int, rows: np.ndarray, handicap: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Rows by loss with their handicap, the least first; of those that are as good, the one of the least rate.

    A high rate jumps from state to state, so that the best of them is luckier, and other samples lead it elsewhere. At
    the end of a schedule no rate is high; and a low one that is not done there is not as good.
    """
    own = fitted.loss.double().cpu().numpy()[rows]
    own = own + handicap[rows] * np.abs(own)
    order = np.argsort(own, kind="stable")
    is_late = _is_late(fitted, steps)[rows[order]]
    if is_late[0]:
        return rows[order]
    as_good = order[~is_late & (own[order] <= own[order[0]] + SLACK * abs(own[order[0]]))]
    first = as_good[np.argmin(rates[rows[as_good]])]
    return rows[np.concatenate([[first], order[order != first]])]


def _is_late(fitted: Fit, steps: Any) -> np.ndarray:
    return fitted.step.cpu().numpy() > _LATE * np.asarray(steps)


def around(rates: np.ndarray, tried: tuple[float, ...]) -> np.ndarray:
    """(N, 3) each rate between its neighbours among half powers of ten; (N, 1) where one rate alone is tried."""
    return rates[:, None] * ([1.0] if len(tried) == 1 else [10**-0.5, 1.0, 10**0.5])
