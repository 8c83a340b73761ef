"""Results of an experiment: tables whose rows carry a mean and its 95 % confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Table:
    """One table of an experiment, one row for each method in each cell.

    Attributes:
        name: Short name, part of file names.
        title: One line saying what was drawn and what is measured.
        settings: Columns that tell the cells apart.
        metrics: Columns measured; a row holds ``m`` (mean) and ``m + "_ci"`` (half width).
        references: Columns with numbers printed elsewhere; only the rows they speak of have them.
        rows: The rows: settings, ``method``, metrics, references, ``trials`` and ``seconds``
            (wall time per trial; ``None`` for a limit, which nobody has to compute).
        x: The setting on the horizontal axis of the figures; ``None`` for a table without any.
        log: The metrics whose figures have a logarithmic vertical axis; x, where the horizontal one is.
    """

    name: str
    title: str
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    references: tuple[str, ...]
    rows: list[dict[str, Any]]
    x: str | None = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """All tables of one experiment, with the seed they were drawn from and the time they took."""

    name: str
    seed: int
    tables: tuple[Table, ...]
    seconds: float


def mean_and_interval(samples: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return the mean and the half width of its 95 % confidence interval.

    The interval is Student's, mean ± t(0.975, n − 1) · std / √n; NaN for a single sample.
    """
    values = np.asarray(samples, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan")
    quantile = stats.t.ppf(0.975, len(values) - 1)
    return mean, float(quantile * values.std(ddof=1) / np.sqrt(len(values)))


def share_and_interval(flags: Sequence[bool] | np.ndarray) -> tuple[float, float]:
    """Return the share of draws that are true, and how far the farther end of its 95 % interval lies.

    The interval is Wilson's. Where all draws agree it has a width, unlike that of :func:`mean_and_interval`.
    """
    count = int(np.sum(flags))
    found = stats.binomtest(count, len(flags))
    ends = found.proportion_ci(method="wilson")
    share = count / len(flags)
    return share, float(max(share - ends.low, ends.high - share))
