"""The best candidates weighed against each other: which partition is the answer, and what else the evidence says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy

from equishare.partition import Partition
from equishare.problems.answers import Belief
from equishare.problems.estimates import MOST_GROUPS, BlockEstimate, tied_values
from equishare.search.alignment import Permutations
from equishare.search.evidence import LARGE, Evidence, Score
from equishare.search.price import Closure, Structure, closure_of, generated, is_kept, is_tabled, may_have_symmetry
from equishare.search.shifts import coarsest_shift, shifts_of
from equishare.search.subgroups import likely_parts, orbits_of_subgroups, rearranged

# So many of the best partitions are judged for every spread; of large parameters half.
_JUDGED = 8
# Searches with entries that scatter, each with another spread.
_SEARCHES = 2
#: Offset a and slope b of the probability of a symmetry with log odds ℓ, 1 / (1 + exp(−a − b ℓ)). The odds compare the
#: candidates that the search saw, and are too sure where it saw few that contradict the symmetry. So the curve is
#: fitted to simulated problems whose symmetry is known, by ``equishare reproduce invention``. Shifts have the same one.
CURVE = (-1.6, 0.42)
#: The same for its odds against patterns of shifts alone. These are all among the candidates, so the slope is near to
#: one; the offset keeps even odds from being asserted. Chosen on 500 simulated maps whose rows and columns are in their
#: order; ``equishare reproduce invention``, table in_order, checks the probability on others.
RIVALS = (-2.0, 0.9)
#: Clear log odds. Where they are against a symmetry, its partition is not the answer; in between it may be right.
CLEAR_ODDS = 6.0
# Entries are called equal where that has at least this probability.
_LEAST_EXACT = 0.1
# Values that lie less than so many spreads apart are those of a continuum: entries that are spread evenly over an
# interval have the standard deviation of its length over √12 = 3.5. Twice that, as spreads come on a coarse grid.
_LEAST_GAP = 8.0
# A spread is hidden by standard errors so many times as large: the grid of spreads begins there.
_HIDDEN = 4.0
# Candidates whose log weight is so far below that of the best are not asked how they got their labels.
_NEGLIGIBLE = 20.0
# Terms of less than this weight are left out of the posterior mean.
_LEAST_WEIGHT = 1e-4
# Spreads about the best one of the grid, for the interval; of large parameters a fourth of them.
_FINE = 2.0 ** np.linspace(-1, 1, 17)


def probability(log_odds: float, rivals: float = np.nan) -> float:
    """Probability of a symmetry, or of shifts up to a boundary; NaN for odds that are NaN.

    ``CURVE`` is for what a search may not have seen. Patterns of shifts are all seen: their odds hold nearly.

    Args:
        log_odds: against all other candidates.
        rivals: against patterns of shifts alone; NaN where there are none.
    """
    if np.isnan(rivals) or np.isinf(log_odds):
        return _logistic(log_odds, CURVE)
    with np.errstate(divide="ignore"):
        others = log_odds - float(np.log1p(-np.exp(min(log_odds - rivals, 0.0))))
    return _logistic(others, CURVE) * _logistic(rivals, RIVALS)


def _logistic(log_odds: float, curve: tuple[float, float]) -> float:
    return float(scipy.special.expit(curve[0] + curve[1] * log_odds))


class Posterior:
    """Scores of partitions, each with spreads of the entries about the values of their groups.

    Args:
        estimate: of the unshared entries.
        symmetric: whether symmetries are looked for, where the parameter may have one.

    Attributes:
        is_matrix: whether the parameter may have symmetries, or shifts up to a boundary.
        is_symmetric: whether symmetries are looked for.
        scores: of a partition and a spread.
        left_out: the fewest orbits of the subgroups that were not judged, as they have too many; 0 for none.
    """

    def __init__(self, estimate: BlockEstimate, symmetric: bool) -> None:
        self._estimate = estimate
        self._evidence = {0.0: Evidence(estimate)}
        self._structures: dict[Partition, Structure] = {}
        self._maps: list[Permutations] = []
        self._by_chance: dict[tuple[Partition, float], float] = {}
        self._grid = [0.0, *self.evidence(0.0).spreads.tolist()]
        self.is_matrix = symmetric and self.evidence(0.0).is_matrix
        self.is_symmetric = self.is_matrix and may_have_symmetry(estimate.values.shape)
        self.scores: dict[tuple[Partition, float], Score] = {}
        self.left_out = 0
        # Weights without any structure scatter about one value, and means about any.
        one = Partition(np.zeros(estimate.values.shape, np.int64))
        value = abs(float(tied_values(estimate, one.labels, 1)[0]) + estimate.origin)
        self._generic: dict[tuple[Partition, float], Score] = {}
        for s in self._grid[1:]:
            # Weights whose value is many spreads from zero are nearly equal.
            if self.is_matrix and value > _LEAST_GAP * s:
                self.judge([one], s)
            else:
                self._generic[one, s] = self.evidence(s).score(one.labels)

    @property
    def has_spreads(self) -> bool:
        """Whether entries that scatter about the values of their groups are judged."""
        return len(self._grid) > 1

    def evidence(self, spread: float) -> Evidence:
        """The evidence for entries that scatter by ``spread``."""
        if spread not in self._evidence:
            if self._estimate.is_diagonal and self._estimate.values.size >= LARGE:  # quick to make, large to keep
                self._evidence = {0.0: self._evidence[0.0]}
            self._evidence[spread] = self._evidence[0.0].scattered(spread)
        return self._evidence[spread]

    def judge(self, partitions: Sequence[Partition], spread: float, maps: Sequence[Permutations] = ()) -> None:
        """Score partitions with what their symmetries are worth, the same for equal partitions.

        Args:
            partitions: candidates.
            spread: of their entries.
            maps: pairs of permutations among which the symmetry of a partition is looked for where igraph is missing.
        """
        self._maps += maps
        evidence = self.evidence(spread)
        for one, fit in zip(partitions, evidence.fits(partitions), strict=True):
            if one not in self._structures:
                shifts = shifts_of(one.labels) if self.is_matrix else ()
                self._structures[one] = Structure(self._closure(one.labels), shifts)
            self.scores[one, spread] = evidence.score(one.labels, self._structures[one], fit)

    def _closure(self, labels: np.ndarray) -> Closure | None:
        if not self.is_symmetric:
            return None
        if not is_tabled(labels.shape):  # a graph with a vertex for each cell would take long
            return generated(labels, self._maps)
        try:
            return closure_of(labels)
        except ImportError:
            return generated(labels, self._maps)

    def judge_spreads(self) -> None:
        """Judge the best partitions for every spread, and the best unions of shifts, which seldom hold exactly."""
        best: dict[Partition, Score] = {}
        for (one, _), score in self.scores.items():
            best[one] = min(score, best.get(one, score))
        ranked = sorted(best, key=best.__getitem__)
        shifted = [one for one in ranked if self._structures[one].shifts]
        most = _JUDGED // 2 if self._estimate.values.size >= LARGE else _JUDGED
        likely = dict.fromkeys(ranked[:most] + shifted[:most])
        for spread in self._grid:
            self.judge([one for one in likely if (one, spread) not in self.scores], spread)

    def judge_subgroups(self) -> None:
        """Judge the orbits of subgroups of the best symmetry, as long as they are better.

        A pattern that ties too much has more symmetries than the truth. What contradicts it is the orbits of some of
        them: those that all generators but one, or two random products of them, generate; of a direct product, those
        of one factor beside all of the others. So is the pattern in which these split what they must, and nothing else.
        """
        rng = np.random.default_rng(0)
        tried: set[Partition] = set()
        while True:
            best = self._best_symmetric()
            if best is None or best[0] in tried:
                return
            partition, spread = best
            tried.add(partition)
            maps = self._structures[partition].closure.maps  # type: ignore[union-attr]
            parts = orbits_of_subgroups(partition, maps, rng)
            if not is_tabled(partition.shape):
                many = [one.num_groups for one in parts if one.num_groups > MOST_GROUPS]
                self.left_out = min([*many, self.left_out] if self.left_out else many, default=0)
                parts = [one for one in parts if one.num_groups <= MOST_GROUPS]
            found = [*likely_parts(self._estimate, partition, maps, parts), *rearranged(self._estimate, partition)]
            self.judge([one for one in dict.fromkeys(found) if (one, spread) not in self.scores], spread)

    def has_symmetry(self, partition: Partition) -> bool:
        """Whether a partition was judged and has one."""
        return self._structures.get(partition, Structure()).closure is not None

    def _best_symmetric(self) -> tuple[Partition, float] | None:
        """The best partition with a symmetry, and its spread."""
        symmetric = [key for key in self.scores if self._structures[key[0]].closure and not self._is_generic(*key)]
        return min(symmetric, key=self.scores.__getitem__, default=None)

    @property
    def exact_scores(self) -> dict[Partition, Score]:
        """Of partitions whose entries are equal."""
        return {one: score for (one, spread), score in self.scores.items() if spread == 0}

    @property
    def is_scattered(self) -> bool:
        """Whether entries that scatter, about one value or several, explain the estimates better than equal ones."""
        exact = min(self.exact_scores.values())
        return min(self._scattered, default=exact) < exact

    @property
    def _scattered(self) -> list[Score]:
        return [*(score for (_, spread), score in self.scores.items() if spread > 0), *self._generic.values()]

    def log_odds(self, partition: Partition) -> float:
        """Log odds of a judged partition whose entries are equal against the best that scatters.

        Whether the test of its misfit rejects it does not matter.
        """
        return min((score for _, score in self._scattered), default=np.inf) - self.scores[partition, 0.0][1]

    def likely_spreads(self) -> list[float]:
        """Spreads with which a search may find more: below that of all entries about one value, or none where that is.

        Without a symmetry to tell them, groups lie so far apart that the spread within is a small part of that of all.
        """
        _, generic = min(self._generic, key=self._generic.__getitem__, default=(None, self._grid[-1]))
        most = generic / (2 if self.is_matrix else _LEAST_GAP / 2)
        some = [spread for spread in self._grid[1:] if self.evidence(0.0).error / 2 <= spread <= most]
        return some[::-2][:_SEARCHES]

    def answer(self, plain: Partition) -> tuple[Partition, Belief]:
        """The partition of the best score, and what else the evidence says.

        Args:
            plain: the best partition without regard to symmetries. It is the answer where the odds are clearly against
                the symmetry of the best one, or where the entries are best explained as scattered about one value.
        """
        terms = self._terms()
        told = (key for key in sorted(self.scores, key=self.scores.__getitem__) if self._is_told(*key))
        partition, spread = next(told)
        odds, guess = self._symmetry(terms, partition)
        shifts = self._shifts(terms, partition)
        rejected, least = self.scores[partition, spread]
        is_sure = self._probability(terms, odds, guess) >= 0.5 or probability(shifts) >= 0.5
        for one, width in () if guess is None or is_sure else told:
            # Of a partition and one that ties a little less, the latter may have a symmetry that is sure.
            if self.scores[one, width] > (rejected, least + CLEAR_ODDS):
                break
            closure = self._structures[one].closure
            if closure is not None and (own := self._symmetry(terms, one)[0]) >= CLEAR_ODDS:
                odds, guess = own, one.labels
                # It may be a part of the symmetry of the best one. Else the data contradict that.
                if not all(is_kept(partition.labels, pair) for pair in closure.maps):
                    partition, spread = one, width
                break
        if spread > 0 and not self.scores[partition, spread] < min(self._generic.values(), default=(True, np.inf)):
            partition, spread = plain, 0.0
        found = self._structures.get(partition, Structure())
        shifts = self._shifts(terms, partition)
        likely = [(odds, self._probability(terms, odds, guess))] if found.closure else []
        likely += [(shifts, probability(shifts))] if found.shifts else []
        # Entries that are only nearly equal need a symmetry, or shifts, that are more probable than none.
        if likely and all(p < 0.5 if spread else odd < -CLEAR_ODDS for odd, p in likely):
            partition = plain
        spread, interval = self._spread_of(partition)
        judged = odds, guess, self._shifts(terms, partition), self._continuum(), self._rivals(terms, guess)
        return partition, Belief(spread, interval, self._mean(terms), *judged)

    def _probability(self, terms: dict[tuple[Partition, float], float], odds: float, guess: np.ndarray | None) -> float:
        return probability(odds, self._rivals(terms, guess))

    def _rivals(self, terms: dict[tuple[Partition, float], float], guess: np.ndarray | None) -> float:
        """Log odds of the symmetry of a candidate against those shifts up to a boundary alone that it lacks."""
        closure = None if guess is None else self._structures[Partition(guess)].closure
        if closure is None:
            return np.nan
        maps = closure.maps
        return self._odds(
            terms,
            lambda one: all(is_kept(one.labels, pair) for pair in maps),
            lambda one: bool(self._structures[one].shifts),
        )

    def _continuum(self) -> float:
        """Log odds of all entries being spread about one value, against the best groups of equal entries."""
        exact = min(score for _, score in self.exact_scores.values())
        return float(exact - min((score for _, score in self._generic.values()), default=np.inf))

    def _is_told(self, partition: Partition, spread: float) -> bool:
        """Whether scattered entries show their groups: a gap lies between them, or a symmetry or shifts tell them."""
        structure = self._structures[partition]
        if spread == 0 or structure.closure or structure.shifts:
            return not self._is_generic(partition, spread)
        if self._num_scattered(partition, spread) < 2:
            return False
        values = tied_values(self.evidence(spread).estimate, partition.labels, partition.num_groups)
        return float(np.diff(np.sort(values)).min()) > _LEAST_GAP * spread

    def _num_scattered(self, partition: Partition, spread: float) -> int:
        """The number of groups that show a spread: several entries whose standard errors do not hide it.

        One such group is a continuum of weights, with others that are far away, in other units, say.
        """
        shows = np.sqrt(self._estimate.variance.ravel()) <= _HIDDEN * spread
        return int((np.bincount(partition.labels.ravel(), shows) > 1).sum())

    def _is_generic(self, partition: Partition, spread: float) -> bool:
        return (partition, spread) in self._generic

    def _terms(self) -> dict[tuple[Partition, float], float]:
        """Log weights of partitions and spreads, those that are rejected left out where not all are."""
        every = {key: score for key, score in self.scores.items() if not self._is_generic(*key)}
        every |= self._generic
        possible = {key: score for key, score in every.items() if not score[0]} or every
        total = scipy.special.logsumexp([-score for _, score in possible.values()])
        return {key: float(-score - total) for key, (_, score) in possible.items()}

    def _symmetry(
        self, terms: dict[tuple[Partition, float], float], partition: Partition
    ) -> tuple[float, np.ndarray | None]:
        """Log odds of the symmetry of a partition, or of the best candidate that has one, and that candidate."""
        if not self.is_symmetric:
            return np.nan, None
        closure = self._structures[partition].closure
        if closure is None:
            best = self._best_symmetric()
            if best is None:
                return -np.inf, None
            return self._symmetry(terms, best[0])
        maps = closure.maps
        odds = self._odds(terms, lambda one: all(is_kept(one.labels, pair) for pair in maps))
        return odds, partition.labels

    def _odds(
        self,
        terms: dict[tuple[Partition, float], float],
        has: Callable[[Partition], bool],
        among: Callable[[Partition], bool] | None = None,
    ) -> float:
        """Log odds of the candidates that have a structure, as far as they got their labels through one.

        A pattern too coarse for the truth may have a symmetry by chance, two columns that are alike, say. So what a
        partition weighs without regard to any structure does not speak for it.

        Args:
            terms: log weights of partitions and spreads.
            has: whether a partition has the structure.
            among: which others count against it, and nothing else; None: all, and chance.
        """
        holds, fails = [-np.inf], [-np.inf]
        most = max(terms.values())
        for (one, spread), weight in terms.items():
            if self._is_generic(one, spread) or not has(one):
                if among is None or (not self._is_generic(one, spread) and among(one)):
                    fails.append(weight)
                continue
            chance = self._share_by_chance(one, spread) if weight > most - _NEGLIGIBLE else 0.0
            with np.errstate(divide="ignore"):
                holds.append(weight + np.log1p(-chance))
                if among is None:
                    fails.append(weight + np.log(chance))
        with np.errstate(invalid="ignore"):
            return float(scipy.special.logsumexp(holds) - scipy.special.logsumexp(fails))

    def _share_by_chance(self, partition: Partition, spread: float) -> float:
        """Share of the weight of a partition that the prior without any structure has; none where all is one value."""
        key = partition, spread
        if key not in self._by_chance:
            log_share = self.scores[key][1] - self.evidence(spread).score(partition.labels)[1]
            self._by_chance[key] = min(float(np.exp(log_share)), 1.0) if partition.num_groups > 1 else 0.0
        return self._by_chance[key]

    def _shifts(self, terms: dict[tuple[Partition, float], float], partition: Partition) -> float:
        """Log odds of the shifts that a partition is a union of; NaN where there are none."""
        coarsest = coarsest_shift(self._structures.get(partition, Structure()).shifts)
        if coarsest is None:
            return np.nan
        return self._odds(terms, lambda one: coarsest in self._structures[one].shifts)

    def _spread_of(self, partition: Partition) -> tuple[float, tuple[float, float]]:
        """The spread of the entries of a partition: 0 where that is not improbable, else the most probable one."""
        structure = self._structures.get(partition)

        def log_weight(evidence: Evidence) -> float:
            return -evidence.score(partition.labels, structure)[1]

        weights = np.full(len(self._grid), -np.inf)
        for i, spread in enumerate(self._grid):
            if self._is_told(partition, spread):
                known = self.scores.get((partition, spread))
                weights[i] = log_weight(self.evidence(spread)) if known is None else -known[1]
        weights -= np.asarray(scipy.special.logsumexp(weights))
        best, fine, mass = 0.0, np.array(self._grid), np.exp(weights)
        if partition.num_groups < partition.labels.size and mass[0] < _LEAST_EXACT:
            step = 4 if partition.labels.size >= LARGE else 1
            about = self._grid[1 + int(weights[1:].argmax())] * _FINE[::step]
            # Not kept: each holds the covariances of all blocks.
            finer = np.array([log_weight(self.evidence(0.0).scattered(spread)) for spread in about])
            best = float(about[finer.argmax()])
            fine = np.concatenate([[0.0], about])
            mass = np.concatenate([mass[:1], (1 - mass[0]) * np.exp(finer - scipy.special.logsumexp(finer))])
        low, high = (float(fine[min(int(np.searchsorted(mass.cumsum(), p)), len(fine) - 1)]) for p in (0.025, 0.975))
        return best, (low, high)

    def _mean(self, terms: dict[tuple[Partition, float], float]) -> np.ndarray:
        """Mean of the entries over partitions and spreads, given each: the values of groups and what spread allows."""
        total, mean = 0.0, np.zeros(self._estimate.values.shape)
        for (one, spread), weight in terms.items():
            if np.exp(weight) < _LEAST_WEIGHT:
                continue
            wide = self.evidence(spread).estimate
            values = tied_values(wide, one.labels, one.num_groups)
            tied = values[one.labels]
            mean += np.exp(weight) * (tied + spread**2 * wide.apply(wide.values - tied))
            total += np.exp(weight)
        return mean / total + self._estimate.origin
