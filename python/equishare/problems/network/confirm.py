"""Whether held-out samples show that the selected pattern predicts as well as no sharing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy

from equishare.problems.network.candidate import Candidate, gains_of
from equishare.problems.network.fit import SLACK, block_losses, mean_and_error
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.refit import FOLDS, Trained, cross_validated
from equishare.problems.network.samples import TensorSamples
from equishare.problems.network.session import NetworkSession

# A difference of two losses tells which is greater where it is so many standard errors.
_STANDARD_ERRORS = 2.0


def confirm(session: NetworkSession, shown: Callable[[Sequence[int]], set[int]]) -> None:
    """Refuse the best pattern of a problem where held-out samples do not show that it predicts as well as no sharing.

    Its validation loss is the least of many: the pattern was chosen on these samples, which flatters it by a standard
    error of the difference or two. So it must be better by two on samples that are held out. Few samples do not show a
    small gain. So a pattern that its entries show is refused only where it is worse by as much; and one that is not
    worse is kept where the first fits, to the training samples alone, show that it is better: sharing gains more the
    fewer samples there are. There it must be better by what the luckiest of all patterns with as many groups is
    lucky by.

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
    doubtful: dict[int, bool] = {}
    parts, compared = _beside_unshared(session, asked)
    for p, (unshared, shared, sizes) in zip(asked, compared, strict=True):
        if not np.isfinite(unshared).all():
            continue
        slack = max(SLACK * abs(np.average(unshared, weights=sizes)), session.found[p].rounding)
        worse, margin = _worse(unshared, shared, sizes, _STANDARD_ERRORS)
        if parts > 1:
            # The blocks of one part share a fit, which may be a bad one.
            weights = sizes.reshape(parts, -1)
            before, after = (np.average(one.reshape(parts, -1), 1, weights) for one in (unshared, shared))
            margin = max(margin, _worse(before, after, weights.sum(1), _STANDARD_ERRORS)[1])
        if worse + margin <= slack:
            continue
        if worse - margin <= slack:
            doubtful[p] = worse <= slack
        else:
            session.found[p].is_refused = True
    kept = {p for p, is_good in doubtful.items() if is_good and _is_better_at_first(session, p, asked[p])}
    kept |= shown([p for p in doubtful if p not in kept])
    for p in doubtful:
        session.found[p].is_refused = p not in kept


def _worse(unshared: np.ndarray, shared: np.ndarray, sizes: np.ndarray, standard_errors: float) -> tuple[float, float]:
    """By how much a mean of losses on blocks is above another, and so many of its standard errors.

    Of few blocks the error itself is uncertain: it stands for as many as Student's t has.
    """
    with np.errstate(invalid="ignore"):  # infinite losses
        worse, error = map(float, mean_and_error(shared - unshared, sizes))
    freedom = len(sizes) - 1
    if not freedom:
        return worse, np.inf
    return worse, error * float(-scipy.special.stdtrit(freedom, scipy.special.ndtr(-standard_errors)))


def _is_better_at_first(session: NetworkSession, problem: int, best: Candidate) -> bool:
    """Whether the fits to the training samples show that a pattern is better than no sharing, though it was chosen."""
    fits = (session.unshared[problem].fit, session.found[problem].free), (best.fit, best.pattern)
    unshared, shared = (
        block_losses(session.replicas, [problem], fit, session.labels(pattern), cautious=False)[0][0]
        for fit, pattern in fits
    )
    worse, margin = _worse(unshared, shared, best.sizes, _luck(best.pattern))
    return worse + margin <= 0


def _luck(pattern: Pattern) -> float:
    """By how many standard errors the luckiest of all N patterns with as many groups is lucky, in the median.

    Of independent ones it is the normal quantile of (½)^(1/N); G^K / G! stands for the number of partitions.
    """
    groups, sizes = np.array(pattern.num_groups), np.array([labels.size for labels in pattern.labels])
    log_counts = np.where(groups < sizes, sizes * np.log(groups) - scipy.special.gammaln(groups + 1), 0.0)
    log_count = float(log_counts.sum())
    # log(1 - 2^(-1/N)), for N that no float holds
    log_tail = np.log(np.log(2)) - log_count + np.log(scipy.special.exprel(-np.log(2) * np.exp(-log_count)))
    return float(-scipy.special.ndtri_exp(log_tail))


def _beside_unshared(
    session: NetworkSession, asked: dict[int, Candidate]
) -> tuple[int, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Losses of no sharing and of the best pattern on blocks of held-out samples, and the samples in each block.

    In so many parts, each held out of a fit of its own.
    Of fits like those of the answer, that take in all samples but one fourth of the validation samples. A DataLoader is
    not parted: there the fits to the training samples count, with what more samples will gain them.
    """
    owner, val = list(asked), session.problems[0].val
    if isinstance(val, TensorSamples) and len(val) >= FOLDS:
        tried = [Trained(session.found[p].free, None, False, session.unshared[p]) for p in owner]
        tried += [one.trained for one in asked.values() if one.trained]
        losses, sizes = cross_validated(session.trainer, [*owner, *owner], tried, session.seed)
        return FOLDS, [(*pair, sizes) for pair in zip(*np.split(losses, 2), strict=True)]
    found = []
    for p, best in asked.items():
        own = session.found[p]
        gains = dict(zip(own, gains_of(list(own.values()), *own.counts), strict=True))
        unshared, shared = (one.losses - gains[one.pattern] for one in (own[own.free], best))
        found.append((unshared, shared, best.sizes))
    return 1, found
