"""What an answer is made of: the data in words, the numbers, how well they rest on the data, what the evidence says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from torch import nn

__all__ = ["About", "Belief", "Predictor", "Quality", "Refit"]


@dataclass(frozen=True)
class About:
    """The data in words and numbers, for the report.

    Attributes:
        question: what is asked of the data, in small letters: "which … are equal".
        num_train: number of training samples; None where a DataLoader has no length.
        num_val: the same for validation samples.
        loss: name of the loss.
        facts: further rows for the table of the data, each a name and a text.
    """

    question: str
    num_train: int | None
    num_val: int | None
    loss: str = "mean squared error"
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Quality:
    """How well the answer rests on the data.

    Attributes:
        unshared: estimates of the entries when none are tied, in the shape of the parameter, or of all slots one after
            another (K,); None where the samples do not determine them.
        unshared_errors: their standard errors.
        value_errors: (G,) standard error of the value of each group, if its entries are equal; those of all slots one
            after another.
        r_squared: share of the variance of the validation samples' outputs that the map explains,
            ``1 − loss / variance``; of a map outputs count as in the fit, by the inverse of their noise variance. NaN
            where nothing is predicted.
        dependence: p-value of the test that no output depends on any input; NaN where there is none.
        loss_error: standard error of the validation loss less that without sharing; NaN where not known.
        notes: sentences on what makes the answer unsure.
    """

    unshared: np.ndarray | None = None
    unshared_errors: np.ndarray | None = None
    value_errors: np.ndarray | None = None
    r_squared: float = math.nan
    dependence: float = math.nan
    loss_error: float = math.nan
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Predictor:
    """What a prediction needs beside the effects of entries: ``E y = g⁻¹(b + effects + z γ)``.

    Attributes:
        family: gaussian, binomial or poisson, which has the link g.
        bias: b of an additive model; of a map b (O,) where its weights are averaged, which has another one else.
        numeric: names of the columns z.
        coefficients: γ (P,).
        unseen: (J,) for each factor the effect of a level that was never seen, the mean of a new value by the prior.
    """

    family: str = "gaussian"
    bias: float | np.ndarray = 0.0
    numeric: tuple[str, ...] = ()
    coefficients: np.ndarray = field(default_factory=lambda: np.empty(0))
    unseen: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def weights(self) -> dict[str, float]:
        """γ by the names of the columns."""
        return dict(zip(self.numeric, np.asarray(self.coefficients).tolist(), strict=True))


@dataclass(frozen=True)
class Refit:
    """The numbers of an answer: a pattern fitted on all samples.

    Attributes:
        values: by parameter name, the value of each group, (G,), or (G, …) for slices.
        validation_loss: of the pattern fitted on the training samples alone, on the validation samples.
        no_sharing_loss: the same without sharing; NaN where that was not fitted.
        bias: of a map, or None.
        model: a module refitted with the pattern, or None.
        complete: False where the search was cut off.
        settled: False where the loss was still falling at the end of the fit.
        quality: how well all this rests on the data, where the problem tells.
        facts: how the fit was made, further rows for the table of the data.
        predictor: of a factor or a generalised linear problem, what predictions need beside the values.
        centre: of a map with a bias the mean x̄ of the inputs, (I,) or for each output (O, I), where other weights are
            to predict the same: their bias is ``b + (W − W′) x̄``.
    """

    values: dict[str, np.ndarray]
    validation_loss: float
    no_sharing_loss: float
    bias: np.ndarray | None = None
    model: nn.Module | None = None
    complete: bool = True
    settled: bool = True
    quality: Quality = field(default_factory=Quality)
    facts: tuple[tuple[str, str], ...] = ()
    predictor: Predictor | None = None
    centre: np.ndarray | None = None


@dataclass(frozen=True)
class Belief:
    """What the evidence says of an answer beside its partition.

    Attributes:
        spread: standard deviation τ of the entries of a group about its value; 0: they are equal.
        spread_interval: between these two numbers τ lies with probability .95.
        posterior_mean: in the shape of the parameter, or of all slots one after another (K,), each entry's mean given
            the data: shrunk to the value of its group by as much as τ says. Of several parameters with one partition an
            array of each, stacked.
        symmetry_log_odds: log odds of the symmetry of ``guess`` being one of the truth, over all candidates; NaN where
            no symmetry was looked for.
        guess: labels of the candidate whose symmetry is judged: the partition, one whose symmetry is the part of that
            of the partition that is sure, or the best one that has a symmetry; None where none was found.
        continuum_log_odds: log odds of all entries being spread about one value, against the best groups of equal ones.
        rival_log_odds: log odds of the symmetry of ``guess`` against patterns of shifts that lack it, a line in place
            of a ring say; NaN where no symmetry was found.
        predictor: what predictions with the posterior mean need beside it; None where that is nothing else than with
            the values.
        shift_log_odds: log odds of the shifts up to a boundary that the partition is a union of; NaN where it is none.
        symmetry_chance: probability of the symmetry of ``guess``, where the search tells it; None: the log odds do.
    """

    spread: float
    spread_interval: tuple[float, float]
    posterior_mean: np.ndarray
    symmetry_log_odds: float = math.nan
    guess: np.ndarray | None = None
    shift_log_odds: float = math.nan
    continuum_log_odds: float = math.nan
    rival_log_odds: float = math.nan
    predictor: Predictor | None = None
    symmetry_chance: float | None = None
