"""Whether held-out samples show that the selected pattern predicts as well as no sharing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equishare.problems.network.candidate import SLACK, Candidate, gains_of
from equishare.problems.network.fit import mean_and_error
from equishare.problems.network.refit import FOLDS, Trained, cross_validated
from equishare.problems.network.samples import TensorSamples
from equishare.problems.network.session import NetworkSession


def confirm(session: NetworkSession, is_likely: Callable[[int], bool]) -> None:
    """Refuse the best pattern of a problem where held-out samples do not show that it predicts as well as no sharing.

    Its validation loss is the least of many: the pattern was chosen on these samples, which is worth about a standard
    error of the difference to it. By so much it must be better than no sharing, but for what training alone makes
    losses differ. A pattern that its entries show is refused where it is worse by as much.

    Args:
        session: with the best candidate of each problem.
        is_likely: whether the entries show the best pattern of a problem.
    """
    asked: dict[int, Candidate] = {}
    for p, found in enumerate(session.found):
        if found.standard_errors and found.free in found:
            best = found.best()
            if best.trained and best.pattern != found.free:
                asked[p] = best
    if not asked:
        return
    for p, (unshared, shared, sizes) in zip(asked, _beside_unshared(session, asked), strict=True):
        if not np.isfinite(unshared).all():
            continue
        with np.errstate(invalid="ignore"):  # infinite losses
            worse, error = mean_and_error(shared - unshared, sizes)
        slack = max(SLACK * abs(np.average(unshared, weights=sizes)), session.found[p].rounding)
        is_worse, is_better = not worse - error <= slack, worse + error <= slack
        session.found[p].is_refused = is_worse or not (is_better or is_likely(p))


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
        pair = [session.found[p][session.found[p].free], best]
        gains = gains_of(pair, *session.found[p].counts)
        found.append((pair[0].losses - gains[0], best.losses - gains[1], best.sizes))
    return found
