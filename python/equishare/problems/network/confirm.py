"""Whether held-out samples show that the selected pattern predicts as well as no sharing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy

from equishare.problems.network.candidate import Candidate, gains_of
from equishare.problems.network.fit import SLACK, mean_and_error
from equishare.problems.network.refit import FOLDS, Trained, cross_validated
from equishare.problems.network.samples import TensorSamples
from equishare.problems.network.session import NetworkSession

# A difference of two losses tells which is greater where it is so many standard errors.
_STANDARD_ERRORS = 2.0


def confirm(session: NetworkSession, shown: Callable[[Sequence[int]], set[int]]) -> None:
    """Refuse the best pattern of a problem where held-out samples do not show that it predicts as well as no sharing.

    Its validation loss is the least of many: the pattern was chosen on these samples, which flatters it by a standard
    error of the difference or two. So it must be better by two, but for what training alone makes losses differ. Few
    samples do not show a small gain, so a pattern that its entries show is refused only where it is worse by as much.
    Of few blocks the error itself is uncertain: Student's t stands for two standard errors. Slices are few, so that
    their pattern was chosen among fewer, and one standard error is enough. A single group was not chosen at all.

    Args:
        session: with the best candidate of each problem.
        shown: those of some problems whose best pattern the entries show.
    """
    asked: dict[int, Candidate] = {}
    for p, found in enumerate(session.found):
        if found.standard_errors and found.free in found:
            best = found.best()
            if best.trained and best.pattern != found.free:
                asked[p] = best
    if not asked:
        return
    has_slices = any(slot.is_sliced for slot in session.replicas.slots)
    told: dict[int, bool] = {}
    for p, (unshared, shared, sizes) in zip(asked, _beside_unshared(session, asked), strict=True):
        if not np.isfinite(unshared).all():
            continue
        with np.errstate(invalid="ignore"):  # infinite losses
            worse, error = map(float, mean_and_error(shared - unshared, sizes))
        is_one = max(asked[p].pattern.num_groups) == 1
        margin = _margin(error, len(sizes) - 1, 0.0 if is_one else 1.0 if has_slices else _STANDARD_ERRORS)
        slack = max(SLACK * abs(np.average(unshared, weights=sizes)), session.found[p].rounding)
        if worse + margin <= slack:
            continue
        told[p] = not worse - margin <= slack
    doubtful = [p for p, is_worse in told.items() if not is_worse]
    kept = shown(doubtful)
    for p, is_worse in told.items():
        session.found[p].is_refused = is_worse or p not in kept


def _margin(error: float, freedom: int, standard_errors: float) -> float:
    """What stands for so many standard errors, where one is estimated from so many degrees of freedom."""
    return error * float(scipy.special.stdtrit(freedom, scipy.special.ndtr(standard_errors))) if freedom else np.inf


def _beside_unshared(
    session: NetworkSession, asked: dict[int, Candidate]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Losses of no sharing and of the best pattern on blocks of held-out samples, and the samples in each block.

    Of fits like those of the answer, that take in all samples but one fourth of the validation samples. A DataLoader is
    not parted: there the fits to the training samples count, with what more samples will gain them.
    """
    owner, val = list(asked), session.problems[0].val
    if isinstance(val, TensorSamples) and len(val) >= FOLDS:
        tried = [Trained(session.found[p].free, None, False, session.unshared[p]) for p in owner]
        tried += [one.trained for one in asked.values() if one.trained]
        losses, sizes = cross_validated(session.trainer, [*owner, *owner], tried, session.seed)
        return [(*pair, sizes) for pair in zip(*np.split(losses, 2), strict=True)]
    found = []
    for p, best in asked.items():
        own = session.found[p]
        gains = dict(zip(own, gains_of(list(own.values()), *own.counts), strict=True))
        unshared, shared = (one.losses - gains[one.pattern] for one in (own[own.free], best))
        found.append((unshared, shared, best.sizes))
    return found
