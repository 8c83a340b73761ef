"""Sufficient statistics of a linear least-squares problem: the samples are read once, and no later step needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from equishare.linalg import pseudo_inverse, unit_scale

T = TypeVar("T")

# Rows, and numbers, of data turned into float64 at a time: bounds the temporary memory of a pass over large data.
_CHUNK_ROWS, _CHUNK_NUMBERS = 65_536, 1 << 20

# A loss below this part of the spread of y is a rounding error of its terms.
_ROUNDING = 4e-15
# A column of whose scatter no more is left than this part, when others explain it, is one of rounding errors.
_REDUNDANT = 1e-12


class Rows:
    """Rows of matrices one after another, as float64: made when they are read, so that none has a copy.

    Args:
        parts: matrices (n, K), each with the rows (m,) that are taken of it in their order, or None for all.
        origin: what is subtracted from every number.
    """

    def __init__(self, *parts: tuple[np.ndarray, np.ndarray | None], origin: float = 0.0) -> None:
        self.parts, self.origin = parts, origin
        self.ends = np.cumsum([len(array if rows is None else rows) for array, rows in parts])

    @classmethod
    def of(cls, samples: np.ndarray | Rows) -> Rows:
        """All rows of a matrix; rows are left as they are."""
        return samples if isinstance(samples, Rows) else cls((samples, None))

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def width(self) -> int:
        """K."""
        return self.parts[0][0].shape[1]

    def and_then(self, other: Rows) -> Rows:
        """These rows and then those of another matrix with the same origin."""
        return Rows(*self.parts, *other.parts, origin=self.origin)

    def between(self, start: int, stop: int) -> np.ndarray:
        """(stop − start, K) rows."""
        found = []
        for (array, rows), end in zip(self.parts, self.ends.tolist(), strict=True):
            first = end - len(array if rows is None else rows)
            own = slice(max(start - first, 0), max(min(stop, end) - first, 0))
            found.append((array[own] if rows is None else array[rows[own]]).astype(np.float64, copy=False))
        joined = found[0] if len(found) == 1 else np.concatenate(found)
        return joined - self.origin if self.origin else joined

    def mean(self) -> np.ndarray:
        """(K,) means of the columns."""
        total = np.zeros(self.width)
        for start, stop in chunks(len(self), self.width):
            total += self.between(start, stop).sum(0)
        return total / len(self)


def rows_at_a_time(width: int, least: int = 1) -> int:
    """So many rows of ``width`` numbers are turned into float64 at a time."""
    return min(_CHUNK_ROWS, max(least, _CHUNK_NUMBERS // width, 1))


def chunks(count: int, width: int, least: int = 1) -> Iterator[tuple[int, int]]:
    """Ranges that cover so many rows of ``width`` numbers: a million numbers each, or ``least`` rows if more."""
    step = rows_at_a_time(width, least)
    for start in range(0, count, step):
        yield start, min(start + step, count)


def folded(items: Iterable[T], join: Callable[[T, T], T]) -> T:
    """All items joined, neighbours first, then pairs of pairs: so rounding errors grow with the logarithm of how many.

    The tree depends on the number of items alone. There must be one at least.
    """
    stack: list[tuple[int, T]] = []
    for one in items:
        level = 0
        while stack and stack[-1][0] == level:
            one, level = join(stack.pop()[1], one), level + 1
        stack.append((level, one))
    result = stack.pop()[1]
    while stack:
        result = join(stack.pop()[1], result)
    return result


def _added(x: np.ndarray, y: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
    """The sums x + dx and y + dy, and what rounding leaves out of each (Knuth 1969)."""
    found = []
    for a, b in ((x, dx), (y, dy)):
        total = a + b
        own = total - a
        found.append((total, (a - (total - own)) + (b - own)))
    return found[0][0], found[1][0], found[0][1], found[1][1]


@dataclass(frozen=True)
class Moments:
    """Second moments of n samples of (x, y).

    With a bias the moments are centred on the sample means, so that W and b separate:
    ``sxx = Σ (x − x̄)(x − x̄)ᵀ`` (I, I), ``sxy = Σ (y − ȳ)(x − x̄)ᵀ`` (O, I), ``syy = Σ (y − ȳ)²`` (O,).
    Without one the means are taken as zero. ``x_low`` and ``y_low`` are what rounding left out of the means:
    differences of means need it where these are large beside the spread.
    """

    count: int
    sxx: np.ndarray
    sxy: np.ndarray
    syy: np.ndarray
    x_mean: np.ndarray
    y_mean: np.ndarray
    x_low: np.ndarray | float = 0.0
    y_low: np.ndarray | float = 0.0

    @classmethod
    def of(cls, x: np.ndarray | Rows, y: np.ndarray | Rows, centred: bool) -> Moments:
        """Moments of ``x`` (n, I) and ``y`` (n, O), accumulated in float64."""
        x, y = Rows.of(x), Rows.of(y)
        x_mean = x.mean() if centred else np.zeros(x.width)
        y_mean = y.mean() if centred else np.zeros(y.width)
        sxx = np.zeros((x.width, x.width))
        sxy = np.zeros((y.width, x.width))
        syy = np.zeros(y.width)
        x_low, y_low = np.zeros(x.width), np.zeros(y.width)
        for start, stop in chunks(len(x), x.width + y.width, least=x.width):
            xc, yc = x.between(start, stop), y.between(start, stop)
            if centred:
                xc, yc = xc - x_mean, yc - y_mean
            sxx += xc.T @ xc
            sxy += yc.T @ xc
            syy += np.einsum("no,no->o", yc, yc)
            if centred:
                x_low += xc.sum(0)
                y_low += yc.sum(0)
        return cls(len(x), sxx, sxy, syy, x_mean, y_mean, x_low / len(x), y_low / len(x))

    def pooled_with(self, other: Moments) -> Moments:
        """Moments of both sets of samples together (Chan, Golub, LeVeque 1979)."""
        count = self.count + other.count
        share = other.count / count
        dx = other.x_mean - self.x_mean + (other.x_low - self.x_low)
        dy = other.y_mean - self.y_mean + (other.y_low - self.y_low)
        between = self.count * share
        return Moments(
            count,
            self.sxx + other.sxx + between * np.outer(dx, dx),
            self.sxy + other.sxy + between * np.outer(dy, dx),
            self.syy + other.syy + between * dy**2,
            *_added(self.x_mean, self.y_mean, self.x_low + share * dx, self.y_low + share * dy),
        )

    def bias(self, weight: np.ndarray) -> np.ndarray:
        """The best bias for a given weight, ``b = ȳ − W x̄`` (zero where the moments are not centred)."""
        return self.y_mean - weight @ self.x_mean

    def losses(self, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """(O,) mean over samples of ``(y − W x − b)²`` of each output, without what rounding makes negative."""
        quadratic = (weight @ self.sxx - 2 * self.sxy) * weight
        offset = self.y_mean - weight @ self.x_mean - bias
        return np.asarray(np.maximum((self.syy + quadratic.sum(1)) / self.count + offset**2, 0))

    def loss(self, weight: np.ndarray, bias: np.ndarray) -> float:
        """Mean of :meth:`losses` over outputs; 0 where only rounding errors are left."""
        loss = float(self.losses(weight, bias).mean())
        return loss if loss > _ROUNDING * self.syy.mean() / self.count else 0.0

    def least_squares(self) -> np.ndarray:
        """The unshared weight (O, I) of least norm, in units of the inputs' spread, among the best ones."""
        scale = unit_scale(self.sxx)
        solution = np.linalg.lstsq(self.sxx / np.outer(scale, scale), self.sxy.T / scale[:, None], rcond=None)[0]
        return (solution / scale[:, None]).T

    def inverse(self) -> np.ndarray:
        """``sxx⁻¹``, the pseudo-inverse in units of the inputs' spread."""
        return pseudo_inverse(self.sxx)

    def is_full_rank(self) -> bool:
        """Whether the inputs determine every weight (their scatter is well conditioned)."""
        scale = unit_scale(self.sxx)
        eigenvalues = np.linalg.eigvalsh(self.sxx / np.outer(scale, scale))
        return bool(eigenvalues[0] > len(eigenvalues) * np.finfo(float).eps * max(eigenvalues[-1], 1))

    def dependent_columns(self) -> np.ndarray:
        """Inputs that are a linear combination of others, as far as rounding tells."""
        scale = unit_scale(self.sxx)
        null = np.linalg.eigh(self.sxx / np.outer(scale, scale))[1][:, 0]
        return np.flatnonzero(np.abs(null) > 1e-3 * np.abs(null).max())

    def redundant_columns(self) -> np.ndarray:
        """The inputs that those before them add up to: without them the others determine their weights."""
        scale = unit_scale(self.sxx)
        unit = self.sxx / np.outer(scale, scale)
        factor, kept, left_out = np.zeros((0, len(unit))), [], []
        for i in range(len(unit)):  # Cholesky's factor of the columns that are kept
            row = unit[i] - factor[:, i] @ factor
            if row[i] > _REDUNDANT * max(unit[i, i], _ROUNDING):
                factor = np.vstack([factor, row / np.sqrt(row[i])])
                kept.append(i)
            else:
                left_out.append(i)
        return np.array(left_out or kept[-1:], int)

    def about_zero(self) -> Moments:
        """The same samples with moments about zero, as a map without bias has them."""
        return replace(
            self,
            sxx=self.sxx + self.count * np.outer(self.x_mean, self.x_mean),
            sxy=self.sxy + self.count * np.outer(self.y_mean, self.x_mean),
            syy=self.syy + self.count * self.y_mean**2,
            x_mean=np.zeros_like(self.x_mean),
            y_mean=np.zeros_like(self.y_mean),
            x_low=0.0,
            y_low=0.0,
        )
