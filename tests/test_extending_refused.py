"""Problems and methods from outside: what is refused, and what the error says."""

from dataclasses import dataclass

import numpy as np
import pytest
from extending_cases import FREE, RNG, VECTOR, ZEROS, EveryPair, Normal, Nothing, Proposing, Tied, Two
from model_cases import columns_problem

import equishare as es
from equishare.problems import BlockEstimate, Proposal, Refit, Slot


def test_dense_and_diagonal_estimates_check_their_shapes():
    with pytest.raises(ValueError, match=r"covariance must have shape \(3, 3\), got \(2, 2\)"):
        BlockEstimate.dense(np.zeros(3), np.eye(2))


class Wrong:
    Options = EveryPair.Options

    def propose(self, session, options):
        return []


class Unscored:
    Options = EveryPair.Options

    def propose(self, session, options):
        patterns = [(np.zeros(7, int),), (np.arange(7),)]
        return [Proposal(patterns, np.array([np.nan, np.nan]))]


class Short:
    Options = EveryPair.Options

    def propose(self, session, options):
        return [Proposal([np.zeros(3, int)])]


class Refitting(Normal):
    given = None

    def refit(self, pattern):
        return self.given


def refitting(given):
    one = Refitting(VECTOR.values, VECTOR.val, VECTOR.precision)
    one.given = given
    return one


class Seeded:
    @dataclass(frozen=True)
    class Options:
        seed: int = 0

    propose = EveryPair.propose


class Estimating:
    NEEDS_ESTIMATE = True
    Options = EveryPair.Options


Estimating.propose = Tied.propose
NOTHING = Nothing(VECTOR.values, VECTOR.val, VECTOR.precision)
REFUSED = [
    (lambda: Slot.of("w", 3), TypeError, r"shape must be a tuple of integers such as \(3,\), got 3"),
    (
        lambda: es.discover(VECTOR, lr=0.1),
        TypeError,
        r"no options \(lr: for problems that are trained\)",
    ),
    (lambda: es.discover(columns_problem(), "bilevel", unit="mse"), TypeError, r"\(unit: for means and linear maps\)"),
    (lambda: es.discover(VECTOR, Proposing()), ValueError, "'Proposing' must propose at least one pattern"),
    (
        lambda: es.discover(VECTOR, Proposing(whole=3)),
        TypeError,
        "'Proposing' must return a list of Proposals, got int",
    ),
    (lambda: es.discover(VECTOR, Proposing(ZEROS, FREE, scores=[1.0])), ValueError, r"scores of .* must be 2, got"),
    (lambda: es.discover(VECTOR, Proposing(ZEROS, as_good=[False])), ValueError, "must mark at least one pattern"),
    (lambda: es.discover(VECTOR, Proposing(ZEROS, history={"a": ["x"]})), ValueError, "columns of numbers"),
    (lambda: es.discover(VECTOR, Proposing(ZEROS, notes="x")), TypeError, "notes of .* must be a tuple of sentences"),
    (lambda: es.discover(VECTOR, Proposing((ZEROS, ZEROS))), ValueError, "a label array for each of 1 slots, got 2"),
    (lambda: es.discover(VECTOR, Proposing(ZEROS + 0.5)), ValueError, "labels must be integers, got 0.5"),
    (lambda: es.discover(VECTOR, Seeded()), TypeError, "must not have names of discover, got seed"),
    (
        lambda: es.discover(refitting(None), "gap"),
        ValueError,
        "with the values of 'w', got NoneType",
    ),
    (lambda: es.discover(refitting(Refit({"v": ZEROS}, 0, 0)), "gap"), ValueError, "values of 'w', got 'v'"),
    (lambda: es.discover(refitting(Refit({"w": ZEROS}, 0, 0)), "gap"), ValueError, "must return 3 values of 'w'"),
    (lambda: es.discover(NOTHING), ValueError, "a Nothing has no estimate of the entries"),
    (lambda: es.discover(NOTHING, "gap"), ValueError, "needs the estimate of one parameter"),
    (lambda: es.discover(Two(RNG), "merge"), ValueError, "a Two has 2 parameters, 'a', 'b'"),
    (lambda: es.discover(VECTOR, Unscored()), FloatingPointError, "none of 2 candidates has a finite score"),
    (lambda: es.discover(VECTOR, Short()), ValueError, r"must have \[7\] labels, .* got \[3\]"),
    (lambda: es.discover(columns_problem(), Estimating()), ValueError, "method 'Estimating' needs an estimate"),
    (lambda: es.discover(es.ModelProblem), TypeError, "problem must be a MeanProblem"),
    (
        lambda: es.discover(Two(RNG), Wrong()),
        ValueError,
        "method 'Wrong' must return a Proposal for each of 1 problems",
    ),
    (lambda: es.discover(Two(RNG), 3), TypeError, "method must be a name or have Options and propose"),
    (lambda: es.discover(object()), TypeError, "problem must be a MeanProblem, .* got object"),
    (lambda: es.discover([Two(RNG), columns_problem()]), TypeError, "of one kind, got ModelProblem, Two"),
    (
        lambda: es.discover(Two(RNG), EveryPair(), most=3),
        TypeError,
        "method 'EveryPair' has no option most; it takes no",
    ),
    (lambda: es.discover(Two(RNG), "brute_force"), ValueError, "method 'brute_force' takes one parameter, got a, b"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


BAD_ESTIMATES = [
    (lambda: BlockEstimate.diagonal([np.nan, 1.0], [1.0, 1.0]), "values of an estimate must be finite"),
    (lambda: BlockEstimate.diagonal([0.0, 1.0], [0.0, 1.0]), "variances of an estimate must be finite and above 0"),
    (lambda: BlockEstimate.diagonal([0.0, 1.0], 1.0), r"variance must have the shape of values, \(2,\), got \(\)"),
    (lambda: BlockEstimate.diagonal([0.0, 1.0], [1.0, 1.0], 0.0), "freedom must be above 0, got 0"),
    (
        lambda: BlockEstimate.dense([0.0, 1.0], [[1.0, 2.0], [2.0, 1.0]]),
        "must be symmetric and positive definite",
    ),
    (
        lambda: BlockEstimate.dense([0.0, 1.0], [[1.0, 0.5], [0.0, 1.0]]),
        "must be symmetric and positive definite",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD_ESTIMATES)
def test_bad_estimates_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
