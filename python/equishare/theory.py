"""How much selecting a partition on validation samples can cost: bounds for Gaussian means.

x ~ N(θ, σ² I_K), n_t training and n_v validation samples with means x̄_T and x̄_V. A partition a fits θ̂_a, the group
means of x̄_T, and â is the candidate with the least ‖x̄_V − θ̂_a‖². ``a*`` is the true partition, of r groups. All bounds
hold for every θ that is constant on the groups of ``a*``; the proofs are in docs/theory.md.

The candidates are all Bell(K) partitions (``"all"``), a family of M that is fixed before the data (an integer M), or
the K partitions along the path of :mod:`equishare.methods.merge` (``"path"``), which depend on the training
samples. For K > 64 `merge` may stop before the end of the path; docs/theory.md says which bounds then hold.

Source: the setting is that of Yeh, Hu, Hasegawa-Johnson, Schwing, "Equivariance Discovery by Learned
Parameter-Sharing", AISTATS 2022, Gaussian data with shared means.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Literal

import numpy as np
import scipy

__all__ = ["gap_bound", "gap_quantile", "log_bell", "path_miss_probability", "risk_bound", "simple_bound"]

Candidates = int | Literal["all", "path"]

# Least upper bounds of z P(g > z) and of z² P(g > z) over z > 0 for a standard normal g, rounded up.
_PEAK, _PEAK_SQUARED = 0.169972, 0.165717
# Counts of entries and of samples may be as large as this: the sums of log_bell stay short.
_MOST = 10**12


def log_bell(num_entries: int) -> float:
    """Logarithm of the Bell number, the number of partitions of K entries.

    Dobinski's formula ``Bell(K) = exp(−1) Σ_j j^K / j!``, summed in logarithms around its largest term.

    Raises:
        TypeError: ``num_entries`` is not an integer.
        ValueError: it is less than one or more than 10¹².
    """
    k = _count("num_entries", num_entries)
    peak = k / scipy.special.lambertw(k).real
    reach = 40 + 12 * math.sqrt(peak)
    j = np.arange(max(1, int(peak - reach)), int(peak + reach) + 2, dtype=np.float64)
    return float(scipy.special.logsumexp(k * np.log(j) - scipy.special.gammaln(j + 1)) - 1)


def simple_bound(
    candidates: Candidates, num_entries: int, num_groups: int, num_train: int, num_val: int, sigma: float
) -> float:
    """The plain form ``8 σ² [r / n_t + min(K, 2 log(2M) + 2) / n_v]``, for ``a*`` among M candidates.

    :func:`gap_bound` of the same candidates is never larger; this one shows the rates.

    Args and errors as for :func:`gap_bound`, but candidates must not be ``"path"``: a path may miss ``a*``, and then
    the gap can be larger. With M = K it bounds the expectation over the event that ``a*`` lies on the path.
    """
    k, r, n_t, n_v, sigma = _setting(num_entries, num_groups, num_train, num_val, sigma)
    log_count = _log_count(candidates, k)
    if candidates == "path":
        raise ValueError("candidates must be 'all' or a number of partitions here, got 'path', which may miss a*")
    return _in_units(sigma, 8 * (r / n_t + min(k, 2 * (math.log(2) + log_count) + 2) / n_v))


def gap_bound(
    candidates: Candidates,
    num_entries: int,
    num_groups: int,
    num_train: int,
    num_val: int,
    sigma: float,
    spacing: float | None = None,
) -> float:
    """Upper bound of the gap ``E‖θ̂_â − θ̂_a*‖²``.

    With N = M − 1, t = Φ⁻¹(1 − 1/N), e₁ = min(t, E χ_{K−1}), e₂ = min(t², K − 1) (for N < 9 see docs/theory.md):

        4 σ² min{ (r−1)/n_t + 2 e₁ E[χ_{r−1}] / √(n_t n_v) + e₂/n_v,   (r−1)/n_t + (K−1)/n_v }

    and for r = 1 also (K−1) σ²/n_t. Since t ≤ √(2 log(N/2)), a family of M costs log M, the full search at most K − 1.
    A path need not hold ``a*``: there the square root grows by σ √(min(K − r, (K−1) P(χ²_{K+1} > n_t Δ²/8σ²)) / n_t).

    Args:
        candidates: ``"all"``, ``"path"``, or the number M of partitions, ``a*`` among them. They are fixed before the
            data; if they depend on the training samples, the expectation is over the event that ``a*`` is among them.
        num_entries: K.
        num_groups: r, the groups of ``a*``.
        num_train: n_t.
        num_val: n_v.
        sigma: σ, the standard deviation of one sample, in the units of θ.
        spacing: Δ, the least distance of the values of two groups; for ``"path"`` only. Without it any θ is
            allowed for.

    Returns:
        The bound, in the units of σ²; infinite where it is beyond all floating-point numbers.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range (counts of entries and samples from 1 to 10¹²), or ``spacing`` where
            candidates are not a path.
    """
    k, r, n_t, n_v, sigma = _setting(num_entries, num_groups, num_train, num_val, sigma)
    log_count = _log_count(candidates, k)
    may_miss = _may_miss(candidates, k, r, spacing)
    if log_count == 0:
        return 0.0
    first, second = _selection_moments(log_count, k - 1)
    fit = (r - 1) / n_t
    bound = 4 * (fit + 2 * first * _mean_chi(r - 1) / math.sqrt(n_t * n_v) + second / n_v)
    if may_miss:
        bound = (math.sqrt(bound) + math.sqrt(_missed_error(k, r, n_t, sigma, spacing) / n_t)) ** 2
    else:
        bound = min(bound, 4 * (fit + (k - 1) / n_v))
    return _in_units(sigma, min(bound, (k - 1) / n_t) if r == 1 else bound)


def gap_quantile(
    candidates: Candidates,
    num_entries: int,
    num_groups: int,
    num_train: int,
    num_val: int,
    sigma: float,
    spacing: float | None = None,
    failure: float = 0.05,
) -> float:
    """Bound that ``‖θ̂_â − θ̂_a*‖²`` exceeds with probability at most ``failure``, δ.

    With q_d(p) the upper p quantile of χ²_d and δ shared equally among the terms that are not zero:

        σ² [ 2 √(q_{r−1}/n_t) + 2 min(√q_{K−1}, Φ⁻¹(1 − δ/N)) / √n_v  (+ √(q_{K−r}/n_t) for a path that may miss a*) ]²

    Args and errors as for :func:`gap_bound`; ``failure`` must lie strictly between 0 and 1.
    """
    k, r, n_t, n_v, sigma = _setting(num_entries, num_groups, num_train, num_val, sigma)
    delta = _positive("failure", failure)
    if delta >= 1:
        raise ValueError(f"failure must lie between 0 and 1, got {failure}")
    log_count = _log_count(candidates, k)
    may_miss = _may_miss(candidates, k, r, spacing)
    if log_count == 0:
        return 0.0
    share = delta / (1 + (r > 1) + may_miss)
    fit = 2 * math.sqrt(scipy.special.chdtri(r - 1, share) / n_t) if r > 1 else 0.0
    one_of_many = max(0.0, -float(scipy.special.ndtri_exp(math.log(share) - _log_less_one(log_count))))
    selection = 2 * min(math.sqrt(scipy.special.chdtri(k - 1, share)), one_of_many) / math.sqrt(n_v)
    if may_miss and spacing is not None:
        may_miss = path_miss_probability(k, r, n_t, sigma, spacing) > share
    miss = math.sqrt(scipy.special.chdtri(k - r, share) / n_t) if may_miss else 0.0
    bound = (fit + selection + miss) ** 2
    return _in_units(sigma, min(bound, scipy.special.chdtri(k - 1, delta) / n_t) if r == 1 else bound)


def risk_bound(candidates: Candidates, num_entries: int, num_val: int, sigma: float, best: float) -> float:
    """Oracle inequality: bound of ``E‖θ̂_â − θ‖²`` by that of the best candidate, whatever θ is.

        best + 4 √best · e₁ σ/√n_v + 4 e₂ σ²/n_v ≤ (√best + 2 σ √(e₂/n_v))²

    It needs no true partition among the candidates. With ``best`` = min over candidates of ‖θ̂_a − θ‖² for given
    training samples, it bounds the expectation over validation samples; with the expectation of that minimum, the full
    one.

    Args:
        candidates: as for :func:`gap_bound`.
        num_entries: K.
        num_val: n_v.
        sigma: σ.
        best: squared error of the best candidate, in the units of σ².

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """
    k, n_v, sigma = _count("num_entries", num_entries), _count("num_val", num_val), _positive("sigma", sigma)
    best = _number("best", best)
    if best < 0:
        raise ValueError(f"best must not be negative, got {best}")
    first, second = _selection_moments(_log_count(candidates, k), k - 1)
    error = sigma / math.sqrt(n_v)
    return best + 4 * first * math.sqrt(best) * error + _in_units(error, 4 * second)


def path_miss_probability(num_entries: int, num_groups: int, num_train: int, sigma: float, spacing: float) -> float:
    """Bound of the probability that the path of best segmentations does not hold a*: ``P(χ²_{K−1} ≥ n_t Δ²/8σ²)``.

    Zero for one group and for K groups. Args and errors as for :func:`gap_bound`.
    """
    k, r, n_t, _, sigma = _setting(num_entries, num_groups, num_train, 1, sigma)
    spacing = _positive("spacing", spacing)
    return 0.0 if r in (1, k) else float(scipy.special.chdtrc(k - 1, _safe_distance(n_t, sigma, spacing)))


def _may_miss(candidates: Candidates, k: int, r: int, spacing: float | None) -> bool:
    """Whether the candidates may lack a*."""
    if spacing is not None and candidates != "path":
        raise ValueError(f"spacing is for candidates 'path' only, got {spacing} for {candidates!r}")
    if spacing is not None:
        _positive("spacing", spacing)
    return candidates == "path" and 1 < r < k


def _missed_error(k: int, r: int, n_t: int, sigma: float, spacing: float | None) -> float:
    """Bound m of E[D²] n_t/σ², D the distance of θ̂_a* from the nearest candidate on the path (Theorem 4)."""
    if spacing is None:
        return float(k - r)
    return float(min(k - r, (k - 1) * scipy.special.chdtrc(k + 1, _safe_distance(n_t, sigma, spacing))))


def _safe_distance(n_t: int, sigma: float, spacing: float) -> float:
    """Squared error of x̄_T, in σ²/n_t, below which the path holds a* for sure (Lemma 3)."""
    # Infinite where the square is beyond all numbers.
    return n_t / 8 * (spacing / sigma) * (spacing / sigma)


def _in_units(sigma: float, bound: float) -> float:
    """A bound in units of σ²; infinite where it is beyond all numbers, which σ² may be before."""
    return float(sigma) * float(bound) * float(sigma)


def _selection_moments(log_count: float, dimension: int) -> tuple[float, float]:
    """Bounds e₁, e₂ of E z and E z² for the fixed lengths z that one of N Gaussian directions exceeds (Lemma 2)."""
    if log_count == 0:
        return 0.0, 0.0
    log_n = _log_less_one(log_count)
    few = round(math.exp(min(log_n, 10.0)))
    quantile = -float(scipy.special.ndtri_exp(-log_n)) if few > 1 else 0.0
    first = quantile if few >= 5 else few * _PEAK
    second = quantile**2 if few >= 9 else few * _PEAK_SQUARED
    return min(first, _mean_chi(dimension)), min(second, dimension)


def _log_less_one(log_count: float) -> float:
    return log_count + math.log1p(-math.exp(-log_count))


def _mean_chi(freedom: int) -> float:
    """Mean of the square root of a χ² variable, ``√2 Γ((d + 1)/2) / Γ(d/2)``."""
    return math.sqrt(2) * float(scipy.special.poch(freedom / 2, 0.5))


def _log_count(candidates: Candidates, num_entries: int) -> float:
    if isinstance(candidates, str):
        if candidates == "all":
            return log_bell(num_entries)
        if candidates == "path":
            return math.log(num_entries)
        raise ValueError(f"candidates must be 'all', 'path' or a number of partitions, got {candidates!r}")
    log_count = math.log(_integer("candidates", candidates))
    if log_count > log_bell(num_entries) + 1e-9:
        raise ValueError(f"candidates must be at most the Bell number of {num_entries} entries, got {candidates}")
    return log_count


def _setting(
    num_entries: int, num_groups: int, num_train: int, num_val: int, sigma: float
) -> tuple[int, int, int, int, float]:
    k, r = _count("num_entries", num_entries), _count("num_groups", num_groups)
    if r > k:
        raise ValueError(f"num_groups must lie in 1..{k}, the number of entries, got {r}")
    return k, r, _count("num_train", num_train), _count("num_val", num_val), _positive("sigma", sigma)


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def _count(name: str, value: object) -> int:
    count = _integer(name, value)
    if count > _MOST:
        raise ValueError(f"{name} must be at most {_MOST:.0e}, got {value}")
    return count


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be at most 1.8e308 in size, got {value}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    return number


def _positive(name: str, value: object) -> float:
    number = _number(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return number
