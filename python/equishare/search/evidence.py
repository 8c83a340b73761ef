"""The evidence for a partition: its posterior probability given all data, with a price for the choice among candidates.

With ŵ the unshared least-squares estimates from all samples and Ω their precision (see
:class:`equishare.problems.base.Estimate`), a partition with assignment A says ``ŵ ~ N(A ψ, Ω⁻¹)``. Its negative log
posterior is computed in closed form, up to a constant that all partitions share. Where entries scatter about their
values by τ, Ω⁻¹ + τ² I stands for Ω⁻¹; τ = 0 has half of the prior mass, a grid of τ the other half:

    fit      ½ (ν + K − G) log(1 + Q/ν),  Q = min over ψ of (ŵ − A ψ)ᵀ Ω (ŵ − A ψ): the noise level, estimated
             with ν degrees of freedom, is integrated out; ½ Q where it is known (ν = ∞)
    values   ½ log det(AᵀΩA / 2π) − ½ log det Ω − log p(ψ̂): ψ is integrated out (Laplace). p is an equal mixture of
             two priors: values drawn independently from a normal of the width of ŵ, and values whose gaps are
             log-normal with unknown mean and variance (integrated out), for values that are spread evenly. Of a
             normal density the typical height is taken, e^(−½) of the greatest. One value may be known to be zero
    labels   −log of the prior of the partition and of its number of groups, alone or through a symmetry; see
             :mod:`equishare.search.price`. It charges a partition for the number of partitions it was chosen from

The noise level, the number of groups and their sizes are not assumed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from equishare.linalg import log_det, pseudo_inverse, solve
from equishare.partition import Partition
from equishare.problems.estimates import BlockEstimate, fit_estimate
from equishare.search.polish import misfit
from equishare.search.price import Structure, log_prior, one_of_each
from equishare.search.segmentation import prior_width

# Prior of the log gap y between neighbouring values, in standard errors: y ~ N(log 4, v / 0.05), v ~ InvGamma(1, 0.2).
_GAP_LOG_MEAN = np.log(4.0)
_GAP_COUNT = 0.05
_GAP_SHAPE = 1.0
_GAP_RATE = 0.2
# A partition is rejected if a misfit as large as its own, or larger, has less than this probability.
_REJECTION = 1e-5
# Numbers in the covariances of all blocks. The precision with a spread is made once for each spread, about ten of them:
# 1.3 GiB together at most.
_MOST_WIDENED = 1 << 24
#: From so many entries on, where a score takes long, fewer candidates are tried.
LARGE = 1 << 14
# Of large parameters partitions are fitted together, through a common refinement of at most so many groups.
_MOST_REFINED = 2048
# Summing a precision over pairs of groups takes so much less time a number than gathering it from a precision of rows.
_CHEAPER = 8
# From one τ of the grid to the next.
_SPREAD_STEP = 2.0

#: Whether an F test of the misfit rejects a partition, and its negative log posterior: lower is better.
Score = tuple[bool, float]


@dataclass(frozen=True)
class Fit:
    """The groups of a partition, fitted to the estimates.

    Attributes:
        values: ψ̂ (G,).
        precision: AᵀΩA (G, G); its diagonal alone, (G,), where the estimates do not covary, or every entry is a group
            of its own.
        misfit: Q.
        variance: (G,) of each value, where it is known without the precision of the others.
    """

    values: np.ndarray
    precision: np.ndarray
    misfit: float
    variance: np.ndarray | None = None

    @property
    def own(self) -> np.ndarray:
        """(G,) precision of each value given all others."""
        return self.precision if self.precision.ndim == 1 else np.diag(self.precision)

    def merged(self, to: np.ndarray) -> Fit:
        """The fit of a coarser partition, whose group ``to[g]`` holds group g: no entry is looked at again.

        With B for the assignment ``to``: the precision is BᵀPB, and the misfit grows by that of ψ̂.
        """
        order = np.argsort(to, kind="stable")
        starts = np.flatnonzero(np.diff(to[order], prepend=-1))
        summed = np.add.reduceat(self.precision[order], starts, axis=0)
        precision = np.add.reduceat(summed[:, order], starts, axis=1)
        values = solve(precision, np.bincount(to, self.precision @ self.values))
        gap = self.values - values[to]
        return Fit(values, precision, self.misfit + float(gap @ self.precision @ gap))


class Evidence:
    """Scores partitions of one problem; lower is better (negative log posterior).

    Args:
        estimate: unshared estimates and their precision.

    Attributes:
        estimate: the same; with the covariance ``Ω⁻¹ + τ² I`` where entries scatter by τ.
        error: standard error of an entry, the median.
        width: standard deviation of the values, at least ten standard errors.
        spreads: the grid of τ > 0: from a quarter of a standard error to the standard deviation of the estimates. Empty
            where the covariances of all blocks would take too much memory.
        is_matrix: whether entries may have got their labels through a symmetry.
    """

    def __init__(self, estimate: BlockEstimate) -> None:
        self.estimate = estimate
        self.is_matrix = estimate.values.ndim == 2 and min(estimate.values.shape) >= 2
        self.error = float(np.sqrt(np.median(estimate.variance)))
        self.width = prior_width(estimate.values, self.error)
        self.spreads = np.empty(0)
        if estimate.size_widened <= _MOST_WIDENED:
            most = max(float(estimate.values.std()), self.error)
            steps = np.ceil(np.log(most / self.error) / np.log(_SPREAD_STEP))
            self.spreads = self.error * _SPREAD_STEP ** np.arange(-2, steps + 1)
        self._log_det = estimate.log_det
        # Half of the prior mass lies on τ = 0, the other half on the grid.
        self._log_prior = -np.log(2)

    def scattered(self, spread: float) -> Evidence:
        """The same where entries scatter about the value of their group by τ = ``spread`` > 0."""
        other = copy.copy(self)
        other.estimate = self.estimate.widened(spread)
        other._log_det = other.estimate.log_det
        other._log_prior = self._log_prior - np.log(len(self.spreads))
        return other

    def score(self, labels: np.ndarray, structure: Structure | None = None, fit: Fit | None = None) -> Score:
        """Judge the partition ``labels``, numbered 0 … G − 1 without holes.

        Args:
            labels: the partition.
            structure: what it may have come from, through which it may be more probable; None for nothing.
            fit: of the partition, where it is known.

        Returns:
            Whether an F test of the misfit rejects the partition, and its negative log posterior. The posterior only
            compares partitions. Where the values form a continuum none of these is true, and without the test a coarse
            one would win.
        """
        num_groups, num_entries = int(labels.max()) + 1, labels.size
        fit = self.fitted(labels, num_groups) if fit is None else fit
        values, distance = fit.values, fit.misfit
        freedom = self.estimate.freedom
        spare, misfitting = num_entries - num_groups, self.cost_of_misfit(fit)
        # A sum of squares of which some say the same has the distribution of a mean of fewer.
        inflation = self.estimate.inflation
        if np.isinf(freedom):  # the noise level is known
            tail = scipy.special.chdtrc(max(spare, 1) / inflation, distance / inflation)
        else:
            shares = max(spare, 1) / inflation, freedom / inflation
            tail = scipy.special.fdtrc(*shares, distance / max(spare, 1))
        # det Ω is a constant, but for τ.
        laplace = 0.5 * (self._log_det_of(fit) - self._log_det - num_groups * np.log(2 * np.pi))
        order = np.argsort(values)
        errors = 1 / np.sqrt(fit.own[order])
        independent = self._log_independent(errors).sum()
        in_order = np.logaddexp(
            scipy.special.gammaln(num_groups + 1) + independent, self._log_gaps(values[order], errors)
        )
        named, unnamed, zero = log_prior(labels, structure or Structure(), self.is_matrix)
        # Values are taken to lie where the density is typical, e^(−1/2) of its height.
        log_values = np.logaddexp(in_order + named, independent + unnamed) - 0.5 * num_groups
        if (zero > -np.inf).any():
            log_values = np.logaddexp(log_values, np.logaddexp.reduce(zero + self._log_one_zero(fit)))
        log_prior_all = log_values + self._log_prior
        return bool(spare > 0 and tail < _REJECTION), float(misfitting + laplace - log_prior_all)

    def cost_of_misfit(self, fit: Fit) -> float:
        """What the misfit of a partition costs, the first of the terms above."""
        freedom = self.estimate.freedom
        if np.isinf(freedom):
            return 0.5 * fit.misfit
        spare = self.estimate.values.size - len(fit.values)
        return float(0.5 * (freedom + spare) * np.log1p(fit.misfit / freedom))

    def fitted(self, labels: np.ndarray, num_groups: int) -> Fit:
        """The partition of so many groups fitted to the estimates."""
        if self.estimate.is_diagonal:
            right, precision = self.estimate.totals(labels, num_groups)
            values = right / precision
            return Fit(values, precision, misfit(self.estimate, labels, values), 1 / precision)
        if num_groups == labels.size:
            entry = np.argsort(labels, axis=None)
            values, own, variance = (
                one.ravel()[entry] for one in (self.estimate.values, self.estimate.precision, self.estimate.variance)
            )
            return Fit(values, own, 0.0, variance)
        values, precision = fit_estimate(self.estimate, labels, num_groups)
        return Fit(values, precision, misfit(self.estimate, labels, values))

    def fits(self, partitions: Iterable[Partition]) -> Iterator[Fit]:
        """Several partitions fitted, one after another: a fit may hold many numbers.

        Of large parameters they are fitted together, through partitions that they are unions of.
        """
        size, length = self.estimate.values.size, self.estimate.curvature.shape[-1]
        most = min(_MOST_REFINED, int(np.sqrt(size * length / _CHEAPER)))
        together: list[Partition] = []
        finest: Partition | None = None
        for one in partitions:
            if size < LARGE or self.estimate.is_diagonal or one.num_groups > most:
                yield from self._fits_through(finest, together)
                together, finest = [], None
                yield self.fitted(one.labels, one.num_groups)
                continue
            met = one if finest is None else finest.meet(one)
            if met.num_groups > most:
                yield from self._fits_through(finest, together)
                together, met = [], one
            together.append(one)
            finest = met
        yield from self._fits_through(finest, together)

    def _fits_through(self, finest: Partition | None, unions: Sequence[Partition]) -> Iterator[Fit]:
        """Unions of the groups of a partition fitted, through the fit of that."""
        if finest is None:
            return
        whole = self.fitted(finest.labels, finest.num_groups)
        entry = one_of_each(finest.labels)
        for one in unions:
            yield whole if one == finest else whole.merged(one.labels.ravel()[entry])

    def _log_det_of(self, fit: Fit) -> float:
        """log det AᵀΩA."""
        if self.estimate.is_diagonal:
            return float(np.log(fit.own).sum())
        return self._log_det if fit.precision.ndim == 1 else log_det(fit.precision)

    def _log_one_zero(self, fit: Fit) -> np.ndarray:
        """log density (G,) of independent values of which that of one group is zero.

        With ψ_g = 0 the precision of the other values has the determinant of all times v_g, the variance of ψ̂_g, so
        that log N(ψ̂_g | 0, v_g) stands for the density of ψ̂_g.
        """
        variance = np.diag(pseudo_inverse(fit.precision)) if fit.variance is None else fit.variance
        own = self._log_independent(1 / np.sqrt(fit.own)) - 0.5
        at_zero = -0.5 * (fit.values + self.estimate.origin) ** 2 / variance - 0.5 * np.log(2 * np.pi * variance)
        return own.sum() - own + at_zero

    def _log_independent(self, errors: np.ndarray) -> np.ndarray:
        """log of the normal density at its height, for each of values in any order.

        A value that is known less well than to the width of the prior is not known better than that.
        """
        return -0.5 * np.log(2 * np.pi * (self.width**2 + errors**2))

    def _log_gaps(self, values: np.ndarray, errors: np.ndarray) -> float:
        """log density of ascending values: the first normal, the log gaps Student-t with a conjugate prior.

        Args:
            values: ascending.
            errors: standard error of each, given the others.
        """
        first = self._log_independent(errors[0])
        count = len(values) - 1
        if count == 0:
            return float(first)
        # Below one standard error the density is taken as flat: ψ̂ is not known more finely than that. The logarithm of
        # such a gap has a variance of about one; without it many of them would seem to be of one length.
        gap, least = np.diff(values), np.sqrt((errors[1:] ** 2 + errors[:-1] ** 2) / 2)
        log_gap = np.log(np.maximum(gap, least) / self.error)
        unresolved = np.count_nonzero(gap < least)
        mean = log_gap.mean()
        strength, shape = _GAP_COUNT + count, _GAP_SHAPE + count / 2
        rate = _GAP_RATE + 0.5 * (
            unresolved + ((log_gap - mean) ** 2).sum() + _GAP_COUNT * count / strength * (mean - _GAP_LOG_MEAN) ** 2
        )
        student = (
            scipy.special.gammaln(shape)
            - scipy.special.gammaln(_GAP_SHAPE)
            + _GAP_SHAPE * np.log(_GAP_RATE)
            - shape * np.log(rate)
            + 0.5 * np.log(_GAP_COUNT / strength)
            - count / 2 * np.log(2 * np.pi)
        )
        return float(first + student - (log_gap + np.log(self.error)).sum())
