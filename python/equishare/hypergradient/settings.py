"""The options of a hypergradient, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

METHODS = ("cg", "neumann", "exact", "identity", "unrolled", "direct")
CURVATURES = ("hessian", "gauss_newton")
# Most entries n of lower_params, per replica, for which the dense matrix (n, n) is formed.
EXACT_LIMIT = 2048

_TAKES_ALPHA = ("neumann", "identity", "unrolled")
_TAKES_CURVATURE = ("cg", "neumann", "exact")


@dataclass(frozen=True)
class Settings:
    """Options of :func:`equishare.hypergradient`; ValueError or TypeError where one is not accepted."""

    method: str
    iterations: int
    tolerance: float
    alpha: float | None
    damping: float
    curvature: str
    batch_dims: int
    compare_exact: bool

    def __post_init__(self) -> None:
        for name, accepted in (("method", METHODS), ("curvature", CURVATURES), ("batch_dims", (0, 1))):
            value = getattr(self, name)
            if isinstance(value, bool) or value not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(map(str, accepted))}; got {value!r}")
        if isinstance(self.iterations, bool) or not isinstance(self.iterations, int):
            raise TypeError(f"iterations must be an integer, got {type(self.iterations).__name__}")
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")
        for name, value in (("tolerance", self.tolerance), ("damping", self.damping)):
            if not (_is_number(value) and 0 <= value < math.inf):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
        if self.alpha is not None and not (_is_number(self.alpha) and 0 < self.alpha < math.inf):
            raise ValueError(f"alpha must be a finite number above 0, or None, got {self.alpha!r}")
        if self.alpha is not None and self.method not in _TAKES_ALPHA:
            raise ValueError(f"alpha belongs to the methods {', '.join(_TAKES_ALPHA)}; got it with {self.method!r}")
        for name, given in (("damping", self.damping > 0), ("curvature", self.curvature != "hessian")):
            if given and self.method not in _TAKES_CURVATURE:
                raise ValueError(
                    f"{name} belongs to the methods {', '.join(_TAKES_CURVATURE)}; "
                    f"got {getattr(self, name)!r} with {self.method!r}"
                )

    def check_size(self, size: int) -> None:
        """ValueError where a dense matrix would be too large."""
        wanted = 'method="exact"' if self.method == "exact" else "compare_exact=True"
        if (self.method == "exact" or self.compare_exact) and size > EXACT_LIMIT:
            raise ValueError(
                f"{wanted} forms a dense matrix and takes lower_params of at most {EXACT_LIMIT} entries"
                f"{' per replica' if self.batch_dims else ''}, got {size}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
