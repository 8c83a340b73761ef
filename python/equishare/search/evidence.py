"""The evidence for a partition: its posterior probability given all data, with a price for the choice among candidates.

With ŵ the unshared least-squares estimates from all samples and Ω their precision (see
:class:`equishare.problems.base.Estimate`), a partition with assignment A says ``ŵ ~ N(A ψ, Ω⁻¹)``. Its negative log
posterior is computed in closed form, up to a constant that all partitions share:

    fit      ½ (ν + K − G) log(1 + Q/ν),  Q = min over ψ of (ŵ − A ψ)ᵀ Ω (ŵ − A ψ): the noise level, estimated
             with ν degrees of freedom, is integrated out; ½ Q where it is known (ν = ∞)
    values   ½ log det(AᵀΩA / 2π) − log p(ψ̂): ψ is integrated out (Laplace). p is an equal mixture of two priors:
             values drawn independently from a normal of the spread of ŵ, and values whose gaps are
             log-normal with unknown mean and variance (integrated out), for values that are spread evenly
    labels   −log p(partition | G), the label prior: each of K entries draws one of G labels independently. It is an
             equal mixture of labels that are equally frequent, G!/G^K, and of labels with unknown frequencies
             (uniform on the simplex), G! Π_g m_g! (G − 1)!/(K + G − 1)!, for group sizes m_g that are far from
             equal. This prior charges a partition for the number of partitions it was chosen from
    groups   G + 3 log G: a proper prior on the number of groups

If a partition unites orbits of a symmetry H, its label prior counts orbits instead of entries. In return it pays
log(O! I! / |H|): H has at most so many conjugates, which are the same symmetry with rows and columns in another order.

The noise level, the number of groups and their sizes are not assumed.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, fdtrc, gammaln

from equishare.problems.estimates import BlockEstimate, fit_estimate
from equishare.search.orbits import Symmetry
from equishare.search.polish import misfit

# p(G) proportional to exp(-G) / G ** 3: with it two values are separated from about three standard errors on.
_GROUPS_RATE = 1.0
_GROUPS_EXPONENT = 3.0
# Prior of the log gap y between neighbouring values, in standard errors: y ~ N(log 4, v / 0.05), v ~ InvGamma(1, 0.2).
_GAP_LOG_MEAN = np.log(4.0)
_GAP_COUNT = 0.05
_GAP_SHAPE = 1.0
_GAP_RATE = 0.2
# A partition is rejected if a misfit as large as its own, or larger, has less than this probability.
_REJECTION = 1e-5
# The normal prior is at least this many standard errors wide.
_LEAST_SPREAD = 10.0


class Evidence:
    """Scores partitions of one problem; lower is better (negative log posterior).

    Args:
        estimate: unshared estimates and their precision.
    """

    def __init__(self, estimate: BlockEstimate) -> None:
        self.estimate = estimate
        self.error = float(np.sqrt(np.median(estimate.variance)))
        self.spread = max(float(estimate.values.std()), _LEAST_SPREAD * self.error)

    def score(self, labels: np.ndarray, symmetry: Symmetry | None = None) -> tuple[bool, float]:
        """Judge the partition ``labels``, numbered 0 … G − 1 without holes.

        Args:
            labels: the partition.
            symmetry: its orbits are kept together, and the label prior then counts orbits, not entries.

        Returns:
            Whether an F test of the misfit rejects the partition, and its negative log posterior. The posterior only
            compares partitions. Where the values form a continuum none of these is true, and without the test a coarse
            one would win.
        """
        num_groups, num_entries = int(labels.max()) + 1, labels.size
        values, precision = fit_estimate(self.estimate, labels, num_groups)
        freedom = self.estimate.freedom
        distance = misfit(self.estimate, labels, values)
        spare = num_entries - num_groups
        if np.isinf(freedom):  # the noise level is known
            fit, tail = 0.5 * distance, chdtrc(max(spare, 1), distance)
        else:
            fit = 0.5 * (freedom + spare) * np.log1p(distance / freedom)
            tail = fdtrc(max(spare, 1), freedom, distance / max(spare, 1))
        if self.estimate.is_diagonal:
            log_det = np.log(np.diag(precision)).sum()
        else:
            log_det = np.linalg.slogdet(precision)[1]
        laplace = 0.5 * (log_det - num_groups * np.log(2 * np.pi))
        log_prior = np.logaddexp(self._log_independent(num_groups), self._log_gaps(np.sort(values)))
        log_prior += (
            _log_partition(labels, symmetry) - _GROUPS_EXPONENT * np.log(num_groups) - _GROUPS_RATE * num_groups
        )
        return bool(spare > 0 and tail < _REJECTION), float(fit + laplace - log_prior)

    def _log_independent(self, num_groups: int) -> float:
        """log of G! times the normal density at its typical height, for values in any order."""
        return float(gammaln(num_groups + 1) - num_groups * np.log(np.sqrt(2 * np.pi) * self.spread))

    def _log_gaps(self, values: np.ndarray) -> float:
        """log density of ascending values: the first normal, the log gaps Student-t with a conjugate prior."""
        first = -np.log(np.sqrt(2 * np.pi) * self.spread)
        count = len(values) - 1
        if count == 0:
            return float(first)
        # Below one standard error the density is taken as flat: ψ̂ is not known more finely than that.
        log_gap = np.log(np.maximum(np.diff(values) / self.error, 1.0))
        mean = log_gap.mean()
        strength, shape = _GAP_COUNT + count, _GAP_SHAPE + count / 2
        rate = _GAP_RATE + 0.5 * (
            ((log_gap - mean) ** 2).sum() + _GAP_COUNT * count / strength * (mean - _GAP_LOG_MEAN) ** 2
        )
        student = (
            gammaln(shape)
            - gammaln(_GAP_SHAPE)
            + _GAP_SHAPE * np.log(_GAP_RATE)
            - shape * np.log(rate)
            + 0.5 * np.log(_GAP_COUNT / strength)
            - count / 2 * np.log(2 * np.pi)
        )
        return float(first + student - (log_gap + np.log(self.error)).sum())


def _log_partition(labels: np.ndarray, symmetry: Symmetry | None) -> float:
    if symmetry is None:
        return _log_labels(np.bincount(labels.ravel()))
    representatives = np.unique(symmetry.orbits, return_index=True)[1]
    return _log_labels(np.bincount(labels.ravel()[representatives])) - symmetry.log_conjugates


def _log_labels(sizes: np.ndarray) -> float:
    """log probability of the labels of groups of these sizes, in the order of their values."""
    num_groups, num_entries = len(sizes), sizes.sum()
    equal = -num_entries * np.log(num_groups)
    unknown = gammaln(sizes + 1).sum() + gammaln(num_groups) - gammaln(num_entries + num_groups)
    return float(np.logaddexp(equal, unknown))
